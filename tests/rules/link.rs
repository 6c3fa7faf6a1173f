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
use rust_decimal::Decimal;

mod gaps;
mod groups;
mod impossible;
mod orders;
mod reconcile;
mod resolve;
mod retcodes;
mod stops;
mod terms;
mod triggers;

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
            tifs: vec![],
            post_only: false,
            groups: Vec::new(),
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
        trigger: lockstep::domain::message::TriggerTerms::default(),
        triggered: false,
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
    far.cut();
    far.connect();
    far.books("7400.00", vec![], vec![]);
    let loss = far.rig.risk_of(FAR).daily_loss[&account_id(FAR)].amount();
    assert_eq!(loss, dec("100.50"), "what may be a deposit there hides no loss");
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
