//! Emergency stops and the daily loss limit at work: latch, cancel, close, complete, resume.

use super::account::LossLatch;
use super::answers::{Pending, Targets};
use super::commands::Actor;
use super::engine::Engine;
use super::execution::Giver;
use super::risk::{self, Facts};
use crate::domain::config::Setup;
use crate::domain::id::{AccountId, OrderId, PositionId, StopId};
use crate::domain::instrument::InstrumentId;
use crate::domain::message::{
    EmergencyStop, ErrorCode, LinkRequest, Mark, Outputs, Refusal, ReplyBody, ResumeReply, ResumeTarget,
    ResumeTrading, RiskAlert, StopPhase, StopScope, VenueRequest, Violation, ViolationCode,
};
use crate::domain::order::{Order, OrderStatus, OrderType, Origin};
use crate::domain::time::{SECOND_NS, UnixNanos};

/// Between two attempts to close what a venue would not close.
const REFUSED_CLOSE_PAUSE_NS: i64 = SECOND_NS;

impl Engine {
    /// Trips the daily loss limit: new risk is denied and working opening orders are cancelled.
    pub(super) fn check_daily_loss(&mut self, now: UnixNanos, index: usize, out: &mut Outputs) {
        let account = &self.accounts[index];
        if account.loss_latch.is_some() {
            return;
        }
        let setup = self.setup();
        let Some((loss, limit)) = risk::daily_loss_tripped(account, &setup.config.limits) else { return };
        let account = &mut self.accounts[index];
        account.loss_latch = Some(LossLatch { since: now, loss, limit });
        out.marks.push(Mark::DailyLossTripped);
        let message =
            format!("the loss since the day roll reached {loss}, the limit is {limit}: only reductions");
        let violation = Violation {
            code: ViolationCode::MaxDailyLoss,
            message: message.clone(),
            limit: Some(limit.amount()),
            actual: Some(loss.amount()),
            would_satisfy: None,
        };
        out.events.push(
            RiskAlert {
                alert_id: account.next_alert(),
                account_id: Some(account.id().clone()),
                code: ViolationCode::MaxDailyLoss,
                message,
                violations: vec![violation],
                blocked_action: None,
                would_satisfy: None,
            }
            .into(),
        );
        self.purge(index, out);
        self.cancel_opening(now, index, &setup, out);
    }

    pub(super) fn cancel_opening(
        &mut self,
        now: UnixNanos,
        index: usize,
        setup: &Setup,
        out: &mut Outputs,
    ) -> Vec<OrderId> {
        let orders: Vec<OrderId> = self.accounts[index].opening().map(|o| o.id).collect();
        if !self.accounts[index].is_reachable() {
            return orders; // they are cancelled when the link is up again
        }
        let mut desk = self.desk(index, setup, now, out);
        orders.iter().for_each(|id| {
            desk.request_cancel(*id, None);
        });
        self.watch_answers(now, index);
        orders
    }

    /// New orders that are not on the wire yet are not to get there (RK05).
    fn purge(&self, index: usize, out: &mut Outputs) {
        let account = &self.accounts[index];
        if !account.config.is_paper() {
            let account = account.id().clone();
            out.venue.push(VenueRequest::Link { account, request: LinkRequest::Purge });
        }
    }

    /// The link is up: what latched stops and limits want cancelled or closed goes out (RK06).
    pub(super) fn go_on_with_stops(&mut self, now: UnixNanos, index: usize, out: &mut Outputs) {
        self.cancel_what_latches_forbid(now, index, out);
        let setup = self.setup();
        if self.stops.closing(self.accounts[index].id()) {
            for instrument in (0..=u16::MAX).map(InstrumentId).take(setup.instruments().len()) {
                self.close_for_stops(now, instrument, out);
            }
        }
    }

    pub(super) fn emergency_stop(
        &mut self,
        now: UnixNanos,
        actor: &Actor,
        stop: &EmergencyStop,
        out: &mut Outputs,
    ) -> Pending {
        let setup = self.setup();
        let (id, new) = self.stops.latch(stop, &actor.principal, now);
        out.marks.push(if new { Mark::EmergencyStopLatched } else { Mark::EmergencyStopRepeated });
        let latched = self.stops.get(id).expect("just latched").clone();
        out.events.push(latched.event(StopPhase::Latched, &actor.principal, &stop.reason, Vec::new()).into());
        let mut targets = Targets::default();
        for index in 0..self.accounts.len() {
            if !latched.covers(self.accounts[index].id()) {
                continue;
            }
            self.purge(index, out);
            if latched.cancels() {
                let orders = self.cancel_opening(now, index, &setup, out);
                targets.orders.extend(orders.into_iter().map(|order| (index, order)));
            }
            if latched.closes() {
                let held = self.accounts[index].positions.keys().map(|id| (index, *id));
                targets.positions.extend(held);
            }
        }
        for instrument in (0..=u16::MAX).map(InstrumentId).take(setup.instruments().len()) {
            self.close_for_stops(now, instrument, out);
        }
        Pending::Stop { stop: id, targets }
    }

    /// Orders that turn out to work although a latched stop or limit wants them cancelled are cancelled.
    pub(super) fn cancel_what_latches_forbid(&mut self, now: UnixNanos, index: usize, out: &mut Outputs) {
        let account = &self.accounts[index];
        let cancels = self.stops.all().iter().any(|s| s.cancels() && s.covers(account.id()));
        if (cancels || account.loss_latch.is_some()) && account.opening().next().is_some() {
            let setup = self.setup();
            self.cancel_opening(now, index, &setup, out);
        }
    }

