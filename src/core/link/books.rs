//! Reconciliation: the venue's books held against the engine's own orders, positions and balance.
//!
//! It is worked out on a copy first. Books that cannot be true change nothing (LV02); what they add is
//! carried out as reports, with ids that are functions of their content (LV01).

mod positions;

use super::translate::{self, Judge, on_grid, text};
use crate::core::{
    account::Account,
    engine::Engine,
    execution::{Desk, NOT_RECEIVED},
    ledger,
    market::Market,
    touched::Touched,
};
use crate::domain::{
    account::LinkStatus,
    config::Setup,
    id::{AccountId, AlertId, IntentId, OrderId, PositionId},
    instrument::{Price, Volume},
    ledger::EntryKind,
    message::{
        LinkFill, LinkReport, Mark, OrderState, Outputs, RiskAlert, VenueModify, VenueOrderStatus,
        VenueReport, VenueRequest, VenueSnapshot, Violation, ViolationCode,
    },
    money::Money,
    order::{Order, OrderStatus, OrderType, Stop},
    position::FillReason,
    time::UnixNanos,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Why an order ended that a venue had taken and does not know any more.
const VENUE_FORGOT: &str = "VENUE_FORGOT";

/// How names begin that the venue did not give: the rest is a function of content (LV01).
const MADE_UP: &str = "syn:";

impl Engine {
    /// Compares the books; afterwards the account is connected, or in `error` with the reason.
    pub(super) fn compare_books(
        &mut self,
        now: UnixNanos,
        index: usize,
        books: &VenueSnapshot,
        out: &mut Outputs,
    ) {
        let session = &mut self.accounts[index].session;
        session.syncs = session.syncs.saturating_sub(1);
        if session.syncs > 0 {
            return; // it was asked again: those books may know more
        }
        let repeats = session.capabilities.resend && !session.log_changed;
        if repeats && books.seq > session.last_report {
            // they rest on reports that got lost, and every one of them can be had
            if std::mem::replace(&mut session.resend_asked, true) {
                let (last, theirs) = (session.last_report, books.seq);
                let reason = format!("its books include report {theirs}, and none came after {last}");
                return self.begin_again(now, index, &reason, out);
            }
            out.marks.push(Mark::ReportGap);
            return self.ask_for_books(now, index, out);
        }
        let setup = self.setup();
        let account = self.accounts[index].clone();
        let comparison = Comparison {
            // without a hole in the reports, the books can add nothing to them
            gapless: !account.session.log_changed && account.session.last_report == books.seq,
            account,
            setup: &setup,
            market: &self.market,
            now,
            steps: Vec::new(),
            unwanted: Vec::new(),
            denied: Vec::new(),
        };
        let Found { steps, unwanted, denied, balance } = match comparison.run(books) {
            Ok(found) => found,
            Err(reason) => return self.link_fault(now, index, &format!("its books: {reason}"), out),
        };
        for (report, mark) in &steps {
            out.marks.extend(*mark);
            self.believe(now, index, report, out);
        }
        for order in denied.iter().chain(&unwanted) {
            out.marks.push(Mark::ResolvedContradicted);
            self.alarm_contradiction(index, Some(*order), out);
        }
        for order in unwanted {
            let account = self.accounts[index].id().clone();
            out.venue.push(VenueRequest::Cancel { account, order });
        }
        self.take_balance(now, index, balance, out);
        let session = &mut self.accounts[index].session;
        session.last_report = books.seq;
        session.log_changed = false;
        session.resend_asked = false;
        session.asked_at = None;
        for record in self.accounts[index].orders.values_mut() {
            record.unconfirmed = Volume::ZERO; // the books know
        }
        out.marks.push(Mark::Reconciled);
        self.accounts[index].session.last_error = None;
        self.set_link(now, index, LinkStatus::Connected, None, out);
        self.end_lost_modifications(now, index, out);
        self.go_on_with_stops(now, index, out);
    }

    /// Posts what the venue's balance has beyond what it told: all of it at first, later the difference.
    fn take_balance(&mut self, now: UnixNanos, index: usize, balance: Money, out: &mut Outputs) {
        let account = &mut self.accounts[index];
        let difference = balance - account.balance;
        let first = !std::mem::replace(&mut account.session.opened, true);
        if difference == Money::ZERO {
            return;
        }
        let kind = if first { EntryKind::Deposit } else { EntryKind::Adjustment };
        if !first {
            out.marks.push(Mark::BalanceAdjusted);
        }
        ledger::post(account, kind, difference, "venue".to_owned(), now, out);
        if first {
            account.day.equity_at_roll = account.equity() - account.day.cash_flows;
        }
    }

    /// New terms that were asked for before the books and did not come about.
    fn end_lost_modifications(&mut self, now: UnixNanos, index: usize, out: &mut Outputs) {
        let setup = self.setup();
        let account = &self.accounts[index];
        let of_positions = account.positions.values().filter_map(|p| p.modified_by);
        let settled = account.working().filter(|r| r.order.status != OrderStatus::PendingModify);
        let lost: Vec<IntentId> = of_positions
            .chain(settled.filter_map(|r| r.order.modified_by))
            .filter(|intent| intent.0 <= account.session.terms_up_to)
            .collect();
        for intent in lost {
            self.desk(index, &setup, now, out).terms_lost(intent, NOT_RECEIVED);
        }
    }

    /// A venue's word against an operator's (LV03).
    pub(super) fn alarm_contradiction(&mut self, index: usize, order: Option<OrderId>, out: &mut Outputs) {
        let account = &mut self.accounts[index];
        let name = order.map_or_else(String::new, |id| id.to_string());
        let message = format!("the venue reports about order {name}, which an operator had resolved");
        let code = ViolationCode::Reconciling;
        let violation =
            Violation { code, message: message.clone(), limit: None, actual: None, would_satisfy: None };
        let alert_id: AlertId = account.next_alert();
        let account_id: Option<AccountId> = Some(account.id().clone());
        let violations = vec![violation];
        let (blocked_action, would_satisfy) = (None, None);
        let alert =
            RiskAlert { alert_id, account_id, code, message, violations, blocked_action, would_satisfy };
        out.events.push(alert.into());
    }
}

/// A report that the books stand for, and what it means.
type Step = (VenueReport, Option<Mark>);

/// What a comparison has found: the reports that make our books the venue's, its balance, and orders that
/// must be cancelled there.
struct Found {
    steps: Vec<Step>,
    unwanted: Vec<OrderId>,
    /// Orders whose fills were booked by an operator's word, and are not there.
    denied: Vec<OrderId>,
    balance: Money,
}

/// A comparison at work, on a copy of the account.
struct Comparison<'a> {
    account: Account,
    setup: &'a Setup,
    market: &'a Market,
    now: UnixNanos,
    gapless: bool,
    steps: Vec<Step>,
    /// Orders that work there, though an operator's word ended them.
    unwanted: Vec<OrderId>,
    /// Orders whose fills it does not have, though an operator's word booked them.
    denied: Vec<OrderId>,
}

