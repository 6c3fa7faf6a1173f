//! The positions of a venue's books held against the account's, and what an operator's word made of them.

use super::{Comparison, MADE_UP};
use crate::core::{
    account::OrderRecord,
    link::translate::{level, on_grid, text},
};
use crate::domain::{
    id::{FillId, OrderId, PositionId},
    instrument::Volume,
    message::{Mark, PositionState, VenueFill, VenueReport, VenueSnapshot},
    money::Money,
    order::Order,
    position::{FillReason, Position},
};

impl Comparison<'_> {
    pub(super) fn compare_positions(&mut self, books: &VenueSnapshot) -> Result<(), String> {
        let mut seen: Vec<PositionId> = Vec::new();
        for state in &books.positions {
            self.open_resolved(state)?;
            let id = self.find_position(state, &seen)?;
            if seen.contains(&id) {
                return Err(format!("position `{}` is in them twice", text(&state.position)));
            }
            seen.push(id);
            self.compare_position(id, state)?;
        }
        let gone: Vec<Position> =
            self.account.positions.values().filter(|p| !seen.contains(&p.id)).cloned().collect();
        for position in gone {
            if let Some(order) = self.contested(position.id) {
                self.denied.push(order);
            } else if self.gapless {
                let id = position.id;
                return Err(format!("position {id} is not in them, and no report closed it"));
            }
            self.close_unseen(&position, position.volume);
        }
        Ok(())
    }

    /// The order by which an operator's word made the position what it is here, as long as the venue has not
    /// confirmed it.
    fn contested(&self, id: PositionId) -> Option<OrderId> {
        let concerns = |order: &Order| order.id.0 == id.0 || order.position == Some(id);
        let said = |r: &&OrderRecord| !r.unconfirmed.is_zero() && concerns(&r.order);
        self.account.orders.values().find(said).map(|r| r.order.id)
    }

    /// A position that, by an operator's word, was never opened or is closed: it is there all the same.
    fn open_resolved(&mut self, state: &PositionState) -> Result<(), String> {
        let by_order = state.order.as_deref().and_then(|order| OrderId::parse(order).ok());
        let (instrument, _) = self.judge().instrument(&state.symbol)?;
        let is_it = |r: &&OrderRecord| {
            let side = if r.order.position.is_some() { r.order.side.opposite() } else { r.order.side };
            let position = r.order.position.unwrap_or(PositionId(r.order.id.0));
            let same = (r.order.instrument, side) == (instrument, state.side);
            // said to be nothing, or to be filled, and not confirmed
            let in_question = r.resolved && (r.order.filled.is_zero() || !r.unconfirmed.is_zero());
            in_question
                && same
                && by_order.is_none_or(|id| id.0 == position.0)
                && !self.account.positions.contains_key(&position)
        };
        if self.account.session.positions.contains_key(&state.position) {
            return Ok(());
        }
        let Some(record) = self.account.orders.values().find(is_it) else { return Ok(()) };
        let (order, id) = (record.order.id, record.order.position.unwrap_or(PositionId(record.order.id.0)));
        self.denied.push(order);
        self.open_unseen(id, state, Volume::ZERO)
    }

    /// What the venue holds of a position beyond what an operator's word has left of it.
    fn open_unseen(&mut self, id: PositionId, state: &PositionState, have: Volume) -> Result<(), String> {
        let (instrument, spec) = self.judge().instrument(&state.symbol)?;
        let whole = on_grid(spec.to_volume(state.volume), "position volume", state.volume, spec)?;
        let price = on_grid(spec.to_price(state.open_price), "open price", state.open_price, spec)?;
        let position_margin =
            self.account.margin_of(instrument, state.side, whole, price, self.setup, self.market);
        let fill = VenueFill {
            account: self.account.id().clone(),
            fill: FillId(self.account.last_fill + 1),
            venue_fill: Some(format!("{MADE_UP}{id}:{}@{}", state.volume, state.open_price)),
            order: None,
            position: id,
            venue_position: Some(state.position.clone()),
            instrument,
            side: state.side,
            volume: whole.less(have),
            price,
            commission: Money::ZERO,
            realized_pnl: Money::ZERO,
            closes: false,
            position_volume: whole,
            position_margin,
            stop_loss: level(state.levels.stop_loss, spec)?,
            take_profit: level(state.levels.take_profit, spec)?,
            reason: FillReason::Reconciled,
            ts: self.now,
        };
        self.take(VenueReport::Filled(fill), Some(Mark::MissedFill));
        Ok(())
    }

    fn find_position(&self, state: &PositionState, seen: &[PositionId]) -> Result<PositionId, String> {
        let by_name = self.account.session.positions.get(&state.position).copied();
        let by_order = || {
            let order = OrderId::parse(state.order.as_deref()?).ok()?;
            Some(PositionId(order.0))
        };
        // one that a fill opened of which the books told no position: its name is made up, or unknown
        let by_content = || {
            let (instrument, spec) = self.judge().instrument(&state.symbol).ok()?;
            let volume = spec.to_volume(state.volume)?;
            let nameless = |p: &&Position| {
                let named = p.venue_position.as_ref().is_some_and(|name| !name.starts_with(MADE_UP));
                let same = (p.instrument, p.side, p.volume) == (instrument, state.side, volume);
                same && !named && !seen.contains(&p.id)
            };
            self.account.positions.values().find(nameless).map(|p| p.id)
        };
        by_name
            .or_else(by_order)
            .or_else(by_content)
            .filter(|id| self.account.positions.contains_key(id))
            .ok_or_else(|| format!("position `{}` is in them, and is not ours", text(&state.position)))
    }

    fn compare_position(&mut self, id: PositionId, state: &PositionState) -> Result<(), String> {
        let position = self.account.positions[&id].clone();
        let (instrument, _) = self.judge().instrument(&state.symbol)?;
        let spec = self.setup.instrument(instrument);
        let volume = on_grid(spec.to_volume(state.volume), "position volume", state.volume, spec)?;
        if instrument != position.instrument || state.side != position.side {
            return Err(format!("position {id} has another symbol or side there"));
        }
        let contested = self.contested(id).filter(|_| volume != position.volume);
        self.denied.extend(contested);
        if contested.is_some() && volume > position.volume {
            return self.open_unseen(id, state, position.volume);
        }
        if contested.is_none() && (volume > position.volume || (self.gapless && volume < position.volume)) {
            let ours = spec.lots(position.volume);
            return Err(format!("position {id} has {} lots there and {ours} by its reports", state.volume));
        }
        if volume < position.volume {
            self.close_unseen(&position, position.volume.less(volume));
        }
        let stop_loss = level(state.levels.stop_loss, spec)?;
        let take_profit = level(state.levels.take_profit, spec)?;
        let named = position.venue_position.as_ref() == Some(&state.position);
        if !named || (stop_loss, take_profit) != (position.stop_loss, position.take_profit) {
            let terms = self.judge().position_terms(&position, &state.position, &state.levels)?;
            self.take(VenueReport::Modified(terms), None);
        }
        Ok(())
    }

    /// A reduction that happened while nobody told us: at the last price that we know. What it really
    /// brought is in the balance.
    fn close_unseen(&mut self, position: &Position, volume: Volume) {
        let quote = self.market.last_quote(position.instrument);
        let price = quote.map_or(position.open_price, |q| position.closing_price(q));
        let rest = position.volume.less(volume);
        let realized_pnl = self.account.realized(position, volume, price, self.setup, self.market);
        let spec = self.setup.instrument(position.instrument);
        let fill = VenueFill {
            account: self.account.id().clone(),
            fill: FillId(self.account.last_fill + 1),
            venue_fill: Some(format!("{MADE_UP}{}:{}", position.id, spec.lots(rest))),
            order: None,
            position: position.id,
            venue_position: position.venue_position.clone(),
            instrument: position.instrument,
            side: position.side.opposite(),
            volume,
            price,
            commission: Money::ZERO,
            realized_pnl,
            closes: true,
            position_volume: rest,
            position_margin: self.account.margin_of(
                position.instrument,
                position.side,
                rest,
                position.open_price,
                self.setup,
                self.market,
            ),
            stop_loss: position.stop_loss,
            take_profit: position.take_profit,
            reason: FillReason::Reconciled,
            ts: self.now,
        };
        self.take(VenueReport::Filled(fill), Some(Mark::MissedFill));
    }
}
