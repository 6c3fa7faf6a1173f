//! `ledger`, of a machine that was stepped through its inputs alone (AC01): its configuration says what its
//! accounts are, and its fills what their balances must be.

use super::{
    Findings, Log, Severity, Violation,
    arithmetic::{ONE, show, units},
    ledger::{Book, postings},
};
use crate::history::Step;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Checks the log. What fills leave is known only where every fill is there.
pub fn check(log: &Log<'_>, from_genesis: bool) -> Vec<Violation> {
    let mut findings = Findings::new("ledger", Severity::Safety);
    postings(log, from_genesis, &mut findings);
    if from_genesis {
        let mut books = Books::default();
        log.steps.iter().for_each(|step| books.apply(step, &mut findings));
    }
    findings.found
}

/// The accounts that were ever configured and whose venue is in the machine.
pub fn paper_accounts(log: &Log<'_>) -> BTreeSet<String> {
    let accounts = log.steps.iter().flat_map(|step| accounts(&step.input));
    accounts.filter_map(Account::read).map(|account| account.id.to_owned()).collect()
}

/// The configurations of accounts that an input holds.
fn accounts(input: &Value) -> impl Iterator<Item = &Value> {
    let connected = &input["command"]["body"]["connect"]["settings"];
    input["config"]["accounts"].as_array().into_iter().flatten().chain(Some(connected))
}

/// The terms of a paper account.
struct Account<'a> {
    id: &'a str,
    currency: &'a str,
    deposit: i128,
    commission_per_lot: i128,
}

impl<'a> Account<'a> {
    /// `None`: it is none, or its venue keeps its books.
    fn read(value: &'a Value) -> Option<Self> {
        (value["connector"] == "paper").then_some(Self {
            id: value["id"].as_str()?,
            currency: value["currency"].as_str()?,
            deposit: units(&value["deposit"])?,
            commission_per_lot: units(&value["commission_per_lot"])?,
        })
    }
}

/// What is known of the accounts along the log.
#[derive(Default)]
struct Books {
    /// Units per lot and currency of each instrument.
    instruments: BTreeMap<String, (i128, String)>,
    accounts: BTreeMap<String, Kept>,
}

struct Kept {
    book: Book,
    currency: String,
    deposit: i128,
    commission_per_lot: i128,
    /// Whether it traded in another currency: what that came to is a matter of rates.
    was_converted: bool,
}

impl Books {
    fn apply(&mut self, step: &Step, findings: &mut Findings) {
        if step.replies.iter().all(|reply| reply["result"]["Err"].is_null()) {
            self.learn(&step.input);
        }
        for (_, fill) in step.events.iter().filter(|(name, _)| name == "event.trade.executed") {
            let id = fill["accountId"].as_str().unwrap_or_default();
            let Some(kept) = self.accounts.get_mut(id) else { continue };
            match self.instruments.get(fill["symbol"].as_str().unwrap_or_default()) {
                Some((contract, currency)) if *currency == kept.currency => {
                    kept.book.fill(step.seq, fill, kept.commission_per_lot, |_| *contract, findings);
                }
                _ => kept.was_converted = true,
            }
        }
        for entry in &step.ledger {
            let id = entry["accountId"].as_str().unwrap_or_default();
            let Some(kept) = self.accounts.get_mut(id) else { continue };
            let amount = units(&entry["amount"]).unwrap_or_default();
            match entry["kind"].as_str() {
                Some("pnl" | "commission") => {} // counted with its fill
                Some("deposit") if amount != kept.deposit => {
                    let message = format!("a deposit of {} was configured: {entry}", show(kept.deposit));
                    findings.add("AC01", step.seq, message);
                    kept.book.balance += amount;
                }
                _ => kept.book.balance += amount,
            }
        }
        // as each is left by the step
        let last: BTreeMap<&str, &Value> = step
            .ledger
            .iter()
            .filter_map(|entry| Some((entry["accountId"].as_str()?, &entry["balanceAfter"])))
            .collect();
        for (id, told) in last {
            if let Some(kept) = self.accounts.get_mut(id).filter(|kept| !kept.was_converted)
                && let Some(told) = units(told).filter(|told| *told != kept.book.balance)
            {
                let (left, told) = (show(std::mem::replace(&mut kept.book.balance, told)), show(told));
                findings.add("AC01", step.seq, format!("{id} has {told} where fills leave {left}"));
            }
        }
    }

    /// Takes note of what was configured.
    fn learn(&mut self, input: &Value) {
        for instrument in input["config"]["instruments"].as_array().into_iter().flatten() {
            let text = |key: &str| instrument[key].as_str().map(str::to_owned);
            let whole = units(&instrument["contract_size"]).filter(|size| size % ONE == 0);
            let contract = whole.map(|size| size / ONE);
            if let (Some(symbol), Some(currency), Some(contract)) =
                (text("symbol"), text("quote_currency"), contract)
            {
                self.instruments.insert(symbol, (contract, currency));
            }
        }
        for account in accounts(input).filter_map(Account::read) {
            let kept = self.accounts.entry(account.id.to_owned()).or_insert_with(|| Kept {
                book: Book::default(),
                currency: account.currency.to_owned(),
                deposit: account.deposit,
                commission_per_lot: 0,
                was_converted: false,
            });
            kept.commission_per_lot = account.commission_per_lot;
        }
    }
}
