//! Fills in part: a market that fills whole orders makes none, so the reports of them are written here.

use super::*;
use crate::domain::{
    account::{AccountConfig, AccountMode, PAPER, PositionMode},
    config::{Config, Limits, Setup},
    id::{AccountId, FillId, PositionId},
    instrument::Price,
    message::VenueRequest,
    money::{Currency, Money},
    order::{Filling, Side, TimeInForce},
    position::FillReason,
};
use rust_decimal::Decimal;
use std::sync::Arc;

/// Noon of a Wednesday.
const NOW: UnixNanos = UnixNanos(1_704_888_000_000_000_000);

fn account() -> AccountId {
    AccountId::new("main").expect("an id")
}

fn venue() -> Venue {
    let mut config = Config::built_in();
    config.accounts.push(AccountConfig {
        id: account(),
        label: String::new(),
        mode: AccountMode::Paper,
        connector: PAPER.to_owned(),
        currency: Currency::USD,
        leverage: 100,
        position_mode: PositionMode::Hedging,
        deposit: Decimal::from(10_000),
        commission_per_lot: Decimal::ZERO,
        allowed_symbols: Vec::new(),
        limits: Limits::default(),
        link: None,
        added: false,
    });
    let mut venue = Venue::default();
    venue.configure(&Arc::new(Setup::new(config)), NOW);
    venue
}

/// A limit order of EURUSD far from any market.
fn limit(order: u64, side: Side, steps: i64, kind: GroupKind, parent: Option<u64>) -> VenueOrder {
    let id = GroupId::new("g").expect("an id");
    VenueOrder {
        account: account(),
        order: OrderId(order),
        instrument: InstrumentId(0),
        side,
        order_type: OrderType::Limit,
        volume: Volume(steps),
        price: Some(Price(110_000)),
        stop_price: None,
        trail: None,
        stop_loss: None,
        take_profit: None,
        tif: TimeInForce::Gtc,
        expires_at: None,
        filling: Filling::Return,
        post_only: false,
        position: parent.filter(|_| kind == GroupKind::Bracket).map(PositionId),
        venue_position: None,
        group: Some(OrderGroup { kind, id, parent: parent.map(OrderId) }),
    }
}

/// Takes orders; the reports.
fn submit(venue: &mut Venue, orders: &[VenueOrder]) -> Vec<String> {
    let mut out = VenueOut::default();
    for order in orders {
        venue.request(NOW, &VenueRequest::Submit(order.clone()), &mut out);
    }
    out.reports.iter().map(line).collect()
}

/// Fills so much of an order; what follows, without the fill.
fn fill(venue: &mut Venue, order: u64, steps: i64) -> Vec<String> {
    let mut out = VenueOut::default();
    let was = venue.accounts[0].orders[&OrderId(order)].clone();
    match was.volume.less(Volume(steps)) {
        Volume::ZERO => drop(venue.remove_order(0, was.order)),
        rest => drop(venue.accounts[0].orders.insert(was.order, VenueOrder { volume: rest, ..was.clone() })),
    }
    out.reports.push(VenueReport::Filled(VenueFill {
        account: account(),
        fill: FillId(1),
        venue_fill: None,
        order: Some(was.order),
        position: was.position.unwrap_or(PositionId(order)),
        venue_position: None,
        instrument: was.instrument,
        side: was.side,
        volume: Volume(steps),
        price: Price(110_000),
        commission: Money::ZERO,
        realized_pnl: Money::ZERO,
        closes: was.position.is_some(),
        position_volume: Volume(steps),
        position_margin: Money::ZERO,
        stop_loss: None,
        take_profit: None,
        reason: FillReason::Order,
        ts: NOW,
    }));
    venue.follow_groups(NOW, 0, &mut out);
    out.reports[1..].iter().map(line).collect()
}

