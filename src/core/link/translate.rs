//! A venue's words on the grid, or why they cannot be true.

use crate::core::{
    account::{Account, OrderRecord},
    execution::{ENDED_BEFORE, NOT_RECEIVED, NOT_SENT},
    market::Market,
};
use crate::domain::{
    config::Setup,
    id::{AccountId, FillId, OrderId, PositionId},
    instrument::{Instrument, InstrumentId, Price, Volume},
    message::{
        Levels, Lifetime, LinkFill, LinkReport, ModifyTarget, TriggerTerms, VenueFill, VenueModify,
        VenueReport,
    },
    money::Money,
    order::{Order, OrderType, Stop, TimeInForce, Trail},
    position::Position,
    retcode::{self, NO_CHANGES},
};
use rust_decimal::Decimal;

/// What is needed to judge.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub account: &'a Account,
    pub setup: &'a Setup,
    pub market: &'a Market,
}

impl<'a> Judge<'a> {
    /// The report as the engine takes it, in parts if an operator's word had booked a part of it; none if it
    /// was taken before (LV01).
    pub(super) fn report(self, report: &LinkReport) -> Result<Vec<VenueReport>, String> {
        let account = self.account.id().clone();
        Ok(vec![match report {
            LinkReport::Accepted { order, venue_order } => VenueReport::Accepted {
                account,
                order: self.order(order)?.order.id,
                venue_order: venue_order.clone(),
            },
            LinkReport::Rejected { order, reason, retcode } => {
                let order = self.order(order)?.order.id;
                if retcode.is_some_and(retcode::leaves_doubt) {
                    VenueReport::InDoubt { account, order }
                } else {
                    VenueReport::Rejected { account, order, reason: why(reason, *retcode), code: *retcode }
                }
            }
            LinkReport::Canceled { order, reason } => {
                let order = self.order(order)?.order.id;
                VenueReport::Canceled { account, order, reason: reason.as_deref().map(self::reason) }
            }
            LinkReport::Expired { order } => {
                VenueReport::Expired { account, order: self.order(order)?.order.id }
            }
            LinkReport::Triggered { order, stop_price } => {
                let order = &self.order(order)?.order;
                if !order.order_type.has_trigger() {
                    return Err(format!(
                        "it says that order {} was triggered, which has no trigger",
                        order.id
                    ));
                }
                let terms = TriggerTerms { stop_price: *stop_price, ..TriggerTerms::default() };
                VenueReport::Triggered {
                    account,
                    order: order.id,
                    stop_price: self.trigger(order, &terms)?.0,
                }
            }
            LinkReport::CancelRejected { order, reason, retcode } => {
                let order = self.order(order)?.order.id;
                VenueReport::CancelRejected { account, order, reason: why(reason, *retcode) }
            }
            LinkReport::Modified { order, volume, price, trigger, levels } => {
                VenueReport::Modified(self.order_terms(order, *volume, *price, trigger, levels)?)
            }
            LinkReport::ModifyRejected { order, position, reason, retcode } => {
                let (target, as_they_are) = match (order, position) {
                    (Some(order), None) => {
                        let order = &self.order(order)?.order;
                        (ModifyTarget::Order(order.id), order.modified_by.map(|_| terms_of(order)))
                    }
                    (None, Some(name)) => {
                        let held = self.position(name)?;
                        let target = ModifyTarget::Position { id: held.id, venue: Some(name.clone()) };
                        (target.clone(), held.modified_by.map(|_| levels_of(&account, target, held)))
                    }
                    _ => return Err("it refuses new terms of neither one order nor one position".into()),
                };
                match as_they_are.filter(|_| *retcode == Some(NO_CHANGES)) {
                    // its log is told in order: what it has is what we know of it
                    Some(terms) => VenueReport::Modified(terms),
                    None => {
                        let reason = why(reason, *retcode);
                        VenueReport::ModifyRejected { account, target, reason, code: *retcode }
                    }
                }
            }
            LinkReport::Position { position, levels } => {
                VenueReport::Modified(self.position_terms(self.position(position)?, position, levels)?)
            }
            LinkReport::Fill(fill) => return self.fill(fill),
        }])
    }

