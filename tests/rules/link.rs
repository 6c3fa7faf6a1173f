//! Accounts at venues behind a wire: what the engine makes of what they say. The venue is a script here;
//! the real one, behind real sockets, is met in tests/link.

use super::rig::{Rig, account, account_id, buy, codes, dec};
use lockstep::{
    domain::{
        account::{LinkSettings, LinkStatus, TradingState},
        id::{CommandId, IntentId, OrderId, PositionId},
        message::{
            Answer, CancelOrders, CancelTarget, Capabilities, ClosePosition, CloseTarget, CommandBody,
            ErrorCode, Event, Input, Levels, LinkEvent, LinkFill, LinkInput, LinkReport, LinkRequest, LinkUp,
            Mark, ModifyField, NotSent, NumberedReport, OrderState, Outputs, PlaceOrder, PositionState,
            Query, Refusal, ReplyBody, ResolveOrder, ResolvedAs, StopAction, StopPhase, StopScope,
            VenueOrderStatus, VenueRequest, VenueSnapshot,
        },
        order::{Filling, OrderStatus, OrderType, Side},
        position::FillReason,
        time::SECOND_NS,
    },
    machine::Machine,
};
use proptest::prelude::*;
use rust_decimal::Decimal;

mod resolve;
mod terms;

const FAR: &str = "far";

/// A machine with a paper account `main` and an account `far` at a venue that a test plays.
struct Far {
    rig: Rig,
    seq: u64,
    capabilities: Capabilities,
}

impl Far {
    /// Before the first session.
    fn down() -> Self {
        let mut rig = Rig::with(|config| {
            let mut far = account(FAR);
            far.connector = "venue".to_owned();
            far.deposit = Decimal::ZERO;
            let (address, login) = ("127.0.0.1:1".to_owned(), "login".to_owned());
            far.link = Some(LinkSettings { address, login, secret: None });
            config.accounts.push(far);
        });
        rig.step(&Input::Gateway(lockstep::domain::message::GatewayState::Ready));
        rig.quote("BTCUSD", "60000.00", "60010.00");
        let capabilities = Capabilities {
            fencing: true,
            dedupe: true,
            resend: true,
            order_types: vec![OrderType::Market, OrderType::Limit],
            fillings: vec![Filling::Ioc, Filling::Return],
            modify: vec![ModifyField::Price, ModifyField::Volume, ModifyField::Stops],
        };
        Self { rig, seq: 0, capabilities }
    }

    /// Connected, with 10,000 and nothing open.
    fn up() -> Self {
        let mut far = Self::down();
        far.connect();
        far.books("10000", vec![], vec![]);
        assert_eq!(far.status(), LinkStatus::Connected);
        far.rig.requests.clear();
        far
    }

    fn news(&mut self, event: LinkEvent) -> Outputs {
        self.rig.step(&Input::Link(Box::new(LinkInput { account: account_id(FAR), event })))
    }

    fn connect(&mut self) -> Outputs {
        let capabilities = self.capabilities.clone();
        self.news(LinkEvent::Up(LinkUp { log: "log-1".to_owned(), capabilities }))
    }

    fn cut(&mut self) -> Outputs {
        self.news(LinkEvent::Down { reason: "the connection was lost".to_owned() })
    }

    /// The next report of the log.
    fn report(&mut self, report: LinkReport) -> Outputs {
        let prev = self.seq;
        self.seq += 1;
        self.news(LinkEvent::Report(Box::new(NumberedReport { seq: prev + 1, prev, report })))
    }

    fn books(&mut self, balance: &str, orders: Vec<OrderState>, positions: Vec<PositionState>) -> Outputs {
        let seq = self.seq;
        let (balance, currency) = (dec(balance), "USD".to_owned());
        let books = VenueSnapshot { seq, balance, currency, orders, positions, fills: Some(Vec::new()) };
        self.news(LinkEvent::Snapshot(Box::new(books)))
    }

    fn status(&self) -> LinkStatus {
        self.rig.view_of(FAR).summary.status
    }

    fn last_error(&self) -> String {
        match self.rig.machine.query_at(self.rig.now, &Query::AccountStatus(account_id(FAR))) {
            Ok(Answer::AccountStatus(status)) => status.last_error.unwrap_or_default(),
            other => panic!("not a status: {other:?}"),
        }
    }

    fn send(&mut self, body: CommandBody) -> Option<Result<ReplyBody, Refusal>> {
        self.rig.send(body)
    }

    fn ask(&mut self, order: impl Into<PlaceOrder>) -> Option<Result<ReplyBody, Refusal>> {
        let order = PlaceOrder { account: account_id(FAR), ..order.into() };
        self.send(CommandBody::Place(order))
    }

    /// An order on its way: sent and not confirmed.
    fn sent(&mut self, order: impl Into<PlaceOrder>) -> OrderId {
        assert_eq!(self.ask(order), None, "it waits for the venue");
        let submitted = self.rig.requests.iter().rev().find_map(|r| match r {
            VenueRequest::Submit(order) => Some(order.order),
            _ => None,
        });
        submitted.expect("an order for the venue")
    }

    /// A limit order that rests at the venue.
    fn resting(&mut self) -> OrderId {
        let order = self.sent(buy("BTCUSD", "0.10").limit("59000.00"));
        self.report(accepted(order));
        order
    }

    /// A position of 0.10 lots that an order opened at 60010.
    fn open(&mut self) -> OrderId {
        let order = self.sent(buy("BTCUSD", "0.10"));
        self.report(LinkReport::Fill(fill(order, "x1", "0.10")));
        order
    }

    fn order(&self, id: OrderId) -> OrderStatus {
        let key = lockstep::domain::message::OrderKey::Order(id);
        match self.rig.machine.query_at(self.rig.now, &Query::Order(account_id(FAR), key)) {
            Ok(Answer::Order(detail)) => detail.order.status,
            other => panic!("not an order: {other:?}"),
        }
    }

    /// The requests since the last call, one word each.
    fn requests(&mut self) -> Vec<String> {
        std::mem::take(&mut self.rig.requests).iter().map(word).collect()
    }

    fn reply_to_last(&self) -> &Result<ReplyBody, Refusal> {
        &self.rig.replies.last().expect("an answer").result
    }
}

fn word(request: &VenueRequest) -> String {
    match request {
        VenueRequest::Submit(order) => format!("submit {}", order.order),
        VenueRequest::Cancel { order, .. } => format!("cancel {order}"),
        VenueRequest::Modify(request) if request.adds_risk => "widen".to_owned(),
        VenueRequest::Modify(_) => "modify".to_owned(),
        VenueRequest::Link { request, .. } => match request {
            LinkRequest::Open(_) => "open".to_owned(),
            LinkRequest::Close => "close".to_owned(),
            LinkRequest::Sync { log, after, orders, .. } => {
                format!("sync {} {after} {orders:?}", log.as_deref().unwrap_or("-"))
            }
            LinkRequest::Reset { .. } => "reset".to_owned(),
            LinkRequest::Status { orders } => format!("status {orders:?}"),
            LinkRequest::Purge => "purge".to_owned(),
        },
    }
}

