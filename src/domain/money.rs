//! Exact money. The only place that multiplies and divides decimals (DM02).
//!
//! Amounts are kept exact (`Exact`) until they are posted; posting rounds once, to the currency's
//! digits, with a rounding named at the call. Balances hold posted values (`Money`) only.

use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub, SubAssign},
};

/// A currency by its ISO 4217 code, or a coin by its ticker; upper-case ASCII, 3 to 5 letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: [u8; 5],
    len: u8,
}

impl Currency {
    /// The US dollar, the pivot of conversions (AC02).
    pub const USD: Self = Self { code: *b"USD\0\0", len: 3 };

    /// `None` unless the code is 3 to 5 upper-case letters.
    pub fn new(code: &str) -> Option<Self> {
        let bytes = code.as_bytes();
        let fits = (3..=5).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_uppercase);
        fits.then(|| {
            let mut padded = [0; 5];
            padded[..bytes.len()].copy_from_slice(bytes);
            Self { code: padded, len: bytes.len() as u8 }
        })
    }

    /// The code's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.code[..usize::from(self.len)]).expect("only ASCII letters are stored")
    }

    /// Digits after the point that a posted amount has: USD 2, JPY 0, coins 8.
    pub fn digits(&self) -> u32 {
        match self.as_str() {
            "JPY" | "KRW" | "CLP" => 0,
            "BTC" | "ETH" => 8,
            _ => 2,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::new(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a currency code")))
    }
}

impl schemars::JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Z]{3,5}$" })
    }
}

/// How an amount that is not on the grid is brought onto it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, halves away from zero: profit and loss, swap, fees, margin components.
    HalfAway,
    /// Toward zero: volumes that are derived from a risk or a ratio.
    Down,
    /// Away from zero: a derived stop's distance, so that it lies away from the market.
    AwayFromMarket,
}

impl Rounding {
    const fn strategy(self) -> RoundingStrategy {
        match self {
            Self::HalfAway => RoundingStrategy::MidpointAwayFromZero,
            Self::Down => RoundingStrategy::ToZero,
            Self::AwayFromMarket => RoundingStrategy::AwayFromZero,
        }
    }
}

