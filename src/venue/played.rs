//! A bar while it is played leg by leg, and what its policy holds back meanwhile (EX05).

use super::{
    bars::{self, BarLeg, Reach},
    broker::{QuoteKind, Venue, VenueOut},
    groups::Held,
    triggers::Trigger,
};
use crate::domain::{
    group::Exit,
    id::{OrderId, PositionId},
    instrument::Price,
    market::{Bar, BarPolicy, Quote},
    message::{Mark, VenueOrder},
    order::{OrderType, Side},
    time::UnixNanos,
};

/// The leg that ends at the bar's close.
const CLOSE: usize = 3;

/// The bar that is being played, and what its policy holds back.
#[derive(Debug, Clone)]
pub(super) struct PlayedBar {
    bar: Bar,
    /// The last quote before it, if it came in a session.
    before: Option<Quote>,
    /// Triggers that are taken out until the bar's end.
    held_back: Vec<(Trigger, Side, Price)>,
    /// Stop-limits that were triggered inside the bar and may fill at its close only.
    until_close: Vec<(usize, OrderId)>,
    /// Exits of brackets that are taken out until the bar's end.
    held_exits: Vec<(usize, OrderId)>,
    legs: [BarLeg; 4],
    /// Which leg is played. What fills after the first, fills inside the bar.
    leg: usize,
    ambiguous: bool,
}

impl PlayedBar {
    /// Which of a stop and a target of a position wait for the bar's end (EX05).
    fn holds_back(
        &mut self,
        policy: BarPolicy,
        side: Side,
        (stop, target): (Option<Price>, Option<Price>),
        filled_inside: bool,
    ) -> (bool, bool) {
        let Reach { stop_loss, take_profit } = bars::reachable(&self.bar, side, stop, target);
        if if filled_inside { stop_loss || take_profit } else { stop_loss && take_profit } {
            self.ambiguous = true;
        }
        let hold_profit = policy == BarPolicy::Pessimistic && take_profit && (stop_loss || filled_inside);
        // even an optimist exits at the stop if the profit is not to come any more
        let to_come = || bars::profit_to_come(&self.legs[self.leg..], side, target);
        let hold_loss = policy == BarPolicy::Optimistic && take_profit && stop_loss && to_come();
        (hold_loss, hold_profit)
    }
}

impl Venue {
    /// Whether a bar's open does not jump over a position's take profit, because the bar before went
    /// through it and its policy held the exit back. The better price of a gap is not for it.
    pub(super) fn was_passed_before(&self, kind: QuoteKind, side: Side, level: Price) -> bool {
        let before = self.played.as_ref().and_then(|played| played.before);
        kind == QuoteKind::BarOpen
            && before.is_some_and(|quote| match side {
                Side::Buy => quote.bid >= level,
                Side::Sell => quote.ask <= level,
            })
    }

    /// Begins to play a bar. The caller hands each leg back as a quote, then ends the bar.
    pub fn begin_bar(&mut self, bar: &Bar) -> [BarLeg; 4] {
        let net = self.accounts.iter().map(|a| a.exposure.net_steps(bar.instrument)).sum();
        let legs = bars::expand(bar, self.policy(), net);
        let market = &self.markets[bar.instrument.index()];
        let before = market.quote.filter(|_| market.tradable_until > UnixNanos(i64::MIN));
        self.played = Some(PlayedBar {
            bar: *bar,
            before,
            held_back: Vec::new(),
            until_close: Vec::new(),
            held_exits: Vec::new(),
            legs,
            leg: 0,
            ambiguous: false,
        });
        legs
    }

    /// A leg is about to be played. From the second on, exits and fills are inside the bar.
    pub fn begin_leg(&mut self, leg: usize, out: &mut VenueOut) {
        let Some(played) = &mut self.played else { return };
        played.leg = leg;
        match leg {
            1 => {
                self.restrict_positions();
                self.restrict_brackets();
            }
            CLOSE => self.know_the_close(out),
            _ => {}
        }
    }