fn accepted(order: OrderId) -> LinkReport {
    LinkReport::Accepted { order: order.to_string(), venue_order: Some(format!("v{}", order.0)) }
}

/// A fill that opens at 60010.
fn fill(order: OrderId, name: &str, volume: &str) -> LinkFill {
    LinkFill {
        fill: name.to_owned(),
        order: Some(order.to_string()),
        position: format!("t{}", order.0),
        symbol: "BTCUSD".to_owned(),
        side: Side::Buy,
        volume: dec(volume),
        price: dec("60010.00"),
        commission: dec("-0.70"),
        realized_pnl: Decimal::ZERO,
        closes: false,
        position_volume: dec(volume),
        levels: Levels::default(),
        reason: FillReason::Order,
        ts: lockstep::domain::time::UnixNanos::ZERO,
    }
}

/// The venue closes a position of 0.10 lots by itself, at 60000.
fn venue_close(order: OrderId, name: &str) -> LinkFill {
    LinkFill {
        order: None,
        side: Side::Sell,
        price: dec("60000.00"),
        realized_pnl: dec("-1.00"),
        closes: true,
        position_volume: Decimal::ZERO,
        reason: FillReason::StopLoss,
        ..fill(order, name, "0.10")
    }
}

fn state(order: OrderId, status: VenueOrderStatus, filled: &str) -> OrderState {
    let known = status != VenueOrderStatus::Unknown;
    OrderState {
        order: order.to_string(),
        status,
        venue_order: None,
        volume: known.then(|| dec("0.10")),
        filled: known.then(|| dec(filled)),
        avg_price: None,
        price: None,
        levels: Levels::default(),
        reason: None,
    }
}

fn held(order: OrderId, volume: &str) -> PositionState {
    PositionState {
        position: format!("t{}", order.0),
        order: Some(order.to_string()),
        symbol: "BTCUSD".to_owned(),
        side: Side::Buy,
        volume: dec(volume),
        open_price: dec("60010.00"),
        levels: Levels::default(),
    }
}

#[test]
fn the_balance_of_a_venue_account_is_taken_over_from_its_books_once_and_differences_are_posted() {
    let mut far = Far::down();
    assert_eq!(far.requests(), ["open"]);
    far.connect();
    assert_eq!(far.status(), LinkStatus::Reconciling);
    assert_eq!(far.requests(), ["sync - 0 []"], "there is nothing yet that reports could follow");
    far.books("2500.50", vec![], vec![]);
    assert_eq!(far.rig.view_of(FAR).summary.balance.amount(), dec("2500.50"));
    far.cut();
    far.connect();
    far.books("2400.00", vec![], vec![]);
    let kinds: Vec<_> =
        far.rig.ledger.iter().filter(|e| e.account_id == account_id(FAR)).map(|e| e.kind).collect();
    use lockstep::domain::ledger::EntryKind;
    assert_eq!(kinds, [EntryKind::Deposit, EntryKind::Adjustment]);
    assert_eq!(far.rig.risk_of(FAR).daily_loss[&account_id(FAR)].amount(), dec("100.50"), "a loss counts");
}

#[test]
fn lv03_an_order_of_unknown_fate_stays_unknown_until_the_books_prove_it() {
    let (unknown, working) = (VenueOrderStatus::Unknown, VenueOrderStatus::Working);
    for (fencing, found, expected) in [
        (true, unknown, OrderStatus::Rejected),
        (false, unknown, OrderStatus::Unknown),
        (true, working, OrderStatus::Accepted),
        (false, working, OrderStatus::Accepted),
        (true, VenueOrderStatus::Canceled, OrderStatus::Canceled),
        (true, VenueOrderStatus::Expired, OrderStatus::Expired),
        (true, VenueOrderStatus::Rejected, OrderStatus::Rejected),
    ] {
        let mut far = Far::up();
        far.capabilities.fencing = fencing;
        let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
        far.cut();
        assert_eq!(far.order(order), OrderStatus::Unknown);
        far.requests();
        far.connect();
        assert_eq!(far.requests(), [format!("sync log-1 0 [{order}]")]);
        far.books("10000", vec![state(order, found, "0")], vec![]);
        assert_eq!(far.order(order), expected, "fencing {fencing}, {found:?}");
        assert_eq!(far.status(), LinkStatus::Connected);
        assert!(far.requests().is_empty(), "nothing is sent a second time");
    }
}

#[test]
fn lv03_a_time_out_that_was_executed_is_found_and_the_key_brings_the_present_state() {
    let mut far = Far::up();
    let order = PlaceOrder { account: account_id(FAR), ..buy("BTCUSD", "0.10").into() };
    let place = CommandBody::Place(order);
    let key = Some(("key", "print"));
    assert_eq!(far.rig.send_as("tester", key, place.clone()), None);
    let id = OrderId(1);
    far.rig.wait(6 * SECOND_NS).wake();
    let refusal = far.reply_to_last().clone().expect_err("nobody answered");
    assert_eq!(
        (refusal.code, refusal.details["outcome"].as_str()),
        (ErrorCode::Timeout, Some("may_have_executed"))
    );
    assert_eq!(refusal.details["orderId"], id.to_string());
    assert!(far.requests().contains(&format!("status [{id}]")), "the venue is asked after a while");

    let again = far.rig.send_as("tester", key, place.clone()).expect("an answer");
    assert_eq!(again.expect_err("still open").code, ErrorCode::Timeout);
    far.cut();
    far.connect();
    far.report(LinkReport::Fill(fill(id, "x1", "0.10")));
    far.books("9999.30", vec![state(id, VenueOrderStatus::Filled, "0.10")], vec![held(id, "0.10")]);
    match far.rig.send_as("tester", key, place).expect("an answer") {
        Ok(ReplyBody::Place(reply)) => assert_eq!(reply.status, OrderStatus::Filled),
        other => panic!("not the order's present state: {other:?}"),
    }
    assert_eq!(far.requests().iter().filter(|r| r.starts_with("submit")).count(), 0, "one order only");
}

#[test]
fn lv01_a_fill_counts_once_whoever_repeats_it() {
    let mut far = Far::up();
    let order = far.open();
    let balance = far.rig.view_of(FAR).summary.balance;
    let again = NumberedReport { seq: 1, prev: 0, report: LinkReport::Fill(fill(order, "x1", "0.10")) };
    let out = far.news(LinkEvent::Report(Box::new(again)));
    assert_eq!(out.marks, [Mark::DuplicateReport], "by the report's number");
    let out = far.report(LinkReport::Fill(fill(order, "x1", "0.10")));
    assert_eq!(out.marks, [Mark::DuplicateFill], "by the fill's name");
    let restarted = Machine::decode(Machine::STATE_VERSION, &far.rig.machine.encode()).expect("a state");
    far.rig.machine = restarted;
    let out = far.report(LinkReport::Fill(fill(order, "x1", "0.10")));
    assert_eq!(out.marks, [Mark::DuplicateFill], "after a restart too");
    assert_eq!(far.rig.view_of(FAR).summary.balance, balance);
    assert_eq!(far.status(), LinkStatus::Connected);
}

