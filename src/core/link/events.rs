//! What happens on a link, one thing at a time.

use super::{doubt::settles_nothing, translate::Judge};
use crate::core::{
    account::OrderRecord, answers::ANSWER_WITHIN_NS, engine::Engine, execution::NOT_SENT, timers::Timer,
};
use crate::domain::{
    account::LinkStatus,
    id::OrderId,
    message::{
        LinkEvent, LinkInput, LinkReport, LinkRequest, LinkUp, Mark, NotSent, NumberedReport, OrderState,
        Outputs, VenueOrderStatus, VenueReport, VenueRequest,
    },
    order::OrderStatus,
    time::{SECOND_NS, UnixNanos},
};

/// After so long without any sign a session is begun anew.
const GIVEN_UP_AFTER_NS: i64 = 30 * SECOND_NS;

impl Engine {
    /// Takes in news of a link. News of a session that is over changes nothing.
    pub(in crate::core) fn link(&mut self, now: UnixNanos, input: &LinkInput, out: &mut Outputs) {
        let known = self.index.get(&input.account).copied();
        let Some(index) = known.filter(|index| !self.accounts[*index].config.is_paper()) else {
            out.marks.push(Mark::OrphanReport);
            return;
        };
        let reachable = self.accounts[index].is_reachable();
        match &input.event {
            LinkEvent::Up(up) => self.link_up(now, index, up, out),
            LinkEvent::Down { reason } => self.link_down(now, index, reason, out),
            LinkEvent::Fault { reason } => self.link_fault(now, index, reason, out),
            LinkEvent::NotSent(not_sent) => self.not_sent(now, index, not_sent, out),
            LinkEvent::Report(report) if reachable => self.numbered_report(now, index, report, out),
            LinkEvent::Heartbeat { last } if reachable => self.link_heartbeat(now, index, *last, out),
            LinkEvent::Snapshot(books) if reachable => self.compare_books(now, index, books, out),
            LinkEvent::Status(orders) if reachable => self.order_states(now, index, orders, out),
            LinkEvent::Report(_)
            | LinkEvent::Heartbeat { .. }
            | LinkEvent::Snapshot(_)
            | LinkEvent::Status(_) => {}
        }
        if self.accounts[index].is_reachable() {
            match &input.event {
                // a venue that would not cancel is asked again, but not at once
                LinkEvent::Report(report) if matches!(report.report, LinkReport::CancelRejected { .. }) => {
                    self.watch_answers(now, index);
                }
                _ => self.cancel_what_latches_forbid(now, index, out),
            }
        }
    }

    fn link_up(&mut self, now: UnixNanos, index: usize, up: &LinkUp, out: &mut Outputs) {
        let account = &mut self.accounts[index];
        if account.session.disabled || account.link == LinkStatus::Error {
            let account = account.id().clone();
            out.venue.push(VenueRequest::Link { account, request: LinkRequest::Close });
            return;
        }
        out.marks.push(Mark::LinkUp);
        let session = &mut account.session;
        session.capabilities = up.capabilities.clone();
        session.resend_asked = false;
        session.syncs = 0;
        session.in_doubt.clear();
        if session.log.as_ref() != Some(&up.log) || !up.capabilities.resend {
            session.log = Some(up.log.clone());
            session.log_changed = true;
        }
        self.set_link(now, index, LinkStatus::Reconciling, None, out);
        self.ask_for_books(now, index, out);
    }

    /// Everything that the venue has to say, and what became of every order that is open here.
    pub(super) fn ask_for_books(&mut self, now: UnixNanos, index: usize, out: &mut Outputs) {
        self.watch_answers(now, index);
        let account = &mut self.accounts[index];
        account.session.syncs += 1;
        account.session.asked_at = Some(now);
        account.session.asked_up_to = account.last_order_id();
        account.session.terms_up_to = account.last_intent_id();
        let session = &account.session;
        let request = LinkRequest::Sync {
            log: session.log.clone().filter(|_| !session.log_changed),
            after: if session.log_changed { 0 } else { session.last_report },
            fills_after: session.last_fill.clone(),
            orders: account.open_orders.iter().copied().collect(),
        };
        out.venue.push(VenueRequest::Link { account: account.id().clone(), request });
    }

    fn link_down(&mut self, now: UnixNanos, index: usize, reason: &str, out: &mut Outputs) {
        if self.accounts[index].link == LinkStatus::Error {
            return;
        }
        if self.accounts[index].is_reachable() {
            out.marks.push(Mark::LinkDown);
        }
        self.link_lost(now, index, LinkStatus::Disconnected, reason, out);
    }

