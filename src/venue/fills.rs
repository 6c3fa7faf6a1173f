//! What a fill does: money posted once, positions opened and reduced, triggers kept in step.

use super::{
    account::VenuePosition,
    broker::{Venue, VenueOut},
    triggers::Trigger,
};
use crate::domain::{
    id::{OrderId, PositionId},
    instrument::{Instrument, InstrumentId, Price, Volume},
    margin::{margin, margin_rate},
    message::{Mark, VenueFill, VenueOrder, VenueReport},
    money::{Currency, Exact, Money, Rounding},
    position::{FillReason, profit},
    rates::Conversion,
    time::UnixNanos,
};
use rust_decimal::Decimal;

impl Venue {
    /// Fills a resting or waiting order whole, if the account can carry it.
    pub(super) fn fill_order(
        &mut self,
        now: UnixNanos,
        index: usize,
        id: OrderId,
        price: Price,
        out: &mut VenueOut,
    ) {
        let Some(order) = self.remove_order(index, id) else { return };
        let Some(position) = order.position else {
            self.open(now, index, &order, price, out);
            return;
        };
        match self.accounts[index].positions.get(&position).map(|p| p.volume) {
            // clipped to what is left: a reduction never flips (OR03)
            Some(held) => {
                let volume = held.min(order.volume);
                self.close(now, index, position, volume, price, Some(id), FillReason::Order, out);
                if volume < order.volume {
                    self.cancel_report(index, id, "POSITION_REDUCED", out);
                }
            }
            None => self.cancel_report(index, id, "POSITION_CLOSED", out),
        }
    }

    pub(super) fn cancel_report(&self, index: usize, order: OrderId, reason: &str, out: &mut VenueOut) {
        let account = self.accounts[index].id.clone();
        out.reports.push(VenueReport::Canceled { account, order, reason: Some(reason.to_owned()) });
    }

    /// Opens a position (hedging: each opening order its own ticket).
    fn open(&mut self, now: UnixNanos, index: usize, order: &VenueOrder, price: Price, out: &mut VenueOut) {
        let setup = self.setup.clone().expect("configured before use");
        let instrument = setup.instrument(order.instrument);
        let account = &self.accounts[index];
        let currency = account.currency;
        let quote = |id: InstrumentId| self.markets[id.index()].quote;
        let rate = margin_rate(instrument, order.side, currency, setup.instruments(), &setup.rates, quote);
        let Some(margin_rate) = rate else {
            self.cancel_report(index, order.order, "CONVERSION_RATE_MISSING", out);
            return;
        };
        let required = margin(instrument, order.volume, price, account.leverage, margin_rate, currency);
        if required > account.free_margin() {
            self.cancel_report(index, order.order, "MARGIN_INSUFFICIENT", out); // AC09
            return;
        }
        let commission = commission(instrument, order.volume, account.commission_per_lot, currency);
        let level = |stop, is_loss| instrument.stop_price(stop, price, order.side, is_loss);
        let position = VenuePosition {
            id: PositionId(order.order.0),
            instrument: order.instrument,
            side: order.side,
            volume: order.volume,
            open_price: price,
            stop_loss: order.stop_loss.map(|s| level(s, true)),
            take_profit: order.take_profit.map(|s| level(s, false)),
            margin: required,
            margin_rate,
            opened_at: now,
        };
        let account = &mut self.accounts[index];
        account.balance += commission;
        account.margin += required;
        account.exposure.change(order.instrument, order.side, price, order.volume, true);
        out.reports.push(VenueReport::Filled(VenueFill {
            account: account.id.clone(),
            fill: account.next_fill(),
            venue_fill: None,
            order: Some(order.order),
            position: position.id,
            venue_position: None,
            instrument: order.instrument,
            side: order.side,
            volume: order.volume,
            price,
            commission,
            realized_pnl: Money::ZERO,
            closes: false,
            position_volume: order.volume,
            position_margin: required,
            stop_loss: position.stop_loss,
            take_profit: position.take_profit,
            reason: FillReason::Order,
            ts: now,
        }));
        self.protect(index, &position);
        let id = position.id;
        self.accounts[index].positions.insert(id, position);
        self.exposure_changed(index, order.instrument);
        if self.is_inside_bar() {
            self.restrict(index, id, true);
        }
    }