#[test]
fn lv01_fills_that_happened_while_the_link_was_down_are_booked_once() {
    let mut far = Far::up();
    let order = far.resting();
    far.cut();
    far.connect();
    let listed = vec![fill(order, "x7", "0.10")];
    let books = VenueSnapshot {
        seq: 1,
        balance: dec("9999.30"),
        currency: "USD".to_owned(),
        orders: vec![state(order, VenueOrderStatus::Filled, "0.10")],
        positions: vec![held(order, "0.10")],
        fills: Some(listed.clone()),
    };
    let out = far.news(LinkEvent::Snapshot(Box::new(books)));
    assert!(out.marks.contains(&Mark::MissedFill));
    assert_eq!(far.order(order), OrderStatus::Filled);
    let view = far.rig.view_of(FAR);
    assert_eq!((view.positions.len(), view.summary.balance.amount()), (1, dec("9999.30")));
    let out = far.report(LinkReport::Fill(listed[0].clone()));
    assert_eq!(out.marks, [Mark::DuplicateFill]);
}

#[test]
fn lv01_a_venue_without_history_gives_fills_whose_ids_are_functions_of_their_content() {
    let run = || {
        let mut far = Far::up();
        far.capabilities.resend = false;
        let order = far.resting();
        far.cut();
        far.connect();
        let average = Some(dec("59000.00"));
        let filled = OrderState { avg_price: average, ..state(order, VenueOrderStatus::Filled, "0.10") };
        let position = PositionState { open_price: dec("59000.00"), ..held(order, "0.10") };
        let (seq, balance, currency) = (1, dec("9998.00"), "USD".to_owned());
        let (orders, positions) = (vec![filled], vec![position]);
        let books = VenueSnapshot { seq, balance, currency, orders, positions, fills: None };
        far.news(LinkEvent::Snapshot(Box::new(books)));
        assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
        assert_eq!(far.order(order), OrderStatus::Filled);
        assert_eq!(
            far.rig.view_of(FAR).summary.balance.amount(),
            dec("9998.00"),
            "what it cost is in the balance"
        );
        far.rig.machine.output_hash()
    };
    assert_eq!(run(), run());
}

/// Books need not say which order opened a position.
#[test]
fn lv01_a_position_without_its_order_is_known_by_its_name_or_by_its_content() {
    for filled_before in [false, true] {
        let mut far = Far::up();
        let order = far.resting();
        if filled_before {
            far.report(LinkReport::Fill(LinkFill { price: dec("59000.00"), ..fill(order, "x1", "0.04") }));
        }
        far.cut();
        far.news(LinkEvent::Up(LinkUp { log: "log-2".to_owned(), capabilities: far.capabilities.clone() }));
        let average = Some(dec("59000.00"));
        let filled = OrderState { avg_price: average, ..state(order, VenueOrderStatus::Filled, "0.10") };
        let anonymous = PositionState { order: None, open_price: dec("59000.00"), ..held(order, "0.10") };
        let (seq, balance, currency) = (1, dec("9998.00"), "USD".to_owned());
        let (orders, positions) = (vec![filled], vec![anonymous]);
        let books = VenueSnapshot { seq, balance, currency, orders, positions, fills: None };
        far.news(LinkEvent::Snapshot(Box::new(books)));
        assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
        far.seq = 1;
        let close = LinkFill { price: dec("60000.00"), ..venue_close(order, "x9") };
        far.news(LinkEvent::Report(Box::new(NumberedReport {
            seq: 2,
            prev: 1,
            report: LinkReport::Fill(close),
        })));
        assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
        assert!(far.rig.view_of(FAR).positions.is_empty(), "it is known by the venue's name");
    }
}

#[test]
fn lv01_books_that_rest_on_lost_reports_wait_for_them() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10"));
    far.cut();
    far.connect();
    far.requests();
    far.seq = 1; // the fill, which was lost
    let books = |far: &mut Far| {
        let filled = state(order, VenueOrderStatus::Filled, "0.10");
        far.books("9999.65", vec![filled], vec![held(order, "0.10")])
    };
    assert_eq!(books(&mut far).marks, [Mark::ReportGap]);
    assert_eq!(far.requests(), [format!("sync log-1 0 [{order:?}]")]);
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Reconciling, OrderStatus::Unknown));

    let mut repeated = Far { rig: far.rig.clone(), seq: 0, capabilities: far.capabilities.clone() };
    repeated.report(LinkReport::Fill(fill(order, "x1", "0.10")));
    books(&mut repeated);
    assert_eq!((repeated.status(), repeated.order(order)), (LinkStatus::Connected, OrderStatus::Filled));

    books(&mut far);
    assert_eq!(far.requests(), ["reset"], "lost again: a new session tells it all");
    assert_eq!(far.order(order), OrderStatus::Unknown, "nothing was made up");
}

#[test]
fn lv02_books_that_nobody_sends_and_books_that_contradict_the_reports_close_nothing() {
    let mut far = Far::up();
    let order = far.open();
    far.cut();
    far.connect();
    assert_eq!(far.status(), LinkStatus::Reconciling);
    assert_eq!(far.rig.view_of(FAR).positions.len(), 1, "no answer is not flat");
    far.books("9999.30", vec![], vec![]);
    assert_eq!(far.status(), LinkStatus::Error);
    assert!(far.last_error().contains("no report closed it"), "{}", far.last_error());
    assert_eq!(far.rig.view_of(FAR).positions.len(), 1, "a wrong snapshot is not flat either");
    let _ = order;
}

#[test]
fn lv02_a_venue_that_lost_its_log_is_believed_by_its_books() {
    let mut far = Far::up();
    far.open();
    far.cut();
    let capabilities = far.capabilities.clone();
    far.news(LinkEvent::Up(LinkUp { log: "log-2".to_owned(), capabilities }));
    far.seq = 0;
    far.books("9990.00", vec![], vec![]);
    assert_eq!(far.status(), LinkStatus::Connected);
    let view = far.rig.view_of(FAR);
    assert_eq!((view.positions.len(), view.summary.balance.amount()), (0, dec("9990.00")));
    let closed = |e: &Event| matches!(e, Event::TradeClosed(c) if c.reason == FillReason::Reconciled);
    assert!(far.rig.events.iter().any(closed), "it says why the position is gone");
}

#[test]
fn lv07_working_orders_stay_across_a_reconnect_and_nothing_is_sent_again() {
    let mut far = Far::up();
    let order = far.resting();
    far.requests();
    for _ in 0..3 {
        far.cut();
        assert_eq!(far.order(order), OrderStatus::Accepted, "it rests at the venue, whoever listens");
        far.connect();
        assert_eq!(far.requests(), [format!("sync log-1 1 [{order}]")]);
        far.books("10000", vec![state(order, VenueOrderStatus::Working, "0")], vec![]);
        assert_eq!((far.order(order), far.status()), (OrderStatus::Accepted, LinkStatus::Connected));
        assert!(far.requests().is_empty());
    }
    // nor does a restart of the gateway drop or send anything
    far.rig.step(&Input::Gateway(lockstep::domain::message::GatewayState::Ready));
    assert_eq!(far.requests(), ["open"]);
    assert_eq!(far.order(order), OrderStatus::Accepted);
}