    /// One of our orders, by name.
    pub(super) fn order(self, name: &str) -> Result<&'a OrderRecord, String> {
        let known = OrderId::parse(name).ok().and_then(|id| self.account.orders.get(&id));
        known.ok_or_else(|| format!("it reports about order `{}`, which is not ours", text(name)))
    }

    /// One of our open positions, by the venue's name.
    pub(super) fn position(self, name: &str) -> Result<&'a Position, String> {
        let known = self.account.session.positions.get(name);
        known
            .and_then(|id| self.account.positions.get(id))
            .ok_or_else(|| format!("it reports about position `{}`, which is not ours", text(name)))
    }

    fn order_terms(
        self,
        name: &str,
        volume: Decimal,
        price: Option<Decimal>,
        trigger: &TriggerTerms,
        levels: &Levels,
    ) -> Result<VenueModify, String> {
        let order = &self.order(name)?.order;
        let spec = self.setup.instrument(order.instrument);
        let volume = on_grid(spec.to_volume(volume), "volume", volume, spec)?;
        if volume > spec.volume_max {
            return Err(format!("it makes order {} larger than {} allows", order.id, spec.symbol));
        }
        if volume < order.filled {
            return Err(format!("it makes order {} smaller than what is filled of it", order.id));
        }
        let (stop_loss, take_profit) = stops(levels, spec)?;
        let (stop_price, trail) = self.trigger(order, trigger)?;
        Ok(VenueModify {
            account: order.account.clone(),
            target: ModifyTarget::Order(order.id),
            instrument: order.instrument,
            volume: Some(volume),
            price: price.map(|p| on_grid(spec.to_price(p), "price", p, spec)).transpose()?,
            stop_price,
            trail,
            lifetime: lifetime(order, trigger)?,
            stop_loss,
            take_profit,
        })
    }

    /// Where an order's trigger is and how it trails, by a word that says it has one.
    pub(super) fn trigger(
        self,
        order: &Order,
        terms: &TriggerTerms,
    ) -> Result<(Option<Price>, Option<Trail>), String> {
        let spec = self.setup.instrument(order.instrument);
        let trails = order.order_type == OrderType::TrailingStop;
        if !order.order_type.has_trigger() {
            return match (terms.stop_price, terms.trail_distance.or(terms.trail_percent)) {
                (None, None) => Ok((None, None)),
                _ => Err(format!("it tells of a trigger of order {}, which has none", order.id)),
            };
        }
        let stop_price = terms.stop_price.map(|p| on_grid(spec.to_price(p), "stopPrice", p, spec));
        let trail = trail(terms, spec)?;
        if trail.is_some() && !trails {
            return Err(format!("it lets order {} trail, which does not", order.id));
        }
        Ok((stop_price.transpose()?, trail))
    }

    pub(super) fn position_terms(
        self,
        position: &Position,
        name: &str,
        levels: &Levels,
    ) -> Result<VenueModify, String> {
        let spec = self.setup.instrument(position.instrument);
        let (stop_loss, take_profit) = stops(levels, spec)?;
        Ok(VenueModify {
            account: self.account.id().clone(),
            target: ModifyTarget::Position { id: position.id, venue: Some(name.to_owned()) },
            instrument: position.instrument,
            volume: None,
            price: None,
            stop_price: None,
            trail: None,
            lifetime: None,
            stop_loss,
            take_profit,
        })
    }

    /// A fill: what of it an operator's word had booked, and what is new.
    fn fill(self, fill: &LinkFill) -> Result<Vec<VenueReport>, String> {
        if self.account.session.fills.contains_key(&fill.fill) {
            return Ok(Vec::new());
        }
        let record = fill.order.as_deref().map(|name| self.order(name)).transpose()?;
        let (mut parts, mut rest) = (Vec::new(), fill.volume);
        if let Some(record) = record.filter(|record| !record.unconfirmed.is_zero()) {
            let spec = self.setup.instrument(record.order.instrument);
            let volume = on_grid(spec.to_volume(fill.volume), "volume", fill.volume, spec)?;
            let volume = volume.min(record.unconfirmed);
            rest = fill.volume - spec.lots(volume);
            parts.push(VenueReport::Confirmed {
                account: self.account.id().clone(),
                order: record.order.id,
                volume,
                venue_fill: fill.fill.clone(),
                venue_position: fill.position.clone(),
            });
        }
        if !rest.is_zero() {
            parts.push(VenueReport::Filled(self.new_fill(&LinkFill { volume: rest, ..fill.clone() })?));
        }
        Ok(parts)
    }

    /// A fill, checked against the order, the position and itself.
    fn new_fill(self, fill: &LinkFill) -> Result<VenueFill, String> {
        let name = text(&fill.fill);
        let impossible = |why: &str| format!("its fill `{name}` is impossible: {why}");
        let (instrument, spec) = self.instrument(&fill.symbol)?;
        let volume = on_grid(spec.to_volume(fill.volume), "volume", fill.volume, spec)?;
        let price = on_grid(spec.to_price(fill.price), "price", fill.price, spec)?;
        let order = fill.order.as_deref().map(|name| self.order(name)).transpose()?.map(|r| &r.order);
        if let Some(order) = order {
            if order.instrument != instrument || order.side != fill.side {
                return Err(impossible("its order has another symbol or side"));
            }
            if order.filled.0.saturating_add(volume.0) > order.volume.0 {
                return Err(impossible("more is filled than was ordered"));
            }
            if order.position.is_some() != fill.closes {
                return Err(impossible("a reduction opens, or an opening order closes"));
            }
        }
        let held = if fill.closes {
            Some(self.position(&fill.position)?)
        } else {
            self.position(&fill.position).ok()
        };
        // a position that an operator's word opened gets its name now
        let unnamed = || {
            let opened = order.map(|order| PositionId(order.id.0)).filter(|_| !fill.closes)?;
            self.account.positions.get(&opened).filter(|position| position.venue_position.is_none())
        };
        let held = held.or_else(unnamed);
        let position = match (held, order) {
            (Some(held), Some(order)) if !fill.closes && held.id.0 != order.id.0 => {
                return Err(impossible("it opens a position that another order opened"));
            }
            (Some(held), Some(order)) if fill.closes && order.position != Some(held.id) => {
                return Err(impossible("it closes another position than its order names"));
            }
            (Some(held), _) => held.id,
            (None, Some(order)) if self.account.positions.contains_key(&PositionId(order.id.0)) => {
                return Err(impossible("its order has opened a position of another name"));
            }
            (None, Some(order)) => PositionId(order.id.0),
            (None, None) => return Err(impossible("it opens a position without an order of ours")),
        };
        let before = held.map_or(Volume::ZERO, |p| p.volume);
        let after = match (fill.closes, held) {
            (true, Some(held)) => {
                if held.instrument != instrument || held.side == fill.side || volume > before {
                    return Err(impossible("it closes another symbol or side, or more than is open"));
                }
                before.less(volume)
            }
            _ => Volume(before.0.saturating_add(volume.0)),
        };
        let stated = spec.lots(after);
        if fill.position_volume != stated {
            return Err(impossible(&format!("it leaves {stated} lots, not {}", fill.position_volume)));
        }
        let open = held.map_or(price, |p| p.open_price);
        let side = held.map_or(fill.side, |p| p.side);
        Ok(VenueFill {
            account: self.account.id().clone(),
            fill: FillId(self.account.last_fill + 1),
            venue_fill: Some(fill.fill.clone()),
            order: order.map(|o| o.id),
            position,
            venue_position: Some(fill.position.clone()),
            instrument,
            side: fill.side,
            volume,
            price,
            commission: self.money("commission", fill.commission)?,
            realized_pnl: self.money("realizedPnl", fill.realized_pnl)?,
            closes: fill.closes,
            position_volume: after,
            position_margin: self.account.margin_of(instrument, side, after, open, self.setup, self.market),
            stop_loss: level(fill.levels.stop_loss, spec)?,
            take_profit: level(fill.levels.take_profit, spec)?,
            reason: fill.reason,
            ts: fill.ts,
        })
    }

    pub(super) fn instrument(self, symbol: &str) -> Result<(InstrumentId, &'a Instrument), String> {
        let id = self.setup.find(symbol);
        let found = id.map(|id| (id, self.setup.instrument(id)));
        found.ok_or_else(|| format!("it names the symbol `{}`, which does not exist here", text(symbol)))
    }

    /// An amount with no more digits than the account's currency has.
    pub(super) fn money(self, what: &str, amount: Decimal) -> Result<Money, String> {
        let posted = Money::of(amount, self.account.config.currency);
        if posted.amount() == amount {
            return Ok(posted);
        }
        Err(format!("its {what} {amount} has more digits than {} has", self.account.config.currency))
    }
}

