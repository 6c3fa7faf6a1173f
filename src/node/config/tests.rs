//! Files as people write them, right and wrong.

use super::*;
use crate::{
    domain::{id::Symbol, money::Currency},
    node::clock::Speed,
};

fn parse(text: &str) -> Result<FileConfig, ConfigError> {
    FileConfig::parse("lockstep.toml", text, &|name| {
        [("DEPOSIT", "2500.50"), ("BIND", "127.0.0.1:0"), ("SECRET", "hunter2")]
            .iter()
            .find_map(|(known, value)| (*known == name).then(|| (*value).to_owned()))
    })
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = parse(text).expect_err("this file is wrong");
    assert_eq!(error.to_string(), expected, "{text}");
}

#[test]
fn no_file_and_an_empty_file_are_the_safe_defaults() {
    let config = parse("").expect("an empty file is right");
    assert_eq!(config, FileConfig::default());
    assert_eq!(config.gateway.bind, "127.0.0.1:18789");
    let [account] = &config.accounts[..] else { panic!("one account") };
    assert_eq!((account.id.as_str(), account.connector.as_str()), ("paper-1", "paper"));
    assert_eq!((account.deposit, account.leverage), (Decimal::from(10_000), 100));
    let symbols = config.to_config(Vec::new(), true).instruments;
    assert_eq!(symbols.len(), 6);
}

#[test]
fn every_key_is_read() {
    let config = parse(
        r#"
        [gateway]
        bind = "${BIND}"
        insecure = true
        allowed_origins = ["https://desk.example.org"]
        allowed_hosts = ["desk.example.org"]
        unauthenticated_sockets = 8
        unauthenticated_sockets_per_address = 2
        connect_timeout_ms = 5_000
        requests_in_flight = 16
        outbound_frames = 512
        outbound_feed_frames = 256
        requests_per_second = 20
        requests_burst = 40
        control_writes_per_minute = 6
        tick_interval_ms = 2_000
        ping_interval_ms = 1_000
        dead_after_ms = 3_000

        [feed]
        source = "replay:GBPUSD.csv,ask=GBPUSD_ask.csv,tz=Europe/London"
        speed = 0.5
        quote_max_age_ms = 5000

        [risk]
        max_positions = 10
        max_daily_loss = "500"

        [[accounts]]
        id = "main"
        label = "Main account"
        mode = "paper"
        connector = "paper"
        currency = "EUR"
        leverage = "30"
        position_mode = "hedging"
        deposit = "${DEPOSIT}"
        commission_per_lot = 3.5
        allowed_symbols = ["EURUSD", "XAUUSD"]
        [accounts.risk]
        max_positions = 2

        [[accounts]]
        id = "second"
        "#,
    )
    .expect("this file is right");
    assert_eq!(config.gateway.bind, "127.0.0.1:0");
    assert_eq!(config.gateway.requests_in_flight, Some(16));
    assert_eq!((config.gateway.outbound_frames, config.gateway.outbound_feed_frames), (Some(512), Some(256)));
    assert_eq!((config.gateway.requests_per_second, config.gateway.requests_burst), (Some(20), Some(40)));
    assert_eq!(config.gateway.control_writes_per_minute, Some(6));
    assert_eq!(config.gateway.tick_interval, Some(std::time::Duration::from_secs(2)));
    assert_eq!(config.feed.speed, Some(Speed::Milli(500)));
    let Some(FeedSpec::Replay(replay)) = &config.feed.source else { panic!("a replay") };
    assert_eq!(replay.zone.as_deref(), Some("Europe/London"));
    assert_eq!(config.limits.max_daily_loss, Some(Decimal::from(500)));
    let [main, second] = &config.accounts[..] else { panic!("two accounts") };
    assert_eq!(main.deposit, Decimal::new(250_050, 2));
    assert_eq!((main.leverage, main.currency), (30, Currency::new("EUR").expect("a code")));
    assert_eq!(main.limits.max_positions, Some(2));
    assert_eq!((second.label.as_str(), second.leverage), ("second", 100));
    let machine = config.to_config(Vec::new(), true);
    assert_eq!((machine.accounts.len(), machine.quote_max_age_ms), (2, 5_000));
    assert_eq!(config.to_config(Vec::new(), false).quote_max_age_ms, 0, "a recording does not go stale");
}