#[test]
fn rk07_while_reconciling_new_risk_is_denied_and_cancels_and_closes_flow() {
    let mut far = Far::up();
    let (resting, opened) = (far.resting(), far.sent(buy("BTCUSD", "0.10")));
    far.report(LinkReport::Fill(fill(opened, "x1", "0.10")));
    far.cut();
    let down = far.ask(buy("BTCUSD", "0.10")).expect("an answer").expect_err("nobody is there");
    assert_eq!(down.code, ErrorCode::ConnectorUnavailable);
    assert_eq!(codes(&down), ["ACCOUNT_NOT_CONNECTED"]);
    let cancel =
        CommandBody::Cancel(CancelOrders { account: account_id(FAR), target: CancelTarget::Order(resting) });
    let refused = far.send(cancel.clone()).expect("an answer").expect_err("nobody is there");
    assert_eq!(refused.reason(), "ACCOUNT_NOT_CONNECTED");
    far.connect();
    far.requests();
    let denied = far.ask(buy("BTCUSD", "0.10")).expect("an answer").expect_err("reconciling");
    assert_eq!(codes(&denied), ["RECONCILING"]);
    assert_eq!((denied.code, denied.retryable), (ErrorCode::ConnectorUnavailable, true));
    assert_eq!(far.send(cancel), None, "it waits for the venue");
    let close = ClosePosition {
        account: account_id(FAR),
        target: CloseTarget::Position(PositionId(opened.0)),
        volume: None,
        reason: None,
    };
    assert_eq!(far.send(CommandBody::Close(close.clone())), None);
    assert_eq!(far.requests(), [format!("cancel {resting}"), "submit o3".to_owned()]);
    assert_eq!(far.send(CommandBody::Close(close)), None, "a repeat joins");
    assert!(far.requests().is_empty(), "and sends nothing");
}

#[test]
fn rk07_books_need_not_tell_of_a_reduction_that_was_sent_while_they_were_on_their_way() {
    let mut far = Far::up();
    let opened = far.open();
    far.cut();
    far.connect();
    let close = ClosePosition {
        account: account_id(FAR),
        target: CloseTarget::Position(PositionId(opened.0)),
        volume: None,
        reason: None,
    };
    assert_eq!(far.send(CommandBody::Close(close)), None);
    far.books("9999.30", vec![], vec![held(opened, "0.10")]);
    assert_eq!(far.status(), LinkStatus::Connected, "{}", far.last_error());
    assert_eq!(far.order(OrderId(2)), OrderStatus::Submitted);
}

#[test]
fn rk05_a_stop_takes_back_what_is_not_on_the_wire_before_it_cancels() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    far.requests();
    let stop = far.rig.emergency_stop(StopScope::Global, &[StopAction::Pause, StopAction::CancelAll]);
    assert_eq!(far.requests(), ["purge".to_owned(), format!("cancel {order}")]);
    far.news(LinkEvent::NotSent(NotSent { orders: vec![order], terms: vec![] }));
    assert_eq!(far.order(order), OrderStatus::Canceled);
    let refusal = far.rig.replies.iter().find_map(|r| r.result.clone().err()).expect("the order's answer");
    assert_eq!((refusal.reason(), refusal.details["outcome"].as_str()), ("NOT_SENT", Some("not_started")));
    let done = |e: &Event| matches!(e, Event::EmergencyStop(s) if s.stop_id == stop.stop_id && s.phase == StopPhase::Completed);
    assert!(far.rig.events.iter().any(done));
}

#[test]
fn rk05_an_order_whose_cancel_was_refused_or_that_turns_up_under_a_stop_is_cancelled_again() {
    let mut far = Far::up();
    let order = far.resting();
    far.rig.emergency_stop(StopScope::Global, &[StopAction::CancelAll]);
    far.requests();
    far.report(LinkReport::CancelRejected { order: order.to_string(), reason: "FROZEN".into() });
    assert_eq!(far.order(order), OrderStatus::Accepted);
    assert!(far.requests().is_empty(), "not at once");
    far.rig.wait(6 * SECOND_NS).wake();
    assert_eq!(far.requests()[0], format!("cancel {order}"));

    let mut far = Far::up();
    far.capabilities.fencing = false;
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    far.cut();
    far.connect();
    far.books("10000", vec![state(order, VenueOrderStatus::Unknown, "0")], vec![]);
    far.rig.emergency_stop(StopScope::Global, &[StopAction::CancelAll]);
    far.requests();
    far.report(accepted(order));
    assert_eq!(far.requests(), [format!("cancel {order}")]);
}

#[test]
fn rk06_a_fill_that_overtook_its_cancel_is_closed_although_the_stop_was_complete() {
    let mut far = Far::up();
    let order = far.resting();
    far.rig.emergency_stop(StopScope::Global, &[StopAction::CloseAll]);
    far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
    let completed = |far: &Far| {
        let done = |e: &&Event| matches!(e, Event::EmergencyStop(s) if s.phase == StopPhase::Completed);
        far.rig.events.iter().filter(done).count()
    };
    assert_eq!(completed(&far), 1);
    far.requests();
    let (seq, prev) = (far.seq + 1, far.seq);
    far.seq += 1;
    let late = NumberedReport { seq, prev, report: LinkReport::Fill(fill(order, "x1", "0.10")) };
    far.rig.step_alarmed(&Input::Link(Box::new(LinkInput {
        account: account_id(FAR),
        event: LinkEvent::Report(Box::new(late)),
    })));
    assert_eq!(far.requests(), ["submit o2"], "the position is closed");
    let close = LinkFill { order: Some("o2".into()), reason: FillReason::Order, ..venue_close(order, "x2") };
    far.report(LinkReport::Fill(close));
    assert_eq!(completed(&far), 2);
}

#[test]
fn rk05_pausing_alone_takes_back_what_is_not_on_the_wire() {
    let mut far = Far::up();
    far.rig.emergency_stop(StopScope::Account(account_id(FAR)), &[StopAction::Pause]);
    assert_eq!(far.requests(), ["purge"]);
    assert_eq!(far.rig.view_of(FAR).summary.trading_state, TradingState::Halted);
}

#[test]
fn rk06_a_stop_that_closes_completes_after_a_reconnect() {
    let mut far = Far::up();
    let (resting, opened) = (far.resting(), far.sent(buy("BTCUSD", "0.10")));
    far.report(LinkReport::Fill(fill(opened, "x1", "0.10")));
    far.cut();
    far.requests();
    let stop = far.rig.emergency_stop(StopScope::Global, &[StopAction::CloseAll]);
    assert!(stop.latched);
    assert_eq!(far.requests(), ["purge"], "nothing else can be asked of a venue that is away");
    far.connect();
    let states = vec![state(resting, VenueOrderStatus::Working, "0")];
    assert_eq!(
        far.requests()[1..],
        [format!("cancel {resting}")],
        "cancels flow while the books are compared"
    );
    far.books("9999.30", states, vec![held(opened, "0.10")]);
    assert_eq!(far.requests(), ["submit o3"]);
    far.report(LinkReport::Canceled { order: resting.to_string(), reason: None });
    let close =
        LinkFill { order: Some("o3".to_owned()), reason: FillReason::Order, ..venue_close(opened, "x2") };
    far.report(LinkReport::Fill(close));
    let completed = |e: &Event| matches!(e, Event::EmergencyStop(s) if s.phase == StopPhase::Completed);
    assert!(far.rig.events.iter().any(completed));
    assert!(far.rig.view_of(FAR).positions.is_empty());
}

