//! The engine's requests as frames, and the venue's words as news. Orders bear the journal's epoch on the
//! wire (LV08): a name that is not ours comes in behind a question mark.

use super::{
    outgoing::Kind,
    wire::{GatewayFrame, Group, Level, Modify, NAME_MAX, Submit, Sync},
};
use crate::{
    domain::{
        id::OrderId,
        instrument::{Instrument, Price},
        message::{
            Lifetime, LinkReport, LinkRequest, ModifyTarget, NumberedReport, OrderState, TriggerTerms,
            VenueModify, VenueOrder, VenueRequest, VenueSnapshot,
        },
        order::{Stop, TimeInForce, Trail},
    },
    node::journal::Epoch,
};

/// Why a venue refuses that gives neither a word nor a number.
const UNSAID: &str = "REJECTED";
/// Orders of one question at most; a longer one is asked in parts.
const ORDERS_OF_A_QUESTION: usize = 1_000;

/// How orders and prices are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speech<'a> {
    pub epoch: Epoch,
    pub instruments: &'a [Instrument],
}

impl Speech<'_> {
    /// The frames of a request that concerns a session's business.
    pub fn frames(self, request: &VenueRequest) -> Vec<(Kind, GatewayFrame)> {
        let one = |kind, frame| vec![(kind, frame)];
        match request {
            VenueRequest::Submit(order) => {
                let kind = if order.position.is_some() { Kind::Reducing } else { Kind::Opening };
                one(kind(order.order), GatewayFrame::Submit(self.submit(order)))
            }
            VenueRequest::Cancel { order, .. } => {
                one(Kind::Request, GatewayFrame::Cancel { order: self.name(*order) })
            }
            VenueRequest::Modify(request) => {
                let kind = if request.adds_risk { Kind::Widening(request.intent) } else { Kind::Request };
                one(kind, GatewayFrame::Modify(self.modify(&request.terms)))
            }
            VenueRequest::Link { request, .. } => match request {
                LinkRequest::Sync { log, after, fills_after, orders } => {
                    let sync = Sync {
                        log: log.clone(),
                        after: *after,
                        fills_after: fills_after.clone(),
                        orders: self.names(orders),
                    };
                    one(Kind::Sync, GatewayFrame::Sync(sync))
                }
                LinkRequest::Status { orders } => orders
                    .chunks(ORDERS_OF_A_QUESTION)
                    .map(|orders| (Kind::Request, GatewayFrame::Status { orders: self.names(orders) }))
                    .collect(),
                LinkRequest::Open(_)
                | LinkRequest::Close
                | LinkRequest::Reset { .. }
                | LinkRequest::Purge => Vec::new(),
            },
        }
    }

    /// An order's name at the venue.
    pub fn name(self, order: OrderId) -> String {
        format!("{}.{order}", self.epoch)
    }

    fn names(self, orders: &[OrderId]) -> Vec<String> {
        orders.iter().map(|order| self.name(*order)).collect()
    }

    fn submit(self, order: &VenueOrder) -> Submit {
        let (instrument, group) = (&self.instruments[order.instrument.index()], order.group.as_ref());
        // an exit of a bracket reduces whatever its parent opens
        let ours = || order.position.filter(|_| group.is_none_or(|group| !group.exits()));
        let position = order.venue_position.clone().or_else(|| ours().map(|id| id.to_string()));
        Submit {
            order: self.name(order.order),
            symbol: instrument.symbol.to_string(),
            side: order.side,
            order_type: order.order_type,
            volume: instrument.lots(order.volume),
            price: order.price.map(|price| instrument.price(price)),
            trigger: trigger_terms(
                order.stop_price,
                order.trail,
                Some(Lifetime { tif: order.tif, expires_at: order.expires_at })
                    .filter(|lifetime| lifetime.tif != TimeInForce::Gtc),
                instrument,
            ),
            stop_loss: order.stop_loss.map(|stop| level(stop, instrument)),
            take_profit: order.take_profit.map(|stop| level(stop, instrument)),
            filling: order.filling,
            post_only: order.post_only,
            position,
            group: group.map(|group| Group {
                kind: group.kind,
                id: group.id.clone(),
                parent: group.parent.map(|order| self.name(order)),
            }),
        }
    }

    fn modify(self, modify: &VenueModify) -> Modify {
        let instrument = &self.instruments[modify.instrument.index()];
        let (order, position) = match &modify.target {
            ModifyTarget::Order(id) => (Some(self.name(*id)), None),
            ModifyTarget::Position { id, venue } => {
                (None, Some(venue.clone().unwrap_or_else(|| id.to_string())))
            }
        };
        Modify {
            order,
            position,
            volume: modify.volume.map(|volume| instrument.lots(volume)),
            price: modify.price.map(|price| instrument.price(price)),
            trigger: trigger_terms(modify.stop_price, modify.trail, modify.lifetime, instrument),
            stop_loss: modify.stop_loss.map(|stop| level(stop, instrument)),
            take_profit: modify.take_profit.map(|stop| level(stop, instrument)),
        }
    }

    /// The report with our own names of orders.
    pub fn report(self, mut report: NumberedReport) -> NumberedReport {
        if let LinkReport::Rejected { reason, retcode: None, .. }
        | LinkReport::CancelRejected { reason, retcode: None, .. }
        | LinkReport::ModifyRejected { reason, retcode: None, .. } = &mut report.report
            && reason.is_empty()
        {
            *reason = UNSAID.to_owned();
        }
        match &mut report.report {
            LinkReport::Accepted { order, .. }
            | LinkReport::Rejected { order, .. }
            | LinkReport::Canceled { order, .. }
            | LinkReport::Expired { order }
            | LinkReport::Triggered { order, .. }
            | LinkReport::Modified { order, .. }
            | LinkReport::CancelRejected { order, .. } => self.take_off(order),
            LinkReport::ModifyRejected { order, .. } => self.take_off_of(order.as_mut()),
            LinkReport::Fill(fill) => self.take_off_of(fill.order.as_mut()),
            LinkReport::Position { .. } => {}
        }
        report
    }

    /// The states with our own names of orders.
    pub fn states(self, mut states: Vec<OrderState>) -> Vec<OrderState> {
        states.iter_mut().for_each(|state| self.take_off(&mut state.order));
        states
    }

    /// The books with our own names of orders.
    pub fn snapshot(self, mut books: Box<VenueSnapshot>) -> Box<VenueSnapshot> {
        books.orders.iter_mut().for_each(|state| self.take_off(&mut state.order));
        books.positions.iter_mut().for_each(|position| self.take_off_of(position.order.as_mut()));
        books.fills.iter_mut().flatten().for_each(|fill| self.take_off_of(fill.order.as_mut()));
        books
    }

    fn take_off_of(self, name: Option<&mut String>) {
        if let Some(name) = name {
            self.take_off(name);
        }
    }

    fn take_off(self, name: &mut String) {
        let ours = name
            .strip_prefix(&self.epoch.to_string())
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|rest| OrderId::parse(rest).ok());
        *name = match ours {
            // written anew, so that one order has one name
            Some(order) => order.to_string(),
            None => format!("?{name}").chars().take(NAME_MAX).collect(),
        };
    }
}