#[test]
fn errors_name_file_line_and_key() {
    for (text, expected) in [
        (
            "[gateway]\nbnid = \"127.0.0.1:1\"\n",
            "lockstep.toml:2: gateway.bnid: there is no such key; did you mean `bind`?",
        ),
        ("[zebra]\n", "lockstep.toml:1: zebra: there is no such key"),
        (
            "[[accounts]]\nid = \"a\"\n\n[accounts.risk]\nmax_daily_los = 3\n",
            "lockstep.toml:5: accounts[0].risk.max_daily_los: there is no such key; did you mean `max_daily_loss`?",
        ),
        (
            "[[accounts]]\nid = \"a\"\nleverage = 0\n",
            "lockstep.toml:3: accounts[0].leverage: 0 is not a whole number from 1 to 10000",
        ),
        (
            "[[accounts]]\nid = \"a\"\ndeposit = \"many\"\n",
            "lockstep.toml:3: accounts[0].deposit: \"many\" is not an amount from 0 to 1000000000000000, \
             such as \"500\"",
        ),
        (
            "[risk]\nmax_daily_loss = -1\n",
            "lockstep.toml:2: risk.max_daily_loss: -1 is not an amount from 0.01 to 1000000000000000, \
             such as \"500\"",
        ),
        (
            "[[accounts]]\nid = \"a b\"\n",
            "lockstep.toml:2: accounts[0].id: \"a b\" is not an id: 1 to 64 of A-Z a-z 0-9 _ . : -",
        ),
        (
            "\n[[accounts]]\nlabel = \"x\"\n",
            "lockstep.toml:2: accounts[0].id: missing; it takes an id: 1 to 64 of A-Z a-z 0-9 _ . : -",
        ),
        (
            "[[accounts]]\nid = \"a\"\n[[accounts]]\nid = \"b\"\n[[accounts]]\nid = \"a\"\n",
            "lockstep.toml:6: accounts[2].id: the account `a` is there already, in line 2",
        ),
        (
            "[[accounts]]\nid = \"a\"\nposition_mode = \"netting\"\n",
            "lockstep.toml:3: accounts[0].position_mode: `netting` is not available in this version; \
             available: hedging",
        ),
        (
            "[[accounts]]\nid = \"a\"\nconnector = \"mt5\"\n",
            "lockstep.toml:3: accounts[0].connector: `mt5` is not available in this version; available: paper, venue",
        ),
        (
            "[[accounts]]\nid = \"a\"\nmode = \"live\"\n",
            "lockstep.toml:3: accounts[0].mode: `live` is not available in this version; available: paper",
        ),
        (
            "[[accounts]]\nid = \"a\"\nallowed_symbols = [\"EURUSD\",\n \"GPBUSD\"]\n",
            "lockstep.toml:4: accounts[0].allowed_symbols: \"GPBUSD\" is not one of EURUSD, GBPUSD, USDJPY, \
             XAUUSD, BTCUSD, ETHUSD; did you mean `GBPUSD`?",
        ),
        (
            "[gateway]\nbind = 18789\n",
            "lockstep.toml:2: gateway.bind: 18789 is not an address such as \"127.0.0.1:18789\"",
        ),
        (
            "[gateway]\ninsecure = \"perhaps\"\n",
            "lockstep.toml:2: gateway.insecure: \"perhaps\" is not true or false",
        ),
        (
            "[feed]\nsource = \"bloomberg\"\n",
            "lockstep.toml:2: feed.source: \"bloomberg\" is not synthetic, \
             replay:FILE[,FILE…][,ask=FILE][,symbol=S][,tz=Z] or venue:HOST:PORT[,token-file=FILE][,symbol=S…]",
        ),
        ("[feed]\nspeed = 0\n", "lockstep.toml:2: feed.speed: 0 is not a positive number or \"max\""),
        (
            "accounts = 3\n",
            "lockstep.toml:1: accounts: 3 is not a list of tables: write [[accounts]] before each",
        ),
        ("[gateway\n", "lockstep.toml:1: not valid TOML: unclosed table, expected `]`"),
        (
            "[[accounts]]\nid = \"${ACCOUNT}\"\n",
            "lockstep.toml:2: accounts[0].id: the environment variable `ACCOUNT` is not set",
        ),
    ] {
        check_error(text, expected);
    }
}