#[test]
fn lv02_an_account_whose_reports_got_lost_reconciles_and_repeated_ones_change_nothing() {
    for resend in [true, false] {
        let mut far = Far::up();
        far.capabilities.resend = resend;
        far.cut();
        far.connect();
        far.books("10000", vec![], vec![]);
        let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
        far.requests();
        let canceled = |seq, prev| {
            let report = LinkReport::Canceled { order: order.to_string(), reason: None };
            LinkEvent::Report(Box::new(NumberedReport { seq, prev, report }))
        };
        let out = far.news(canceled(3, 2));
        assert_eq!((out.marks, far.order(order)), (vec![Mark::ReportGap], OrderStatus::Submitted));
        assert_eq!(far.requests(), [format!("sync log-1 0 [{order}]")]);
        assert_eq!(far.status(), LinkStatus::Reconciling, "what it holds is not known");
        let denied = far.ask(buy("BTCUSD", "0.10")).expect("an answer").expect_err("no new risk");
        assert_eq!(codes(&denied), ["RECONCILING"]);
        far.news(canceled(4, 3));
        assert!(far.requests().is_empty(), "it was asked for already");
        if resend {
            far.report(accepted(order));
            far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
        }
        far.seq = 3;
        far.books("10000", vec![state(order, VenueOrderStatus::Canceled, "0")], vec![]);
        if resend {
            assert_eq!(far.requests(), ["sync log-1 2 []"], "report 3 got lost once more");
            far.seq = 2;
            far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
            far.books("10000", vec![], vec![]);
        }
        assert_eq!(far.order(order), OrderStatus::Canceled);
        assert_eq!(far.status(), LinkStatus::Connected);
    }
}

#[test]
fn a_heartbeat_tells_of_lost_reports_and_a_venue_that_does_not_bring_them_gets_another_session() {
    let mut far = Far::up();
    far.news(LinkEvent::Heartbeat { last: 2 });
    assert_eq!((far.status(), far.requests()), (LinkStatus::Reconciling, vec!["sync log-1 0 []".to_owned()]));
    far.news(LinkEvent::Heartbeat { last: 2 });
    assert_eq!((far.status(), far.requests()), (LinkStatus::Disconnected, vec!["reset".to_owned()]));
    far.connect();
    assert_eq!(far.requests(), ["sync log-1 0 []"]);
}

#[test]
fn a_lost_confirmation_is_asked_for_and_an_order_that_the_venue_never_got_begins_a_new_session() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    far.requests();
    far.rig.wait(6 * SECOND_NS).wake();
    assert_eq!(far.requests(), [format!("status [{order}]")]);
    let mut confirmed = Far { rig: far.rig.clone(), seq: far.seq, capabilities: far.capabilities.clone() };
    confirmed.news(LinkEvent::Status(vec![state(order, VenueOrderStatus::Working, "0")]));
    assert_eq!(confirmed.order(order), OrderStatus::Accepted);

    far.news(LinkEvent::Status(vec![state(order, VenueOrderStatus::Unknown, "0")]));
    assert_eq!(far.requests(), ["reset"], "only a later session can prove that it was never taken");
    assert_eq!(far.order(order), OrderStatus::Unknown);
    far.connect();
    far.books("10000", vec![state(order, VenueOrderStatus::Unknown, "0")], vec![]);
    assert_eq!(far.order(order), OrderStatus::Rejected);
}

#[test]
fn an_order_that_the_venue_never_got_and_that_is_being_cancelled_begins_a_new_session_too() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    let target = CancelTarget::Order(order);
    far.send(CommandBody::Cancel(CancelOrders { account: account_id(FAR), target }));
    far.requests();
    far.news(LinkEvent::Status(vec![state(order, VenueOrderStatus::Unknown, "0")]));
    assert_eq!((far.status(), far.requests()), (LinkStatus::Disconnected, vec!["reset".to_owned()]));
    far.connect();
    far.books("10000", vec![state(order, VenueOrderStatus::Unknown, "0")], vec![]);
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Rejected));
}

/// A venue with a resting order, an order on its way and a position of 0.10 lots.
fn busy() -> (Far, OrderId, OrderId, OrderId) {
    let mut far = Far::up();
    let (resting, opened) = (far.resting(), far.sent(buy("BTCUSD", "0.10")));
    far.report(LinkReport::Fill(fill(opened, "x1", "0.10")));
    let sent = far.sent(buy("BTCUSD", "0.10"));
    (far, resting, opened, sent)
}

#[test]
fn what_cannot_be_true_takes_the_account_to_error_and_changes_nothing_else() {
    let (far, resting, opened, sent) = busy();
    let report = |far: &Far, report| {
        LinkEvent::Report(Box::new(NumberedReport { seq: far.seq + 1, prev: far.seq, report }))
    };
    let name = |id: OrderId| id.to_string();
    let good = fill(sent, "x2", "0.10");
    let closing = venue_close(opened, "x2");
    let impossible: Vec<(&str, LinkReport)> = vec![
        ("not ours", LinkReport::Accepted { order: "o99".into(), venue_order: None }),
        ("not ours", LinkReport::Canceled { order: "?somebody else's".into(), reason: None }),
        ("not ours", LinkReport::Fill(LinkFill { order: Some("o99".into()), ..good.clone() })),
        ("without an order", LinkReport::Fill(LinkFill { order: None, ..good.clone() })),
        ("does not exist here", LinkReport::Fill(LinkFill { symbol: "DOGE".into(), ..good.clone() })),
        ("another symbol or side", LinkReport::Fill(LinkFill { symbol: "ETHUSD".into(), ..good.clone() })),
        ("another symbol or side", LinkReport::Fill(LinkFill { side: Side::Sell, ..good.clone() })),
        ("more is filled", LinkReport::Fill(LinkFill { volume: dec("0.11"), ..good.clone() })),
        ("grid", LinkReport::Fill(LinkFill { volume: dec("0.015"), ..good.clone() })),
        ("grid", LinkReport::Fill(LinkFill { volume: dec("-0.10"), ..good.clone() })),
        ("grid", LinkReport::Fill(LinkFill { price: dec("60010.005"), ..good.clone() })),
        ("grid", LinkReport::Fill(LinkFill { price: dec("0"), ..good.clone() })),
        ("lots, not", LinkReport::Fill(LinkFill { position_volume: dec("0.2"), ..good.clone() })),
        ("more digits", LinkReport::Fill(LinkFill { commission: dec("-0.001"), ..good.clone() })),
        ("a reduction opens", LinkReport::Fill(LinkFill { closes: true, ..good.clone() })),
        (
            "another order opened",
            LinkReport::Fill(LinkFill { position: format!("t{}", opened.0), ..good.clone() }),
        ),
        ("more than is open", LinkReport::Fill(LinkFill { volume: dec("0.20"), ..closing.clone() })),
        ("another symbol or side", LinkReport::Fill(LinkFill { side: Side::Buy, ..closing.clone() })),
        ("not ours", LinkReport::Fill(LinkFill { position: "t77".into(), ..closing })),
        ("not ours", LinkReport::Position { position: "t77".into(), levels: Levels::default() }),
        ("neither", LinkReport::ModifyRejected { order: None, position: None, reason: "no".into() }),
        (
            "grid",
            LinkReport::Modified {
                order: name(resting),
                volume: dec("0.10"),
                price: Some(dec("0.001")),
                levels: Levels::default(),
            },
        ),
    ];
    let mut events: Vec<(&str, LinkEvent)> =
        impossible.into_iter().map(|(why, said)| (why, report(&far, said))).collect();
    events.push((
        "follows 0",
        LinkEvent::Report(Box::new(NumberedReport { seq: far.seq + 1, prev: 0, report: accepted(sent) })),
    ));
    events.push(("is its last", LinkEvent::Heartbeat { last: 0 }));
    events.push(("broke the rules", LinkEvent::Fault { reason: "it broke the rules".into() }));
    for (why, event) in events {
        let mut far = Far { rig: far.rig.clone(), seq: far.seq, capabilities: far.capabilities.clone() };
        let before = far.rig.view_of(FAR);
        far.requests();
        far.news(event.clone());
        assert_eq!(far.status(), LinkStatus::Error, "{why}: {event:?}");
        assert!(far.last_error().contains(why), "`{}` does not say `{why}`", far.last_error());
        let after = far.rig.view_of(FAR);
        assert_eq!((before.summary.balance, before.positions), (after.summary.balance, after.positions));
        assert_eq!(far.order(resting), OrderStatus::Accepted);
        assert_eq!(far.order(sent), OrderStatus::Unknown, "its fate is open");
        assert_eq!(far.requests(), ["close"]);
        far.rig.open(buy("BTCUSD", "0.10")); // the other account trades on
        far.connect();
        assert_eq!(far.requests(), ["close"], "not before an operator says so");
    }
}

