//! Results that must not change unnoticed, and that must be the same in debug and release.

use super::{backtest, gbpusd, sma_cross, source};
use lockstep::{
    backtest::{Outcome, run},
    domain::{
        instrument::InstrumentId,
        time::{DAY_NS, UnixNanos},
    },
    quotes::SyntheticBars,
};
use std::fmt::Write;

/// What a run came to, its first and its last trades.
fn text(outcome: &Outcome) -> String {
    let Outcome { result_hash, data_hash, bars, quotes, quarantined, ambiguous_bars, .. } = outcome;
    let mut text = format!(
        "result {result_hash}\ndata   {data_hash}\n{bars} bars, {quotes} quotes, {ambiguous_bars} ambiguous, \
         {quarantined:?}\n{:#?}\n",
        outcome.metrics
    );
    let mut csv = Vec::new();
    lockstep::backtest::write_csv(&outcome.trades, &mut csv).expect("memory takes all bytes");
    let csv = String::from_utf8(csv).expect("text");
    let lines: Vec<&str> = csv.lines().collect();
    let (first, last) = (&lines[..lines.len().min(6)], &lines[lines.len().saturating_sub(5)..]);
    writeln!(text, "{}\n...\n{}", first.join("\n"), last.join("\n")).expect("a string takes all text");
    text
}

fn check(name: &str, outcome: &Outcome) {
    insta::with_settings!(
        { snapshot_path => "../../snapshots/backtest", prepend_module_to_snapshot => false, omit_expression => true },
        { insta::assert_snapshot!(name, text(outcome)) }
    );
}

#[test]
fn mx04_sma_cross_over_real_bars() {
    let Some([bids, asks]) = gbpusd() else { return };
    check("gbpusd_2012_02", &backtest(source(&bids), source(&asks), Some((200, 400))));
}

#[test]
fn mx04_sma_cross_over_synthetic_bars() {
    let config = sma_cross(None);
    let instrument = &config.instruments[1];
    let from = UnixNanos::parse("2024-01-08T00:00:00Z").expect("an instant");
    let calendar = &config.calendars[usize::from(instrument.calendar)];
    let to = from.plus(5 * DAY_NS);
    let mut bars = SyntheticBars::new(7, InstrumentId(1), instrument, calendar, from, to);
    check("gbpusd_synthetic", &run(config, &mut bars).expect("sane data"));
}