#[test]
fn or09_errors_of_calendars_name_what_is_wrong() {
    let nyse = "[[calendars]]\nname = \"NYSE\"\nzone = \"America/New_York\"\n";
    for (text, expected) in [
        (
            "[[calendars]]\nname = \"NYSE\"\n".to_owned(),
            "lockstep.toml:1: calendars[0].zone: missing; it takes a time zone such as \"America/New_York\" or \
             \"UTC-05\"",
        ),
        (
            format!("{nyse}sessions = [\"Mon 9-17\"]\n"),
            "lockstep.toml:4: calendars[0].sessions: \"Mon 9-17\" is not a session such as \"Mon-Fri 09:30-16:00\" \
             or \"Sun 17:00-Fri 17:00\"",
        ),
        (
            format!("{nyse}sessions = [\"Mon 09:00-16:00\", \"Mon 15:00-17:00\"]\n"),
            "lockstep.toml:2: calendars[0].name: calendar `NYSE`: its trade sessions overlap, or one of them is \
             empty or longer than a week",
        ),
        (
            format!("{nyse}sessions = [\"Mon 09:00-16:00\"]\nquote_sessions = [\"Mon 10:00-20:00\"]\n"),
            "lockstep.toml:2: calendars[0].name: calendar `NYSE`: it trades at times at which it does not quote: \
             quote sessions hold the trade sessions",
        ),
        (
            format!("{nyse}holidays = [\"25.12.2024\"]\n"),
            "lockstep.toml:4: calendars[0].holidays: \"25.12.2024\" is not a date such as \"2024-12-25\", or \
             \"12-25\" for every year",
        ),
        (
            format!("{nyse}early_closes = [\"2024-07-03\"]\n"),
            "lockstep.toml:4: calendars[0].early_closes: \"2024-07-03\" is not a date and a time such as \
             \"2024-07-03 13:00\", or \"12-24 13:00\" for every year",
        ),
        (
            format!("{nyse}{nyse}"),
            "lockstep.toml:5: calendars[1].name: the calendar `NYSE` is there already, in line 2",
        ),
        (
            "[[calendars]]\nname = \"x\"\nfile = \"hours.json\"\nentry = \"y\"\n".to_owned(),
            "hours.json: no other file is read here",
        ),
        (
            format!("{nyse}[instruments.EURUSD]\ncalendar = \"NYS\"\n"),
            "lockstep.toml:5: instruments.EURUSD.calendar: \"NYS\" is not a calendar; there are FX, 24/7, GOLD, \
             NYSE; did you mean `NYSE`?",
        ),
        (
            "[instruments.EURUSX]\ncalendar = \"FX\"\n".to_owned(),
            "lockstep.toml:1: instruments.EURUSX: there is no such key; did you mean `EURUSD`?",
        ),
    ] {
        check_error(&text, expected);
    }
}

#[test]
fn gw11_a_wrong_value_from_the_environment_is_not_shown() {
    check_error(
        "[[accounts]]\nid = \"a\"\nleverage = \"${SECRET}\"\n",
        "lockstep.toml:3: accounts[0].leverage: \"${SECRET}\" is not a whole number from 1 to 10000",
    );
}

#[test]
fn only_loopback_addresses_are_loopback() {
    for (bind, loopback) in [
        ("127.0.0.1:18789", true),
        ("localhost:0", true),
        ("[::1]:80", true),
        ("127.8.8.8:80", true),
        ("0.0.0.0:18789", false),
        ("[::]:18789", false),
        ("192.168.1.2:80", false),
        ("example.org:80", false),
    ] {
        let section = GatewaySection { bind: bind.to_owned(), ..GatewaySection::default() };
        assert!(section.has_valid_bind(), "{bind}");
        assert_eq!(section.is_loopback(), loopback, "{bind}");
    }
}

