//! Recorded bars and ticks, one account, one strategy: what DT04 hands to all three drivers, and what
//! the backtest makes of it. Shared by the test binaries of both packages.

use lockstep::{
    backtest::run_watched,
    domain::{
        calendar::Zone,
        config::{Config, StrategyConfig},
        id::Symbol,
        instrument::InstrumentId,
        market::Timeframe,
        message::Outputs,
        order::Stop,
    },
    node::config::{FileConfig, ReplaySpec},
    quotes::{DataOptions, OffGrid, Source, open_recording},
};
use rust_decimal::Decimal;
use std::path::Path;

/// For all drivers. A reversal asks for a second position before the first is closed: with one allowed
/// it is denied and alerted, and every second turn trades, to the end of the data.
pub const CONFIG: &str = r#"
[risk]
max_positions = 1

[[accounts]]
id = "dt04"
commission_per_lot = "7"
"#;
pub const PARAMS: [(&str, &str); 2] = [("fast", "10"), ("slow", "20")];
pub const STOP_LOSS_PIPS: i64 = 20;
pub const TAKE_PROFIT_PIPS: i64 = 40;
const TICKS_PER_PIP: i64 = 10;

/// Name and payload, the payload to the byte.
pub type Body = (String, String);

/// A month of one-minute bars, bids and asks in a file each.
pub fn bars_of_gbpusd(folder: &Path) -> ReplaySpec {
    let file = |side| folder.join(format!("GBPUSD_M1_2012-02_{side}.csv.gz"));
    ReplaySpec { files: vec![file("bid")], ask: Some(file("ask")), symbol: symbol("GBPUSD"), zone: None }
}

/// Two days of ticks, of which every tenth is crossed.
pub fn ticks_of_eurusd(folder: &Path) -> ReplaySpec {
    let file = |day| folder.join(format!("EURUSD_ticks_{day}_lean_quote.zip"));
    ReplaySpec {
        files: ["20140501", "20140502"].map(file).into(),
        ask: None,
        symbol: symbol("EURUSD"),
        zone: Some("UTC-05".to_owned()),
    }
}

fn symbol(name: &str) -> Option<Symbol> {
    Some(Symbol::new(name).expect("a symbol"))
}

/// What the comparison leaves out: the gateway's own life, and the link of its accounts.
pub fn is_compared(name: &str) -> bool {
    !matches!(name, "event.gateway.status" | "event.account.status")
}

pub fn file_config() -> FileConfig {
    FileConfig::parse("lockstep.toml", CONFIG, &|_| None).expect("a configuration")
}

/// On the recording's instrument.
pub fn strategy(recording: &ReplaySpec) -> StrategyConfig {
    StrategyConfig {
        name: "sma_cross".to_owned(),
        params: PARAMS.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        account: file_config().accounts[0].id.clone(),
        symbol: recording.symbol.clone().expect("recordings here name theirs"),
        timeframe: Timeframe::M1,
        volume: Decimal::new(1, 1),
        stop_loss: Some(Stop::Ticks(STOP_LOSS_PIPS * TICKS_PER_PIP)),
        take_profit: Some(Stop::Ticks(TAKE_PROFIT_PIPS * TICKS_PER_PIP)),
    }
}

fn config(recording: &ReplaySpec) -> Config {
    file_config().to_config(vec![strategy(recording)], false)
}

/// What a driver told.
#[derive(Debug, Default)]
pub struct Told {
    pub events: Vec<Body>,
    /// Postings, as JSON.
    pub ledger: Vec<String>,
}

impl Told {
    /// Takes in what one step put out.
    pub fn hear(&mut self, out: &Outputs) {
        for event in out.events.iter().filter(|event| is_compared(event.name())) {
            let payload = String::from_utf8(event.payload()).expect("payloads are JSON");
            self.events.push((event.name().to_owned(), payload));
        }
        let postings =
            out.ledger.iter().map(|entry| serde_json::to_string(entry).expect("a posting is JSON"));
        self.ledger.extend(postings);
    }

    /// The recording is worth comparing, and the other driver told the same.
    pub fn assert_same(&self, other: &[Body]) {
        for name in ["event.trade.intent", "event.trade.executed", "event.trade.closed", "event.risk.alert"] {
            assert!(self.events.iter().any(|(found, _)| found == name), "the recording has no {name}");
        }
        for (number, (expected, told)) in self.events.iter().zip(other).enumerate() {
            assert_eq!(expected, told, "event {number}");
        }
        assert_eq!(other.len(), self.events.len());
    }
}

/// By the backtest.
pub fn by_backtest(recording: &ReplaySpec) -> Told {
    let config = config(recording);
    let id = config.instruments.iter().position(|i| Some(&i.symbol) == recording.symbol.as_ref());
    let id = id.expect("built in");
    let options = DataOptions {
        instrument: config.instruments[id].clone(),
        id: InstrumentId(id as u16),
        zone: recording.zone.as_deref().map(|name| Zone::load(name).expect("a zone")),
        off_grid: OffGrid::default(),
        timeframe: None,
    };
    let files = recording.files.clone().into_iter().map(|file| Source::open(&file));
    let asks = recording.ask.as_deref().map(|file| Source::open(file).expect("a readable file"));
    let mut data = open_recording(Box::new(files), asks, options).expect("good data");
    let mut told = Told::default();
    run_watched(config, &mut *data, &mut |out| told.hear(out)).expect("good data");
    told
}
