//! The checks, in their documented order (PROTOCOL section 6), as one table.

use super::{
    daily_loss,
    facts::{AtStake, Facts, Level, Trailing, frozen},
    groups,
};
use crate::domain::{
    account::LinkStatus,
    config::OPEN_ORDERS_MAX,
    instrument::{Instrument, Price},
    market::Quote,
    message::{TrailBy, Violation, ViolationCode as Code},
    order::{Filling, OrderType, Side, TimeInForce},
    time::{MILLI_NS, UnixNanos},
};
use rust_decimal::Decimal;

/// What a check says.
pub(super) enum Verdict {
    /// The limit is not configured.
    Off,
    /// It could not be evaluated, because something before it failed (RK02).
    Unknown,
    Pass {
        limit: Option<Decimal>,
        actual: Option<Decimal>,
    },
    Fail(Box<Violation>),
}

/// One check.
pub struct CheckRow {
    pub code: Code,
    /// What a failure means.
    pub meaning: &'static str,
    /// Whether it also applies to an order that only reduces (RK09).
    pub reduce: bool,
    /// Whether it applies to new terms of an order or a position.
    pub modify: Modify,
    /// Its key under `[risk]` or `[accounts.risk]`, if it is configured.
    pub config_key: Option<&'static str>,
    pub(super) test: fn(&Facts<'_>) -> Verdict,
}

/// When a check applies to new terms (RK09).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modify {
    Always,
    /// When they add risk: more volume, another entry price, a protective stop further away or gone.
    Risk,
    Never,
}

use Modify::{Always, Never, Risk};

