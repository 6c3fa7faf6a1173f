//! Margin of a position or an order (AC03). Source of the formulas: MetaTrader 5 help, "Margin
//! calculation for retail Forex, CFD": forex = lots x contract / leverage; CFD leverage = lots x
//! contract x price / leverage.

use super::{
    instrument::{Instrument, InstrumentId, MarginMode, Price, Volume},
    market::Quote,
    money::{Currency, Exact, Money, Rate, Rounding},
    order::Side,
    rates::{Conversion, Rates},
};
use rust_decimal::Decimal;

/// The rate that converts margin of this side; it is kept with the position, so that its margin
/// does not float.
pub fn margin_rate(
    instrument: &Instrument,
    side: Side,
    currency: Currency,
    instruments: &[Instrument],
    rates: &Rates,
    quote: impl Fn(InstrumentId) -> Option<Quote>,
) -> Option<Rate> {
    let from = match instrument.margin_mode {
        MarginMode::Forex => instrument.base_currency,
        MarginMode::CfdLeverage => instrument.quote_currency,
    };
    rates.rate(from, currency, Conversion::of_margin(side), instruments, quote)
}

/// The margin, posted in the account's currency.
pub fn margin(
    instrument: &Instrument,
    volume: Volume,
    price: Price,
    leverage: u32,
    rate: Rate,
    currency: Currency,
) -> Money {
    let count = i128::from(volume.0);
    let base = match instrument.margin_mode {
        MarginMode::Forex => Exact::product(instrument.step_units(), count),
        MarginMode::CfdLeverage => {
            Exact::product(instrument.tick_step_value(), count.saturating_mul(i128::from(price.0)))
        }
    };
    rate.apply(base).over(Decimal::from(leverage.max(1))).post(currency, Rounding::HalfAway)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::built_in;

    #[test]
    fn ac03_forex_and_cfd_leverage() {
        let all = built_in();
        for (index, steps, price, rate, expected) in [
            // 1 lot EURUSD at 1.10 and 1:100: 100,000 EUR / 100 = 1,000 EUR = 1,100 USD
            (0, 100, 110_000, Rate::Times("1.1".parse().expect("a decimal")), "1100.00"),
            // 1 lot USDJPY: 1,000 USD
            (2, 100, 150_000, Rate::One, "1000.00"),
            // 0.1 lot of gold at 2,000: 10 oz x 2,000 / 100 = 200
            (3, 10, 200_000, Rate::One, "200.00"),
            // 0.01 BTC at 43,210.55 / 100 = 4.32
            (4, 1, 4_321_055, Rate::One, "4.32"),
        ] {
            let posted = margin(&all[index], Volume(steps), Price(price), 100, rate, Currency::USD);
            assert_eq!(posted.amount(), expected.parse().expect("a decimal"), "{}", all[index].symbol);
        }
    }
}
