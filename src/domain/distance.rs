//! Distances as people write them: always with a unit (DM03).

use super::{
    instrument::Instrument,
    money::{self, Exact},
    order::Stop,
};
use rust_decimal::Decimal;
use std::{fmt, str::FromStr};

/// A distance from a price: `20pips`, `200points`, `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distance {
    amount: Decimal,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Pips,
    Points,
    Percent,
}

/// Why a text is not a distance, or not one of this instrument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DistanceError {
    #[error("`{0}` has no unit: write 20pips, 200points or 0.5%")]
    NoUnit(String),
    #[error("`{0}` is not a distance: write 20pips, 200points or 0.5%")]
    NotANumber(String),
    #[error("`{0}` is not a distance: it must be more than 0")]
    NotPositive(String),
    #[error("`{0}` is the whole price or more: it must be less than 100%")]
    WholePrice(String),
    #[error("{distance} is not a whole number of ticks of {tick}")]
    OffGrid { distance: Distance, tick: Decimal },
}

const UNITS: [(&str, Unit); 5] = [
    ("pips", Unit::Pips),
    ("pip", Unit::Pips),
    ("points", Unit::Points),
    ("point", Unit::Points),
    ("%", Unit::Percent),
];

impl FromStr for Distance {
    type Err = DistanceError;

    fn from_str(text: &str) -> Result<Self, DistanceError> {
        let given = || text.chars().take(40).collect::<String>();
        let unit = UNITS.iter().find_map(|(name, unit)| Some((text.trim().strip_suffix(name)?, *unit)));
        let (number, unit) = unit.ok_or_else(|| DistanceError::NoUnit(given()))?;
        let number = Decimal::from_str_exact(number.trim());
        let amount = number.map_err(|_| DistanceError::NotANumber(given()))?;
        if amount <= Decimal::ZERO {
            return Err(DistanceError::NotPositive(given()));
        }
        if unit == Unit::Percent && amount >= Decimal::ONE_HUNDRED {
            return Err(DistanceError::WholePrice(given()));
        }
        Ok(Self { amount, unit })
    }
}

impl Distance {
    /// The distance on the instrument's grid, to be applied to a fill price.
    pub fn on(self, instrument: &Instrument) -> Result<Stop, DistanceError> {
        let unit = match self.unit {
            Unit::Percent => return Ok(Stop::Percent(self.amount)),
            Unit::Pips => instrument.pip,
            Unit::Points => instrument.point,
        };
        let ticks = money::on_grid(Exact(self.amount).times(unit).0, instrument.tick);
        ticks.map(Stop::Ticks).ok_or(DistanceError::OffGrid { distance: self, tick: instrument.tick })
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Pips => "pips",
            Unit::Points => "points",
            Unit::Percent => "%",
        };
        write!(f, "{}{unit}", self.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::built_in;

    /// The distance on GBPUSD (`None`: the text is refused) and what the refusal says.
    fn check(text: &str, expected: Result<Stop, &str>) {
        let stop = text.parse::<Distance>().and_then(|d| d.on(&built_in()[1]));
        assert_eq!(stop.map_err(|e| e.to_string()), expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn dm03_distances_have_a_unit() {
        check("20pips", Ok(Stop::Ticks(200)));
        check("1pip", Ok(Stop::Ticks(10)));
        check(" 20.5 pips ", Ok(Stop::Ticks(205)));
        check("200points", Ok(Stop::Ticks(200)));
        check("0.5%", Ok(Stop::Percent(Decimal::new(5, 1))));
        check("20", Err("`20` has no unit: write 20pips, 200points or 0.5%"));
        check("20 ticks", Err("`20 ticks` has no unit: write 20pips, 200points or 0.5%"));
        check("pips", Err("`pips` is not a distance: write 20pips, 200points or 0.5%"));
        check("1e3points", Err("`1e3points` is not a distance: write 20pips, 200points or 0.5%"));
        check("0pips", Err("`0pips` is not a distance: it must be more than 0"));
        check("-5pips", Err("`-5pips` is not a distance: it must be more than 0"));
        check("100%", Err("`100%` is the whole price or more: it must be less than 100%"));
        check("20.55pips", Err("20.55pips is not a whole number of ticks of 0.00001"));
    }
}
