//! An account's critical events as the link's numbered reports. A report's number is its event's, so the
//! log of reports is the journal itself: it can be read again from any place, and survives everything
//! that the journal survives.

use crate::{
    domain::{
        id::{AccountId, FillId, PositionId},
        message::{
            Levels, LinkFill, LinkReport, NumberedReport, OrderUpdated, OrderView, PositionUpdated,
            PositionView, Refusal, TradeClosed, TradeExecuted, TradeModified, TradeRejected, TriggerTerms,
        },
        order::OrderStatus,
        retcode,
    },
    node::{handle::Handle, hub::Release, journal::StoredEvent},
};
use serde::de::DeserializeOwned;

/// Events that are read at once.
const PAGE: usize = 512;
/// Why an order was refused that the account has had before: the first one is not concerned.
pub(super) const DUPLICATE: &str = "DUPLICATE_ORDER";

/// How far an account's reports have been read.
#[derive(Debug)]
pub(super) struct Reports {
    account: AccountId,
    /// The last event that was looked at.
    position: u64,
    /// The last report that came of it.
    last: u64,
}

impl Reports {
    /// From this report on; it must be one, or 0.
    pub fn after(account: AccountId, number: u64) -> Self {
        Self { account, position: number, last: number }
    }

    /// The number of the newest report so far.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// The last event that was looked at.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The next reports, of events up to `to`; whole steps only. `None`: there are no further events.
    pub async fn read(
        &mut self,
        handle: &Handle,
        to: Option<u64>,
    ) -> Result<Option<Vec<NumberedReport>>, Refusal> {
        let to = to.unwrap_or(u64::MAX);
        let mut limit = PAGE;
        loop {
            let mut events = handle.events_after(self.position, limit).await?;
            let all = events.len() < limit;
            events.retain(|event| event.number <= to);
            if events.is_empty() {
                return Ok(None);
            }
            if !all && events.last().is_some_and(|event| event.number < to) {
                // the step of the last event may go on beyond the page
                let step = events[events.len() - 1].journal_offset;
                let whole = events.partition_point(|event| event.journal_offset < step);
                if whole == 0 {
                    limit *= 2;
                    continue;
                }
                events.truncate(whole);
            }
            return Ok(Some(self.take(&events)));
        }
    }

    /// The reports of what was released, if they follow what was read.
    pub fn take_release(&mut self, release: &Release) -> Option<Vec<NumberedReport>> {
        let first = release.events.first()?.number;
        let last = release.events.last()?.number;
        if first > self.position + 1 || last <= self.position {
            return None;
        }
        let new = release.events.partition_point(|event| event.number <= self.position);
        Some(self.take(&release.events[new..]))
    }

    /// Whole steps, ascending, right after the position.
    fn take(&mut self, events: &[StoredEvent]) -> Vec<NumberedReport> {
        let mut reports = Vec::new();
        for step in events.chunk_by(|a, b| a.journal_offset == b.journal_offset) {
            let own = |event: &&StoredEvent| event.account.as_ref() == Some(&self.account);
            let own: Vec<&StoredEvent> = step.iter().filter(own).collect();
            for (index, event) in own.iter().enumerate() {
                if let Some(report) = report(event, &own[index + 1..]) {
                    reports.push(NumberedReport { seq: event.number, prev: self.last, report });
                    self.last = event.number;
                }
            }
        }
        if let Some(event) = events.last() {
            self.position = event.number;
        }
        reports
    }
}

/// What an event means to whoever gave the orders. `later` are the events of its step that follow it.
fn report(event: &StoredEvent, later: &[&StoredEvent]) -> Option<LinkReport> {
    match &*event.name {
        "event.trade.executed" => Some(LinkReport::Fill(fill(event, read(event)?, later))),
        "event.trade.rejected" => rejected(read(event)?),
        "event.trade.modified" => modified(read(event)?),
        "event.order.updated" => order_updated(read(event)?),
        _ => None,
    }
}

/// New terms that were refused name no order here: whoever asked is answered.
fn rejected(rejected: TradeRejected) -> Option<LinkReport> {
    let order = rejected.client_order_id?.to_string();
    if rejected.code == DUPLICATE {
        return None;
    }
    let reason = if rejected.by == "venue" { rejected.reason } else { rejected.code };
    let retcode = retcode::of_refusal(&reason);
    Some(LinkReport::Rejected { order, reason, retcode })
}

