//! The handshake: what it answers, and each way in which it fails.

use super::harness::{Server, connect_params};
use serde_json::{Value, json};

#[tokio::test]
async fn gateway_connect_tells_session_server_features_and_policy() {
    let server = Server::start().await;
    let mut client = server.open().await;
    let payload = client.connect(&server.operator).await;
    assert_eq!(payload["protocol"], json!({"selected": 1}));
    assert_eq!(payload["session"]["role"], "operator");
    assert_eq!(payload["session"]["accounts"], "*");
    assert!(payload["session"]["sessionId"].as_str().is_some_and(|id| id.starts_with("sess_")));
    assert!(payload["session"]["scopes"].as_array().is_some_and(|scopes| scopes.contains(&json!("trade"))));
    assert_eq!(payload["server"]["name"], "lockstep");
    for key in ["version", "bootId", "serverId"] {
        assert!(payload["server"][key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    assert_eq!(payload["policy"]["maxFrameBytes"], 1 << 20);
    assert_eq!(payload["policy"]["maxRequestsInFlight"], 64);
    assert_eq!(payload["cursor"], payload["head"], "a session without resume begins at the head");
    assert!(payload["cursor"]["offset"].as_u64() >= payload["oldest"]["offset"].as_u64());
    assert!(payload.get("recovered").is_none());
    let (code, reason, _) = client.refused("gateway.connect", connect_params(&server.operator)).await;
    assert_eq!((code.as_str(), reason.as_str()), ("CONFLICT", "ALREADY_CONNECTED"));
}

async fn fails(server: &Server, change: impl FnOnce(&mut Value), code: &str, reason: &str, close: u16) {
    let mut params = connect_params(&server.operator);
    change(&mut params);
    let mut client = server.open().await;
    let refusal = client.refused("gateway.connect", params.clone()).await;
    assert_eq!((refusal.0.as_str(), refusal.1.as_str()), (code, reason), "{params}");
    assert_eq!(client.closed().await.0, close, "{params}");
}

#[tokio::test]
async fn a_handshake_that_fails_is_answered_and_closed() {
    let server = Server::start().await;
    let auth = |value: Value| move |params: &mut Value| params["auth"] = value;
    fails(&server, auth(Value::Null), "AUTH_REQUIRED", "CREDENTIALS_MISSING", 4401).await;
    fails(&server, auth(json!({"mode": "token"})), "AUTH_REQUIRED", "CREDENTIALS_MISSING", 4401).await;
    fails(&server, auth(json!({"mode": "token", "token": "gw_no"})), "AUTH_INVALID", "TOKEN_UNKNOWN", 4401)
        .await;
    let password = json!({"mode": "password", "username": "a", "password": "b"});
    fails(&server, auth(password), "AUTH_INVALID", "AUTH_MODE_UNSUPPORTED", 4401).await;
    for (min, max) in [(2, 9), (0, 0), (2, 1)] {
        let versions = move |params: &mut Value| params["protocol"] = json!({"min": min, "max": max});
        fails(&server, versions, "CONFLICT", "PROTOCOL_MISMATCH", 4409).await;
    }
}

#[tokio::test]
async fn a_mismatch_names_what_is_supported() {
    let server = Server::start().await;
    let mut params = connect_params(&server.operator);
    params["protocol"] = json!({"min": 2, "max": 3});
    let (.., error) = server.open().await.refused("gateway.connect", params).await;
    assert_eq!(error["details"]["supported"], json!([1, 1]));
}

#[tokio::test]
async fn malformed_handshakes_may_be_repeated() {
    let server = Server::start().await;
    let mut client = server.open().await;
    for (method, params, code, path) in [
        ("gateway.ping", json!({}), "AUTH_REQUIRED", Value::Null),
        ("no.such", json!({}), "AUTH_REQUIRED", Value::Null),
        ("gateway.connect", json!({}), "INVALID_PARAMS", json!("client")),
        (
            "gateway.connect",
            json!({"client": {"name": "x", "kind": 7}, "protocol": {"min": 1, "max": 1}}),
            "INVALID_PARAMS",
            json!("client.kind"),
        ),
    ] {
        let (got, _, error) = client.refused(method, params).await;
        assert_eq!(got, code, "{method}");
        assert_eq!(error["details"]["path"], path, "{method}");
    }
    client.connect(&server.operator).await;
}

#[tokio::test]
async fn whoever_does_not_connect_in_time_is_closed_4408() {
    let server = Server::configured("[gateway]\nconnect_timeout_ms = 200").await;
    let mut idle = server.open().await;
    let mut busy = server.open().await;
    busy.refused("gateway.ping", json!({})).await;
    let mut connected = server.operator().await;
    assert_eq!(idle.closed().await, (4408, "CONNECT_TIMEOUT".into()));
    assert_eq!(busy.closed().await.0, 4408);
    connected.ok("gateway.ping", json!({})).await;
}

#[tokio::test]
async fn sixteen_sockets_of_an_address_may_wait_to_connect() {
    let server = Server::start().await;
    let mut waiting = Vec::new();
    for _ in 0..16 {
        waiting.push(server.open().await);
    }
    let stream = tokio::net::TcpStream::connect(&server.address).await.expect("the listener takes it");
    let upgrade = tokio_tungstenite::client_async(format!("ws://{}/ws", server.address), stream).await;
    assert!(upgrade.is_err(), "the seventeenth gets no answer");
    waiting[0].connect(&server.operator).await;
    server.open().await.connect(&server.operator).await;
}

#[tokio::test]
async fn ten_failures_make_unknown_tokens_wait_but_never_a_valid_one() {
    let server = Server::start().await;
    for _ in 0..10 {
        let (code, ..) = server.open().await.refused("gateway.connect", connect_params("gw_wrong")).await;
        assert_eq!(code, "AUTH_INVALID");
    }
    let mut client = server.open().await;
    let (code, reason, error) = client.refused("gateway.connect", connect_params("gw_wrong")).await;
    assert_eq!((code.as_str(), reason.as_str()), ("RATE_LIMITED", "AUTH_FAILURES"));
    assert_eq!(error["retryable"], true);
    assert!(error["details"]["retryAfterMs"].as_u64().is_some_and(|ms| (200_000..=300_000).contains(&ms)));
    assert_eq!(client.closed().await.0, 4401);
    server.operator().await.ok("gateway.ping", json!({})).await;
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_given_up() {
    let server = Server::configured("[gateway]\nping_interval_ms = 100\ndead_after_ms = 600").await;
    let mut client = server.operator().await;
    // the client library answers pings only while it reads
    let pinged = async {
        loop {
            let message =
                futures_util::StreamExt::next(&mut client.socket).await.expect("open").expect("a frame");
            if message.is_ping() {
                break;
            }
        }
    };
    pinged.await;
    server.rt.sleep(std::time::Duration::from_millis(1_200)).await;
    assert_eq!(client.closed().await, (1008, "PING_TIMEOUT".into()));
}

#[tokio::test]
async fn a_drain_is_told_and_sessions_end_with_1001() {
    let mut server = Server::start().await;
    let mut client = server.operator().await;
    server.stop().await;
    let status = client.event("event.gateway.status").await;
    assert_eq!(status["payload"]["state"], "draining");
    assert!(status["cursor"]["offset"].is_u64());
    assert_eq!(client.closed().await, (1001, "SHUTDOWN".into()));
}

#[tokio::test]
async fn gateway_status_tells_how_it_is() {
    let server = Server::start().await;
    let status = server.operator().await.ok("gateway.status", json!({})).await;
    assert_eq!(status["state"], "ready");
    assert!(status["uptimeMs"].is_u64());
    for name in ["writer", "journal", "clock", "feed"] {
        assert!(status["subsystems"][name]["state"].is_string(), "{name}: {status}");
    }
    assert_eq!(status["cursor"], status["head"]);
    let now = server.operator().await.ok("gateway.ping", json!({})).await;
    assert!(now["now"].as_str().is_some_and(|now| now.ends_with('Z')));
}