const fn row(
    code: Code,
    reduce: bool,
    modify: Modify,
    config_key: Option<&'static str>,
    meaning: &'static str,
    test: fn(&Facts<'_>) -> Verdict,
) -> CheckRow {
    CheckRow { code, meaning, reduce, modify, config_key, test }
}

/// All checks, in order. The first that fails decides the error's code.
#[rustfmt::skip]
pub const CHECKS: &[CheckRow] = &[
    row(Code::TradingHalted, false, Risk, None, "an emergency stop or a loss limit is latched", trading_halted),
    row(Code::AccountNotConnected, true, Always, None, "the account's link is not up", account_connected),
    row(Code::Reconciling, false, Risk, None, "the account is being compared with its venue", not_reconciling),
    row(Code::SymbolUnknown, true, Always, None, "no such instrument", symbol_known),
    row(Code::SymbolNotAllowed, false, Risk, Some("allowed_symbols"), "not among the account's symbols", symbol_allowed),
    row(Code::OrderTypeUnsupported, true, Never, None, "the venue does not offer this order type", order_type),
    row(Code::TifUnsupported, true, Always, None, "the venue does not offer this lifetime", tif),
    row(Code::FillingUnsupported, true, Never, None, "the venue does not offer this filling", filling),
    row(Code::GroupUnsupported, true, Never, None, "the venue does not offer groups of this kind", groups::supported),
    row(Code::ExpiryInPast, true, Always, None, "it would end before it begins", expires_later),
    row(Code::MarketClosed, true, Always, None, "the instrument's session is closed", market_open),
    row(Code::QuoteMissing, true, Always, None, "no quote has been seen", quote_seen),
    row(Code::QuoteStale, true, Always, Some("quote_max_age_ms"), "the last quote is too old", quote_fresh),
    row(Code::VolumeStep, true, Always, None, "not a whole number of volume steps", volume_step),
    row(Code::VolumeMin, true, Always, None, "below the least volume", volume_min),
    row(Code::VolumeMax, true, Always, None, "above the greatest volume", volume_max),
    row(Code::PriceTick, true, Always, None, "a price is not a whole number of ticks", price_tick),
    row(Code::StopsInvalid, false, Always, None, "a protective level lies on the wrong side", stops_valid),
    row(Code::StopsTooClose, false, Always, None, "closer to the market than the stops level", stops_far_enough),
    row(Code::Frozen, true, Always, None, "within the freeze level of the market", not_frozen),
    row(Code::ReduceOnly, true, Never, None, "a reduction that would not reduce", reduces),
    row(Code::DuplicateOrder, true, Never, None, "the client order id was used before", not_duplicate),
    row(Code::GroupEnded, true, Never, None, "the group's orders, or the one that lets others in, have ended", groups::alive),
    row(Code::GroupMismatch, true, Never, None, "the order does not fit to its group", groups::fits),
    row(Code::GroupFull, true, Never, None, "too many orders of the group are open", groups::has_room),
    row(Code::MaxOpenOrders, false, Never, Some("max_open_orders"), "too many orders and positions", max_open_orders),
    row(Code::MaxPositions, false, Never, Some("max_positions"), "too many positions", max_positions),
    row(Code::MaxDailyLoss, false, Risk, Some("max_daily_loss"), "the day's loss has reached its limit", max_daily_loss),
    row(Code::ConversionRateMissing, false, Risk, None, "no rate into the account's currency", converts),
    row(Code::MarginInsufficient, false, Risk, None, "not enough free margin", margin),
];

impl Verdict {
    pub(super) const PASS: Self = Self::Pass { limit: None, actual: None };
}

pub(super) fn fail(code: Code, message: impl Into<String>) -> Verdict {
    let message = message.into();
    Verdict::Fail(Box::new(Violation { code, message, limit: None, actual: None, would_satisfy: None }))
}

pub(super) fn limited(
    code: Code,
    passed: bool,
    message: impl Into<String>,
    limit: Decimal,
    actual: Decimal,
    would_satisfy: Option<Decimal>,
) -> Verdict {
    if passed {
        return Verdict::Pass { limit: Some(limit), actual: Some(actual) };
    }
    let (limit, actual, message) = (Some(limit), Some(actual), message.into());
    Verdict::Fail(Box::new(Violation { code, message, limit, actual, would_satisfy }))
}

pub(super) fn when(passed: bool, code: Code, message: impl FnOnce() -> String) -> Verdict {
    if passed { Verdict::PASS } else { fail(code, message()) }
}

fn trading_halted(f: &Facts<'_>) -> Verdict {
    if let Some(reason) = f.around.halted {
        return fail(
            Code::TradingHalted,
            format!("trading is halted by an emergency stop ({reason}): risk.resume lifts it"),
        );
    }
    when(f.around.account.loss_latch.is_none(), Code::TradingHalted, || {
        "the daily loss limit has tripped, only reductions are allowed: risk.resume lifts it".to_owned()
    })
}

fn account_connected(f: &Facts<'_>) -> Verdict {
    when(f.around.account.is_reachable(), Code::AccountNotConnected, || {
        let why = f.around.account.session.last_error.as_deref();
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        format!("the account is not connected to its venue{why}: try again when accounts.status says it is")
    })
}

/// While the books are compared, cancels and closes flow and nothing else (RK07).
fn not_reconciling(f: &Facts<'_>) -> Verdict {
    when(f.around.account.link != LinkStatus::Reconciling, Code::Reconciling, || {
        "the account is being compared with its venue: try again in a moment".to_owned()
    })
}

fn symbol_known(f: &Facts<'_>) -> Verdict {
    when(f.instrument.is_some(), Code::SymbolUnknown, || {
        let known: Vec<&str> =
            f.around.setup.instruments().iter().map(|i| i.symbol.as_str()).take(20).collect();
        let symbol: String = f.order.symbol.chars().take(64).collect();
        format!("there is no instrument `{symbol}`: known are {}", known.join(", "))
    })
}

fn symbol_allowed(f: &Facts<'_>) -> Verdict {
    let Some((_, spec)) = f.instrument else { return Verdict::Unknown };
    let allowed = &f.around.account.config.allowed_symbols;
    when(allowed.is_empty() || allowed.contains(&spec.symbol), Code::SymbolNotAllowed, || {
        format!("account {} may not trade {}: see allowed_symbols", f.around.account.id(), spec.symbol)
    })
}

fn order_type(f: &Facts<'_>) -> Verdict {
    let remote = !f.around.account.config.is_paper();
    let offered = !remote || f.around.account.session.capabilities.order_types.contains(&f.order.order_type);
    when(offered, Code::OrderTypeUnsupported, || {
        "this account's venue does not take orders of this type: accounts.instruments lists what it takes"
            .to_owned()
    })
}

/// A market order has no lifetime: it meets the next price or ends.
fn tif(f: &Facts<'_>) -> Verdict {
    let account = f.around.account;
    if f.order.order_type == OrderType::Market && f.order.tif != TimeInForce::Gtc {
        return fail(Code::TifUnsupported, "a market order has no lifetime: leave tif out");
    }
    let offered = account.config.is_paper()
        || f.order.tif == TimeInForce::Gtc
        || account.session.capabilities.tifs.contains(&f.order.tif);
    when(offered, Code::TifUnsupported, || {
        "this account's venue does not take orders of this lifetime: use tif gtc".to_owned()
    })
}

/// What becomes of volume that cannot be filled at once, and whether any may be (OR04, OR12).
fn filling(f: &Facts<'_>) -> Verdict {
    let (order, account) = (f.order, f.around.account);
    let limited = matches!(order.order_type, OrderType::Limit | OrderType::StopLimit);
    if order.post_only && (!limited || !matches!(order.filling, None | Some(Filling::Return))) {
        return fail(
            Code::FillingUnsupported,
            "a post-only order rests or is refused: only limit and stop-limit orders with filling return can be",
        );
    }
    if order.post_only && !account.config.is_paper() && !account.session.capabilities.post_only {
        return fail(
            Code::FillingUnsupported,
            "this account's venue does not take post-only orders: leave postOnly out",
        );
    }
    when(limited || order.filling != Some(Filling::Return), Code::FillingUnsupported, || {
        "market orders and stops fill fok or ioc: leave filling out or use these".to_owned()
    })
}

/// OR08: who dates an order dates it later than now.
fn expires_later(f: &Facts<'_>) -> Verdict {
    let now = f.around.now;
    match (f.order.tif, f.lifetime().expires_at) {
        (TimeInForce::Gtc, _) => Verdict::Off,
        (TimeInForce::Gtd, None) => fail(Code::ExpiryInPast, "an order good till a date needs expiresAt"),
        (_, expires_at) => when(expires_at.is_none_or(|at| at > now), Code::ExpiryInPast, || {
            let at = expires_at.unwrap_or(now);
            format!("the order would end at {at}, and it is {now}: give a later expiresAt")
        }),
    }
}

fn market_open(f: &Facts<'_>) -> Verdict {
    let Some((id, spec)) = f.instrument else { return Verdict::Unknown };
    let open = f.around.market.is_open(f.around.setup, id, f.around.now);
    when(open, Code::MarketClosed, || {
        let state = f.around.setup.config.calendars[usize::from(spec.calendar)].state_at(f.around.now);
        if state.until == UnixNanos::MAX {
            return format!("{} is closed, and its calendar has no session to come", spec.symbol);
        }
        format!("{} is closed until {}", spec.symbol, state.until)
    })
}

fn quote_seen(f: &Facts<'_>) -> Verdict {
    let Some((_, spec)) = f.instrument else { return Verdict::Unknown };
    when(f.quote.is_some(), Code::QuoteMissing, || format!("no quote of {} has been seen yet", spec.symbol))
}

fn quote_fresh(f: &Facts<'_>) -> Verdict {
    if f.around.clock_suspect && !f.is_reduction() {
        return fail(
            Code::QuoteStale,
            "the wall clock left the process's own by more than a second: no new risk until they agree; if the \
             wall clock is right, restart the gateway",
        );
    }
    let max_ms = f.around.setup.config.quote_max_age_ms;
    if max_ms == 0 || f.around.ended {
        return Verdict::Off;
    }
    let Some((at, _)) = f.quote else { return Verdict::Unknown };
    let age_ms = f.around.now.since(at) / MILLI_NS;
    let (limit, actual) = (Decimal::from(max_ms), Decimal::from(age_ms));
    let message = format!("the last quote is {age_ms} ms old, {max_ms} ms are allowed: wait for a quote");
    limited(Code::QuoteStale, actual <= limit, message, limit, actual, None)
}

fn volume_step(f: &Facts<'_>) -> Verdict {
    let Some((_, spec)) = f.instrument else { return Verdict::Unknown };
    let message =
        format!("volume {} is not a positive multiple of {} lots", f.order.volume, spec.volume_step);
    limited(Code::VolumeStep, f.volume.is_some(), message, spec.volume_step, f.order.volume, None)
}

fn volume_min(f: &Facts<'_>) -> Verdict {
    let (Some((_, spec)), Some(volume)) = (f.instrument, f.volume) else { return Verdict::Unknown };
    let least = spec.lots(spec.volume_min);
    let message = format!("volume {} is below the least volume {least} lots", f.order.volume);
    limited(Code::VolumeMin, volume >= spec.volume_min, message, least, f.order.volume, Some(least))
}

fn volume_max(f: &Facts<'_>) -> Verdict {
    let (Some((_, spec)), Some(volume)) = (f.instrument, f.volume) else { return Verdict::Unknown };
    let most = spec.lots(spec.volume_max);
    let message = format!("volume {} is above the greatest volume {most} lots", f.order.volume);
    limited(Code::VolumeMax, volume <= spec.volume_max, message, most, f.order.volume, Some(most))
}

fn price_tick(f: &Facts<'_>) -> Verdict {
    use OrderType::{Limit, Stop, StopLimit, TrailingStop};
    let Some((_, spec)) = f.instrument else { return Verdict::Unknown };
    let off_grid = |name: &str, value: Decimal| {
        let message = format!("{name} {value} is not a positive multiple of the tick {}", spec.tick);
        limited(Code::PriceTick, false, message, spec.tick, value, None)
    };
    let order = f.order;
    let (limited_by, stopped_by) = (
        matches!(order.order_type, Limit | StopLimit),
        matches!(order.order_type, Stop | StopLimit) || order.stop_price.is_some(),
    );
    for (name, wanted, given, on_grid) in [
        ("price", limited_by, order.price, f.price),
        ("stopPrice", stopped_by, order.stop_price, f.stop_price),
    ] {
        match given {
            None if wanted => return fail(Code::PriceTick, format!("an order of this type needs a {name}")),
            Some(value) if wanted && on_grid.is_none() => return off_grid(name, value),
            _ => {}
        }
    }
    match (order.order_type, f.trail, order.trail) {
        (TrailingStop, Trailing::None, _) => {
            return fail(Code::PriceTick, "a trailing stop needs trailDistance or trailPercent");
        }
        (TrailingStop, Trailing::OffGrid(percent), Some(TrailBy::Percent(_))) => {
            let message = format!("trailPercent {percent} is not between 0 and 100");
            return limited(Code::PriceTick, false, message, Decimal::ONE_HUNDRED, percent, None);
        }
        (TrailingStop, Trailing::OffGrid(distance), _) => return off_grid("trailDistance", distance),
        _ => {}
    }
    for (name, level) in [("stopLoss", f.stop_loss), ("takeProfit", f.take_profit)] {
        if let Level::OffGrid(value) = level {
            return off_grid(name, value);
        }
    }
    Verdict::PASS
}

/// Protective levels and the trigger of a stop lie beyond the price that they wait for.
fn stops_valid(f: &Facts<'_>) -> Verdict {
    if let Some(verdict) = trigger_valid(f) {
        return verdict;
    }
    for (name, level, is_loss) in [("stopLoss", f.stop_loss, true), ("takeProfit", f.take_profit, false)] {
        let Level::Set(stop) = level else { continue };
        match f.level_fits(stop, is_loss) {
            Some(true) => {}
            None => return Verdict::Unknown,
            Some(false) => {
                let base = f.stop_base().zip(f.instrument).map(|(price, (_, spec))| spec.price(price));
                let from = base.map_or_else(String::new, |price| format!(" of {price}"));
                let message = format!("{name} lies on the wrong side{from} for this order's side");
                return match base {
                    Some(base) => {
                        let mut verdict = fail(Code::StopsInvalid, message);
                        if let Verdict::Fail(violation) = &mut verdict {
                            violation.limit = Some(base);
                        }
                        verdict
                    }
                    None => fail(Code::StopsInvalid, message),
                };
            }
        }
    }
    Verdict::PASS
}

/// A stop waits for a price that is not there yet: a buy above the ask, a sell below the bid (OR10).
fn trigger_valid(f: &Facts<'_>) -> Option<Verdict> {
    let (trigger, market, (_, spec)) = (f.trigger_price()?, f.begins_at()?, f.instrument?);
    let (beyond, from, place) = match f.order.side {
        Side::Buy => (trigger > market, "the ask of", "above"),
        Side::Sell => (trigger < market, "the bid of", "below"),
    };
    let from = if f.enters_with_its_parent() { "its parent's" } else { from };
    if beyond {
        return None;
    }
    let (limit, actual) = (spec.price(market), spec.price(trigger));
    let message = format!("stopPrice {actual} would trigger at once: it belongs {place} {from} {limit}");
    Some(limited(Code::StopsInvalid, false, message, limit, actual, None))
}

/// OR10: protective levels from the side that would close, or from a pending order's own price; a pending
/// order's price from the side that it waits for.
fn stops_far_enough(f: &Facts<'_>) -> Verdict {
    let Some((_, spec)) = f.instrument else { return Verdict::Unknown };
    let least = spec.points_to_ticks(spec.stops_level_points);
    if least <= 0 {
        return Verdict::Off;
    }
    let Some(market) = f.begins_at() else { return Verdict::Unknown };
    let from = |price: Option<Price>, base: Price| price.map(|price| (price.0 - base.0).abs());
    let level = |level: Level, is_loss: bool| match (level, f.stop_base()) {
        (Level::Set(stop), Some(base)) => Some(spec.stop_price(stop, base, f.order.side, is_loss)),
        _ => None,
    };
    let base = f.stop_base().unwrap_or(market);
    let limit = match f.order.order_type {
        OrderType::Limit => f.price,
        _ => None,
    };
    for (name, distance) in [
        ("price", from(limit, market)),
        ("stopPrice", from(f.trigger_price(), market)),
        ("stopLoss", from(level(f.stop_loss, true), base)),
        ("takeProfit", from(level(f.take_profit, false), base)),
    ] {
        if let Some(distance) = distance.filter(|distance| *distance < least) {
            let (limit, actual) = (spec.price(Price(least)), spec.price(Price(distance)));
            let message = format!("{name} is {actual} from the market, at least {limit} are asked for");
            return limited(Code::StopsTooClose, false, message, limit, actual, Some(limit));
        }
    }
    Verdict::PASS
}

fn not_frozen(f: &Facts<'_>) -> Verdict {
    let (Some((_, spec)), Some((_, quote))) = (f.instrument, f.quote) else { return Verdict::Unknown };
    match frozen_violation(f.at_stake, spec, quote) {
        Some(violation) => Verdict::Fail(Box::new(violation)),
        None if spec.freeze_level_points > 0 => Verdict::PASS,
        None => Verdict::Off,
    }
}

/// OR10: why what waits for these prices cannot be changed now.
pub(super) fn frozen_violation(at_stake: AtStake, spec: &Instrument, quote: Quote) -> Option<Violation> {
    let (nearest, level) = frozen(at_stake, spec, quote)?;
    let (limit, actual) = (spec.price(Price(level)), spec.price(Price(nearest)));
    let message = format!("it is {actual} from the market and frozen up to {limit}: wait for the market");
    Some(Violation {
        code: Code::Frozen,
        message,
        limit: Some(limit),
        actual: Some(actual),
        would_satisfy: None,
    })
}

fn reduces(f: &Facts<'_>) -> Verdict {
    if !f.is_reduction() || f.exits() {
        return Verdict::Off; // what an exit of a bracket reduces is not there yet
    }
    let Some(id) = f.order.position else {
        return fail(Code::ReduceOnly, "on a hedging account a reduce-only order names its positionId");
    };
    let (Some((instrument, spec)), Some(volume)) = (f.instrument, f.volume) else { return Verdict::Unknown };
    let Some(position) = f.reduces else {
        return fail(Code::ReduceOnly, format!("there is no open position {id}"));
    };
    if position.instrument != instrument || position.side == f.order.side {
        return fail(Code::ReduceOnly, format!("the order's symbol or side does not reduce position {id}"));
    }
    let (held, asked) = (spec.lots(position.volume), spec.lots(volume));
    let message = format!("{asked} lots would reduce more than the {held} lots of position {id}");
    limited(Code::ReduceOnly, volume <= position.volume, message, held, asked, Some(held))
}

fn not_duplicate(f: &Facts<'_>) -> Verdict {
    if f.order.client_order_id.is_none() {
        return Verdict::Off;
    }
    when(!f.around.duplicate, Code::DuplicateOrder, || {
        "this clientOrderId was used before on this account: use another".to_owned()
    })
}

/// A stop must be able to take back whatever is open in one piece.
fn max_open_orders(f: &Facts<'_>) -> Verdict {
    let account = f.around.account;
    let limits = [account.config.limits.max_open_orders, f.around.setup.config.limits.max_open_orders];
    let limit =
        limits.into_iter().flatten().min().map_or(OPEN_ORDERS_MAX, |limit| limit.min(OPEN_ORDERS_MAX));
    let after = account.open_orders.len() + account.positions.len() + 1;
    let message = format!("this would be order or position {after} that is open; {limit} are allowed");
    let (limit, actual) = (Decimal::from(limit), Decimal::from(after));
    limited(Code::MaxOpenOrders, actual <= limit, message, limit, actual, None)
}

fn max_positions(f: &Facts<'_>) -> Verdict {
    let account = f.around.account;
    let limits = [account.config.limits.max_positions, f.around.setup.config.limits.max_positions];
    let Some(limit) = limits.into_iter().flatten().min() else { return Verdict::Off };
    let after = account.positions.len() + account.opening().count() + 1;
    let message = format!("this would be position {after}, counting working orders; {limit} are allowed");
    let (limit, actual) = (Decimal::from(limit), Decimal::from(after));
    limited(Code::MaxPositions, actual <= limit, message, limit, actual, None)
}

fn max_daily_loss(f: &Facts<'_>) -> Verdict {
    let account = f.around.account;
    let Some(limit) = daily_loss::effective_limit(account, &f.around.setup.config.limits) else {
        return Verdict::Off;
    };
    let loss = account.daily_loss();
    let message = format!("the loss since the day roll is {loss}, {limit} is the limit");
    limited(Code::MaxDailyLoss, loss < limit, message, limit.amount(), loss.amount(), None)
}

fn converts(f: &Facts<'_>) -> Verdict {
    match f.converts() {
        None => Verdict::Unknown,
        Some(passed) => when(passed, Code::ConversionRateMissing, || {
            format!("no quote converts this instrument's currencies into {} yet", f.currency())
        }),
    }
}

fn margin(f: &Facts<'_>) -> Verdict {
    let Some(required) = f.margin else { return Verdict::Unknown };
    let free = f.free_margin() + f.reserved_before;
    let message = format!("margin {required} is needed, {free} is free");
    limited(Code::MarginInsufficient, required <= free, message, free.amount(), required.amount(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rk02_the_table_has_every_code_once_in_documented_order() {
        let codes: Vec<Code> = CHECKS.iter().map(|row| row.code).collect();
        assert_eq!(codes, Code::ALL);
    }

    #[test]
    fn rk09_reductions_meet_only_what_concerns_them() {
        let skipped: Vec<&str> = CHECKS.iter().filter(|r| !r.reduce).map(|r| r.code.name()).collect();
        assert!(skipped.contains(&"TRADING_HALTED") && skipped.contains(&"MARGIN_INSUFFICIENT"));
        for code in ["MARKET_CLOSED", "QUOTE_MISSING", "VOLUME_STEP", "REDUCE_ONLY"] {
            assert!(!skipped.contains(&code), "{code}");
        }
    }
}