impl Comparison<'_> {
    /// The reports that make our books the venue's, and the venue's balance.
    fn run(mut self, books: &VenueSnapshot) -> Result<Found, String> {
        let last = self.account.session.last_report;
        if !self.account.session.log_changed && books.seq < last {
            return Err(format!("they end with report {}, after report {last} came", books.seq));
        }
        if books.currency != self.account.config.currency.as_str() {
            let (theirs, ours) = (text(&books.currency), self.account.config.currency);
            return Err(format!("they are kept in {theirs}, the account here in {ours}"));
        }
        let balance = self.judge().money("balance", books.balance)?;
        self.compare_terms(books)?;
        for fill in books.fills.iter().flatten() {
            self.take_fill(fill)?;
        }
        self.compare_orders(books)?;
        self.compare_positions(books)?;
        Ok(Found { steps: self.steps, unwanted: self.unwanted, denied: self.denied, balance })
    }

    fn judge(&self) -> Judge<'_> {
        Judge { account: &self.account, setup: self.setup, market: self.market }
    }

    fn take_fill(&mut self, fill: &LinkFill) -> Result<(), String> {
        for report in self.judge().report(&LinkReport::Fill(fill.clone()))? {
            self.take(report, Some(Mark::MissedFill));
        }
        Ok(())
    }

    /// Notes a report and applies it to the copy.
    fn take(&mut self, report: VenueReport, mark: Option<Mark>) {
        let (mut out, mut touched) = (Outputs::default(), Touched::default());
        Desk {
            account: &mut self.account,
            setup: self.setup,
            market: self.market,
            now: self.now,
            out: &mut out,
            index: 0,
            touched: &mut touched,
        }
        .report(&report);
        self.steps.push((report, mark));
    }

    /// Whether an operator's word ended the order.
    fn is_resolved(&self, id: OrderId) -> bool {
        self.account.orders.get(&id).is_some_and(|record| record.resolved)
    }

    // ---- orders -------------------------------------------------------------------------------

    fn compare_orders(&mut self, books: &VenueSnapshot) -> Result<(), String> {
        let mut states: BTreeMap<&str, &OrderState> = BTreeMap::new();
        for state in &books.orders {
            if states.insert(&state.order, state).is_some() {
                return Err(format!("order `{}` is in them twice", text(&state.order)));
            }
        }
        let open: Vec<OrderId> = self.account.open_orders.iter().copied().collect();
        for state in books.orders.iter().filter(|s| s.status == VenueOrderStatus::Working) {
            let id = OrderId::parse(&state.order).ok();
            if id.is_some_and(|id| open.contains(&id)) {
                continue;
            }
            if let Some(id) = id.filter(|id| self.is_resolved(*id)) {
                self.unwanted.push(id); // an operator was told that it never was
                continue;
            }
            let name = text(&state.order);
            return Err(format!("order `{name}` works there, and here is no such open order"));
        }
        for id in open {
            // a reduction that was sent while the books were on their way
            let is_later = id.0 > self.account.session.asked_up_to;
            match states.get(id.to_string().as_str()).copied() {
                Some(state) if is_later && state.status == VenueOrderStatus::Unknown => {}
                Some(state) => self.compare_order(id, state, books)?,
                None if is_later => {}
                None => return Err(format!("they say nothing about order {id}")),
            }
        }
        Ok(())
    }

    fn compare_order(
        &mut self,
        id: OrderId,
        state: &OrderState,
        books: &VenueSnapshot,
    ) -> Result<(), String> {
        let order = self.account.orders[&id].order.clone();
        let account = order.account.clone();
        if state.status == VenueOrderStatus::Unknown {
            let in_doubt = order.status == OrderStatus::Unknown;
            if in_doubt && self.account.session.in_doubt.contains(&id) {
                return Ok(()); // this session proves nothing of it
            }
            if in_doubt && self.account.session.capabilities.fencing {
                let reason = NOT_RECEIVED.to_owned();
                self.take(
                    VenueReport::Rejected { account, order: id, reason, code: None },
                    Some(Mark::UnknownNotReceived),
                );
            } else if !in_doubt && self.account.session.log_changed {
                let reason = Some(VENUE_FORGOT.to_owned());
                self.take(VenueReport::Canceled { account, order: id, reason }, None);
            } else if !in_doubt && order.status != OrderStatus::Submitted {
                return Err(format!("order {id}, which it had taken, is not known there"));
            }
            return Ok(());
        }
        self.missing_fills(&order, state, books)?;
        let order = self.account.orders[&id].order.clone();
        let found = (order.status == OrderStatus::Unknown).then_some(Mark::UnknownFound);
        match state.status {
            VenueOrderStatus::Working => {
                if matches!(order.status, OrderStatus::Unknown | OrderStatus::Submitted) {
                    let venue_order = state.venue_order.clone();
                    self.take(VenueReport::Accepted { account, order: id, venue_order }, found);
                }
                Ok(())
            }
            _ if order.status.is_terminal() => Ok(()),
            VenueOrderStatus::Filled => {
                Err(format!("order {id} is filled there, and its fills do not add up to its volume"))
            }
            VenueOrderStatus::Canceled => {
                let reason = state.reason.as_deref().map(translate::reason);
                self.take(VenueReport::Canceled { account, order: id, reason }, found);
                Ok(())
            }
            VenueOrderStatus::Expired => {
                self.take(VenueReport::Expired { account, order: id }, found);
                Ok(())
            }
            VenueOrderStatus::Rejected => {
                let reason = state.reason.as_deref().map_or_else(|| "REJECTED".to_owned(), translate::reason);
                let report = match order.status {
                    OrderStatus::Unknown | OrderStatus::Submitted => {
                        VenueReport::Rejected { account, order: id, reason, code: None }
                    }
                    _ => VenueReport::Canceled { account, order: id, reason: Some(reason) },
                };
                self.take(report, found);
                Ok(())
            }
            VenueOrderStatus::Unknown => Ok(()),
        }
    }

    /// Fills that the venue counts and did not list: one, at the price that makes its average.
    fn missing_fills(
        &mut self,
        order: &Order,
        state: &OrderState,
        books: &VenueSnapshot,
    ) -> Result<(), String> {
        let spec = self.setup.instrument(order.instrument);
        let Some(stated) = state.filled else { return Ok(()) };
        let filled = match stated.is_zero() {
            true => Volume::ZERO,
            false => on_grid(spec.to_volume(stated), "filled volume", stated, spec)?,
        };
        let id = order.id;
        if filled > order.volume {
            return Err(format!("more of order {id} is filled there than was ordered"));
        }
        if filled < order.filled {
            return Err(format!("less of order {id} is filled there than was reported"));
        }
        let missing = filled.less(order.filled);
        if missing.is_zero() {
            return Ok(());
        }
        let average = state.avg_price.ok_or_else(|| {
            format!("{stated} lots of order {id} are filled there, at no price that it tells")
        })?;
        let known = order.filled_tick_steps;
        let price = crate::domain::money::remaining_price(average, spec.tick, filled.0, known, missing.0)
            .map(Price)
            .ok_or_else(|| format!("the average price {average} of order {id} cannot be"))?;
        let (position, closes) = match order.position {
            Some(held) => (self.account.positions.get(&held).and_then(|p| p.venue_position.clone()), true),
            None => {
                let ours = id.to_string();
                let known =
                    self.account.positions.get(&PositionId(id.0)).and_then(|p| p.venue_position.clone());
                let told = || books.positions.iter().find(|p| p.order.as_ref() == Some(&ours));
                (known.or_else(|| told().map(|p| p.position.clone())), false)
            }
        };
        let position = position.unwrap_or_else(|| format!("{MADE_UP}{id}"));
        let held = self.account.session.positions.get(&position).and_then(|p| self.account.positions.get(p));
        let before = held.map_or(0, |p| p.volume.0);
        let after = if closes { before.saturating_sub(missing.0) } else { before.saturating_add(missing.0) };
        let realized_pnl = match held.filter(|_| closes) {
            Some(held) => self.account.realized(held, missing, price, self.setup, self.market),
            None => Money::ZERO,
        };
        let fill = LinkFill {
            fill: format!("{MADE_UP}{id}:{stated}@{average}"),
            order: Some(id.to_string()),
            position,
            symbol: spec.symbol.to_string(),
            side: order.side,
            volume: spec.lots(missing),
            price: spec.price(price),
            commission: Decimal::ZERO,
            realized_pnl: realized_pnl.amount(),
            closes,
            position_volume: spec.lots(Volume(after.max(0))),
            levels: state.levels,
            reason: FillReason::Reconciled,
            ts: self.now,
        };
        self.take_fill(&fill)
    }

    /// Terms come first: what is filled is filled under them, and an order that has ended had them, too.
    fn compare_terms(&mut self, books: &VenueSnapshot) -> Result<(), String> {
        let taken_there =
            |s: &&OrderState| !matches!(s.status, VenueOrderStatus::Unknown | VenueOrderStatus::Rejected);
        for state in books.orders.iter().filter(taken_there) {
            let known = OrderId::parse(&state.order).ok();
            if let Some(id) = known.filter(|id| self.account.open_orders.contains(id)) {
                self.compare_terms_of(id, state)?;
            }
        }
        Ok(())
    }

    fn compare_terms_of(&mut self, id: OrderId, state: &OrderState) -> Result<(), String> {
        let Some(volume) = state.volume else { return Ok(()) };
        let report = LinkReport::Modified {
            order: id.to_string(),
            volume,
            price: state.price,
            trigger: Box::new(state.trigger.clone()),
            levels: state.levels,
        };
        let order = self.account.orders[&id].order.clone();
        let believed = self.judge().report(&report)?;
        let Some(VenueReport::Modified(terms)) = believed.into_iter().next() else { return Ok(()) };
        let is_distance = |stop: Option<Stop>| matches!(stop, Some(Stop::Ticks(_) | Stop::Percent(_)));
        let same = |ours: Option<Stop>, theirs: Option<Stop>| ours == theirs || is_distance(ours);
        let trails = order.order_type == OrderType::TrailingStop;
        let as_ours = terms.volume == Some(order.volume)
            && (terms.price.is_none() || terms.price == order.price)
            && (terms.stop_price.is_none() || trails || terms.stop_price == order.stop_price)
            && (terms.trail.is_none() || terms.trail == order.trail)
            && terms.lifetime.is_none_or(|l| (l.tif, l.expires_at) == (order.tif, order.expires_at))
            && same(order.stop_loss, terms.stop_loss)
            && same(order.take_profit, terms.take_profit);
        let account = order.account.clone();
        match terms.stop_price {
            Some(stop_price) if trails && terms.stop_price != order.stop_price => {
                // the market has moved it meanwhile, and not a modification
                self.take(VenueReport::Trailed { account, order: id, stop_price }, None);
            }
            _ => {}
        }
        if !as_ours {
            self.take_terms(&order, state, terms);
        }
        if state.triggered && !order.triggered {
            if !order.order_type.has_trigger() {
                return Err(format!("order {id} was triggered there, which has no trigger"));
            }
            let account = order.account;
            self.take(VenueReport::Triggered { account, order: id, stop_price: None }, None);
        }
        Ok(())
    }

    fn take_terms(&mut self, order: &Order, state: &OrderState, terms: VenueModify) {
        let id = order.id;
        if matches!(order.status, OrderStatus::Unknown | OrderStatus::Submitted) {
            let (account, venue_order) = (order.account.clone(), state.venue_order.clone());
            let found = (order.status == OrderStatus::Unknown).then_some(Mark::UnknownFound);
            self.take(VenueReport::Accepted { account, order: id, venue_order }, found);
        }
        self.take(VenueReport::Modified(terms), None);
    }
}