    /// The venue said what cannot be true, or broke the protocol: nothing of it is believed, and there is
    /// no session until an operator wants one again.
    pub(super) fn link_fault(&mut self, now: UnixNanos, index: usize, reason: &str, out: &mut Outputs) {
        if self.accounts[index].session.disabled || self.accounts[index].link == LinkStatus::Error {
            return;
        }
        out.marks.push(Mark::LinkFault);
        self.close_link(now, index, LinkStatus::Error, reason, out);
    }

    /// Begins the session anew; the new one tells what the old one left open.
    pub(super) fn begin_again(&mut self, now: UnixNanos, index: usize, reason: &str, out: &mut Outputs) {
        let (account, reason) = (self.accounts[index].id().clone(), reason.to_owned());
        self.link_lost(now, index, LinkStatus::Disconnected, &reason, out);
        out.venue.push(VenueRequest::Link { account, request: LinkRequest::Reset { reason } });
    }

    fn not_sent(&mut self, now: UnixNanos, index: usize, not_sent: &NotSent, out: &mut Outputs) {
        let setup = self.setup();
        for order in &not_sent.orders {
            if self.desk(index, &setup, now, out).never_sent(*order, NOT_SENT) {
                out.marks.push(Mark::OrderNotSent);
            }
        }
        for intent in &not_sent.terms {
            if self.desk(index, &setup, now, out).terms_lost(*intent, NOT_SENT) {
                out.marks.push(Mark::TermsNotSent);
            }
        }
    }

    fn numbered_report(&mut self, now: UnixNanos, index: usize, report: &NumberedReport, out: &mut Outputs) {
        let session = &self.accounts[index].session;
        if session.log_changed {
            return; // the books that were asked for include it
        }
        if report.seq == 0 {
            return self.answer_outside_the_log(now, index, &report.report, out);
        }
        if report.seq <= session.last_report {
            out.marks.push(Mark::DuplicateReport);
            return;
        }
        if report.prev > session.last_report {
            return self.report_gap(now, index, out);
        }
        if report.prev < session.last_report {
            let (prev, last) = (report.prev, session.last_report);
            let reason = format!("its report {} follows {prev}, but {last} was the last one", report.seq);
            return self.link_fault(now, index, &reason, out);
        }
        let mut compare = false;
        if !self.is_too_late(index, &report.report) && !settles_nothing(&report.report) {
            match self.judge(index, &report.report) {
                Err(reason) => return self.link_fault(now, index, &reason, out),
                Ok(believed) if believed.is_empty() => out.marks.push(Mark::DuplicateFill),
                Ok(believed) => {
                    believed.iter().for_each(|report| self.believe(now, index, report, out));
                    // an operator's figures may have been others: the balance tells
                    compare = believed.iter().any(|r| matches!(r, VenueReport::Confirmed { .. }));
                }
            }
        }
        let session = &mut self.accounts[index].session;
        session.last_report = report.seq;
        session.resend_asked = false;
        session.asked_at = session.asked_at.map(|_| now);
        if compare {
            self.set_link(now, index, LinkStatus::Reconciling, None, out);
            self.ask_for_books(now, index, out);
        }
    }

    /// What a venue answers about a request that left no trace there: it refuses it, or says that the
    /// terms are as they were asked for. It concerns what is open only, and nothing counts it.
    fn answer_outside_the_log(
        &mut self,
        now: UnixNanos,
        index: usize,
        report: &LinkReport,
        out: &mut Outputs,
    ) {
        if settles_nothing(report) {
            return;
        }
        let account = &self.accounts[index];
        let status = |name: &str| {
            OrderId::parse(name).ok().and_then(|id| account.orders.get(&id)).map(|r| r.order.status)
        };
        let is_awaited = match report {
            LinkReport::Rejected { order, .. } => {
                matches!(
                    status(order),
                    Some(OrderStatus::Submitted | OrderStatus::PendingCancel | OrderStatus::Unknown)
                )
            }
            LinkReport::CancelRejected { order, .. } => status(order) == Some(OrderStatus::PendingCancel),
            LinkReport::Modified { order, .. } | LinkReport::ModifyRejected { order: Some(order), .. } => {
                let order = OrderId::parse(order).ok().and_then(|id| account.orders.get(&id));
                order.is_some_and(|r| r.order.modified_by.is_some())
            }
            LinkReport::ModifyRejected { order: None, .. } => !self.is_too_late(index, report),
            LinkReport::Position { position, .. } => account.session.positions.contains_key(position),
            LinkReport::Accepted { .. }
            | LinkReport::Canceled { .. }
            | LinkReport::Expired { .. }
            | LinkReport::Triggered { .. }
            | LinkReport::Fill(_) => {
                let reason = "a report of what happened to an order bears no number";
                return self.link_fault(now, index, reason, out);
            }
        };
        if !is_awaited {
            out.marks.push(Mark::DuplicateReport);
            return;
        }
        match self.judge(index, report) {
            Err(reason) => self.link_fault(now, index, &reason, out),
            Ok(believed) => believed.iter().for_each(|report| self.believe(now, index, report, out)),
        }
    }

