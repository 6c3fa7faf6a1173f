//! Answers to questions: pure functions of the state.

use super::{
    account::Account,
    engine::Engine,
    risk::{self, Circumstances, Facts},
};
use crate::domain::{
    account::TradingState,
    config::Setup,
    id::AccountId,
    instrument::Instrument,
    message::{
        AccountSummary, AccountView, Answer, Capabilities, ErrorCode, FillView, InstrumentView, LatchView,
        LimitView, OrderDetail, OrderKey, OrderView, PlaceOrder, PreviewView, Query, Refusal, RiskStatusView,
        StopScope, ViolationCode,
    },
    money::Money,
    time::UnixNanos,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

impl Engine {
    /// Answers a question about the state at `now`; `events` is the number of critical events so far.
    pub fn query(&self, now: UnixNanos, events: u64, query: &Query) -> Result<Answer, Refusal> {
        let Some(setup) = self.setup.as_deref() else {
            return Err(Refusal::new(
                ErrorCode::InternalError,
                "NOT_CONFIGURED",
                "no configuration is in force",
            ));
        };
        Ok(match query {
            Query::Accounts => Answer::Accounts(self.accounts.iter().map(|a| self.summary(a)).collect()),
            Query::Account(id) => Answer::Account(Box::new(self.account_view(self.account(id)?, setup))),
            Query::AccountStatus(id) => {
                self.account(id)?;
                Answer::AccountStatus(Box::new(self.account_status(self.index[id])))
            }
            Query::Instruments(id) => Answer::Instruments(instruments(self.account(id)?, setup)),
            Query::Order(id, key) => Answer::Order(Box::new(order_detail(self.account(id)?, key, setup)?)),
            Query::Preview(order) => Answer::Preview(Box::new(self.preview(now, events, order, setup)?)),
            Query::RiskStatus(id) => Answer::RiskStatus(Box::new(self.risk_status(id.as_ref(), setup)?)),
            Query::OpenCandle(instrument, timeframe) => {
                Answer::OpenCandle(self.market.open_candle(*instrument, *timeframe))
            }
        })
    }

    fn account(&self, id: &AccountId) -> Result<&Account, Refusal> {
        self.index.get(id).map(|i| &self.accounts[*i]).ok_or_else(|| {
            let message = format!("there is no account `{id}`: accounts.list names them");
            Refusal::new(ErrorCode::NotFound, "ACCOUNT_UNKNOWN", message)
        })
    }

    fn trading_state(&self, account: &Account) -> TradingState {
        if self.stops.halted(account.id()).is_some() {
            TradingState::Halted
        } else if account.loss_latch.is_some() {
            TradingState::Reducing
        } else {
            TradingState::Active
        }
    }

    fn summary(&self, account: &Account) -> AccountSummary {
        let config = &account.config;
        let (equity, margin) = (account.equity(), account.margin());
        AccountSummary {
            account_id: config.id.clone(),
            label: config.label.clone(),
            connector: config.connector.clone(),
            mode: config.mode,
            status: account.link,
            trading_state: self.trading_state(account),
            currency: config.currency,
            leverage: config.leverage,
            position_mode: config.position_mode,
            balance: account.balance,
            credit: Money::ZERO,
            equity,
            margin,
            free_margin: equity - margin,
            margin_level: equity.percent_of(margin),
            allowed_symbols: config.allowed_symbols.clone(),
        }
    }

    pub(super) fn account_view(&self, account: &Account, setup: &Setup) -> AccountView {
        let order = |record: &super::account::OrderRecord| {
            OrderView::new(&record.order, setup.instrument(record.order.instrument))
        };
        AccountView {
            summary: self.summary(account),
            positions: account
                .positions
                .values()
                .map(|p| account.position_view(p, setup, &self.market))
                .collect(),
            orders: account.working().map(order).collect(),
        }
    }

    /// Decides as `trades.place` would, without effect (RK01).
    fn preview(
        &self,
        now: UnixNanos,
        events: u64,
        order: &PlaceOrder,
        setup: &Setup,
    ) -> Result<PreviewView, Refusal> {
        let account = self.account(&order.account)?;
        let duplicate = order.client_order_id.as_ref().is_some_and(|id| account.client_ids.contains_key(id));
        let index = self.index[&order.account];
        let around = Circumstances { duplicate, ..self.circumstances(now, index, setup) };
        let assessment = risk::assess(&Facts::new(around, order));
        Ok(PreviewView {
            allowed: assessment.approved.is_some(),
            violations: assessment.violations,
            checks: assessment.checks,
            computed: assessment.computed,
            state_version: events,
        })
    }

    fn risk_status(&self, id: Option<&AccountId>, setup: &Setup) -> Result<RiskStatusView, Refusal> {
        let asked: Vec<&Account> = match id {
            Some(id) => vec![self.account(id)?],
            None => self.accounts.iter().collect(),
        };
        let stops = self.stops.all().iter().filter(|s| match (&s.scope, id) {
            (StopScope::Account(stopped), Some(id)) => stopped == id,
            _ => true,
        });
        let mut latches: Vec<LatchView> = stops.map(super::stops::Stop::view).collect();
        latches.extend(asked.iter().filter_map(|a| loss_latch_view(a)));
        Ok(RiskStatusView {
            trading_state: asked.iter().map(|a| self.trading_state(a)).max().unwrap_or(TradingState::Active),
            latches,
            limits: asked.iter().flat_map(|a| limit_views(a, setup)).collect(),
            daily_loss: asked.iter().map(|a| (a.id().clone(), a.daily_loss())).collect::<BTreeMap<_, _>>(),
        })
    }
}

fn loss_latch_view(account: &Account) -> Option<LatchView> {
    let latch = account.loss_latch.as_ref()?;
    Some(LatchView {
        id: format!("daily_loss:{}", account.id()),
        scope: "account".to_owned(),
        account_id: Some(account.id().clone()),
        cause: "daily_loss".to_owned(),
        reason: format!("loss {} of {}", latch.loss, latch.limit),
        actor: "risk".to_owned(),
        since: latch.since,
        complete: true,
    })
}

fn limit_views(account: &Account, setup: &Setup) -> Vec<LimitView> {
    let view = |code, limit: Decimal, actual: Decimal| LimitView {
        code,
        account_id: account.id().clone(),
        limit,
        actual,
        remaining: (limit - actual).max(Decimal::ZERO),
    };
    let mut views = Vec::new();
    let positions = [account.config.limits.max_positions, setup.config.limits.max_positions];
    if let Some(limit) = positions.into_iter().flatten().min() {
        let used = account.positions.len() + account.opening().count();
        views.push(view(ViolationCode::MaxPositions, Decimal::from(limit), Decimal::from(used)));
    }
    if let Some(limit) = risk::daily_loss_limit(account, &setup.config.limits) {
        views.push(view(ViolationCode::MaxDailyLoss, limit.amount(), account.daily_loss().amount()));
    }
    views
}

fn instruments(account: &Account, setup: &Setup) -> Vec<InstrumentView> {
    let allowed = &account.config.allowed_symbols;
    let offered = if account.config.is_paper() {
        Capabilities::of_this_build()
    } else {
        account.session.capabilities.clone()
    };
    let calendar = |i: &Instrument| &setup.config.calendars[usize::from(i.calendar)];
    let view = |i: &Instrument| InstrumentView::new(i, calendar(i), &offered);
    let wanted = |i: &&Instrument| allowed.is_empty() || allowed.contains(&i.symbol);
    let mut views: Vec<InstrumentView> = setup.instruments().iter().filter(wanted).map(view).collect();
    views.sort_by(|a, b| a.symbol.cmp(&b.symbol));
    views
}

fn order_detail(account: &Account, key: &OrderKey, setup: &Setup) -> Result<OrderDetail, Refusal> {
    let id = match key {
        OrderKey::Order(id) => Some(*id),
        OrderKey::ClientOrder(id) => account.client_ids.get(id).copied(),
        OrderKey::Intent(id) => account.intents.get(id).copied(),
    };
    let record = id.and_then(|id| account.orders.get(&id)).ok_or_else(|| {
        Refusal::new(ErrorCode::NotFound, "ORDER_UNKNOWN", "there is no such order on this account")
    })?;
    let instrument = setup.instrument(record.order.instrument);
    Ok(OrderDetail {
        order: OrderView::new(&record.order, instrument),
        fills: record.fills.iter().map(|fill| FillView::new(fill, instrument)).collect(),
    })
}