/// A posted amount, on the grid of its currency. Adds and subtracts; nothing else. Saturates outside the
/// range that instruments are admitted for (DM01), so that arithmetic never panics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Money(Decimal);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Takes an amount that a person configured or deposited, posted to `currency`.
    pub fn of(amount: Decimal, currency: Currency) -> Self {
        Exact(amount).post(currency, Rounding::HalfAway)
    }

    /// The amount.
    pub const fn amount(self) -> Decimal {
        self.0
    }

    /// The amount as an exact value, to be converted.
    pub const fn exact(self) -> Exact {
        Exact(self.0)
    }

    /// Whether this amount is at most `percent` percent of another.
    pub fn at_most_percent_of(self, percent: Decimal, other: Self) -> bool {
        saturating_mul(self.0, Decimal::ONE_HUNDRED) <= saturating_mul(percent, other.0)
    }

    /// This amount in percent of another, to two digits; `None` if the other is not positive.
    pub fn percent_of(self, other: Self) -> Option<Decimal> {
        (other.0 > Decimal::ZERO).then(|| {
            let exact = self.exact().times(Decimal::ONE_HUNDRED).over(other.0).0;
            exact.round_dp_with_strategy(2, Rounding::HalfAway.strategy())
        })
    }

    /// Whether the amount is below zero.
    pub fn is_negative(self) -> bool {
        self.0 < Decimal::ZERO
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self(unsigned_zero(-self.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An amount before it is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub struct Exact(pub Decimal);

impl Exact {
    /// `unit x count`, where the count is a sum of ticks x steps or of steps. Saturates outside the
    /// range that instruments are admitted for (DM01), so that arithmetic never panics.
    pub fn product(unit: Decimal, count: i128) -> Self {
        let count = Decimal::try_from_i128_with_scale(count, 0).unwrap_or(if count < 0 {
            Decimal::MIN
        } else {
            Decimal::MAX
        });
        Self(saturating_mul(unit, count))
    }

    /// This amount times a factor.
    #[must_use]
    pub fn times(self, factor: Decimal) -> Self {
        Self(saturating_mul(self.0, factor))
    }

    /// This amount divided; the last operation of a formula. Division by zero saturates.
    #[must_use]
    pub fn over(self, divisor: Decimal) -> Self {
        Self(self.0.checked_div(divisor).unwrap_or_else(|| saturated(self.0, divisor)))
    }

    /// To a number of digits, for display.
    pub fn round(self, digits: u32) -> Decimal {
        self.0.round_dp_with_strategy(digits, Rounding::HalfAway.strategy()).normalize()
    }

    /// Rounds once, to the currency's digits.
    pub fn post(self, currency: Currency, rounding: Rounding) -> Money {
        let mut amount = self.0.round_dp_with_strategy(currency.digits(), rounding.strategy());
        amount.rescale(currency.digits());
        Money(unsigned_zero(amount))
    }
}

/// Decimals know a negative zero, which prints as `-0` and reads back as `0`: money does not.
fn unsigned_zero(mut amount: Decimal) -> Decimal {
    if amount.is_zero() {
        amount.set_sign_positive(true);
    }
    amount
}

fn saturated(a: Decimal, b: Decimal) -> Decimal {
    if a.is_sign_negative() == b.is_sign_negative() { Decimal::MAX } else { Decimal::MIN }
}

fn saturating_mul(a: Decimal, b: Decimal) -> Decimal {
    a.checked_mul(b).unwrap_or_else(|| saturated(a, b))
}

/// How one currency turns into another: multiply by the bid, or divide by the ask (AC02).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rate {
    /// Both are the same currency.
    One,
    /// Multiply.
    Times(Decimal),
    /// Divide.
    Over(Decimal),
    /// Through the pivot: first one, then the other. Multiplications are done before the division.
    Cross { times: Decimal, over: Decimal },
}

impl Rate {
    /// Converts an exact amount.
    pub fn apply(self, amount: Exact) -> Exact {
        match self {
            Self::One => amount,
            Self::Times(rate) => amount.times(rate),
            Self::Over(rate) => amount.over(rate),
            Self::Cross { times, over } => amount.times(times).over(over),
        }
    }

    /// This conversion and then `next`.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let (times, over) = self.parts();
        let (next_times, next_over) = next.parts();
        Self::Cross { times: saturating_mul(times, next_times), over: saturating_mul(over, next_over) }
    }

    const fn parts(self) -> (Decimal, Decimal) {
        match self {
            Self::One => (Decimal::ONE, Decimal::ONE),
            Self::Times(rate) => (rate, Decimal::ONE),
            Self::Over(rate) => (Decimal::ONE, rate),
            Self::Cross { times, over } => (times, over),
        }
    }
}

/// The value's count of `unit`s if it lies on the grid, `None` if it does not or is out of range.
pub fn on_grid(value: Decimal, unit: Decimal) -> Option<i64> {
    let count = value.checked_div(unit)?;
    (count.fract().is_zero() && count.checked_mul(unit)? == value)
        .then(|| i64::try_from(count).ok())
        .flatten()
}

/// The nearest grid count below (`up` false) or above the value, for off-grid data (EX13).
pub fn snap(value: Decimal, unit: Decimal, up: bool) -> Option<i64> {
    let count = value.checked_div(unit)?;
    i64::try_from(if up { count.ceil() } else { count.floor() }).ok()
}

/// The decimal of a grid count: `count x unit`, with the unit's digits.
pub fn from_grid(count: i64, unit: Decimal) -> Decimal {
    saturating_mul(Decimal::from(count), unit)
}

/// A percentage of a price, in ticks, rounded away from the market.
pub fn percent_of_ticks(ticks: i64, percent: Decimal) -> i64 {
    let exact = Exact(percent).times(Decimal::from(ticks)).over(Decimal::ONE_HUNDRED).0;
    let rounded = exact.round_dp_with_strategy(0, Rounding::AwayFromMarket.strategy());
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

/// The price in ticks of `missing` steps that together with fills of `known` ticks x steps make the
/// average of `total` steps; rounded to the nearest tick. `None` if that is no price.
pub fn remaining_price(
    average: Decimal,
    tick: Decimal,
    total: i64,
    known: i128,
    missing: i64,
) -> Option<i64> {
    assert!(missing > 0 && total >= missing, "a part is missing");
    let sum = Exact(average).times(Decimal::from(total)).over(tick).round(0).to_i128()?;
    let price = i64::try_from(share(sum.checked_sub(known)?, 1, missing)).ok()?;
    (price > 0).then_some(price)
}

/// `part` of `whole` of a sum, halves away from zero.
pub fn share(sum: i128, part: i64, whole: i64) -> i128 {
    assert!(whole > 0 && part >= 0, "a part of something");
    let (scaled, whole) = (sum.saturating_mul(i128::from(part)), i128::from(whole));
    let (quotient, rest) = (scaled / whole, scaled % whole);
    if rest.abs() * 2 >= whole { quotient + scaled.signum() } else { quotient }
}

/// The volume-weighted average price of `sum_steps` steps whose ticks x steps add up to
/// `sum_tick_steps`, as a decimal for display, with up to `digits` + 3 digits.
pub fn average_price(sum_tick_steps: i128, sum_steps: i64, tick: Decimal, digits: u32) -> Decimal {
    let exact = Exact::product(tick, sum_tick_steps).over(Decimal::from(sum_steps)).0;
    exact.round_dp_with_strategy(digits + 3, Rounding::HalfAway.strategy()).normalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    #[test]
    fn dm02_money_is_rounded_once_when_posted_halves_away_from_zero() {
        for (amount, currency, posted) in [
            ("1.005", "USD", "1.01"),
            ("-1.005", "USD", "-1.01"),
            ("1.0049", "USD", "1.00"),
            ("0.5", "JPY", "1"),
            ("0.123456785", "BTC", "0.12345679"),
        ] {
            let currency = Currency::new(currency).expect("a code");
            assert_eq!(
                Exact(dec(amount)).post(currency, Rounding::HalfAway).amount(),
                dec(posted),
                "{amount}"
            );
        }
    }

    #[test]
    fn dm02_there_is_one_zero_and_posted_amounts_have_their_currency_s_digits() {
        for (money, text) in [
            (-Money::ZERO, "0"),
            (-Money::of(Decimal::ZERO, Currency::USD), "0.00"),
            (Exact(dec("-0.001")).post(Currency::USD, Rounding::HalfAway), "0.00"),
            (Money::of(dec("2.5"), Currency::USD), "2.50"),
            (Money::of(dec("2.5"), Currency::USD) - Money::of(dec("2.5"), Currency::USD), "0.00"),
            (-Money::of(dec("2.5"), Currency::USD) + Money::of(dec("2.5"), Currency::USD), "0.00"),
        ] {
            assert_eq!(money.to_string(), text);
        }
    }

    #[test]
    fn dm02_conversion_multiplies_first_and_divides_last() {
        let third_and_back = Rate::Over(dec("3")).then(Rate::Times(dec("3")));
        assert_eq!(third_and_back.apply(Exact(dec("1"))).0, dec("1"));
    }

    #[test]
    fn dm01_products_saturate_instead_of_panicking() {
        assert_eq!(Exact::product(Decimal::MAX, i128::MAX).0, Decimal::MAX);
        assert_eq!(Exact::product(Decimal::MAX, i128::MIN).0, Decimal::MIN);
    }

    #[test]
    fn or07_grid_is_exact() {
        assert_eq!(on_grid(dec("1.57597"), dec("0.00001")), Some(157_597));
        assert_eq!(on_grid(dec("1.575975"), dec("0.00001")), None);
        assert_eq!(on_grid(dec("0"), dec("0.01")), Some(0));
        assert_eq!(on_grid(Decimal::MAX, dec("0.00001")), None);
    }
}