#[test]
fn books_that_cannot_be_true_take_the_account_to_error() {
    let (far, resting, opened, sent) = busy();
    let working = state(resting, VenueOrderStatus::Working, "0");
    let filled = state(opened, VenueOrderStatus::Filled, "0.10");
    let open = state(sent, VenueOrderStatus::Unknown, "0");
    let states = vec![working.clone(), filled, open];
    let of = |change: &dyn Fn(&mut VenueSnapshot)| {
        let mut books = VenueSnapshot {
            seq: far.seq,
            balance: dec("9999.30"),
            currency: "USD".to_owned(),
            orders: states.clone(),
            positions: vec![held(opened, "0.10")],
            fills: Some(Vec::new()),
        };
        change(&mut books);
        books
    };
    for (why, books) in [
        ("", of(&|_| {})),
        ("kept in EUR", of(&|b| b.currency = "EUR".into())),
        ("end with report 1", of(&|b| b.seq = 1)),
        ("say nothing about", of(&|b| drop(b.orders.remove(0)))),
        ("twice", of(&|b| b.orders.push(b.orders[0].clone()))),
        ("no such open order", of(&|b| b.orders[1].status = VenueOrderStatus::Working)),
        ("no such open order", of(&|b| b.orders.push(OrderState { order: "?x".into(), ..working.clone() }))),
        ("is not known there", of(&|b| b.orders[0] = state(resting, VenueOrderStatus::Unknown, "0"))),
        ("at no price", of(&|b| b.orders[0].filled = Some(dec("0.10")))),
        (
            "is not ours",
            of(&|b| {
                b.positions[0] = PositionState { order: None, position: "z".into(), ..held(opened, "0.10") }
            }),
        ),
        ("lots there", of(&|b| b.positions[0].volume = dec("0.20"))),
        ("lots there", of(&|b| b.positions[0].volume = dec("0.05"))),
        ("another symbol or side", of(&|b| b.positions[0].side = Side::Sell)),
        ("no report closed it", of(&|b| b.positions.clear())),
        ("more digits", of(&|b| b.balance = dec("1.001"))),
    ] {
        let mut far = Far { rig: far.rig.clone(), seq: far.seq, capabilities: far.capabilities.clone() };
        far.cut();
        far.connect();
        let before = far.rig.view_of(FAR);
        far.news(LinkEvent::Snapshot(Box::new(books)));
        let expected = if why.is_empty() { LinkStatus::Connected } else { LinkStatus::Error };
        assert_eq!(far.status(), expected, "{why}: {}", far.last_error());
        if !why.is_empty() {
            assert!(far.last_error().contains(why), "`{}` does not say `{why}`", far.last_error());
            let after = far.rig.view_of(FAR);
            assert_eq!((before.summary.balance, before.positions), (after.summary.balance, after.positions));
            assert_eq!(before.orders, after.orders, "nothing is half applied");
        }
    }
}

#[test]
fn or02_fills_in_parts_average_their_position_and_a_cancel_ends_the_rest() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("60020.00"));
    far.report(accepted(order));
    let part = |name: &str, volume: &str, price: &str, total: &str| {
        let (price, position_volume) = (dec(price), dec(total));
        LinkReport::Fill(LinkFill { price, position_volume, ..fill(order, name, volume) })
    };
    far.report(part("x1", "0.04", "60010.00", "0.04"));
    assert_eq!(far.order(order), OrderStatus::PartiallyFilled);
    far.report(part("x2", "0.04", "60020.00", "0.08"));
    let view = far.rig.view_of(FAR);
    assert_eq!((view.positions[0].open_price, view.positions[0].volume), (dec("60015.00"), dec("0.08")));
    far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
    assert_eq!(far.order(order), OrderStatus::Canceled);
    let rest = LinkFill {
        order: None,
        side: Side::Sell,
        closes: true,
        position_volume: dec("0.02"),
        ..fill(order, "x3", "0.06")
    };
    far.report(LinkReport::Fill(rest));
    assert_eq!(far.rig.view_of(FAR).positions[0].open_price, dec("60015.00"));
}

#[test]
fn or01_a_fill_after_a_cancel_was_asked_for_is_booked() {
    let mut far = Far::up();
    let order = far.resting();
    let cancel = CancelOrders { account: account_id(FAR), target: CancelTarget::Order(order) };
    assert_eq!(far.send(CommandBody::Cancel(cancel)), None);
    far.report(LinkReport::Fill(fill(order, "x1", "0.10")));
    let outcome = match far.reply_to_last() {
        Ok(ReplyBody::Cancel(reply)) => reply.outcomes[0].reason.clone(),
        other => panic!("not the reply to a cancel: {other:?}"),
    };
    assert_eq!((outcome.as_deref(), far.order(order)), (Some("FILLED"), OrderStatus::Filled));
    far.report(LinkReport::CancelRejected { order: order.to_string(), reason: "FILLED".into() });
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Filled));
}

/// An order on its way whose cancel is on its way, too.
fn chased() -> (Far, OrderId) {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    let cancel = CancelOrders { account: account_id(FAR), target: CancelTarget::Order(order) };
    assert_eq!(far.send(CommandBody::Cancel(cancel)), None);
    (far, order)
}