    /// Whether new levels are refused of a position that has been closed meanwhile.
    fn is_too_late(&self, index: usize, report: &LinkReport) -> bool {
        let open = &self.accounts[index].session.positions;
        matches!(report, LinkReport::ModifyRejected { order: None, position: Some(name), .. }
            if !open.contains_key(name))
    }

    fn judge(&self, index: usize, report: &LinkReport) -> Result<Vec<VenueReport>, String> {
        let setup = self.setup();
        Judge { account: &self.accounts[index], setup: &setup, market: &self.market }.report(report)
    }

    /// Applies what is believed. What contradicts an operator's word is booked all the same (LV03).
    pub(super) fn believe(&mut self, now: UnixNanos, index: usize, report: &VenueReport, out: &mut Outputs) {
        let account = &self.accounts[index];
        let (fills, order) = match report {
            VenueReport::Filled(fill) => (true, fill.order),
            VenueReport::Confirmed { order, .. } => (true, Some(*order)),
            VenueReport::Accepted { order, .. }
            | VenueReport::Rejected { order, .. }
            | VenueReport::Canceled { order, .. }
            | VenueReport::Expired { order, .. }
            | VenueReport::InDoubt { order, .. }
            | VenueReport::Triggered { order, .. } => (false, Some(*order)),
            _ => (false, None),
        };
        let record = order.and_then(|id| account.orders.get(&id));
        let denies = matches!(report, VenueReport::Filled(_) | VenueReport::Accepted { .. });
        let contradicts = denies && record.is_some_and(|r| r.resolved);
        // one that was filled whole cannot have been refused, nor have run out
        let denied = matches!(report, VenueReport::Rejected { .. } | VenueReport::Expired { .. });
        let ended = record.is_some_and(|r| {
            r.order.status.is_terminal() && !(denied && r.order.status == OrderStatus::Filled)
        });
        let in_doubt = [OrderStatus::Submitted, OrderStatus::PendingCancel, OrderStatus::Unknown];
        let rests = record.is_some_and(|r| !in_doubt.contains(&r.order.status));
        let in_doubt_again = matches!(report, VenueReport::InDoubt { .. });
        if record.is_some_and(|r| r.order.status == OrderStatus::Unknown) && !in_doubt_again {
            out.marks.push(Mark::UnknownFound);
        }
        if contradicts {
            out.marks.push(Mark::ResolvedContradicted);
            self.alarm_contradiction(index, order, out);
            if let VenueReport::Accepted { account, order, .. } = report {
                // nobody wants it any more
                let (account, order) = (account.clone(), *order);
                return out.venue.push(VenueRequest::Cancel { account, order });
            }
        }
        if ended && !fills {
            return; // it says once more that it has ended, or too late that it rested
        }
        if rests && matches!(report, VenueReport::Accepted { .. }) {
            out.marks.push(Mark::DuplicateReport);
            return; // its status was asked for, and came before
        }
        self.report(now, report, out);
        if let VenueReport::InDoubt { order, .. } = report {
            self.ask_about(index, *order, out);
        }
    }

    /// Reports were lost. What the account holds is not known until they or the books are there.
    fn report_gap(&mut self, now: UnixNanos, index: usize, out: &mut Outputs) {
        if std::mem::replace(&mut self.accounts[index].session.resend_asked, true) {
            return;
        }
        out.marks.push(Mark::ReportGap);
        self.set_link(now, index, LinkStatus::Reconciling, None, out);
        self.ask_for_books(now, index, out);
    }

    fn link_heartbeat(&mut self, now: UnixNanos, index: usize, last: u64, out: &mut Outputs) {
        let session = &mut self.accounts[index].session;
        if session.log_changed || last == session.last_report {
            return;
        }
        if last > session.last_report {
            if session.resend_asked {
                // the venue is quiet: what was asked for is not on its way any more
                let reason = format!("it has report {last}, and none came after {}", session.last_report);
                return self.begin_again(now, index, &reason, out);
            }
            return self.report_gap(now, index, out);
        }
        let reason = format!("it says that report {last} is its last, after report {}", session.last_report);
        self.link_fault(now, index, &reason, out);
    }