/// How long an order lives. What is not said is as it was; a date that nobody has said there must be one of.
fn lifetime(order: &Order, terms: &TriggerTerms) -> Result<Option<Lifetime>, String> {
    if terms.tif.is_none() && terms.expires_at.is_none() {
        return Ok(None);
    }
    let tif = terms.tif.unwrap_or(order.tif);
    let known = order.expires_at.filter(|_| tif == order.tif);
    let expires_at = terms.expires_at.or(known).filter(|_| tif != TimeInForce::Gtc);
    if tif == TimeInForce::Gtd && expires_at.is_none() {
        return Err(format!("it does not say until when order {} is good", order.id));
    }
    Ok(Some(Lifetime { tif, expires_at }))
}

fn trail(terms: &TriggerTerms, spec: &Instrument) -> Result<Option<Trail>, String> {
    match (terms.trail_distance, terms.trail_percent) {
        (Some(distance), _) => {
            let ticks = on_grid(spec.to_price(distance), "trailDistance", distance, spec)?;
            Ok(Some(Trail::Ticks(ticks.0)))
        }
        (None, Some(percent)) if percent > Decimal::ZERO && percent < Decimal::ONE_HUNDRED => {
            Ok(Some(Trail::Percent(percent)))
        }
        (None, Some(_)) => Err("it trails by a percentage that is not between 0 and 100".into()),
        (None, None) => Ok(None),
    }
}