    /// What the policy holds back of the positions that are there when the bar's path begins.
    fn restrict_positions(&mut self) {
        let Some(instrument) = self.played.as_ref().map(|played| played.bar.instrument) else { return };
        let held: Vec<(usize, PositionId)> = self
            .accounts
            .iter()
            .enumerate()
            .filter(|(_, account)| account.exposure.holds(instrument))
            .flat_map(|(index, account)| account.positions.values().map(move |p| (index, p)))
            .filter(|(_, p)| p.instrument == instrument)
            .map(|(index, p)| (index, p.id))
            .collect();
        for (index, id) in held {
            self.restrict(index, id, false);
        }
    }

    /// The same of the exits of brackets.
    fn restrict_brackets(&mut self) {
        let brackets: Vec<(usize, Vec<OrderId>)> = self
            .accounts
            .iter()
            .enumerate()
            .flat_map(|(index, account)| account.groups.exits().map(move |exits| (index, exits)))
            .collect();
        for (index, exits) in brackets {
            self.restrict_exits(index, &exits, false);
        }
    }

    /// The bar's close is the only price of which it is certain that it came after both extremes: it meets the
    /// stop-limits that were triggered on the way (EX07), and trailing stops where the extremes left them (EX09).
    fn know_the_close(&mut self, out: &mut VenueOut) {
        let policy = self.policy();
        let Some(played) = self.played.as_mut() else { return };
        let (bar, legs) = (played.bar, played.legs);
        for (index, id) in std::mem::take(&mut played.until_close) {
            if let Some(order) = self.accounts[index].orders.get(&id) {
                self.markets[bar.instrument.index()].triggers.rest(index, order);
            }
        }
        if policy == BarPolicy::Path || !self.markets[bar.instrument.index()].triggers.has_trails() {
            return;
        }
        for leg in &legs[1..CLOSE] {
            for (side, stop) in self.trail(bar.instrument, leg.quote, out) {
                let (touched, certain) = match side {
                    Side::Buy => (bar.ask.high >= stop, bar.ask.close >= stop),
                    Side::Sell => (bar.bid.low <= stop, bar.bid.close <= stop),
                };
                if let Some(played) = self.played.as_mut().filter(|_| touched && !certain) {
                    played.ambiguous = true;
                }
            }
        }
    }

    /// Whether trailing stops wait for the close of the bar that is played.
    pub(super) fn trails_wait(&self, kind: QuoteKind) -> bool {
        let inside = self.played.as_ref().is_some_and(|played| played.leg < CLOSE);
        kind == QuoteKind::BarPath && inside && self.policy() != BarPolicy::Path
    }

    /// A stop-limit was triggered and its limit is not met there. Whether the bar met it before or afterwards
    /// nobody knows; the pessimist believes only its close (EX07). False: it rests at once.
    pub(super) fn hold_until_close(&mut self, index: usize, order: &VenueOrder) -> bool {
        let policy = self.policy();
        let Some(played) = self.played.as_mut() else { return false };
        let (bar, inside) = (&played.bar, (1..CLOSE).contains(&played.leg));
        let Some(limit) = order.price.filter(|_| inside && bar.instrument == order.instrument) else {
            return false;
        };
        let (touched, certain) = match order.side {
            Side::Buy => (bar.ask.low <= limit, bar.ask.close <= limit),
            Side::Sell => (bar.bid.high >= limit, bar.bid.close >= limit),
        };
        played.ambiguous |= policy != BarPolicy::Path && touched && !certain;
        let holds = policy == BarPolicy::Pessimistic;
        if holds {
            played.until_close.push((index, order.order));
        }
        holds
    }

