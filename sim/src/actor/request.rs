//! From a step of the plan to a request of the protocol, with what the client knows by then.

use super::market::{Known, Waits, decimal, digits};
use crate::{
    history::Request,
    plan::{Action, Manner, Pending, Place, Step},
};
use serde_json::{Value, json};

/// What a client asks for when it takes this step; `number` counts its requests, its keys bear the name
/// `key_name`. `None`: there is nothing to do, such as no order to cancel.
pub fn build(
    step: &Step,
    known: &Known,
    now_ms: i64,
    (client, key_name): (&str, &str),
    number: usize,
) -> Option<Request> {
    let account = &*step.account;
    let (method, mut params) = match &step.action {
        Action::Place(place) => ("trades.place", order(place, known, now_ms, &format!("{client}-{number}"))),
        Action::Preview(place) => {
            ("risk.preview", order(place, known, now_ms, &format!("{client}-{number}")))
        }
        Action::Cancel { pick } => ("trades.cancel", json!({ "orderId": nth(known, account, *pick)? })),
        Action::Modify { pick, limit, volume } => {
            ("trades.modify", modify(known, account, *pick, *limit, *volume)?)
        }
        Action::Protect { pick, stop_loss, take_profit } => {
            ("trades.modify", protect(known, account, *pick, *stop_loss, *take_profit)?)
        }
        Action::CancelAll => ("trades.cancel", json!({ "all": true })),
        Action::Close { pick, half } => ("trades.closePosition", close(known, account, *pick, *half)?),
        Action::CloseSymbol { symbol } => ("trades.closePosition", json!({ "symbol": symbol })),
        Action::Stop { global, actions } => {
            let mut params = scope(*global, account);
            params["actions"] = json!(actions);
            params["reason"] = json!("the plan says so");
            ("risk.emergencyStop", params)
        }
        Action::Resume { global, by_stop } => {
            let mut params = match &known.stop {
                Some(stop) if *by_stop => json!({ "stopId": stop }),
                _ => scope(*global, account),
            };
            params["reason"] = json!("the plan says so");
            ("risk.resume", params)
        }
        Action::Account => ("accounts.get", json!({})),
        Action::Order { pick } => ("trades.get", json!({ "orderId": nth(known, account, *pick)? })),
        Action::RiskStatus => ("risk.status", json!({})),
        Action::Status => ("gateway.status", json!({})),
        Action::Candles { symbol } => {
            ("feeds.getCandles", json!({ "symbol": symbol, "timeframe": "1m", "limit": 10 }))
        }
        Action::Ping => ("gateway.ping", json!({})),
        Action::Nap { .. } => return None,
    };
    let takes_account =
        method.starts_with("trades.") || matches!(method, "risk.preview" | "risk.status" | "accounts.get");
    if takes_account {
        params["accountId"] = json!(account);
    }
    let keyed = matches!(
        method,
        "trades.place"
            | "trades.modify"
            | "trades.cancel"
            | "trades.closePosition"
            | "risk.emergencyStop"
            | "risk.resume"
    );
    let key = keyed.then(|| format!("{key_name}-key-{number}"));
    if let Some(key) = &key {
        params["idempotencyKey"] = json!(key);
    }
    Some(Request { method: method.to_owned(), params, key, ..Request::default() })
}

fn scope(global: bool, account: &str) -> Value {
    if global { json!({ "scope": "global" }) } else { json!({ "scope": "account", "id": account }) }
}

fn nth<'a>(known: &'a Known, account: &str, pick: u64) -> Option<&'a String> {
    let items: Vec<&String> =
        known.orders.iter().filter(|(of, _)| of == account).map(|(_, order)| order).collect();
    // Mostly recent ones: old orders are over.
    let window = &items[items.len().saturating_sub(12)..];
    let last = window.len().checked_sub(1)?;
    window.get((pick % (last as u64 + 1)) as usize).copied()
}

