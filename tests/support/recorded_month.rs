//! One month of recorded quotes, one account, one strategy: what DT04 hands to all three drivers,
//! and what the backtest makes of it. Shared by the test binaries of both packages.

use lockstep::{
    backtest::run_watched,
    domain::{
        config::{Config, StrategyConfig},
        id::Symbol,
        instrument::InstrumentId,
        market::Timeframe,
        message::Outputs,
        order::Stop,
    },
    node::config::FileConfig,
    quotes::{CsvBars, DataOptions, OffGrid, Source},
};
use rust_decimal::Decimal;
use std::path::{Path, PathBuf};

/// For all drivers. A reversal asks for a second position before the first is closed: with one allowed
/// it is denied and alerted, and every second turn trades, over the whole month.
pub const CONFIG: &str = r#"
[risk]
max_positions = 1

[[accounts]]
id = "dt04"
commission_per_lot = "7"
"#;
pub const SYMBOL: &str = "GBPUSD";
pub const PARAMS: [(&str, &str); 2] = [("fast", "10"), ("slow", "20")];
pub const STOP_LOSS_PIPS: i64 = 20;
pub const TAKE_PROFIT_PIPS: i64 = 40;
const TICKS_PER_PIP: i64 = 10;

/// Name and payload, the payload to the byte.
pub type Body = (String, String);

/// The bids' file and the asks'.
pub fn files(folder: &Path) -> [PathBuf; 2] {
    ["bid", "ask"].map(|side| folder.join(format!("GBPUSD_M1_2012-02_{side}.csv.gz")))
}

/// What the comparison leaves out: the gateway's own life, and the link of its accounts.
pub fn is_compared(name: &str) -> bool {
    !matches!(name, "event.gateway.status" | "event.account.status")
}

pub fn file_config() -> FileConfig {
    FileConfig::parse("lockstep.toml", CONFIG, &|_| None).expect("a configuration")
}

pub fn strategy() -> StrategyConfig {
    StrategyConfig {
        name: "sma_cross".to_owned(),
        params: PARAMS.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        account: file_config().accounts[0].id.clone(),
        symbol: Symbol::new(SYMBOL).expect("a symbol"),
        timeframe: Timeframe::M1,
        volume: Decimal::new(1, 1),
        stop_loss: Some(Stop::Ticks(STOP_LOSS_PIPS * TICKS_PER_PIP)),
        take_profit: Some(Stop::Ticks(TAKE_PROFIT_PIPS * TICKS_PER_PIP)),
    }
}

fn config() -> Config {
    file_config().to_config(vec![strategy()], false)
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

    /// The month is worth comparing, and the other driver told the same.
    pub fn assert_same(&self, other: &[Body]) {
        for name in ["event.trade.intent", "event.trade.executed", "event.trade.closed", "event.risk.alert"] {
            assert!(self.events.iter().any(|(found, _)| found == name), "the month has no {name}");
        }
        for (number, (expected, told)) in self.events.iter().zip(other).enumerate() {
            assert_eq!(expected, told, "event {number}");
        }
        assert_eq!(other.len(), self.events.len());
    }
}

/// By the backtest.
pub fn by_backtest(bids: &Path, asks: &Path) -> Told {
    let config = config();
    let id = config.instruments.iter().position(|i| i.symbol.as_str() == SYMBOL).expect("built in");
    let options = DataOptions {
        instrument: config.instruments[id].clone(),
        id: InstrumentId(id as u16),
        zone: None,
        off_grid: OffGrid::default(),
        timeframe: None,
    };
    let open = |path| Source::open(path).expect("a readable file");
    let mut bars = CsvBars::new(open(bids), Some(open(asks)), options).expect("good data");
    let mut told = Told::default();
    run_watched(config, &mut bars, &mut |out| told.hear(out)).expect("good data");
    told
}
