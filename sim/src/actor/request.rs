//! From a step of the plan to a request of the protocol, with what the client knows by then.

use super::market::{Known, decimal, digits};
use crate::{
    history::Request,
    plan::{Action, Place, Step},
};
use serde_json::{Value, json};

/// What a client asks for when it takes this step; `number` counts its requests. `None`: there is
/// nothing to do, such as no order to cancel.
pub fn build(step: &Step, known: &Known, client: &str, number: usize) -> Option<Request> {
    let account = &*step.account;
    let (method, mut params) = match &step.action {
        Action::Place(place) => ("trades.place", order(place, known, &format!("{client}-{number}"))),
        Action::Preview(place) => ("risk.preview", order(place, known, &format!("{client}-{number}"))),
        Action::Cancel { pick } => ("trades.cancel", json!({ "orderId": nth(known, account, *pick)? })),
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
    };
    let takes_account =
        method.starts_with("trades.") || matches!(method, "risk.preview" | "risk.status" | "accounts.get");
    if takes_account {
        params["accountId"] = json!(account);
    }
    let keyed = matches!(
        method,
        "trades.place" | "trades.cancel" | "trades.closePosition" | "risk.emergencyStop" | "risk.resume"
    );
    let key = keyed.then(|| format!("{client}-key-{number}"));
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
    let open: Vec<_> = known.positions.iter().filter(|(of, ..)| of == account).collect();
    let last = open.len().checked_sub(1)?;
    let (_, position, volume) = open[(pick % (last as u64 + 1)) as usize];
    let mut params = json!({ "positionId": position });
    if half && *volume > 1 {
        params["volume"] = json!(decimal(volume / 2, 2));
    }
    Some(params)
}

/// The order in prices of now; before the first quote, a plain market order.
fn order(place: &Place, known: &Known, client_order_id: &str) -> Value {
    let Place { symbol, buy, volume, .. } = place;
    let mut params = json!({
        "symbol": symbol,
        "side": if *buy { "buy" } else { "sell" },
        "type": "market",
        "volume": decimal(i64::try_from(*volume).expect("plans draw small volumes"), 2),
        "clientOrderId": client_order_id,
    });
    let Some((bid, ask)) = known.quote(symbol) else { return params };
    let spread = (ask - bid).max(10);
    let away = |tenths: i64| tenths * spread / 10;
    let direction = if *buy { 1 } else { -1 };
    let mut entry = if *buy { ask } else { bid };
    let price = |ticks: i64| json!(decimal(ticks, digits(symbol)));
    if let Some(tenths) = place.limit {
        entry -= direction * away(tenths);
        params["type"] = json!("limit");
        params["price"] = price(entry);
    }
    let exit = entry - direction * spread; // where it could be closed at once
    if let Some(tenths) = place.stop_loss {
        params["stopLoss"] = price(exit - direction * away(tenths));
    }
    if let Some(tenths) = place.take_profit {
        params["takeProfit"] = price(exit + direction * away(tenths));
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_stops_lie_where_the_plan_says() {
        let mut known = Known::default();
        let tick = json!({ "topic": "market.price.tick", "symbol": "BTCUSD",
            "payload": { "bid": "60000.00", "ask": "60010.00" } });
        known.hear("event.feed.event", &tick);
        let place = |buy, limit| Place {
            symbol: "BTCUSD".into(),
            buy,
            limit,
            volume: 5,
            stop_loss: Some(20),
            take_profit: Some(10),
        };
        let buy = order(&place(true, Some(10)), &known, "x");
        assert_eq!(buy["price"], "60000.00");
        assert_eq!(buy["stopLoss"], "59970.00");
        assert_eq!(buy["takeProfit"], "60000.00");
        let sell = order(&place(false, None), &known, "x");
        assert_eq!(sell["type"], "market");
        assert_eq!(sell["stopLoss"], "60030.00");
        assert_eq!(sell["takeProfit"], "60000.00");
        assert_eq!(sell["volume"], "0.05");
    }
}
