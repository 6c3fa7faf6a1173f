//! Crossing of two simple moving averages of bid closes, compared exactly and without division:
//! fast sum x slow length against slow sum x fast length.

use super::{Decision, Strategy, StrategyError, View};
use crate::domain::{market::Candle, order::Side};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque},
};

const NAME: &str = "sma_cross";
const MAX_LENGTH: usize = 10_000;

/// Buys when the fast average turns from below or equal to above the slow one, sells when it turns
/// from above or equal to below; holds at most one position. After a stop loss or take profit it
/// waits for the next turn. The first decision falls on bar `slow + 1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmaCross {
    fast: usize,
    slow: usize,
    /// The last `slow` closes in ticks, oldest first.
    closes: VecDeque<i64>,
    fast_sum: i128,
    slow_sum: i128,
    /// How the fast average stood to the slow one at the bar before.
    before: Option<Relation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Relation {
    Below,
    Equal,
    Above,
}

impl SmaCross {
    /// Parameters `fast` and `slow`, in bars: 1 <= fast < slow <= 10,000.
    pub fn build(params: &BTreeMap<String, String>) -> Result<Self, StrategyError> {
        if let Some(param) = params.keys().find(|k| !["fast", "slow"].contains(&k.as_str())) {
            return Err(StrategyError::UnknownParam {
                strategy: NAME,
                param: param.clone(),
                known: "fast, slow",
            });
        }
        let length = |param: &'static str| {
            let (strategy, problem) = (NAME, "give a whole number of bars from 1 to 10000");
            let value = params.get(param).ok_or(StrategyError::MissingParam { strategy, param, problem })?;
            let length = value.parse().ok().filter(|n| (1..=MAX_LENGTH).contains(n));
            length.ok_or_else(|| StrategyError::Param { strategy, param, value: value.clone(), problem })
        };
        let (fast, slow) = (length("fast")?, length("slow")?);
        if fast >= slow {
            return Err(StrategyError::Param {
                strategy: NAME,
                param: "fast",
                value: fast.to_string(),
                problem: "must be less than slow",
            });
        }
        Ok(Self { fast, slow, closes: VecDeque::new(), fast_sum: 0, slow_sum: 0, before: None })
    }

    fn take_in(&mut self, close: i64) {
        self.closes.push_back(close);
        self.fast_sum += i128::from(close);
        self.slow_sum += i128::from(close);
        let seen = self.closes.len();
        if seen > self.fast {
            self.fast_sum -= i128::from(self.closes[seen - 1 - self.fast]);
        }
        if seen > self.slow {
            self.slow_sum -= i128::from(self.closes.pop_front().expect("more than `slow` closes are held"));
        }
    }

    fn relation(&self) -> Option<Relation> {
        (self.closes.len() == self.slow).then(|| {
            let fast = self.fast_sum * self.slow as i128;
            let slow = self.slow_sum * self.fast as i128;
            match fast.cmp(&slow) {
                Ordering::Less => Relation::Below,
                Ordering::Equal => Relation::Equal,
                Ordering::Greater => Relation::Above,
            }
        })
    }
}

impl Strategy for SmaCross {
    fn on_candle(&mut self, view: View<'_>, candle: &Candle, decisions: &mut Vec<Decision>) {
        self.take_in(candle.close.0);
        let now = self.relation();
        let turned = match (self.before, now) {
            (Some(Relation::Below | Relation::Equal), Some(Relation::Above)) => Some(Side::Buy),
            (Some(Relation::Above | Relation::Equal), Some(Relation::Below)) => Some(Side::Sell),
            _ => None,
        };
        self.before = now;
        let Some(side) = turned else { return };
        let opposite = view.positions.iter().filter(|(_, held)| *held != side);
        decisions.extend(opposite.map(|(id, _)| Decision::Close(*id)));
        if !view.positions.iter().any(|(_, held)| *held == side) {
            decisions.push(Decision::Open(side));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{id::PositionId, instrument::Price, market::Quote, time::UnixNanos};

    fn params(fast: &str, slow: &str) -> BTreeMap<String, String> {
        [("fast".to_owned(), fast.to_owned()), ("slow".to_owned(), slow.to_owned())].into()
    }

    /// Decisions at each bar, holding `positions` all the time.
    fn check(closes: &[i64], positions: &[(PositionId, Side)], expected: &[(usize, Decision)]) {
        let mut strategy = SmaCross::build(&params("1", "2")).expect("valid parameters");
        let mut made = Vec::new();
        for (bar, close) in closes.iter().enumerate() {
            let quote = Quote { bid: Price(*close), ask: Price(*close) };
            let mut decisions = Vec::new();
            strategy.on_candle(View { positions }, &Candle::first(UnixNanos::ZERO, quote), &mut decisions);
            made.extend(decisions.into_iter().map(|d| (bar + 1, d)));
        }
        assert_eq!(made, expected, "{closes:?}");
    }

    #[test]
    fn the_first_decision_falls_on_bar_slow_plus_one() {
        check(&[10, 9, 10], &[], &[(3, Decision::Open(Side::Buy))]);
        check(&[10, 11, 12, 13], &[], &[]);
        check(&[10, 11, 10], &[], &[(3, Decision::Open(Side::Sell))]);
    }

    #[test]
    fn equality_arms_both_turns() {
        check(&[10, 10, 11], &[], &[(3, Decision::Open(Side::Buy))]);
        check(&[10, 10, 9], &[], &[(3, Decision::Open(Side::Sell))]);
    }

    #[test]
    fn the_opposite_position_is_closed_first_and_the_same_side_is_not_doubled() {
        let short = (PositionId(7), Side::Sell);
        check(&[10, 9, 10], &[short], &[(3, Decision::Close(short.0)), (3, Decision::Open(Side::Buy))]);
        check(&[10, 9, 10], &[(PositionId(8), Side::Buy)], &[]);
    }

    #[test]
    fn bad_parameters_are_named() {
        for (fast, slow, param) in [("0", "5", "fast"), ("5", "x", "slow"), ("5", "5", "fast")] {
            match SmaCross::build(&params(fast, slow)) {
                Err(StrategyError::Param { param: named, .. }) => assert_eq!(named, param),
                other => panic!("{fast} {slow}: {other:?}"),
            }
        }
        let missing = SmaCross::build(&[("fast".to_owned(), "5".to_owned())].into()).expect_err("no slow");
        assert!(
            missing.to_string().starts_with("strategy `sma_cross` needs the parameter `slow`"),
            "{missing}"
        );
    }
}
