//! What records hold, in words.

use serde_json::Value;

/// A critical event in a few words.
pub fn event(event: &Value) -> Option<String> {
    let (name, payload) = (event[0].as_str()?, &event[1]);
    let order = &payload["order"];
    Some(match name {
        "event.order.updated" => {
            let terms =
                [&order["side"], &order["symbol"], &order["volume"], &order["price"]].map(text).join(" ");
            format!("order {} {} ({terms})", text(&order["orderId"]), text(&order["status"]))
        }
        "event.trade.executed" => format!(
            "fill {} of {}: {} {} at {} ({})",
            text(&payload["fillId"]),
            text(&payload["orderId"]),
            text(&payload["side"]),
            text(&payload["volume"]),
            text(&payload["price"]),
            text(&payload["reason"])
        ),
        "event.account.status" => format!("account {}", words(payload)),
        "event.emergency_stop" => {
            format!("stop {} {}", text(&payload["stopId"]), text(&payload["phase"]))
        }
        "event.trade.rejected" => format!(
            "refused by {}: {} {}",
            text(&payload["by"]),
            text(&payload["code"]),
            text(&payload["reason"])
        ),
        _ => return None,
    })
}

/// The plain members of an object, one after the other.
pub fn words(value: &Value) -> String {
    let Some(object) = value.as_object() else { return text(value) };
    let is_plain = |value: &Value| !matches!(value, Value::Object(_) | Value::Array(_) | Value::Null);
    let plain =
        object.iter().filter(|(key, value)| is_plain(value) && !["seq", "message"].contains(&key.as_str()));
    let mut words: Vec<String> = plain.map(|(key, value)| format!("{key}={}", text(value))).collect();
    words.extend(object.get("message").map(text));
    words.join(" ")
}

/// A value without the quotes of a text.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// At most so many characters.
pub fn short(text: &str, width: usize) -> String {
    let cut: String = text.chars().take(width).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}