    /// Closes a position or a part of it.
    #[allow(clippy::too_many_arguments)] // one fill has that many facts; a struct would only name them twice
    pub(super) fn close(
        &mut self,
        now: UnixNanos,
        index: usize,
        id: PositionId,
        volume: Volume,
        price: Price,
        order: Option<OrderId>,
        reason: FillReason,
        out: &mut VenueOut,
    ) {
        let setup = self.setup.clone().expect("configured before use");
        let Some(mut position) = self.accounts[index].positions.remove(&id) else { return };
        let instrument = setup.instrument(position.instrument);
        let realized_pnl = self.profit(index, &position, volume, price);
        let account = &mut self.accounts[index];
        let commission = commission(instrument, volume, account.commission_per_lot, account.currency);
        let rest = position.volume.less(volume);
        let rest_margin = if rest.is_zero() {
            Money::ZERO
        } else {
            let (open, rate) = (position.open_price, position.margin_rate);
            margin(instrument, rest, open, account.leverage, rate, account.currency)
        };
        account.balance += realized_pnl + commission;
        account.margin += rest_margin - position.margin;
        account.exposure.change(position.instrument, position.side, position.open_price, volume, false);
        out.reports.push(VenueReport::Filled(VenueFill {
            account: account.id.clone(),
            fill: account.next_fill(),
            venue_fill: None,
            order,
            position: id,
            venue_position: None,
            instrument: position.instrument,
            side: position.side.opposite(),
            volume,
            price,
            commission,
            realized_pnl,
            closes: true,
            position_volume: rest,
            position_margin: rest_margin,
            stop_loss: position.stop_loss,
            take_profit: position.take_profit,
            reason,
            ts: now,
        }));
        match reason {
            FillReason::StopLoss => out.marks.push(Mark::StopLossHit),
            FillReason::TakeProfit => out.marks.push(Mark::TakeProfitHit),
            FillReason::StopOut => out.marks.push(Mark::StoppedOut),
            FillReason::Order | FillReason::Reconciled | FillReason::Resolved => {}
        }
        let held = position.instrument;
        if rest.is_zero() {
            self.unprotect(index, &position);
            self.drop_reductions(index, id, order, out);
        } else {
            position.volume = rest;
            position.margin = rest_margin;
            self.accounts[index].positions.insert(id, position);
        }
        self.exposure_changed(index, held);
    }

    /// A closed position's other closing orders end.
    fn drop_reductions(
        &mut self,
        index: usize,
        id: PositionId,
        filling: Option<OrderId>,
        out: &mut VenueOut,
    ) {
        let orders = self.accounts[index].orders.values();
        let others: Vec<OrderId> =
            orders.filter(|o| o.position == Some(id) && Some(o.order) != filling).map(|o| o.order).collect();
        for order in others {
            self.remove_order(index, order);
            self.cancel_report(index, order, self.reason_to_drop(index, order, filling), out);
        }
    }

    fn exposure_changed(&mut self, index: usize, instrument: InstrumentId) {
        self.mark(index, instrument);
        let setup = self.setup.as_ref().expect("configured before use");
        let account = &self.accounts[index];
        self.dependents.update(index, &account.exposure, &setup.rates, account.currency);
    }

    pub(super) fn protect(&mut self, index: usize, position: &VenuePosition) {
        let triggers = &mut self.markets[position.instrument.index()].triggers;
        if let Some(price) = position.stop_loss {
            triggers.add(Trigger::stop_loss(index, position.id), position.side, price);
        }
        if let Some(price) = position.take_profit {
            triggers.add(Trigger::take_profit(index, position.id), position.side, price);
        }
    }

    pub(super) fn unprotect(&mut self, index: usize, position: &VenuePosition) {
        let triggers = &mut self.markets[position.instrument.index()].triggers;
        if let Some(price) = position.stop_loss {
            triggers.remove(Trigger::stop_loss(index, position.id), position.side, price);
        }
        if let Some(price) = position.take_profit {
            triggers.remove(Trigger::take_profit(index, position.id), position.side, price);
        }
    }

    /// Profit of a part of a position at a price, posted in the account's currency. Without a rate
    /// it counts as nothing: the gate admits no order whose currency cannot be converted.
    pub(super) fn profit(
        &self,
        index: usize,
        position: &VenuePosition,
        volume: Volume,
        price: Price,
    ) -> Money {
        let setup = self.setup.as_ref().expect("configured before use");
        let instrument = setup.instrument(position.instrument);
        let currency = self.accounts[index].currency;
        let exact = profit(instrument, position.side, volume, position.open_price, price);
        let conversion = Conversion::of_sign(exact.0 < Decimal::ZERO);
        let quote = |id: InstrumentId| self.markets[id.index()].quote;
        setup
            .rates
            .rate(instrument.quote_currency, currency, conversion, setup.instruments(), quote)
            .map_or(Money::ZERO, |rate| rate.apply(exact).post(currency, Rounding::HalfAway))
    }

    /// The margin that a resting opening order would take.
    pub(super) fn reserved_margin(&self, index: usize, order: &VenueOrder) -> Money {
        let setup = self.setup.as_ref().expect("configured before use");
        let instrument = setup.instrument(order.instrument);
        let account = &self.accounts[index];
        let quote = |id: InstrumentId| self.markets[id.index()].quote;
        let entry = order.price.or(order.stop_price);
        let price = entry.or_else(|| quote(order.instrument).map(|q| q.price_for(order.side)));
        margin_rate(instrument, order.side, account.currency, setup.instruments(), &setup.rates, quote)
            .zip(price)
            .map_or(Money::ZERO, |(rate, price)| {
                margin(instrument, order.volume, price, account.leverage, rate, account.currency)
            })
    }
}

/// Commission of a fill: a cost, so negative.
fn commission(instrument: &Instrument, volume: Volume, per_lot: Decimal, currency: Currency) -> Money {
    -Exact(per_lot).times(instrument.lots(volume)).post(currency, Rounding::HalfAway)
}