fn line(report: &VenueReport) -> String {
    match report {
        VenueReport::Accepted { order, .. } => format!("accepted {order}"),
        VenueReport::Rejected { order, reason, .. } => format!("rejected {order} {reason}"),
        VenueReport::Canceled { order, reason, .. } => {
            format!("canceled {order} {}", reason.as_deref().unwrap_or_default())
        }
        VenueReport::Modified(VenueModify {
            target: ModifyTarget::Order(id), volume: Some(volume), ..
        }) => {
            format!("modified {id} {}", volume.0)
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn or05_each_part_is_taken_off_the_others_once() {
    let mut venue = venue();
    let of = |order, steps| limit(order, Side::Buy, steps, GroupKind::Oco, None);
    submit(&mut venue, &[of(1, 10), of(2, 10), of(3, 5)]);
    assert_eq!(fill(&mut venue, 1, 3), ["modified o2 7", "modified o3 2"]);
    assert_eq!(fill(&mut venue, 1, 2), ["modified o2 5", "canceled o3 OCO_FILLED"]);
    assert_eq!(fill(&mut venue, 2, 1), ["modified o1 4"]);
    assert_eq!(fill(&mut venue, 1, 4), ["canceled o2 OCO_FILLED"]);
    assert_eq!(venue.accounts[0].groups, Groups::default(), "nobody is left");
}

#[test]
fn or06_children_grow_as_their_parent_is_filled() {
    let mut venue = venue();
    let child = |order, steps| limit(order, Side::Sell, steps, GroupKind::Oto, Some(1));
    submit(&mut venue, &[limit(1, Side::Buy, 10, GroupKind::Oto, None), child(2, 10), child(3, 4)]);
    assert_eq!(fill(&mut venue, 1, 3), ["modified o2 3", "modified o3 3"]);
    assert_eq!(fill(&mut venue, 1, 3), ["modified o2 6", "modified o3 4"]);
    // what a child has sold meanwhile does not come again
    assert_eq!(fill(&mut venue, 2, 6), [""; 0]);
    assert_eq!(fill(&mut venue, 1, 4), [""; 0]);
    assert!(venue.accounts[0].held.is_empty());
}

#[test]
fn or06_a_parent_that_ends_after_a_part_keeps_what_came_in() {
    let mut venue = venue();
    let child = limit(2, Side::Sell, 10, GroupKind::Oto, Some(1));
    submit(&mut venue, &[limit(1, Side::Buy, 10, GroupKind::Oto, None), child]);
    fill(&mut venue, 1, 3);
    let mut out = VenueOut::default();
    venue.request(NOW, &VenueRequest::Cancel { account: account(), order: OrderId(1) }, &mut out);
    assert_eq!(out.reports.iter().map(line).collect::<Vec<_>>(), ["canceled o1 "]);
    assert_eq!(venue.accounts[0].orders[&OrderId(2)].volume, Volume(3));
    assert!(venue.accounts[0].held.is_empty());
}

#[test]
fn or06_an_exit_that_has_done_its_work_ends_what_is_left_of_its_entry() {
    let mut venue = venue();
    let exit = |order| limit(order, Side::Sell, 10, GroupKind::Bracket, Some(1));
    submit(&mut venue, &[limit(1, Side::Buy, 10, GroupKind::Bracket, None), exit(2), exit(3)]);
    fill(&mut venue, 1, 5);
    assert_eq!(fill(&mut venue, 2, 2), ["modified o3 3"], "the entry is as large as it was");
    assert_eq!(fill(&mut venue, 2, 3), ["canceled o1 OCO_FILLED", "canceled o3 OCO_FILLED"]);
    assert!(venue.accounts[0].orders.is_empty() && venue.accounts[0].held.is_empty());
}

#[test]
fn or06_a_child_whose_parent_is_not_there_is_refused() {
    let mut venue = venue();
    let child = limit(2, Side::Sell, 10, GroupKind::Oto, Some(1));
    assert_eq!(submit(&mut venue, &[child]), ["rejected o2 GROUP_PARENT_ENDED"]);
}