fn close(known: &Known, account: &str, pick: u64, half: bool) -> Option<Value> {
    let open = one_of(known.positions.iter().filter(|open| open.account == account), pick)?;
    let mut params = json!({ "positionId": open.id });
    if half && open.volume > 1 {
        params["volume"] = json!(decimal(open.volume / 2, 2));
    }
    Some(params)
}

fn one_of<T>(items: impl Iterator<Item = T>, pick: u64) -> Option<T> {
    let mut items: Vec<T> = items.collect();
    let last = items.len().checked_sub(1)?;
    Some(items.swap_remove((pick % (last as u64 + 1)) as usize))
}

fn modify(known: &Known, account: &str, pick: u64, limit: i64, volume: Option<u64>) -> Option<Value> {
    let resting = one_of(known.resting.iter().filter(|order| order.account == account), pick)?;
    let scale = Scale::of(known, &resting.symbol, resting.buy)?;
    let mut params = match resting.waits {
        Waits::Limit => json!({ "orderId": resting.id, "price": scale.price(scale.better(limit)) }),
        Waits::Trigger => {
            json!({ "orderId": resting.id, "stopPrice": scale.price(scale.better(-1 - limit.abs())) })
        }
        Waits::Trail => {
            let distance = ((1 + limit.abs()) * scale.spread / 10).max(1);
            json!({ "orderId": resting.id, "trailDistance": scale.price(distance) })
        }
    };
    if let Some(volume) = volume {
        params["volume"] = json!(lots(volume));
    }
    Some(params)
}

fn protect(
    known: &Known,
    account: &str,
    pick: u64,
    stop_loss: Option<i64>,
    take_profit: Option<i64>,
) -> Option<Value> {
    let open = one_of(known.positions.iter().filter(|open| open.account == account), pick)?;
    let scale = Scale::of(known, &open.symbol, open.buy)?;
    let level = |tenths: Option<i64>| tenths.map(|tenths| scale.price(scale.exit(scale.entry, tenths)));
    Some(json!({
        "positionId": open.id,
        "stopLoss": level(stop_loss.map(|tenths| -tenths)),
        "takeProfit": level(take_profit),
    }))
}

/// Distances on one side of the market, in spreads.
struct Scale<'a> {
    symbol: &'a str,
    spread: i64,
    direction: i64,
    /// What an order would pay now, in ticks.
    entry: i64,
}

impl<'a> Scale<'a> {
    /// Of the last quote.
    fn of(known: &Known, symbol: &'a str, buy: bool) -> Option<Self> {
        let (bid, ask) = known.quote(symbol)?;
        let (direction, entry) = if buy { (1, ask) } else { (-1, bid) };
        Some(Self { symbol, spread: (ask - bid).max(10), direction, entry })
    }

    /// An entry that is better than now by so many tenths of a spread.
    const fn better(&self, tenths: i64) -> i64 {
        self.entry - self.direction * tenths * self.spread / 10
    }

    /// An exit that gains so many tenths of a spread upon a close at once after this entry.
    const fn exit(&self, entry: i64, tenths: i64) -> i64 {
        entry - self.direction * self.spread + self.direction * tenths * self.spread / 10
    }

    fn price(&self, ticks: i64) -> String {
        decimal(ticks, digits(self.symbol))
    }
}

fn lots(hundredths: u64) -> String {
    decimal(i64::try_from(hundredths).expect("plans draw small volumes"), 2)
}

/// Makes a stop of a market order; where it enters, in ticks.
fn wait(pending: Pending, scale: &Scale<'_>, params: &mut Value) -> i64 {
    match pending {
        Pending::Stop { beyond, limit } => {
            let trigger = scale.better(-beyond);
            params["type"] = json!(if limit.is_some() { "stop_limit" } else { "stop" });
            params["stopPrice"] = json!(scale.price(trigger));
            let Some(limit) = limit else { return trigger };
            let price = trigger + scale.direction * limit * scale.spread / 10;
            params["price"] = json!(scale.price(price));
            price
        }
        Pending::Trail { by } => {
            let distance = (by * scale.spread / 10).max(1);
            params["type"] = json!("trailing_stop");
            params["trailDistance"] = json!(scale.price(distance));
            scale.entry + scale.direction * distance
        }
        Pending::TrailPercent { by } => {
            params["type"] = json!("trailing_stop");
            params["trailPercent"] = json!(decimal(by, 3));
            scale.entry + scale.direction * (scale.entry / 100_000 * by)
        }
    }
}

