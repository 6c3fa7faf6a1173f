//! `trades.resolve`: the operator's way out for orders whose fate nobody tells (LV03).

use super::engine::Engine;
use crate::domain::id::{FillId, OrderId, PositionId};
use crate::domain::instrument::{Instrument, Price, Volume};
use crate::domain::message::{
    ErrorCode, FillView, Mark, OrderView, Outputs, Refusal, ReplyBody, ResolveOrder, ResolveReply,
    ResolvedAs, VenueFill, VenueReport,
};
use crate::domain::money::Money;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::position::FillReason;
use crate::domain::time::UnixNanos;

/// A fill on the instrument's grid, as an operator says it.
struct Said<'a> {
    volume: Volume,
    price: Price,
    commission: Money,
    venue_position: Option<&'a String>,
}

impl Engine {
    /// Ends an order of unknown fate as the operator says; what the venue says later is booked and alarmed.
    pub(super) fn resolve(
        &mut self,
        now: UnixNanos,
        index: usize,
        resolve: &ResolveOrder,
        journal_offset: u64,
        out: &mut Outputs,
    ) -> Result<ReplyBody, Box<Refusal>> {
        let setup = self.setup();
        let order = self.unknown_order(index, resolve.order)?.clone();
        let instrument = setup.instrument(order.instrument);
        let mut unconfirmed = Volume::ZERO;
        if let ResolvedAs::Filled { volume, price, commission, venue_position } = &resolve.outcome {
            let said = Said {
                volume: on_grid("fill.volume", instrument.to_volume(*volume))?,
                price: on_grid("fill.price", instrument.to_price(*price))?,
                commission: Money::of(*commission, self.accounts[index].config.currency),
                venue_position: venue_position.as_ref(),
            };
            unconfirmed = said.volume;
            let fill = self.resolved_fill(now, index, &order, instrument, said)?;
            self.report(now, &VenueReport::Filled(fill), out);
        }
        let reason = format!("resolved: {}", resolve.reason);
        let mut desk = self.desk(index, &setup, now, out);
        desk.never_sent(order.id, &reason); // what is not filled ends
        out.marks.push(Mark::OrderResolved);
        let record = self.accounts[index].orders.get_mut(&order.id).expect("looked up before");
        record.resolved = true;
        record.unconfirmed = unconfirmed;
        Ok(ReplyBody::Resolve(Box::new(ResolveReply {
            order: OrderView::new(&record.order, instrument),
            fills: record.fills.iter().map(|fill| FillView::new(fill, instrument)).collect(),
            journal_offset,
        })))
    }

    fn unknown_order(&self, index: usize, id: OrderId) -> Result<&Order, Box<Refusal>> {
        let record = self.accounts[index].orders.get(&id).ok_or_else(|| {
            let message = format!("there is no order `{id}` on this account");
            Box::new(Refusal::new(ErrorCode::NotFound, "ORDER_UNKNOWN", message))
        })?;
        if record.order.status != OrderStatus::Unknown {
            let message = format!("the fate of order {id} is known: only unknown orders can be resolved");
            let status = serde_json::to_value(record.order.status).unwrap_or_default();
            let refusal = Refusal::new(ErrorCode::Conflict, "ORDER_NOT_UNKNOWN", message);
            return Err(Box::new(refusal.with("status", status)));
        }
        Ok(&record.order)
    }

    fn resolved_fill(
        &self,
        now: UnixNanos,
        index: usize,
        order: &Order,
        instrument: &Instrument,
        said: Said<'_>,
    ) -> Result<VenueFill, Box<Refusal>> {
        let account = &self.accounts[index];
        if said.volume > order.leaves() {
            let leaves = instrument.lots(order.leaves());
            return Err(refuse("fill.volume", &format!("no more than {leaves} lots can have been filled")));
        }
        let named = said.venue_position.and_then(|name| account.session.positions.get(name));
        if order.position.is_none() && named.is_some() {
            return Err(refuse("fill.venuePosition", "another position has this name"));
        }
        let held = order.position.map(|id| account.positions.get(&id));
        let position_volume = match held {
            None => said.volume,
            Some(Some(position)) if position.volume >= said.volume => position.volume.less(said.volume),
            Some(_) => return Err(refuse("fill.volume", "the position that it reduces has less than that")),
        };
        let realized = held.flatten().map_or(Money::ZERO, |position| {
            account.realized(position, said.volume, said.price, &self.setup(), &self.market)
        });
        Ok(VenueFill {
            account: account.id().clone(),
            fill: FillId(account.last_fill + 1),
            venue_fill: None,
            order: Some(order.id),
            position: order.position.unwrap_or(PositionId(order.id.0)),
            venue_position: match order.position {
                None => said.venue_position.cloned(),
                Some(_) => held.flatten().and_then(|p| p.venue_position.clone()),
            },
            instrument: order.instrument,
            side: order.side,
            volume: said.volume,
            price: said.price,
            commission: said.commission,
            realized_pnl: realized,
            closes: order.position.is_some(),
            position_volume,
            position_margin: account.margin_of(
                order.instrument,
                held.flatten().map_or(order.side, |position| position.side),
                position_volume,
                held.flatten().map_or(said.price, |position| position.open_price),
                &self.setup(),
                &self.market,
            ),
            stop_loss: None,
            take_profit: None,
            reason: FillReason::Resolved,
            ts: now,
        })
    }
}

fn on_grid<T>(path: &str, value: Option<T>) -> Result<T, Box<Refusal>> {
    value.ok_or_else(|| refuse(path, "does not lie on the instrument's grid"))
}

fn refuse(path: &str, why: &str) -> Box<Refusal> {
    let refusal = Refusal::new(ErrorCode::InvalidParams, "OUT_OF_RANGE", format!("`{path}`: {why}"));
    Box::new(refusal.with("path", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rust_decimal::Decimal;

    #[test]
    fn what_is_off_the_grid_is_refused_by_path() {
        let spec = &crate::domain::instrument::built_in()[0];
        let refusal = on_grid("fill.volume", spec.to_volume(Decimal::new(1, 3))).expect_err("a third digit");
        assert_eq!(refusal.details["path"], "fill.volume");
    }
}
