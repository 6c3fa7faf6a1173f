//! Conversion between currencies from the quotes of instruments (AC02): by the pair itself, by the
//! inverse pair, or through one pivot, the US dollar.

use super::{
    instrument::{Instrument, InstrumentId},
    market::Quote,
    money::{Currency, Rate},
    order::Side,
};
use std::collections::BTreeMap;

/// Which side of the pair an amount is converted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// The account receives: the worse side for it.
    Gain,
    /// The account pays.
    Loss,
}

impl Conversion {
    /// By the amount's sign.
    pub fn of_sign(negative: bool) -> Self {
        if negative { Self::Loss } else { Self::Gain }
    }

    /// Margin of a position of this side: buys by ask, sells by bid.
    pub const fn of_margin(side: Side) -> Self {
        match side {
            Side::Buy => Self::Loss,
            Side::Sell => Self::Gain,
        }
    }
}

/// One instrument on the way; `direct` if it is quoted from the first currency to the second.
#[derive(Debug, Clone, Copy)]
struct Leg {
    instrument: InstrumentId,
    direct: bool,
}

/// The ways between all currencies of the configured instruments. Derived: not part of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    routes: BTreeMap<(Currency, Currency), Vec<Leg>>,
}

impl Rates {
    /// Finds a way between every two currencies that have one.
    pub fn new(instruments: &[Instrument]) -> Self {
        let mut direct: BTreeMap<(Currency, Currency), Leg> = BTreeMap::new();
        for (index, instrument) in instruments.iter().enumerate() {
            let id =
                InstrumentId(u16::try_from(index).expect("the configuration check bounds the instruments"));
            let (base, quote) = (instrument.base_currency, instrument.quote_currency);
            direct.entry((base, quote)).or_insert(Leg { instrument: id, direct: true });
            direct.entry((quote, base)).or_insert(Leg { instrument: id, direct: false });
        }
        let mut routes: BTreeMap<(Currency, Currency), Vec<Leg>> =
            direct.iter().map(|(pair, leg)| (*pair, vec![*leg])).collect();
        for ((from, pivot), first) in &direct {
            if *pivot != Currency::USD {
                continue;
            }
            for ((_, to), second) in direct.iter().filter(|((start, _), _)| *start == Currency::USD) {
                if from != to {
                    routes.entry((*from, *to)).or_insert_with(|| vec![*first, *second]);
                }
            }
        }
        Self { routes }
    }

    /// Whether there is a way at all.
    pub fn connects(&self, from: Currency, to: Currency) -> bool {
        from == to || self.routes.contains_key(&(from, to))
    }

    /// The rate by present quotes. `None` if there is no way or a quote on it is missing.
    pub fn rate(
        &self,
        from: Currency,
        to: Currency,
        conversion: Conversion,
        instruments: &[Instrument],
        quote: impl Fn(InstrumentId) -> Option<Quote>,
    ) -> Option<Rate> {
        if from == to {
            return Some(Rate::One);
        }
        let mut total = Rate::One;
        for leg in self.routes.get(&(from, to))? {
            let instrument = &instruments[leg.instrument.index()];
            let quote = quote(leg.instrument)?;
            let (bid, ask) = (instrument.price(quote.bid), instrument.price(quote.ask));
            let next = match (leg.direct, conversion) {
                (true, Conversion::Gain) => Rate::Times(bid),
                (true, Conversion::Loss) => Rate::Times(ask),
                (false, Conversion::Gain) => Rate::Over(ask),
                (false, Conversion::Loss) => Rate::Over(bid),
            };
            total = if total == Rate::One { next } else { total.then(next) };
        }
        Some(total)
    }

    /// Whether a quote of `instrument` changes the rate between the two currencies.
    pub fn depends(&self, from: Currency, to: Currency, instrument: InstrumentId) -> bool {
        from != to
            && self.routes.get(&(from, to)).is_some_and(|r| r.iter().any(|l| l.instrument == instrument))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{instrument::Price, instrument::built_in, money::Exact};
    use rust_decimal::Decimal;

    fn check(from: &str, to: &str, conversion: Conversion, expected: Option<&str>) {
        let instruments = built_in();
        let quotes = [(1_10000, 1_10010), (1_25000, 1_25020), (150_000, 150_010), (0, 0), (0, 0), (0, 0)];
        let quote = |id: InstrumentId| {
            let (bid, ask) = quotes[id.index()];
            (bid > 0).then_some(Quote { bid: Price(bid), ask: Price(ask) })
        };
        let code = |text| Currency::new(text).expect("a code");
        let rate = Rates::new(&instruments).rate(code(from), code(to), conversion, &instruments, quote);
        let converted = rate.map(|r| r.apply(Exact(Decimal::from(150_010))).0.round_dp(5).normalize());
        assert_eq!(converted, expected.map(|e| e.parse().expect("a decimal")), "{from}{to} {conversion:?}");
    }

    #[test]
    fn ac02_gains_by_bid_or_over_ask_losses_by_ask_or_over_bid_with_one_usd_pivot() {
        check("USD", "USD", Conversion::Gain, Some("150010"));
        check("EUR", "USD", Conversion::Gain, Some("165011"));
        check("EUR", "USD", Conversion::Loss, Some("165026.001"));
        check("JPY", "USD", Conversion::Gain, Some("1000"));
        check("JPY", "USD", Conversion::Loss, Some("1000.06667"));
        check("JPY", "EUR", Conversion::Gain, Some("909.00827"));
        check("XAU", "USD", Conversion::Gain, None);
        check("CHF", "USD", Conversion::Gain, None);
    }
}
