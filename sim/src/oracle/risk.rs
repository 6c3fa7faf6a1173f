//! `risk`: no order that opens a position is let through beyond a configured limit, and none is refused by a
//! limit that it keeps (RK02, RK04). Everything is counted anew from the journal's own inputs and events.

use super::{
    Findings, Log, Severity, Violation,
    arithmetic::{ONE, in_cents, parse, show, units},
};
use crate::{
    history::{History, Step},
    plan::{PAPER, Plan},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Orders and positions that may be open, whatever is configured.
const OPEN_ORDERS_MAX: i128 = 20_000;
/// Each figure of money may be rounded by so much.
const CENT: i128 = ONE / 100;
const HOUR_NS: i64 = 3_600_000_000_000;

/// Checks every decision on an order.
pub fn check(plan: &Plan, history: &History, log: &Log<'_>) -> Vec<Violation> {
    let mut findings = Findings::new("risk", Severity::Safety);
    let limit = |key: &str| plan.gateway.risk.get(key).and_then(|text| parse(text));
    let mut desk = Desk {
        max_open_orders: limit("max_open_orders").map_or(OPEN_ORDERS_MAX, |limit| limit / ONE),
        max_positions: limit("max_positions").map(|limit| limit / ONE),
        max_daily_loss: limit("max_daily_loss").filter(|_| !has_roll(log)),
        deposit: parse(&plan.gateway.deposit.to_string()).expect("a whole number"),
        ..Desk::default()
    };
    let is_told = !history.gateway.steps.is_empty();
    for step in log.steps.iter().filter(|_| is_told) {
        desk.decide(step, &mut findings);
        desk.apply(step);
    }
    findings.found
}

/// Whether a day may have rolled: at 17:00 in New York, or at midnight of UTC.
fn has_roll(log: &Log<'_>) -> bool {
    let hour = |step: &&Step| step.now_ns.div_euclid(HOUR_NS);
    let (Some(first), Some(last)) = (log.steps.first().map(hour), log.steps.last().map(hour)) else {
        return false;
    };
    (first + 1..=last).any(|hour| matches!(hour.rem_euclid(24), 0 | 21 | 22))
}

/// What decides on orders: limits, specifications, quotes and the accounts.
#[derive(Default)]
struct Desk {
    max_open_orders: i128,
    max_positions: Option<i128>,
    /// `None`: off, or not to be told.
    max_daily_loss: Option<i128>,
    deposit: i128,
    quote_max_age_ms: i64,
    instruments: Vec<Instrument>,
    accounts: BTreeMap<String, Account>,
}

struct Instrument {
    symbol: String,
    tick: i128,
    volume_step: i128,
    volume_min: i128,
    volume_max: i128,
    contract: i128,
    /// Whether its margin is a share of its price in US dollars.
    is_plain: bool,
    quote: Option<Quote>,
}

#[derive(Clone, Copy)]
struct Quote {
    at_ns: i64,
    bid: i128,
    ask: i128,
}

#[derive(Default)]
struct Account {
    leverage: i128,
    is_paper: bool,
    orders: BTreeMap<String, Order>,
    positions: BTreeMap<String, Position>,
    /// Profits and commissions.
    earned: i128,
    /// The loss limit has tripped since the last resume.
    tripped: bool,
}

/// An open order.
struct Order {
    symbol: String,
    opens: bool,
    /// What is not filled.
    volume: i128,
    price: Option<i128>,
}

struct Position {
    symbol: String,
    long: bool,
    volume: i128,
    open_price: i128,
}

impl Desk {
    /// Checks what was decided on the order of this step, by the state before it.
    fn decide(&self, step: &Step, findings: &mut Findings) {
        let place = &step.input["command"]["body"]["place"];
        let reduces = place["reduce_only"] == true || !place["position"].is_null();
        let Some(account) = place["account"].as_str().and_then(|id| self.accounts.get(id)) else { return };
        if reduces {
            return;
        }
        let of_gateway =
            |(name, payload): &&(String, Value)| name == "event.trade.rejected" && payload["by"] == "gateway";
        let refused = step.events.iter().find(of_gateway).map(|(_, payload)| &payload["violations"]);
        let accepted = step.events.iter().any(|(name, payload)| {
            name == "event.order.updated"
                && payload["placed"] == true
                && payload["order"]["status"] != "denied"
        });
        let instrument = self.instruments.iter().find(|i| place["symbol"] == *i.symbol);
        for check in self.checks(step, place, account, instrument) {
            let Check { code, passed: Some(passed), why } = check else { continue };
            let refuses =
                refused.and_then(Value::as_array).is_some_and(|v| v.iter().any(|v| v["code"] == code));
            if accepted && !passed {
                findings.add("RK02", step.seq, format!("let through against {code}, {why}: {place}"));
            } else if refuses && passed {
                findings.add("RK02", step.seq, format!("refused by {code}, though {why}: {place}"));
            }
        }
        if accepted {
            self.daily_loss(step, account, findings);
        }
    }

    fn checks(
        &self,
        step: &Step,
        place: &Value,
        account: &Account,
        instrument: Option<&Instrument>,
    ) -> Vec<Check> {
        let (open, positions) = (account.orders.len() as i128, account.positions.len() as i128);
        let opening = account.orders.values().filter(|order| order.opens).count() as i128;
        let mut checks = vec![
            Check::at_most("MAX_OPEN_ORDERS", open + positions + 1, Some(self.max_open_orders)),
            Check::at_most("MAX_POSITIONS", positions + opening + 1, self.max_positions),
        ];
        let (Some(instrument), Some(volume)) = (instrument, units(&place["volume"])) else { return checks };
        let in_steps = volume > 0 && volume % instrument.volume_step == 0;
        checks.push(Check::new("VOLUME_STEP", in_steps, format!("{} lots", show(volume))));
        if in_steps {
            let steps = volume / instrument.volume_step;
            let (least, most) = (instrument.volume_min, instrument.volume_max);
            let why = format!("{steps} steps where {least} to {most} are allowed");
            checks.push(Check::new("VOLUME_MIN", steps >= least, why.clone()));
            checks.push(Check::new("VOLUME_MAX", steps <= most, why));
        }
        let limit = units(&place["price"])
            .filter(|_| matches!(place["order_type"].as_str(), Some("limit" | "stop_limit")));
        let levels = ["stop_loss", "take_profit"].map(|level| units(&place[level]["price"]));
        let prices: Vec<i128> = limit.into_iter().chain(levels.into_iter().flatten()).collect();
        if !prices.is_empty() {
            let in_ticks = prices.iter().all(|price| *price > 0 && price % instrument.tick == 0);
            let why = prices.iter().map(|price| show(*price)).collect::<Vec<_>>().join(", ");
            checks.push(Check::new("PRICE_TICK", in_ticks, format!("price and levels are {why}")));
        }
        let Some(quote) = instrument.quote else {
            checks.push(Check::new("QUOTE_MISSING", false, "there was no quote".to_owned()));
            return checks;
        };
        let age_ms = (step.now_ns - quote.at_ns) / 1_000_000;
        let fresh = (age_ms <= self.quote_max_age_ms || self.quote_max_age_ms == 0, age_ms);
        // a clock that jumped makes quotes stale as well
        if !fresh.0 {
            checks.push(Check::new("QUOTE_STALE", false, format!("the quote was {age_ms} ms old")));
        }
        let buy = place["side"] == "buy";
        let market = if buy { quote.ask } else { quote.bid };
        let trigger = trigger(place, buy, market, instrument.tick);
        // a pending order's levels are measured from where it enters
        let base = limit.or(trigger).unwrap_or(if buy { quote.bid } else { quote.ask });
        let waits = trigger.map(|trigger| if buy { trigger > market } else { trigger < market });
        let fits = stops_fit(place, buy, base).or(waits).map(|fits| fits && waits.unwrap_or(true));
        if let Some(fits) = fits {
            checks.push(Check::new(
                "STOPS_INVALID",
                fits,
                format!("levels are measured from {}", show(base)),
            ));
        }
        let price = limit.or(trigger).unwrap_or(market);
        checks.extend(self.margin(account, instrument, volume, price));
        checks
    }

    /// Whether the free margin is enough, unless it is a matter of cents.
    fn margin(&self, account: &Account, instrument: &Instrument, volume: i128, price: i128) -> Option<Check> {
        let mut taken = 0;
        let orders = account.orders.values().filter(|order| order.opens);
        let orders = orders.map(|order| (&order.symbol, order.volume, order.price));
        let positions = account.positions.values().map(|p| (&p.symbol, p.volume, Some(p.open_price)));
        for (symbol, volume, price) in orders.chain(positions) {
            let of = self.instruments.iter().find(|i| i.symbol == *symbol)?;
            taken += margin(of, volume, price?, account.leverage)?;
        }
        let required = margin(instrument, volume, price, account.leverage)?;
        let free = self.equity(account)? - taken;
        let why = format!("{} is needed and {} is free", show(required), show(free));
        let doubt = self.doubt(account);
        if (required - free).abs() <= doubt {
            return None;
        }
        Some(Check::new("MARGIN_INSUFFICIENT", required <= free, why))
    }

    /// Equity of an account in the gateway's own machine, up to some cents.
    fn equity(&self, account: &Account) -> Option<i128> {
        if !account.is_paper {
            return None;
        }
        let mut equity = self.deposit + account.earned;
        for position in account.positions.values() {
            let instrument = self.instruments.iter().find(|i| i.symbol == position.symbol)?;
            let quote = instrument.quote.filter(|_| instrument.is_plain)?;
            let moved =
                if position.long { quote.bid - position.open_price } else { position.open_price - quote.ask };
            equity += in_cents(moved * instrument.contract * position.volume);
        }
        Some(equity)
    }

    /// What roundings may add up to.
    fn doubt(&self, account: &Account) -> i128 {
        CENT * (2 + account.positions.len() + account.orders.len()) as i128
    }

    fn loss(&self, account: &Account) -> Option<i128> {
        Some(self.deposit - self.equity(account)?)
    }

    fn daily_loss(&self, step: &Step, account: &Account, findings: &mut Findings) {
        let Some((limit, loss)) = self.max_daily_loss.zip(self.loss(account)) else { return };
        if loss >= limit + self.doubt(account) {
            let message = format!(
                "an order was let through with a loss of {}, {} is the limit",
                show(loss),
                show(limit)
            );
            findings.add("RK04", step.seq, message);
        } else if account.tripped {
            let message =
                format!("an order was let through after the loss limit {} had tripped", show(limit));
            findings.add("RK04", step.seq, message);
        }
    }

    fn apply(&mut self, step: &Step) {
        self.configure(&step.input["config"]);
        let quote = &step.input["quote"];
        if let Some(index) = quote["instrument"].as_u64()
            && let Some(instrument) = self.instruments.get_mut(index as usize)
        {
            let ticks = |key: &str| quote[key].as_i64().map(|ticks| i128::from(ticks) * instrument.tick);
            // one that cannot be true is set aside (EX10)
            let usable = ticks("bid").zip(ticks("ask")).filter(|(bid, ask)| 0 < *bid && bid <= ask);
            if let Some((bid, ask)) = usable {
                instrument.quote = Some(Quote { at_ns: step.now_ns, bid, ask });
            }
        }
        for (name, payload) in &step.events {
            match name.as_str() {
                "event.trade.executed" => self.filled(payload),
                "event.order.updated" | "event.trade.modified" | "event.trade.canceled" => {
                    self.order_changed(&payload["order"]);
                }
                _ => {}
            }
        }
        let resumes = step.input["command"]["body"]["resume"].is_object()
            && step.replies.iter().any(|reply| reply["result"]["Ok"].is_object());
        let trips: Vec<String> = self
            .accounts
            .iter()
            .filter(|(_, account)| {
                let loss = self.max_daily_loss.zip(self.loss(account));
                loss.is_some_and(|(limit, loss)| loss >= limit + self.doubt(account))
            })
            .map(|(id, _)| id.clone())
            .collect();
        for (id, account) in &mut self.accounts {
            account.tripped = (account.tripped && !resumes) || trips.contains(id);
        }
    }

    fn configure(&mut self, config: &Value) {
        if !config.is_object() {
            return;
        }
        self.quote_max_age_ms = config["quote_max_age_ms"].as_i64().unwrap_or_default();
        let list = |key: &str| config[key].as_array().into_iter().flatten();
        let quotes: BTreeMap<String, Option<Quote>> =
            self.instruments.iter().map(|i| (i.symbol.clone(), i.quote)).collect();
        self.instruments = list("instruments").filter_map(|spec| Instrument::read(spec, &quotes)).collect();
        for spec in list("accounts") {
            let account =
                self.accounts.entry(spec["id"].as_str().unwrap_or_default().to_owned()).or_default();
            account.leverage = i128::from(spec["leverage"].as_i64().unwrap_or(1));
            account.is_paper = spec["id"] == PAPER;
        }
    }

    fn order_changed(&mut self, order: &Value) {
        let Some(account) = order["accountId"].as_str().and_then(|id| self.accounts.get_mut(id)) else {
            return;
        };
        let Some(id) = order["orderId"].as_str() else { return };
        let is_over = matches!(
            order["status"].as_str(),
            Some("filled" | "canceled" | "expired" | "rejected" | "denied")
        );
        if is_over {
            account.orders.remove(id);
            return;
        }
        let opens = order["positionId"].is_null() && order["reduceOnly"] != true;
        let new = Order {
            symbol: order["symbol"].as_str().unwrap_or_default().to_owned(),
            opens,
            volume: units(&order["leavesVolume"]).unwrap_or_default(),
            price: units(&order["price"]).or_else(|| units(&order["stopPrice"])),
        };
        account.orders.insert(id.to_owned(), new);
    }

    fn filled(&mut self, fill: &Value) {
        let Some(account) = fill["accountId"].as_str().and_then(|id| self.accounts.get_mut(id)) else {
            return;
        };
        let money = |key: &str| units(&fill[key]).unwrap_or_default();
        account.earned += money("realizedPnl") + money("commission");
        let Some(id) = fill["positionId"].as_str() else { return };
        let long = fill["side"] == "buy";
        match account.positions.get_mut(id) {
            None => {
                let symbol = fill["symbol"].as_str().unwrap_or_default().to_owned();
                let new = Position { symbol, long, volume: money("volume"), open_price: money("price") };
                account.positions.insert(id.to_owned(), new);
            }
            Some(held) if held.long == long => held.volume += money("volume"),
            Some(held) => {
                held.volume -= money("volume");
                if held.volume <= 0 {
                    account.positions.remove(id);
                }
            }
        }
    }
}

impl Instrument {
    fn read(spec: &Value, quotes: &BTreeMap<String, Option<Quote>>) -> Option<Self> {
        let symbol = spec["symbol"].as_str()?.to_owned();
        Some(Self {
            tick: units(&spec["tick"])?,
            volume_step: units(&spec["volume_step"])?,
            volume_min: i128::from(spec["volume_min"].as_i64()?),
            volume_max: i128::from(spec["volume_max"].as_i64()?),
            contract: units(&spec["contract_size"])? / ONE,
            is_plain: spec["margin_mode"] == "cfd_leverage" && spec["quote_currency"] == "USD",
            quote: quotes.get(&symbol).copied().flatten(),
            symbol,
        })
    }
}

/// Lots x contract x price / leverage, in cents. `None`: it takes more than that.
fn margin(instrument: &Instrument, volume: i128, price: i128, leverage: i128) -> Option<i128> {
    instrument.is_plain.then(|| in_cents(volume * instrument.contract * price / leverage.max(1)))
}

/// Whether the protective prices lie on their sides of the base. `None`: there is none that is a price.
/// Where a stop triggers: where it says, or where its distance from the market puts it, at the next tick away from it.
fn trigger(place: &Value, buy: bool, market: i128, tick: i128) -> Option<i128> {
    let away = |distance: i128| if buy { market + distance } else { market - distance };
    let share = |percent: i128| {
        let exact = market * percent; // 10^10 times as much
        let of_tick = tick * 100 * ONE;
        ((exact + of_tick - 1) / of_tick).max(1) * tick
    };
    let stated = units(&place["stop_price"]);
    let trails = units(&place["trail"]["distance"]).or_else(|| units(&place["trail"]["percent"]).map(share));
    stated.or_else(|| trails.map(away))
}

fn stops_fit(place: &Value, buy: bool, base: i128) -> Option<bool> {
    let stop_loss =
        units(&place["stop_loss"]["price"]).map(|stop| if buy { stop < base } else { stop > base });
    let take_profit =
        units(&place["take_profit"]["price"]).map(|target| if buy { target > base } else { target < base });
    match (stop_loss, take_profit) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or(true) && other.unwrap_or(true)),
    }
}

/// A check of ours.
struct Check {
    code: &'static str,
    /// `None`: it is off.
    passed: Option<bool>,
    why: String,
}

impl Check {
    const fn new(code: &'static str, passed: bool, why: String) -> Self {
        Self { code, passed: Some(passed), why }
    }

    fn at_most(code: &'static str, actual: i128, limit: Option<i128>) -> Self {
        let why =
            limit.map_or_else(String::new, |limit| format!("this is number {actual}, {limit} are allowed"));
        Self { code, passed: limit.map(|limit| actual <= limit), why }
    }
}