#[test]
fn or01_a_cancel_that_overtakes_the_confirmation_alarms_nobody() {
    let (mut far, order) = chased();
    let taken = far.report(accepted(order));
    assert!(taken.marks.is_empty(), "{:?}", taken.marks);
    assert_eq!(far.order(order), OrderStatus::PendingCancel);
    far.report(LinkReport::Canceled { order: order.to_string(), reason: None });
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Canceled));
}

#[test]
fn or01_an_order_that_its_cancel_overtook_at_the_venue_ends_rejected() {
    for log in [true, false] {
        let (mut far, order) = chased();
        let reason = "CANCELED_BEFORE_START".to_owned();
        let refused = LinkReport::Rejected { order: order.to_string(), reason };
        let out = if log { far.report(refused) } else { far.news(aside(refused)) };
        assert_eq!(out.marks, [Mark::OrderRejected]);
        assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Rejected));
        let refused = LinkReport::CancelRejected { order: order.to_string(), reason: "UNKNOWN".into() };
        let out = if log { far.report(refused) } else { far.news(aside(refused)) };
        assert!(!out.marks.contains(&Mark::IllegalTransition), "{:?}", out.marks);
    }
}

#[test]
fn or01_a_confirmation_that_comes_after_the_status_is_told_twice_and_alarms_nobody() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    far.rig.wait(6 * SECOND_NS).wake();
    far.news(LinkEvent::Status(vec![state(order, VenueOrderStatus::Working, "0")]));
    assert_eq!(far.report(accepted(order)).marks, [Mark::DuplicateReport]);
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Connected, OrderStatus::Accepted));
}

#[test]
fn an_operator_disconnects_an_account_and_connects_it_again() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10").limit("59000.00"));
    far.requests();
    let account = account_id(FAR);
    let off =
        CommandBody::Disconnect(lockstep::domain::message::DisconnectAccount { account: account.clone() });
    far.send(off).expect("an answer").expect("it is there");
    assert_eq!((far.status(), far.order(order)), (LinkStatus::Disconnected, OrderStatus::Unknown));
    assert_eq!(far.requests(), ["close"]);
    far.connect();
    assert_eq!(far.requests(), ["close"], "a session that nobody wants is closed");
    let on = lockstep::domain::message::ConnectAccount { account, settings: None };
    assert_eq!(far.send(CommandBody::Connect(on)), None, "it waits for the venue");
    assert_eq!(far.requests(), ["open"]);
    far.connect();
    far.books("10000", vec![state(order, VenueOrderStatus::Working, "0")], vec![]);
    match far.reply_to_last() {
        Ok(ReplyBody::Account(reply)) => assert_eq!(reply.account.summary.status, LinkStatus::Connected),
        other => panic!("not the account: {other:?}"),
    }
}

#[test]
fn an_account_that_a_command_adds_is_there_after_a_snapshot_and_a_bad_one_is_refused() {
    let mut rig = Rig::new();
    rig.quote("BTCUSD", "60000.00", "60010.00");
    let connect = |name: &str, change: &dyn Fn(&mut lockstep::domain::account::AccountConfig)| {
        let mut settings = account(name);
        change(&mut settings);
        let settings = Some(Box::new(settings));
        CommandBody::Connect(lockstep::domain::message::ConnectAccount {
            account: account_id(name),
            settings,
        })
    };
    match rig.send(connect("second", &|_| {})).expect("an answer") {
        Ok(ReplyBody::Account(reply)) => assert_eq!(reply.account.summary.balance.amount(), dec("10000")),
        other => panic!("not an account: {other:?}"),
    }
    rig.send(connect("second", &|_| {})).expect("an answer").expect("it is the same");
    let other = rig.send(connect("second", &|a| a.leverage = 7)).expect("an answer");
    assert_eq!(other.expect_err("other settings").reason(), "ACCOUNT_EXISTS");
    let bad = rig.send(connect("third", &|a| a.leverage = 0)).expect("an answer");
    assert_eq!(bad.expect_err("no leverage").code, ErrorCode::InvalidParams);
    rig.machine = Machine::decode(Machine::STATE_VERSION, &rig.machine.encode()).expect("a state");
    assert!(rig.config().accounts.iter().any(|a| a.id == account_id("second") && a.added));
    let order = PlaceOrder { account: account_id("second"), ..buy("BTCUSD", "0.10").into() };
    rig.send(CommandBody::Place(order)).expect("an answer").expect("it trades");
    let _ = CommandId(0);
}

/// Anything that a venue might say, true or not.
fn anything() -> impl Strategy<Value = LinkEvent> {
    let name = prop_oneof![(1_u64..6).prop_map(|n| format!("o{n}")), Just("?foreign".to_owned())];
    let volume = prop_oneof![Just("0.10"), Just("0.05"), Just("0.2"), Just("0.015"), Just("-1"), Just("0")];
    let number =
        prop_oneof![Just("60010.00"), Just("0"), Just("-0.01"), Just("79228162514264337593543950335")];
    let fill = (name.clone(), 0_u8..4, volume.clone(), number.clone(), any::<bool>(), any::<bool>())
        .prop_map(|(order, fill, volume, price, closes, by_order)| LinkFill {
            fill: format!("x{fill}"),
            order: by_order.then(|| order.clone()),
            position: order.replace('o', "t"),
            symbol: "BTCUSD".to_owned(),
            side: if closes { Side::Sell } else { Side::Buy },
            volume: dec(volume),
            price: dec(price),
            commission: dec(price),
            realized_pnl: dec(price),
            closes,
            position_volume: dec(volume),
            levels: Levels { stop_loss: Some(dec(price)), take_profit: None },
            reason: FillReason::Order,
            ts: lockstep::domain::time::UnixNanos::ZERO,
        });
    let order_status = prop_oneof![
        Just(VenueOrderStatus::Unknown),
        Just(VenueOrderStatus::Working),
        Just(VenueOrderStatus::Filled),
        Just(VenueOrderStatus::Canceled),
        Just(VenueOrderStatus::Rejected),
    ];
    let order_state = (name.clone(), order_status, volume.clone(), number.clone()).prop_map(
        |(order, status, volume, price)| OrderState {
            order,
            status,
            venue_order: None,
            volume: Some(dec(volume)),
            filled: Some(dec(volume)),
            avg_price: Some(dec(price)),
            price: Some(dec(price)),
            levels: Levels::default(),
            reason: None,
        },
    );
    let report = prop_oneof![
        name.clone().prop_map(|order| LinkReport::Accepted { order, venue_order: None }),
        name.clone().prop_map(|order| LinkReport::Rejected { order, reason: "no".into() }),
        name.clone().prop_map(|order| LinkReport::Canceled { order, reason: None }),
        name.clone().prop_map(|order| LinkReport::Expired { order }),
        name.clone().prop_map(|order| LinkReport::CancelRejected { order, reason: "no".into() }),
        fill.clone().prop_map(LinkReport::Fill),
        (name.clone(), volume.clone(), number.clone()).prop_map(|(order, volume, price)| {
            LinkReport::Modified {
                order,
                volume: dec(volume),
                price: Some(dec(price)),
                levels: Levels::default(),
            }
        }),
        name.clone()
            .prop_map(|o| LinkReport::Position { position: o.replace('o', "t"), levels: Levels::default() }),
    ];
    prop_oneof![
        6 => (0_u64..6, 0_u64..6, report)
            .prop_map(|(seq, prev, report)| LinkEvent::Report(Box::new(NumberedReport { seq, prev, report }))),
        2 => (0_u64..6).prop_map(|last| LinkEvent::Heartbeat { last }),
        2 => Just(LinkEvent::Down { reason: "lost".into() }),
        1 => Just(LinkEvent::Fault { reason: "bad".into() }),
        2 => (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(log, fencing, resend)| LinkEvent::Up(LinkUp {
            log: format!("log-{log}"),
            capabilities: Capabilities { fencing, resend, ..Far::down().capabilities },
        })),
        2 => proptest::collection::vec(order_state.clone(), 0..3).prop_map(LinkEvent::Status),
        3 => (0_u64..6, number, proptest::collection::vec(order_state, 0..4), proptest::collection::vec(fill, 0..2))
            .prop_map(|(seq, balance, orders, fills)| LinkEvent::Snapshot(Box::new(VenueSnapshot {
                seq,
                balance: dec(balance),
                currency: "USD".into(),
                orders,
                positions: Vec::new(),
                fills: Some(fills),
            }))),
        1 => proptest::collection::vec(1_u64..6, 0..3)
            .prop_map(|orders| LinkEvent::NotSent(NotSent {
                orders: orders.iter().copied().map(OrderId).collect(),
                terms: orders.into_iter().map(IntentId).collect(),
            })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    /// Whatever a venue says, the machine does not panic, its laws hold, and another account trades on.
    #[test]
    fn gw10_no_word_of_a_venue_panics_the_machine(
        steps in proptest::collection::vec(prop_oneof![3 => anything().prop_map(Some), 1 => Just(None)], 1..40)
    ) {
        let mut far = Far::up();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Some(event) => {
                    far.rig.step_alarmed(&Input::Link(Box::new(LinkInput { account: account_id(FAR), event })));
                }
                None => {
                    let order = if n % 2 == 0 { buy("BTCUSD", "0.10") } else { buy("BTCUSD", "0.10").limit("59000.00") };
                    let _ = far.ask(order);
                }
            }
            far.rig.wait(SECOND_NS);
            far.rig.quote("BTCUSD", "60000.00", "60010.00");
        }
        far.rig.open(buy("BTCUSD", "0.01"));
        let state = far.rig.machine.encode();
        let restored = Machine::decode(Machine::STATE_VERSION, &state).expect("a state");
        prop_assert_eq!(restored.encode(), state);
    }
}