    /// Takes out of the book what the policy does not let happen inside the bar that is played
    /// (EX05). `filled_inside`: the position was opened on the bar's path.
    pub(super) fn restrict(&mut self, index: usize, id: PositionId, filled_inside: bool) {
        let policy = self.policy();
        let Some(played) = self.played.as_mut().filter(|p| p.leg > 0) else { return };
        let position = &self.accounts[index].positions[&id];
        if position.instrument != played.bar.instrument {
            return;
        }
        let levels = (position.stop_loss, position.take_profit);
        let (hold_loss, hold_profit) = played.holds_back(policy, position.side, levels, filled_inside);
        let triggers = &mut self.markets[position.instrument.index()].triggers;
        let mut hold = |trigger: Trigger, level: Option<Price>| {
            if let Some(price) = level {
                triggers.remove(trigger, position.side, price);
                played.held_back.push((trigger, position.side, price));
            }
        };
        if hold_profit {
            hold(Trigger::take_profit(index, id), position.take_profit);
        }
        if hold_loss {
            hold(Trigger::stop_loss(index, id), position.stop_loss);
        }
    }

    /// The same of a bracket's exits, if the bar's instrument is theirs and they are in the book.
    pub(super) fn restrict_exits(&mut self, index: usize, exits: &[OrderId], filled_inside: bool) {
        let policy = self.policy();
        let Some(played) = self.played.as_mut().filter(|p| p.leg > 0) else { return };
        let account = &self.accounts[index];
        let exits: Vec<&VenueOrder> = exits
            .iter()
            .filter(|id| account.held.get(id) != Some(&Held::Whole))
            .filter_map(|id| account.orders.get(id))
            .filter(|order| order.instrument == played.bar.instrument)
            .collect();
        let Some(side) = exits.first().map(|order| order.side.opposite()) else { return };
        let of = |exit: Exit| exits.iter().find(|order| order.order_type.as_exit() == Some(exit));
        let (target, protection) = (of(Exit::Target), of(Exit::Protection));
        let levels = (protection.and_then(|o| o.stop_price), target.and_then(|o| o.price));
        let (hold_loss, hold_profit) = played.holds_back(policy, side, levels, filled_inside);
        let held = [protection.filter(|_| hold_loss), target.filter(|_| hold_profit)];
        for order in held.into_iter().flatten() {
            self.markets[order.instrument.index()].triggers.forget(index, order);
            played.held_exits.push((index, order.order));
        }
    }

    /// An order was cancelled because another one filled. If the bar that is played reaches it as well, nobody
    /// knows which of both came first.
    pub(super) fn note_rival(&mut self, order: &VenueOrder) {
        let Some(played) = self.played.as_mut().filter(|p| p.leg > 0) else { return };
        let (bid, ask) = (&played.bar.bid, &played.bar.ask);
        let reached = match (order.order_type, order.side) {
            (OrderType::Market, _) => false,
            (OrderType::Limit, Side::Buy) => order.price.is_some_and(|price| ask.low <= price),
            (OrderType::Limit, Side::Sell) => order.price.is_some_and(|price| bid.high >= price),
            (_, Side::Buy) => order.stop_price.is_some_and(|stop| ask.high >= stop),
            (_, Side::Sell) => order.stop_price.is_some_and(|stop| bid.low <= stop),
        };
        played.ambiguous |= reached && played.bar.instrument == order.instrument;
    }

    /// Ends the bar: what was held back may trigger again.
    pub fn end_bar(&mut self, out: &mut VenueOut) {
        let Some(played) = self.played.take() else { return };
        if played.ambiguous {
            self.ambiguous_bars += 1;
            out.marks.push(Mark::AmbiguousBar);
        }
        let triggers = &mut self.markets[played.bar.instrument.index()].triggers;
        for (index, id) in played.held_exits {
            if let Some(order) = self.accounts[index].orders.get(&id) {
                triggers.rest(index, order);
            }
        }
        for (trigger, side, price) in played.held_back {
            if self.accounts[trigger.account].positions.contains_key(&PositionId(trigger.number)) {
                triggers.add(trigger, side, price);
            }
        }
    }

    pub(super) fn is_inside_bar(&self) -> bool {
        self.played.as_ref().is_some_and(|p| p.leg > 0)
    }

    pub(super) fn policy(&self) -> BarPolicy {
        self.setup.as_ref().map_or(BarPolicy::default(), |s| s.config.bar_policy)
    }
}