fn modified(modified: TradeModified) -> Option<LinkReport> {
    if let Some(position) = modified.position {
        let levels = levels(&position);
        return Some(LinkReport::Position { position: position.position_id.to_string(), levels });
    }
    modified.order.as_ref().and_then(terms)
}

/// An order's terms as they are.
pub(super) fn terms(order: &OrderView) -> Option<LinkReport> {
    Some(LinkReport::Modified {
        order: order.client_order_id.as_ref()?.to_string(),
        volume: order.volume,
        price: order.price,
        trigger: Box::new(trigger_terms(order)),
        levels: Levels { stop_loss: order.stop_loss, take_profit: order.take_profit },
    })
}

/// What a stop waits for and how long an order lives. A plain order good till cancelled has nothing to say.
pub(super) fn trigger_terms(order: &OrderView) -> TriggerTerms {
    let trigger = TriggerTerms {
        stop_price: order.stop_price,
        trail_distance: order.trail_distance,
        trail_percent: order.trail_percent,
        tif: None,
        expires_at: order.expires_at,
    };
    let plain = trigger == TriggerTerms::default();
    TriggerTerms { tif: (!plain).then_some(order.tif), ..trigger }
}

/// Fills and new terms have reports of their own.
fn order_updated(OrderUpdated { order, placed }: OrderUpdated) -> Option<LinkReport> {
    let name = order.client_order_id?.to_string();
    match order.status {
        OrderStatus::Accepted if placed => {
            Some(LinkReport::Accepted { order: name, venue_order: Some(order.order_id.to_string()) })
        }
        OrderStatus::Triggered => Some(LinkReport::Triggered { order: name, stop_price: order.stop_price }),
        OrderStatus::Canceled => Some(LinkReport::Canceled { order: name, reason: order.reason }),
        OrderStatus::Expired => Some(LinkReport::Expired { order: name }),
        _ => None,
    }
}

fn fill(event: &StoredEvent, fill: TradeExecuted, later: &[&StoredEvent]) -> LinkFill {
    let closed = closed(fill.fill_id, later);
    let (position_volume, levels) = match &closed {
        Some(position) => (position.volume, levels(position)),
        // an opening order is filled whole and has a position of its own (hedging)
        None => (fill.volume, opened(fill.position_id, later).as_ref().map(levels).unwrap_or_default()),
    };
    LinkFill {
        fill: fill.fill_id.to_string(),
        order: fill.client_order_id.map(|id| id.to_string()),
        position: fill.position_id.to_string(),
        symbol: fill.symbol.to_string(),
        side: fill.side,
        volume: fill.volume,
        price: fill.price,
        commission: fill.commission.amount(),
        realized_pnl: fill.realized_pnl.amount(),
        closes: closed.is_some(),
        position_volume,
        levels,
        reason: fill.reason,
        ts: event.ts,
    }
}

/// The position that a fill closed or reduced, as it was left.
fn closed(fill: FillId, later: &[&StoredEvent]) -> Option<PositionView> {
    let closed = later.iter().filter(|event| &*event.name == "event.trade.closed");
    closed
        .filter_map(|event| read::<TradeClosed>(event))
        .find(|closed| closed.fills.iter().any(|view| view.fill_id == fill))
        .map(|closed| closed.position)
}

/// The position as it is at the end of the step.
fn opened(position: PositionId, later: &[&StoredEvent]) -> Option<PositionView> {
    let updated = later.iter().filter(|event| &*event.name == "event.position.updated");
    updated
        .filter_map(|event| read::<PositionUpdated>(event))
        .find(|updated| updated.position.position_id == position)
        .map(|updated| updated.position)
}

/// A position's protective levels.
pub(super) fn levels(position: &PositionView) -> Levels {
    Levels { stop_loss: position.stop_loss, take_profit: position.take_profit }
}

/// An event's payload. What this build wrote it reads; of an older one's, what is missing is no report.
fn read<T: DeserializeOwned>(event: &StoredEvent) -> Option<T> {
    serde_json::from_str(&event.payload)
        .inspect_err(|error| {
            tracing::error!(number = event.number, name = &*event.name, %error, "an event cannot be read back");
        })
        .ok()
}