fn trigger_terms(
    stop_price: Option<Price>,
    trail: Option<Trail>,
    lifetime: Option<Lifetime>,
    instrument: &Instrument,
) -> TriggerTerms {
    let (trail_distance, trail_percent) = match trail {
        None => (None, None),
        Some(Trail::Ticks(ticks)) => (Some(instrument.price(Price(ticks))), None),
        Some(Trail::Percent(percent)) => (None, Some(percent)),
    };
    TriggerTerms {
        stop_price: stop_price.map(|price| instrument.price(price)),
        trail_distance,
        trail_percent,
        tif: lifetime.map(|lifetime| lifetime.tif),
        expires_at: lifetime.and_then(|lifetime| lifetime.expires_at),
    }
}

fn level(stop: Stop, instrument: &Instrument) -> Level {
    match stop {
        Stop::At(price) => Level::Price(instrument.price(price)),
        Stop::Ticks(ticks) => Level::Distance(instrument.price(Price(ticks))),
        Stop::Percent(percent) => Level::Percent(percent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::{AccountId, PositionId},
        instrument::{InstrumentId, Volume, built_in},
        message::VenueOrderStatus,
        order::{Filling, OrderType, Side},
    };

    const EPOCH: Epoch = Epoch(0xaa);

    fn speak<T>(with: impl FnOnce(Speech<'_>) -> T) -> T {
        with(Speech { epoch: EPOCH, instruments: &built_in() })
    }

    fn account() -> AccountId {
        AccountId::new("demo-1").expect("an id")
    }

    fn order() -> VenueOrder {
        VenueOrder {
            stop_price: None,
            trail: None,
            tif: crate::domain::order::TimeInForce::Gtc,
            expires_at: None,
            post_only: false,
            group: None,
            account: account(),
            order: OrderId(17),
            instrument: InstrumentId(0),
            side: Side::Buy,
            order_type: OrderType::Limit,
            volume: Volume(10),
            price: Some(Price(110_000)),
            stop_loss: Some(Stop::Ticks(200)),
            take_profit: Some(Stop::At(Price(111_000))),
            filling: Filling::Return,
            position: None,
            venue_position: None,
        }
    }

    #[test]
    fn lv08_an_order_bears_the_epoch_and_is_in_the_units_of_the_wire() {
        let frames = speak(|s| s.frames(&VenueRequest::Submit(order())));
        let [(Kind::Opening(OrderId(17)), frame)] = &frames[..] else { panic!("{frames:?}") };
        let json = serde_json::to_string(frame).expect("JSON");
        assert_eq!(
            json,
            "{\"type\":\"submit\",\"order\":\"00000000000000aa.o17\",\"symbol\":\"EURUSD\",\"side\":\"buy\",\
             \"orderType\":\"limit\",\"volume\":\"0.10\",\"price\":\"1.10000\",\"stopLoss\":{\"distance\":\"0.00200\"},\
             \"takeProfit\":{\"price\":\"1.11000\"},\"filling\":\"return\"}"
        );
    }

    #[test]
    fn a_reduction_names_the_position_as_the_venue_does() {
        let check = |venue_position: Option<&str>, expected: &str| {
            let venue_position = venue_position.map(str::to_owned);
            let order = VenueOrder { position: Some(PositionId(3)), venue_position, ..order() };
            let frames = speak(|s| s.frames(&VenueRequest::Submit(order)));
            let [(Kind::Reducing(_), GatewayFrame::Submit(submit))] = &frames[..] else {
                panic!("{frames:?}")
            };
            assert_eq!(submit.position.as_deref(), Some(expected));
        };
        check(Some("ticket-9"), "ticket-9");
        check(None, "p3");
    }

    #[test]
    fn lv08_only_names_of_this_epoch_are_ours() {
        let check = |name: &str, expected: &str| {
            let state = OrderState {
                trigger: crate::domain::message::TriggerTerms::default(),
                triggered: false,
                order: name.to_owned(),
                status: VenueOrderStatus::Working,
                venue_order: None,
                volume: None,
                filled: None,
                price: None,
                avg_price: None,
                levels: crate::domain::message::Levels::default(),
                reason: None,
            };
            assert_eq!(speak(|s| s.states(vec![state]))[0].order, expected);
        };
        check("00000000000000aa.o17", "o17");
        check("00000000000000aa.o017", "o17");
        check("00000000000000ab.o17", "?00000000000000ab.o17");
        check("00000000000000aa.o17x", "?00000000000000aa.o17x");
        check("00000000000000aao17", "?00000000000000aao17");
        check("o17", "?o17");
        check("", "?");
        check(&"x".repeat(300), &format!("?{}", "x".repeat(127)));
    }

    #[test]
    fn a_long_question_is_asked_in_parts() {
        let orders = (1..=2_500).map(OrderId).collect();
        let request = VenueRequest::Link { account: account(), request: LinkRequest::Status { orders } };
        let frames = speak(|s| s.frames(&request));
        let sizes: Vec<usize> = frames
            .iter()
            .map(|(_, frame)| match frame {
                GatewayFrame::Status { orders } => orders.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sizes, [1_000, 1_000, 500]);
    }
}