    /// A fill that overtook its cancel makes a stop that was complete busy again (RK06).
    pub(super) fn rearm_stops(&mut self, now: UnixNanos, index: usize, out: &mut Outputs) {
        let account = &self.accounts[index];
        let (id, holds) = (account.id().clone(), !account.positions.is_empty());
        if holds && self.stops.rearm(&id) {
            self.go_on_with_stops(now, index, out);
        }
    }

    /// Closes what latched stops want closed on one instrument, where the gate lets it: a closed
    /// market and missing quotes wait for the next session or quote (RK06).
    pub(super) fn close_for_stops(&mut self, now: UnixNanos, instrument: InstrumentId, out: &mut Outputs) {
        if !self.stops.busy() {
            return;
        }
        let setup = self.setup();
        for index in 0..self.accounts.len() {
            if !self.stops.closing(self.accounts[index].id()) {
                continue;
            }
            let account = &self.accounts[index];
            // a resting limit may never fill; it ends with its position
            let closes = |o: &Order| o.order_type == OrderType::Market;
            let being_closed =
                |id: PositionId| account.working().any(|r| r.order.position == Some(id) && closes(&r.order));
            // a venue that refuses is asked again, but not at every quote
            let just_refused = |id: PositionId| {
                let last = account.orders.values().rev().find(|r| r.order.position == Some(id));
                last.is_some_and(|r| {
                    r.order.status == OrderStatus::Rejected
                        && now.since(r.order.updated_at) < REFUSED_CLOSE_PAUSE_NS
                })
            };
            let positions: Vec<PositionId> = account
                .positions
                .values()
                .filter(|p| p.instrument == instrument && !being_closed(p.id) && !just_refused(p.id))
                .map(|p| p.id)
                .collect();
            let actor =
                Actor { principal: "risk".to_owned(), origin: Origin::Risk, strategy: None, trace: None };
            for position in positions {
                let Some(order) = self.reduction(index, &setup, position, None, Some("emergency_stop"))
                else {
                    continue;
                };
                let around = self.circumstances(now, index, &setup);
                let Some(approved) = risk::assess(&Facts::new(around, &order)).approved else { continue };
                let intent = self.intend_close(index, &actor, &[position], Some("emergency_stop"), out);
                let giver = Giver { intent, origin: Origin::Risk, strategy: None };
                self.submit(now, index, approved, giver, out);
            }
        }
    }

    pub(super) fn resume(
        &mut self,
        journal_offset: u64,
        actor: &Actor,
        resume: &ResumeTrading,
        out: &mut Outputs,
    ) -> Result<ReplyBody, Box<Refusal>> {
        let stops: Vec<StopId> = match &resume.target {
            ResumeTarget::Stop(id) => match self.stops.get(*id) {
                Some(_) => vec![*id],
                None => {
                    let message = format!("no stop {id} is latched: risk.status lists the latches");
                    return Err(Box::new(Refusal::new(ErrorCode::NotFound, "STOP_UNKNOWN", message)));
                }
            },
            ResumeTarget::Scope(scope) => {
                self.stops.all().iter().filter(|s| s.scope == *scope).map(|s| s.id).collect()
            }
        };
        if let Some(stop) = stops.iter().filter_map(|id| self.stops.get(*id)).find(|s| !s.complete) {
            let message =
                format!("stop {} is still cancelling or closing: wait until it is complete", stop.id);
            let incomplete = Refusal::new(ErrorCode::Conflict, "STOP_INCOMPLETE", message).retryable();
            return Err(Box::new(incomplete.with("outcome", "not_started")));
        }
        let mut cleared = Vec::new();
        if let ResumeTarget::Scope(StopScope::Account(id)) = &resume.target {
            cleared.extend(self.clear_loss_latch(id)?);
        }
        for id in stops {
            let Some(stop) = self.stops.lift(id) else { continue };
            out.events
                .push(stop.event(StopPhase::Resumed, &actor.principal, &resume.reason, Vec::new()).into());
            out.marks.push(Mark::Resumed);
            cleared.push(id.to_string());
        }
        Ok(ReplyBody::Resume(ResumeReply { cleared, journal_offset }))
    }

    /// Clears an account's loss latch; a loss that still exceeds its limit keeps it.
    pub(super) fn clear_loss_latch(&mut self, id: &AccountId) -> Result<Option<String>, Box<Refusal>> {
        let setup = self.setup();
        let account = &mut self.accounts[self.index[id]];
        if account.loss_latch.is_none() {
            return Ok(None);
        }
        if let Some((loss, limit)) = risk::daily_loss_tripped(account, &setup.config.limits) {
            let message = format!(
                "the loss since the day roll is still {loss} of {limit}: raise max_daily_loss or wait for the roll"
            );
            return Err(Box::new(Refusal::new(ErrorCode::Conflict, "LIMIT_STILL_EXCEEDED", message)));
        }
        account.loss_latch = None;
        Ok(Some(format!("daily_loss:{id}")))
    }

    pub(super) fn complete_stops(&mut self, out: &mut Outputs) {
        for stop in self.stops.all().to_vec() {
            let covered = || self.accounts.iter().filter(|a| stop.covers(a.id()));
            let orders_left = stop.cancels() && covered().any(|a| a.opening().next().is_some());
            let positions_left = stop.closes() && covered().any(|a| !a.positions.is_empty());
            if stop.complete || orders_left || positions_left {
                continue;
            }
            self.stops.complete(stop.id);
            out.marks.push(Mark::EmergencyStopCompleted);
            out.events.push(stop.event(StopPhase::Completed, &stop.actor, &stop.reason, Vec::new()).into());
        }
    }
}
