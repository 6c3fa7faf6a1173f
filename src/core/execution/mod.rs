//! Orders on their way: sent when approved, moved by the venue's reports, ended.
//!
//! Takes only what `risk` approved; never asks why.

mod fills;

use super::{
    RiskApproved, Ticket,
    account::{Account, OrderRecord, TermsKept},
    market::Market,
    touched::Touched,
};
use crate::domain::{
    config::Setup,
    id::{IntentId, OrderId},
    instrument::{Price, Volume},
    message::{
        ArchivedOrder, FillView, Mark, ModifyTarget, OrderView, Outputs, TradeCanceled, TradeModified,
        TradeRejected, VenueModify, VenueModifyRequest, VenueOrder, VenueReport, VenueRequest,
    },
    order::{AskedTerms, Order, OrderEvent, OrderStatus, OrderType, Origin, Side, Stop},
    position::Position,
    time::UnixNanos,
};

/// Why an order ended that was never written to the wire, or new terms did not come about.
pub(crate) const NOT_SENT: &str = "NOT_SENT";
/// Why an order ended of which the venue says that it never got it.
pub(crate) const NOT_RECEIVED: &str = "NOT_RECEIVED";
/// Why new terms did not come about: the order or the position ended first.
pub(crate) const ENDED_BEFORE: &str = "ENDED_BEFORE";

/// The state that execution changes, and what it reads.
pub(crate) struct Desk<'a> {
    pub account: &'a mut Account,
    pub setup: &'a Setup,
    pub market: &'a Market,
    pub now: UnixNanos,
    pub out: &'a mut Outputs,
    /// The account's place, and what of it is told of when all is quiet.
    pub index: usize,
    pub touched: &'a mut Touched,
}

/// Who gave an order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Giver {
    pub intent: IntentId,
    pub origin: Origin,
    pub strategy: Option<usize>,
}