pub(super) fn on_grid<T>(
    value: Option<T>,
    what: &str,
    given: Decimal,
    spec: &Instrument,
) -> Result<T, String> {
    value.ok_or_else(|| format!("its {what} {given} does not lie on the grid of {}", spec.symbol))
}

pub(super) fn level(level: Option<Decimal>, spec: &Instrument) -> Result<Option<Price>, String> {
    level.map(|price| on_grid(spec.to_price(price), "protective level", price, spec)).transpose()
}

fn stops(levels: &Levels, spec: &Instrument) -> Result<(Option<Stop>, Option<Stop>), String> {
    let stop = |price| Ok::<_, String>(level(price, spec)?.map(Stop::At));
    Ok((stop(levels.stop_loss)?, stop(levels.take_profit)?))
}

/// An order's terms as they are.
fn terms_of(order: &Order) -> VenueModify {
    VenueModify {
        account: order.account.clone(),
        target: ModifyTarget::Order(order.id),
        instrument: order.instrument,
        volume: Some(order.volume),
        price: order.price,
        stop_price: order.stop_price,
        trail: order.trail,
        lifetime: None,
        stop_loss: order.stop_loss,
        take_profit: order.take_profit,
    }
}

/// A position's levels as they are.
fn levels_of(account: &AccountId, target: ModifyTarget, position: &Position) -> VenueModify {
    VenueModify {
        account: account.clone(),
        target,
        instrument: position.instrument,
        volume: None,
        price: None,
        stop_price: None,
        trail: None,
        lifetime: None,
        stop_loss: position.stop_loss.map(Stop::At),
        take_profit: position.take_profit.map(Stop::At),
    }
}

/// Why a venue refuses, by its word, its number, or both.
fn why(said: &str, retcode: Option<i64>) -> String {
    retcode.map_or_else(|| reason(said), |number| reason(&retcode::reason(number, said)))
}

/// A venue's reason. A word that is one of ours is not ours in its mouth.
pub(super) fn reason(foreign: &str) -> String {
    match foreign {
        NOT_SENT | NOT_RECEIVED | ENDED_BEFORE => format!("venue: {foreign}"),
        _ => text(foreign),
    }
}

/// A foreign text, cut to what an error may quote.
pub(super) fn text(foreign: &str) -> String {
    foreign.chars().take(120).collect()
}
