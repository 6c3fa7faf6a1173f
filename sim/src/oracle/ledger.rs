//! `ledger`: no money appears or vanishes (AC01). Balances, profits and commissions are computed
//! anew from fills, by prices and volumes alone.

use super::{
    Findings, Log, Severity, Violation,
    arithmetic::{in_cents, parse, show, times_in_cents, units},
};
use crate::{
    history::{Answer, History, Step},
    plan::{PAPER, Plan},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Checks the log and every `accounts.get` answer.
pub fn check(plan: &Plan, history: &History, log: &Log<'_>) -> Vec<Violation> {
    let mut findings = Findings::new("ledger", Severity::Safety);
    postings(log, true, &mut findings);
    let mut answers = account_answers(history);
    let mut books = Books::new(plan);
    let mut steps = log.steps.iter().peekable();
    let mut events = 0;
    answers.sort_by_key(|(cursor, _)| *cursor);
    for (cursor, answer) in answers {
        while let Some(step) = steps.next_if(|step| events + step.events.len() as u64 <= cursor) {
            events += step.events.len() as u64;
            books.apply(step, &mut findings);
        }
        books.compare(answer, &mut findings);
    }
    for step in steps {
        books.apply(step, &mut findings);
    }
    findings.found
}

/// Each posting follows from the balance before it. `from_genesis`: there was none before the first.
pub(super) fn postings(log: &Log<'_>, from_genesis: bool, findings: &mut Findings) {
    let mut balances: BTreeMap<&str, i128> = BTreeMap::new();
    for step in &log.steps {
        for entry in &step.ledger {
            let (Some(account), Some(amount), Some(after)) =
                (entry["accountId"].as_str(), units(&entry["amount"]), units(&entry["balanceAfter"]))
            else {
                findings.add("AC01", step.seq, format!("a posting without account or amount: {entry}"));
                continue;
            };
            let before = if from_genesis { 0 } else { after - amount };
            let balance = balances.entry(account).or_insert(before);
            *balance += amount;
            if *balance != after {
                let message = format!("posting {entry} leaves {} by our count", show(*balance));
                findings.add("AC01", step.seq, message);
                *balance = after;
            }
        }
    }
}

/// Successful answers to `accounts.get`, with the cursor they are true at.
fn account_answers(history: &History) -> Vec<(u64, &Answer)> {
    let requests = history.clients.iter().flat_map(|c| &c.requests).filter(|r| r.method == "accounts.get");
    requests
        .flat_map(|r| r.successes())
        .filter_map(|answer| Some((answer.body["cursor"]["offset"].as_u64()?, answer)))
        .collect()
}

/// The accounts as fills and deposits make them.
struct Books {
    commission_per_lot: i128,
    accounts: BTreeMap<String, Book>,
}

/// One account.
#[derive(Default)]
pub(super) struct Book {
    pub balance: i128,
    /// Its venue keeps the books: what it had at first shows with its first words.
    is_at_venue: bool,
    positions: BTreeMap<String, Position>,
}

struct Position {
    long: bool,
    volume: i128,
    open_price: i128,
}

impl Books {
    fn new(plan: &Plan) -> Self {
        let commission_per_lot = parse(&plan.gateway.commission_per_lot).expect("plans hold decimals");
        let deposit = parse(&plan.gateway.deposit.to_string()).expect("a whole number");
        let book = |id: String| {
            let is_at_venue = id != PAPER;
            let balance = if is_at_venue { 0 } else { deposit };
            (id, Book { balance, is_at_venue, ..Book::default() })
        };
        Self { commission_per_lot, accounts: plan.accounts().into_iter().map(book).collect() }
    }

    fn apply(&mut self, step: &Step, findings: &mut Findings) {
        for (_, fill) in step.events.iter().filter(|(name, _)| name == "event.trade.executed") {
            match self.accounts.get_mut(fill["accountId"].as_str().unwrap_or_default()) {
                Some(book) => book.fill(step.seq, fill, self.commission_per_lot, contract, findings),
                None => findings.add("AC01", step.seq, format!("a fill of no account: {fill}")),
            }
        }
        for entry in &step.ledger {
            let book = self.accounts.get_mut(entry["accountId"].as_str().unwrap_or_default());
            if let Some(book) = book.filter(|book| book.is_at_venue)
                && !matches!(entry["kind"].as_str(), Some("pnl" | "commission"))
            {
                book.balance += units(&entry["amount"]).unwrap_or_default();
            }
        }
    }

    fn compare(&self, answer: &Answer, findings: &mut Findings) {
        match self.accounts.get(answer.body["accountId"].as_str().unwrap_or_default()) {
            Some(book) => book.compare(answer, findings),
            None => findings.add("AC01", answer.seq, "accounts.get of no account"),
        }
    }
}

impl Book {
    /// Books a fill and checks what the gateway booked for it.
    pub fn fill(
        &mut self,
        seq: usize,
        fill: &Value,
        commission_per_lot: i128,
        contract: impl Fn(&str) -> i128,
        findings: &mut Findings,
    ) {
        let text = |key: &str| fill[key].as_str();
        let (Some(position), Some(symbol), Some(side)) = (text("positionId"), text("symbol"), text("side"))
        else {
            return findings.add("AC01", seq, format!("a fill without position, symbol or side: {fill}"));
        };
        let (Some(volume), Some(price), Some(commission), Some(profit)) = (
            units(&fill["volume"]),
            units(&fill["price"]),
            units(&fill["commission"]),
            units(&fill["realizedPnl"]),
        ) else {
            return findings.add("AC01", seq, format!("a fill without volume, price or money: {fill}"));
        };
        self.balance += profit + commission;
        let expected = -times_in_cents(volume, commission_per_lot);
        if commission != expected {
            let message = format!("commission {} where {} is due: {fill}", show(commission), show(expected));
            findings.add("AC11", seq, message);
        }
        let long = side == "buy";
        let expected = match self.positions.get_mut(position) {
            None => {
                let open = Position { long, volume, open_price: price };
                self.positions.insert(position.to_owned(), open);
                0
            }
            Some(held) if held.long == long => {
                return findings.add("AC05", seq, format!("a ticket grew by a second fill: {fill}"));
            }
            Some(held) => {
                let moved = if held.long { price - held.open_price } else { held.open_price - price };
                held.volume -= volume;
                let left = held.volume;
                if left < 0 {
                    findings.add("OR03", seq, format!("closed more than was open: {fill}"));
                }
                if left <= 0 {
                    self.positions.remove(position);
                }
                times_in_cents(moved * contract(symbol), volume)
            }
        };
        if profit != expected {
            let message = format!("profit {} where {} is due: {fill}", show(profit), show(expected));
            findings.add("AC12", seq, message);
        }
    }

    /// Compares what a client was told of the account.
    fn compare(&self, answer: &Answer, findings: &mut Findings) {
        let body = &answer.body;
        let sum = |list: &Value, key: &str| -> Option<i128> {
            list.as_array()?.iter().map(|item| units(&item[key])).sum()
        };
        let money = |key: &str| units(&body[key]);
        let positions = &body["positions"];
        let (Some(balance), Some(credit), Some(equity), Some(margin), Some(free), Some(floating), Some(swap)) = (
            money("balance"),
            money("credit"),
            money("equity"),
            money("margin"),
            money("freeMargin"),
            floating(positions, answer.seq, findings),
            sum(positions, "swap"),
        ) else {
            return findings.add("AC01", answer.seq, "accounts.get lacks figures");
        };
        if balance != self.balance {
            let message = format!("balance {} where fills leave {}", show(balance), show(self.balance));
            findings.add("AC01", answer.seq, message);
        }
        if equity != balance + credit + floating + swap {
            let parts = show(balance + credit + floating + swap);
            findings.add("AC01", answer.seq, format!("equity {} where its parts make {parts}", show(equity)));
        }
        if free != equity - margin {
            findings.add("AC03", answer.seq, format!("free margin {} is not equity - margin", show(free)));
        }
        let told: BTreeMap<&str, i128> = positions
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|p| Some((p["positionId"].as_str()?, units(&p["volume"])?)))
            .collect();
        let held: BTreeMap<&str, i128> =
            self.positions.iter().map(|(id, p)| (id.as_str(), p.volume)).collect();
        if told != held {
            let message = format!("positions {told:?} where fills leave {held:?} (in 10^-8 lots)");
            findings.add("AC05", answer.seq, message);
        }
    }
}

/// The floating result of all positions: exact, and rounded once in the end (AC12). Each position's
/// own figure is rounded by itself.
fn floating(positions: &Value, seq: usize, findings: &mut Findings) -> Option<i128> {
    let mut exact = 0; // units of 10^-8 of a price x 10^-8 of a lot
    for position in positions.as_array()? {
        let (open, current) = (units(&position["openPrice"])?, units(&position["currentPrice"])?);
        let moved = if position["side"] == "buy" { current - open } else { open - current };
        let (moved, volume) = (moved * contract(position["symbol"].as_str()?), units(&position["volume"])?);
        exact += moved * volume;
        if units(&position["floating"]) != Some(times_in_cents(moved, volume)) {
            findings.add("AC12", seq, format!("a floating result that prices do not make: {position}"));
        }
    }
    Some(in_cents(exact))
}

/// Units per lot, from the specification.
fn contract(symbol: &str) -> i128 {
    match symbol {
        "EURUSD" | "GBPUSD" => 100_000,
        "XAUUSD" => 100,
        _ => 1,
    }
}