    // ---- answers that do not come -------------------------------------------------------------

    /// Looks after a while whether the venue has answered what the account asked of it.
    pub(in crate::core) fn watch_answers(&mut self, now: UnixNanos, index: usize) {
        let account = &mut self.accounts[index];
        if !account.config.is_paper() && !account.session.watched {
            account.session.watched = true;
            self.timers.set(now.plus(ANSWER_WITHIN_NS), Timer::LinkAnswers(index));
        }
    }

    /// Asks what became of orders that the venue has not confirmed for too long.
    pub(in crate::core) fn ask_for_answers(&mut self, now: UnixNanos, index: usize, out: &mut Outputs) {
        self.accounts[index].session.watched = false;
        self.cancel_what_latches_forbid(now, index, out);
        if let Some(reason) = self.given_up(now, index) {
            return self.begin_again(now, index, &reason, out);
        }
        let account = &mut self.accounts[index];
        let unconfirmed = |status: OrderStatus| {
            matches!(status, OrderStatus::Submitted | OrderStatus::PendingCancel | OrderStatus::PendingModify)
        };
        let waiting = || account.working().filter(|r| unconfirmed(r.order.status));
        let levels = account.session.levels_open.is_some();
        if waiting().next().is_none() && !levels && account.link != LinkStatus::Reconciling {
            return;
        }
        let late = now.plus(-ANSWER_WITHIN_NS);
        let orders: Vec<OrderId> =
            waiting().filter(|r| r.order.updated_at <= late).map(|r| r.order.id).collect();
        if account.link == LinkStatus::Connected && !orders.is_empty() {
            let request = LinkRequest::Status { orders };
            out.venue.push(VenueRequest::Link { account: account.id().clone(), request });
        }
        self.watch_answers(now, index);
    }

    /// Why no answer of this session is waited for any longer: one is due for too long that no question
    /// about an order would bring.
    fn given_up(&mut self, now: UnixNanos, index: usize) -> Option<String> {
        let account = &mut self.accounts[index];
        let too_long = |since: UnixNanos| now.since(since) >= GIVEN_UP_AFTER_NS;
        let levels = account.positions.values().find_map(|p| p.modified_by);
        let open = &mut account.session.levels_open;
        *open = levels.map(|intent| open.filter(|(known, _)| *known == intent).unwrap_or((intent, now)));
        let levels_since = open.map(|(_, since)| since);
        let asked = |r: &&OrderRecord| r.order.status == OrderStatus::PendingModify;
        let terms_since = account.working().find(asked).map(|r| r.order.updated_at);
        match account.link {
            LinkStatus::Reconciling if account.session.asked_at.is_some_and(too_long) => {
                Some("its books were asked for and do not come".to_owned())
            }
            LinkStatus::Connected if levels_since.or(terms_since).is_some_and(too_long) => {
                Some("it does not answer a request for new terms".to_owned())
            }
            _ => None,
        }
    }

    /// What became of orders that were asked about. Whatever the reports did not tell, the books do.
    fn order_states(&mut self, now: UnixNanos, index: usize, states: &[OrderState], out: &mut Outputs) {
        let mut compare = false;
        for state in states {
            let setup = self.setup();
            let judge = Judge { account: &self.accounts[index], setup: &setup, market: &self.market };
            let order = match judge.order(&state.order) {
                Ok(record) => record.order.clone(),
                Err(reason) => return self.link_fault(now, index, &reason, out),
            };
            match state.status {
                VenueOrderStatus::Working
                    if matches!(order.status, OrderStatus::Submitted | OrderStatus::Unknown) =>
                {
                    let (account, venue_order) = (order.account.clone(), state.venue_order.clone());
                    let taken = VenueReport::Accepted { account, order: order.id, venue_order };
                    self.believe(now, index, &taken, out);
                }
                VenueOrderStatus::Working if order.status == OrderStatus::PendingCancel => {
                    let account = order.account.clone();
                    out.venue.push(VenueRequest::Cancel { account, order: order.id });
                }
                VenueOrderStatus::Working => {}
                VenueOrderStatus::Unknown
                    if matches!(order.status, OrderStatus::Submitted | OrderStatus::PendingCancel)
                        || self.is_in_doubt(index, &order) =>
                {
                    // only a later session's word proves that it never will be
                    let reason = format!("the venue does not know order {}, which was sent to it", order.id);
                    return self.begin_again(now, index, &reason, out);
                }
                _ if order.status.is_terminal() => {}
                _ => compare = true,
            }
        }
        if compare {
            self.set_link(now, index, LinkStatus::Reconciling, None, out);
            self.ask_for_books(now, index, out);
        }
    }
}