/// The order in prices of now; before the first quote, a plain market order.
fn order(place: &Place, known: &Known, now_ms: i64, client_order_id: &str) -> Value {
    let Place { symbol, buy, volume, .. } = place;
    let mut params = json!({
        "symbol": symbol,
        "side": if *buy { "buy" } else { "sell" },
        "type": "market",
        "volume": lots(*volume),
        "clientOrderId": client_order_id,
    });
    let Some(scale) = Scale::of(known, symbol, *buy) else { return params };
    let mut entry = scale.entry;
    if let Some(tenths) = place.limit {
        entry = scale.better(tenths);
        params["type"] = json!("limit");
        params["price"] = json!(scale.price(entry));
    }
    if let Some(pending) = place.pending {
        entry = wait(pending, &scale, &mut params);
    }
    match place.manner {
        Some(Manner::PostOnly) => params["postOnly"] = json!(true),
        Some(Manner::Fok) => params["filling"] = json!("fok"),
        Some(Manner::Ioc) => params["filling"] = json!("ioc"),
        None => {}
    }
    match place.lives_ms {
        Some(0) => params["tif"] = json!("day"),
        Some(lives_ms) => {
            params["tif"] = json!("gtd");
            params["expiresAt"] = json!(now_ms + i64::try_from(lives_ms).expect("plans are checked"));
        }
        None => {}
    }
    if let Some(tenths) = place.stop_loss {
        params["stopLoss"] = json!(scale.price(scale.exit(entry, -tenths)));
    }
    if let Some(tenths) = place.take_profit {
        params["takeProfit"] = json!(scale.price(scale.exit(entry, tenths)));
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_stops_lie_where_the_plan_says() {
        let mut known = Known::default();
        known.hear_tick(&json!({ "topic": "market.price.tick", "symbol": "BTCUSD",
            "payload": { "bid": "60000.00", "ask": "60010.00" } }));
        let place = |buy, limit| Place {
            symbol: "BTCUSD".into(),
            buy,
            limit,
            volume: 5,
            pending: None,
            lives_ms: None,
            manner: None,
            stop_loss: Some(20),
            take_profit: Some(10),
        };
        let buy = order(&place(true, Some(10)), &known, 0, "x");
        assert_eq!(buy["price"], "60000.00");
        assert_eq!(buy["stopLoss"], "59970.00");
        assert_eq!(buy["takeProfit"], "60000.00");
        let sell = order(&place(false, None), &known, 0, "x");
        assert_eq!(sell["type"], "market");
        assert_eq!(sell["stopLoss"], "60030.00");
        assert_eq!(sell["takeProfit"], "60000.00");
        assert_eq!(sell["volume"], "0.05");
        let stop = Pending::Stop { beyond: 10, limit: Some(-5) };
        let stop = Place { pending: Some(stop), lives_ms: Some(7), ..place(true, None) };
        let stop = order(&stop, &known, 1_000, "x");
        assert_eq!((&stop["type"], &stop["stopPrice"]), (&json!("stop_limit"), &json!("60020.00")));
        assert_eq!((&stop["price"], &stop["expiresAt"]), (&json!("60015.00"), &json!(1_007)));
        let trail = Place { pending: Some(Pending::Trail { by: 20 }), ..place(false, None) };
        let trail = order(&trail, &known, 0, "x");
        assert_eq!((&trail["type"], &trail["trailDistance"]), (&json!("trailing_stop"), &json!("20.00")));
    }
}
