//! Frames as the protocol wants them, and the answers to all others.

use super::harness::{Server, connect_params};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

async fn check(server: &Server, text: &str, id: Value, reason: &str) {
    let mut client = server.operator().await;
    client.send(text).await;
    let answer = client.answer().await;
    assert_eq!(answer["type"], "res", "{text}");
    assert_eq!(answer["ok"], false, "{text}");
    assert_eq!(answer["id"], id, "{text}: {answer}");
    assert_eq!(answer["error"]["code"], "INVALID_PARAMS", "{text}: {answer}");
    assert_eq!(answer["error"]["details"]["reason"], reason, "{text}: {answer}");
    assert_eq!(answer["error"]["retryable"], false);
    client.ok("gateway.ping", json!({})).await;
}

#[tokio::test]
async fn gw10_bad_frames_get_an_answer_and_the_connection_stays() {
    let server = Server::start().await;
    let deep =
        format!(r#"{{"type":"req","id":"1","method":"gateway.ping","params":{{"a":{}}}}}"#, "[".repeat(40));
    for (text, id, reason) in [
        ("nonsense", Value::Null, "BAD_JSON"),
        ("{\"type\":", Value::Null, "BAD_JSON"),
        ("[]", Value::Null, "BAD_FRAME"),
        ("7", Value::Null, "BAD_FRAME"),
        ("{}", Value::Null, "BAD_FRAME"),
        (r#"{"type":"event","event":"x"}"#, Value::Null, "BAD_FRAME"),
        (r#"{"type":"req","id":7,"method":"gateway.ping","params":{}}"#, Value::Null, "BAD_FRAME"),
        (r#"{"type":"req","id":"a","params":{}}"#, json!("a"), "BAD_FRAME"),
        (r#"{"type":"req","id":"a","method":"gateway.ping"}"#, json!("a"), "PARAMS_NOT_OBJECT"),
        (r#"{"type":"req","id":"a","method":"gateway.ping","params":null}"#, json!("a"), "PARAMS_NOT_OBJECT"),
        (r#"{"type":"req","id":"a","method":"gateway.ping","params":[]}"#, json!("a"), "PARAMS_NOT_OBJECT"),
        (deep.as_str(), Value::Null, "BAD_FRAME"),
    ] {
        check(&server, text, id, reason).await;
    }
}

#[tokio::test]
async fn binary_frames_are_bad_and_five_bad_ones_close_1008() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    for _ in 0..5 {
        client.send_binary(b"\x00\xff").await;
        let answer = client.answer().await;
        assert_eq!(answer["id"], Value::Null);
        assert_eq!(answer["error"]["details"]["reason"], "BAD_FRAME");
    }
    assert_eq!(client.closed().await, (1008, "TOO_MANY_BAD_FRAMES".into()));
}

#[tokio::test]
async fn params_that_are_no_object_do_not_close() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    for n in 0..20 {
        client.send(format!(r#"{{"type":"req","id":"{n}","method":"gateway.ping","params":null}}"#)).await;
        assert_eq!(client.answer().await["error"]["details"]["reason"], "PARAMS_NOT_OBJECT");
    }
    client.ok("gateway.ping", json!({})).await;
}

#[tokio::test]
async fn frames_are_limited_to_64_kib_before_connect_and_1_mib_after_it() {
    let server = Server::start().await;
    let padded = |bytes: usize| {
        let mut params = connect_params(&server.operator);
        params["padding"] = json!("x".repeat(bytes));
        json!({"type": "req", "id": "c", "method": "gateway.connect", "params": params}).to_string()
    };
    let mut client = server.open().await;
    client.send(padded(64 << 10)).await;
    assert_eq!(client.closed().await, (1009, "FRAME_TOO_BIG".into()));

    let mut client = server.open().await;
    client.send(padded(63 << 10)).await;
    assert_eq!(client.answer().await["ok"], true, "just below the limit");
    let ping = |id: &str, bytes: usize| {
        json!({"type": "req", "id": id, "method": "gateway.ping", "params": {"x": "x".repeat(bytes)}})
            .to_string()
    };
    client.send(ping("p", 1_000_000)).await;
    assert_eq!(client.answer().await["ok"], true, "below 1 MiB");
    client.send(ping("q", 1 << 20)).await;
    assert_eq!(client.closed().await, (1009, "FRAME_TOO_BIG".into()));
}

#[tokio::test]
async fn an_id_is_used_once_among_the_last_1024() {
    let server = Server::configured("[gateway]\nrequests_burst = 2000").await;
    let mut client = server.operator().await;
    let ping =
        |id: &str| json!({"type": "req", "id": id, "method": "gateway.ping", "params": {}}).to_string();
    client.send(ping("same")).await;
    assert_eq!(client.answer().await["ok"], true);
    client.send(ping("same")).await;
    let answer = client.answer().await;
    assert_eq!(answer["id"], "same");
    assert_eq!(answer["error"]["code"], "CONFLICT");
    assert_eq!(answer["error"]["details"]["reason"], "DUPLICATE_REQUEST_ID");
    for n in 0..1_024 {
        client.send(ping(&n.to_string())).await;
        assert_eq!(client.answer().await["ok"], true);
    }
    client.send(ping("same")).await;
    assert_eq!(client.answer().await["ok"], true, "1,024 others came between");
}

#[tokio::test]
async fn ids_of_128_characters_are_the_longest() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    for (len, ok) in [(128, true), (129, false)] {
        let id = "é".repeat(len);
        client
            .send(json!({"type": "req", "id": id, "method": "gateway.ping", "params": {}}).to_string())
            .await;
        let answer = client.answer().await;
        assert_eq!(answer["ok"], ok, "{len}: {answer}");
        assert_eq!(answer["id"], if ok { json!(id) } else { Value::Null });
    }
}

#[tokio::test]
async fn unknown_methods_are_not_found_and_unknown_params_are_ignored() {
    let server = Server::start().await;
    let mut client = server.operator().await;
    for method in ["", "gateway", "gateway.pong", "agent.run", "config.get", "trades.dream"] {
        let (code, reason, _) = client.refused(method, json!({})).await;
        assert_eq!((code.as_str(), reason.as_str()), ("NOT_FOUND", "UNKNOWN_METHOD"), "{method}");
    }
    client.ok("gateway.ping", json!({"later": {"version": [2]}})).await;
}

#[tokio::test]
async fn any_bytes_get_an_answer_or_a_close_code() {
    let server = Server::start().await;
    // a text frame that is not UTF-8, masked with zeros
    let mut client = server.operator().await;
    let raw = client.socket.get_mut();
    tokio::io::AsyncWriteExt::write_all(raw, &[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]).await.expect("sent");
    assert_eq!(client.closed().await.0, 1007);
    // an unmasked frame, a reserved opcode and reserved bits break the WebSocket's own rules
    for bytes in [&[0x81, 0x01, b'x'][..], &[0x83, 0x80, 0, 0, 0, 0], &[0xf1, 0x80, 0, 0, 0, 0]] {
        let mut client = server.operator().await;
        let raw = client.socket.get_mut();
        tokio::io::AsyncWriteExt::write_all(raw, bytes).await.expect("sent");
        assert_eq!(client.closed().await.0, 1002, "{bytes:?}");
    }
    // nobody else notices
    let mut other = server.operator().await;
    other.ok("gateway.ping", json!({})).await;
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    other.socket.close(Some(goodbye)).await.expect("sent");
    assert_eq!(other.closed().await.0, 1000, "a goodbye is answered");
}