/// An answer to a request that left no trace at the venue.
fn aside(report: LinkReport) -> LinkEvent {
    LinkEvent::Report(Box::new(NumberedReport { seq: 0, prev: 0, report }))
}

#[test]
fn or11_a_refusal_that_the_venue_does_not_log_is_an_answer_all_the_same() {
    let mut far = Far::up();
    let order = far.sent(buy("BTCUSD", "0.10"));
    let reason = "LANE_FULL".to_owned();
    let refused = aside(LinkReport::Rejected { order: order.to_string(), reason });
    far.news(refused.clone());
    assert_eq!(far.order(order), OrderStatus::Rejected);
    let again = far.news(refused);
    assert_eq!(again.marks, [Mark::DuplicateReport], "once is enough");

    let resting = far.resting();
    far.send(CommandBody::Cancel(CancelOrders {
        account: account_id(FAR),
        target: CancelTarget::Order(resting),
    }));
    let reason = "BUSY".to_owned();
    far.news(aside(LinkReport::CancelRejected { order: resting.to_string(), reason }));
    assert_eq!(far.order(resting), OrderStatus::Accepted, "it rests on");

    // the log goes on as if nothing had been said
    far.report(LinkReport::Canceled { order: resting.to_string(), reason: None });
    assert_eq!(far.order(resting), OrderStatus::Canceled);
    assert_eq!(far.status(), LinkStatus::Connected);
}

#[test]
fn levels_refused_of_a_position_that_is_closed_meanwhile_are_no_contradiction() {
    let mut far = Far::up();
    let order = far.open();
    far.report(LinkReport::Fill(venue_close(order, "x2")));
    let refused = || LinkReport::ModifyRejected {
        order: None,
        position: Some(format!("t{}", order.0)),
        reason: "POSITION_UNKNOWN".to_owned(),
    };
    far.report(refused());
    far.news(aside(refused()));
    assert_eq!(far.status(), LinkStatus::Connected);
}

#[test]
fn lv01_what_happened_to_an_order_must_bear_a_number() {
    let check = |report: fn(OrderId) -> LinkReport| {
        let mut far = Far::up();
        let order = far.sent(buy("BTCUSD", "0.10"));
        far.news(aside(report(order)));
        assert_eq!(far.status(), LinkStatus::Error);
        assert!(far.last_error().contains("bears no number"), "{}", far.last_error());
    };
    check(accepted);
    check(|order| LinkReport::Fill(fill(order, "x1", "0.10")));
    check(|order| LinkReport::Canceled { order: order.to_string(), reason: None });
    check(|order| LinkReport::Expired { order: order.to_string() });
}

#[test]
fn or13_what_a_venue_cannot_do_is_an_error_and_not_a_silence() {
    let mut far = Far::up();
    far.capabilities.modify = vec![ModifyField::Stops];
    far.capabilities.order_types = vec![OrderType::Limit];
    far.cut();
    far.connect();
    far.books("10000", vec![], vec![]);
    let denied = far.ask(buy("BTCUSD", "0.10")).expect("an answer").expect_err("limit orders only");
    assert_eq!(codes(&denied), ["ORDER_TYPE_UNSUPPORTED"]);
    let order = far.resting();
    far.requests();
    let keep = lockstep::domain::message::LevelChange::Keep;
    let change = |price, volume, stop_loss| {
        CommandBody::Modify(lockstep::domain::message::ModifyTrade {
            account: account_id(FAR),
            target: lockstep::domain::message::TradeTarget::Order(order),
            price,
            volume,
            stop_loss,
            take_profit: keep,
            expected_version: None,
        })
    };
    for (body, path) in
        [(change(Some(dec("58000")), None, keep), "price"), (change(None, Some(dec("0.2")), keep), "volume")]
    {
        let refused = far.send(body).expect("an answer").expect_err("it cannot be changed there");
        assert_eq!((refused.reason(), refused.details["path"].as_str()), ("CAPABILITY_MISSING", Some(path)));
    }
    assert!(far.requests().is_empty());
    let stops = change(None, None, lockstep::domain::message::LevelChange::Price(dec("50000")));
    assert_eq!(far.send(stops), None, "that it can, and it waits for the venue");
    assert_eq!(far.requests(), ["modify"]);
    let reason = "too close".to_owned();
    far.report(LinkReport::ModifyRejected { order: Some(order.to_string()), position: None, reason });
    let refused = far.reply_to_last().clone().expect_err("the venue keeps the terms");
    assert_eq!(
        (refused.reason(), refused.details["venueReason"].as_str()),
        ("VENUE_REJECTED", Some("too close"))
    );
    assert_eq!(far.order(order), OrderStatus::Accepted);
}