#[test]
fn feeds_are_named_on_one_line() {
    let check = |text: &str, expected: &str| {
        let error = FeedSpec::parse(text).expect_err("wrong").to_string();
        assert_eq!(error, format!("{expected}; use {FEED_FORMS}"));
    };
    check("replay:", "`replay:` is not a feed: no file");
    check(
        "replay:a.csv,zone=UTC",
        "`replay:a.csv,zone=UTC` is not a feed: `zone=UTC` is not FILE, ask=FILE, symbol=S or tz=Z",
    );
    check("csv:a", "`csv:a` is not a feed: no such kind");
    check("venue:localhost", "`venue:localhost` is not a feed: no HOST:PORT");
    check("venue:h:1,tz=Z", "`venue:h:1,tz=Z` is not a feed: `tz=Z` is not token-file=FILE or symbol=S");
    let spec = FeedSpec::parse("replay:dir/a.zip,symbol=EURUSD,b.zip,tz=UTC-05").expect("a feed");
    assert_eq!(spec.to_string(), "replay:dir/a.zip,b.zip");
    let FeedSpec::Replay(spec) = spec else { panic!("a replay") };
    assert_eq!(
        (spec.symbol.as_ref().map(Symbol::as_str), spec.zone.as_deref()),
        (Some("EURUSD"), Some("UTC-05"))
    );
}

#[test]
fn a_venues_feed_names_its_token_by_file_only() {
    let spec =
        FeedSpec::parse("venue:127.0.0.1:18790,token-file=t,symbol=EURUSD,symbol=BTCUSD").expect("a feed");
    assert_eq!((spec.to_string().as_str(), spec.kind()), ("venue:127.0.0.1:18790", "venue"));
    let FeedSpec::Venue(spec) = spec else { panic!("a venue") };
    assert_eq!(spec.token_file.as_deref(), Some(std::path::Path::new("t")));
    assert_eq!(spec.symbols.iter().map(Symbol::as_str).collect::<Vec<_>>(), ["EURUSD", "BTCUSD"]);
    let error = FeedSpec::parse("venue:h:1,token=hunter2").expect_err("wrong").to_string();
    assert!(error.contains("use token-file=FILE") && !error.contains("hunter2"), "{error}");
}

#[test]
fn an_account_at_a_venue_names_where_it_is_and_hides_its_token() {
    let account = |more: &str| format!("[[accounts]]\nid = \"a\"\nconnector = \"venue\"\n{more}");
    let whole = "address = \"localhost:18790\"\nlogin = \"demo-1\"\ntoken = \"${SECRET}\"\n";
    let config = parse(&account(whole)).expect("this file is right");
    let link = config.accounts[0].link.clone().expect("a link");
    assert_eq!(
        (link.address.as_str(), link.login.as_str(), &link.secret),
        ("localhost:18790", "demo-1", &None)
    );
    assert_eq!(config.accounts[0].mode, crate::domain::account::AccountMode::Demo);
    assert_eq!(config.credentials[&config.accounts[0].id].expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    for (more, expected) in [
        (
            "",
            "lockstep.toml:1: accounts[0].address: missing; it takes an address such as \"127.0.0.1:18790\"",
        ),
        (
            "address = \"nowhere\"\n",
            "lockstep.toml:4: accounts[0].address: \"nowhere\" is not an address such as \"127.0.0.1:18790\"",
        ),
        (
            "address = \"h:1\"\n",
            "lockstep.toml:1: accounts[0].login: missing; it takes the account's name at the venue, of at most 64 \
             characters",
        ),
        (
            "address = \"h:1\"\nlogin = \"x\"\ntoken = \"\"\n",
            "lockstep.toml:6: accounts[0].token: \"\" is not a token of at most 4096 bytes, such as \"${VENUE_TOKEN}\"",
        ),
        (
            "address = \"h:1\"\nlogin = \"x\"\nmode = \"paper\"\n",
            "lockstep.toml:6: accounts[0].mode: `paper` is not available in this version; available: demo",
        ),
        (
            "address = \"h:1\"\nlogin = \"x\"\ndeposit = \"5\"\n",
            "lockstep.toml:6: accounts[0].deposit: there is no such key",
        ),
    ] {
        check_error(&account(more), expected);
    }
    check_error(
        "[[accounts]]\nid = \"a\"\naddress = \"h:1\"\n",
        "lockstep.toml:3: accounts[0].address: there is no such key",
    );
}