impl Desk<'_> {
    /// Sends an approved order.
    pub(crate) fn submit(&mut self, approved: RiskApproved<Ticket>, giver: Giver) -> OrderId {
        let ticket = approved.into_inner();
        let id = self.account.next_order();
        let mut order = Order {
            id,
            client_order_id: ticket.client_order_id,
            intent_id: giver.intent,
            account: self.account.id().clone(),
            instrument: ticket.instrument,
            side: ticket.side,
            order_type: ticket.order_type,
            volume: ticket.volume,
            filled: Volume::ZERO,
            price: ticket.price,
            stop_price: ticket.stop_price,
            trail: ticket.trail,
            reference_price: ticket.reference_price,
            stop_loss: ticket.stop_loss,
            take_profit: ticket.take_profit,
            filled_tick_steps: 0,
            tif: ticket.lifetime.tif,
            expires_at: ticket.lifetime.expires_at,
            filling: ticket.filling,
            post_only: ticket.post_only,
            triggered: false,
            position: ticket.position,
            group: ticket.group,
            status: OrderStatus::Initialized,
            version: 1,
            origin: giver.origin,
            created_at: self.now,
            updated_at: self.now,
            reason: ticket.reason,
            venue_code: None,
            ended_by: None,
            modified_by: None,
            asked: None,
            venue_order: None,
        };
        transition(&mut order, OrderEvent::Submit, self.now, self.out);
        let reduced = order.position.and_then(|id| self.account.positions.get(&id));
        let venue_position = reduced.and_then(|p| p.venue_position.clone());
        self.out.venue.push(VenueRequest::Submit(VenueOrder::of(&order, venue_position)));
        self.record(order, giver.strategy);
        id
    }

    pub(super) fn record(&mut self, order: Order, strategy: Option<usize>) {
        let id = order.id;
        if let Some(client) = &order.client_order_id {
            self.account.client_ids.insert(client.clone(), id);
        }
        self.account.intents.entry(order.intent_id).or_insert(id);
        if let Some(group) = &order.group {
            self.account.groups.entry(group.id.clone()).or_default().push(id);
        }
        if !order.status.is_terminal() {
            self.account.open_orders.insert(id);
        }
        self.touched.placed(self.index, id);
        self.account.orders.insert(id, OrderRecord::new(order, strategy));
    }

    /// Asks the venue to cancel. False if the order is not open or already on its way out.
    pub(crate) fn request_cancel(&mut self, id: OrderId, intent: Option<IntentId>) -> bool {
        if !self.account.open_orders.contains(&id) {
            return false;
        }
        let order = &mut self.account.orders.get_mut(&id).expect("open orders are recorded").order;
        if order.status.next(OrderEvent::RequestCancel).is_none() {
            return false;
        }
        transition(order, OrderEvent::RequestCancel, self.now, self.out);
        order.ended_by = intent;
        self.touched.order(self.index, id);
        let account = order.account.clone();
        self.out.venue.push(VenueRequest::Cancel { account, order: id });
        true
    }

    /// Takes a report in. Reports about unknown orders are alarmed and change nothing.
    pub(crate) fn report(&mut self, report: &VenueReport) {
        match report {
            VenueReport::Accepted { order, venue_order, .. } => {
                if self.advance(*order, OrderEvent::Accept, None) {
                    let record = self.account.orders.get_mut(order).expect("it has just advanced");
                    record.order.venue_order.clone_from(venue_order);
                }
            }
            VenueReport::Rejected { account, order, reason, .. } if self.has_rested(*order) => {
                // it had been taken: this is its end, and no refusal
                let (account, reason) = (account.clone(), Some(reason.clone()));
                self.report(&VenueReport::Canceled { account, order: *order, reason });
            }
            VenueReport::Rejected { order, reason, code, .. } => {
                if self.advance(*order, OrderEvent::Reject, Some(reason)) {
                    self.out.marks.push(Mark::OrderRejected);
                    self.rejected(*order, reason, *code);
                    self.archive(*order);
                }
            }
            VenueReport::InDoubt { order, .. } => self.lose_track_of(*order),
            VenueReport::Canceled { order, reason, .. } => {
                if self.advance(*order, OrderEvent::Cancel, reason.as_deref()) {
                    self.canceled(*order);
                    self.archive(*order);
                }
            }
            VenueReport::CancelRejected { order, .. } => {
                // too late to cancel: its end was reported before
                let ended = self.account.orders.get(order).is_some_and(|r| r.order.status.is_terminal());
                if !ended {
                    self.advance(*order, OrderEvent::KeepResting, None);
                }
            }
            VenueReport::Expired { order, .. } => {
                if self.advance(*order, OrderEvent::Expire, None) {
                    self.canceled(*order);
                    self.archive(*order);
                }
            }
            VenueReport::Triggered { order, stop_price, .. } => self.triggered(*order, *stop_price),
            VenueReport::Trailed { order, stop_price, .. } => self.trailed(*order, *stop_price),
            VenueReport::Modified(terms) => self.modified(terms),
            VenueReport::ModifyRejected { target, reason, code, .. } => {
                self.modify_rejected(target, reason, *code);
            }
            VenueReport::Filled(fill) => self.fill(fill),
            VenueReport::Confirmed { order, volume, venue_fill, venue_position, .. } => {
                self.confirmed(*order, *volume, venue_fill, venue_position);
            }
        }
    }

    /// The trigger was met: what is left is a market or a limit order's.
    fn triggered(&mut self, id: OrderId, stop_price: Option<Price>) {
        if let Some(order) = self.account.orders.get_mut(&id).map(|record| &mut record.order) {
            if order.triggered {
                return; // it is said again with whatever else is told of it
            }
            if !order.status.is_terminal() {
                order.triggered = true;
                order.stop_price = stop_price.or(order.stop_price);
                self.out.marks.push(Mark::StopTriggered);
            }
        }
        self.advance(id, OrderEvent::Trigger, None);
    }

    /// A trailing stop has moved. It is told of when it is asked for: the market moves it, and nobody else.
    fn trailed(&mut self, id: OrderId, stop_price: Price) {
        match self.account.orders.get_mut(&id).map(|record| &mut record.order) {
            Some(order) if !order.status.is_terminal() => {
                order.stop_price = Some(stop_price);
                order.reference_price = Some(stop_price);
            }
            _ => self.out.marks.push(Mark::OrphanReport),
        }
    }

    /// Whether the venue has taken the order, and not reported its end.
    fn has_rested(&self, id: OrderId) -> bool {
        let status = self.account.orders.get(&id).map(|r| r.order.status);
        status.is_some_and(|s| s.next(OrderEvent::Reject).is_none() && s.next(OrderEvent::Cancel).is_some())
    }

    /// Asks the venue for new terms of a working order, or for other levels of a position.
    pub(crate) fn request_modify(&mut self, approved: RiskApproved<VenueModifyRequest>) {
        let request = approved.into_inner();
        let intent = request.intent;
        match &request.terms.target {
            ModifyTarget::Order(id) => {
                let record = self.account.orders.get_mut(id).expect("the gate has seen the order");
                transition(&mut record.order, OrderEvent::RequestModify, self.now, self.out);
                record.order.modified_by = Some(intent);
                let volume = request.terms.volume.unwrap_or(record.order.volume);
                let price = match record.order.order_type {
                    OrderType::Stop | OrderType::TrailingStop => request.terms.stop_price,
                    _ => request.terms.price,
                };
                record.order.asked = Some(AskedTerms { volume, price });
                self.touched.order(self.index, *id);
            }
            ModifyTarget::Position { id, .. } => {
                let position = self.account.positions.get_mut(id).expect("the gate has seen the position");
                position.modified_by = Some(intent);
            }
        }
        self.out.venue.push(VenueRequest::Modify(request));
    }

    fn modified(&mut self, terms: &VenueModify) {
        match &terms.target {
            ModifyTarget::Order(id) => {
                if !self.advance(*id, OrderEvent::Modify, None) {
                    return;
                }
                let order = &mut self.account.orders.get_mut(id).expect("it has just advanced").order;
                order.volume = terms.volume.unwrap_or(order.volume);
                order.price = terms.price.or(order.price);
                order.stop_price = terms.stop_price.or(order.stop_price);
                order.trail = terms.trail.or(order.trail);
                order.reference_price = order.entry_price().or(order.reference_price);
                if let Some(lifetime) = terms.lifetime {
                    (order.tif, order.expires_at) = (lifetime.tif, lifetime.expires_at);
                }
                (order.stop_loss, order.take_profit) = (terms.stop_loss, terms.take_profit);
                let intent_id = order.end_terms();
                let view = OrderView::new(order, self.setup.instrument(order.instrument));
                let is_filled = order.filled >= order.volume;
                self.tell_modified(intent_id, Some(view), None);
                if is_filled && self.advance(*id, OrderEvent::FillRest, None) {
                    self.archive(*id); // fills on their way had made it as large as it was to be
                }
            }
            ModifyTarget::Position { id, venue } => {
                let Some(position) = self.account.positions.get_mut(id) else {
                    self.out.marks.push(Mark::OrphanReport);
                    return;
                };
                if let Some(name) = venue {
                    position.venue_position = Some(name.clone());
                    self.account.session.positions.insert(name.clone(), *id);
                }
                let level = |stop: Option<Stop>| match stop {
                    Some(Stop::At(price)) => Some(price),
                    _ => None,
                };
                (position.stop_loss, position.take_profit) =
                    (level(terms.stop_loss), level(terms.take_profit));
                position.version += 1;
                let intent_id = position.modified_by.take();
                self.touched.position(self.index, *id);
                let position = &self.account.positions[id];
                let view = self.account.position_view(position, self.setup, self.market);
                self.tell_modified(intent_id, None, Some(view));
            }
        }
    }

    fn tell_modified(
        &mut self,
        intent_id: Option<IntentId>,
        order: Option<OrderView>,
        position: Option<crate::domain::message::PositionView>,
    ) {
        self.out.marks.push(Mark::OrderModified);
        let account_id = self.account.id().clone();
        self.out.events.push(TradeModified { account_id, intent_id, order, position }.into());
    }

    /// The old terms stay (CT09: a refused change keeps the old stop).
    fn modify_rejected(&mut self, target: &ModifyTarget, reason: &str, code: Option<i64>) {
        self.out.marks.push(Mark::ModifyRejected);
        let intent = match target {
            ModifyTarget::Order(id) => {
                let pending =
                    self.account.orders.get(id).is_some_and(|r| r.order.status == OrderStatus::PendingModify);
                if pending {
                    self.advance(*id, OrderEvent::KeepResting, None);
                }
                self.account.orders.get_mut(id).and_then(|r| r.order.end_terms())
            }
            ModifyTarget::Position { id, .. } => {
                self.account.positions.get_mut(id).and_then(|p| p.modified_by.take())
            }
        };
        if let Some(intent) = intent {
            self.terms_kept(target, intent, reason, code);
        }
    }

    /// New terms that were asked for did not reach the venue: the old ones hold. False if their fate was
    /// known already.
    pub(crate) fn terms_lost(&mut self, intent: IntentId, reason: &str) -> bool {
        let by = Some(intent);
        let order = self.account.working().find(|r| r.order.modified_by == by).map(|r| r.order.id);
        let mut positions = self.account.positions.values_mut();
        if let Some(id) = order {
            let order = &mut self.account.orders.get_mut(&id).expect("it was just found").order;
            order.end_terms();
            if order.status == OrderStatus::PendingModify {
                transition(order, OrderEvent::KeepResting, self.now, self.out);
                self.touched.order(self.index, id);
            }
            self.terms_kept(&ModifyTarget::Order(id), intent, reason, None);
        } else if let Some(position) = positions.find(|p| p.modified_by == by) {
            position.modified_by = None;
            let target = ModifyTarget::Position { id: position.id, venue: position.venue_position.clone() };
            self.terms_kept(&target, intent, reason, None);
        } else {
            return false;
        }
        self.out.marks.push(Mark::ModifyRejected);
        true
    }

    /// The order has ended: terms that its venue has not answered can not come about any more.
    fn end_terms_of(&mut self, id: OrderId) {
        let record = self.account.orders.get_mut(&id);
        if let Some(intent) = record.and_then(|r| r.order.end_terms()) {
            self.terms_kept(&ModifyTarget::Order(id), intent, ENDED_BEFORE, None);
        }
    }

    /// Tells that new terms did not come about, and keeps it for whoever asked for them.
    fn terms_kept(
        &mut self,
        target: &ModifyTarget,
        intent_id: IntentId,
        reason: &str,
        venue_code: Option<i64>,
    ) {
        let kept = TermsKept { at: self.now, reason: reason.to_owned(), code: venue_code };
        self.account.terms_kept.insert(intent_id, kept);
        let (by, code) = match reason {
            ENDED_BEFORE => ("gateway", "CONFLICT"),
            NOT_SENT => ("gateway", NOT_SENT),
            _ => ("venue", "VENUE_REJECTED"),
        };
        self.out.events.push(
            TradeRejected {
                intent_id,
                order_id: match target {
                    ModifyTarget::Order(id) => Some(*id),
                    ModifyTarget::Position { .. } => None,
                },
                client_order_id: None,
                account_id: self.account.id().clone(),
                by: by.to_owned(),
                code: code.to_owned(),
                reason: reason.to_owned(),
                venue_code,
                violations: Vec::new(),
            }
            .into(),
        );
    }

    /// The link broke: what was asked for and not confirmed may have happened or not (LV03).
    pub(crate) fn lose_track(&mut self) {
        let open: Vec<OrderId> = self.account.open_orders.iter().copied().collect();
        open.into_iter().for_each(|id| self.lose_track_of(id));
    }

    fn lose_track_of(&mut self, id: OrderId) {
        let Some(record) = self.account.orders.get_mut(&id) else { return };
        if record.order.status.next(OrderEvent::LoseTrack).is_some() {
            transition(&mut record.order, OrderEvent::LoseTrack, self.now, self.out);
            self.out.marks.push(Mark::OrderUnknown);
            self.touched.order(self.index, id);
        }
    }

    /// An order that never reached the venue ends; true if it did so now.
    pub(crate) fn never_sent(&mut self, id: OrderId, reason: &str) -> bool {
        let open = self.account.open_orders.contains(&id);
        let ended = open && self.advance(id, OrderEvent::Cancel, Some(reason));
        if ended {
            self.canceled(id);
            self.archive(id);
        }
        ended
    }

    /// Moves an order along its table; false if it is unknown or may not move so.
    fn advance(&mut self, id: OrderId, event: OrderEvent, reason: Option<&str>) -> bool {
        let Some(record) = self.account.orders.get_mut(&id) else {
            self.out.marks.push(Mark::OrphanReport);
            return false;
        };
        if !transition(&mut record.order, event, self.now, self.out) {
            return false;
        }
        if let Some(reason) = reason {
            record.order.reason = Some(reason.to_owned());
        }
        if record.order.status.is_terminal() {
            self.account.open_orders.remove(&id);
            self.end_terms_of(id);
        }
        self.touched.order(self.index, id);
        true
    }

    fn rejected(&mut self, id: OrderId, reason: &str, venue_code: Option<i64>) {
        let order = &mut self.account.orders.get_mut(&id).expect("it has just advanced").order;
        order.venue_code = venue_code;
        self.out.events.push(
            TradeRejected {
                intent_id: order.intent_id,
                order_id: Some(id),
                client_order_id: order.client_order_id.clone(),
                account_id: order.account.clone(),
                by: "venue".to_owned(),
                code: "VENUE_REJECTED".to_owned(),
                reason: reason.to_owned(),
                venue_code,
                violations: Vec::new(),
            }
            .into(),
        );
    }

    fn canceled(&mut self, id: OrderId) {
        let order = &self.account.orders[&id].order;
        self.out.events.push(
            TradeCanceled {
                account_id: order.account.clone(),
                intent_id: order.ended_by.unwrap_or(order.intent_id),
                order: OrderView::new(order, self.setup.instrument(order.instrument)),
            }
            .into(),
        );
    }

    pub(super) fn archive(&mut self, id: OrderId) {
        let record = &self.account.orders[&id];
        let instrument = self.setup.instrument(record.order.instrument);
        self.out.archived.push(ArchivedOrder {
            account: self.account.id().clone(),
            order_id: id,
            client_order_id: record.order.client_order_id.clone(),
            order: OrderView::new(&record.order, instrument),
            fills: record.fills.iter().map(|f| FillView::new(f, instrument)).collect(),
        });
    }
}

/// Moves an order along the table. An event that the table does not have is alarmed (OR01).
pub(super) fn transition(order: &mut Order, event: OrderEvent, now: UnixNanos, out: &mut Outputs) -> bool {
    match order.status.next(event) {
        Some(next) => {
            // the table knows states and neither volumes nor triggers: what is filled in part rests as such,
            // and so does what was triggered
            order.status = match next {
                OrderStatus::Accepted | OrderStatus::Triggered if !order.filled.is_zero() => {
                    OrderStatus::PartiallyFilled
                }
                OrderStatus::Accepted if order.triggered => OrderStatus::Triggered,
                next => next,
            };
            order.version += 1;
            order.updated_at = now;
            true
        }
        None => {
            out.marks.push(Mark::IllegalTransition);
            false
        }
    }
}

/// The side that closes a position.
pub(crate) const fn closing_side(position: &Position) -> Side {
    position.side.opposite()
}
