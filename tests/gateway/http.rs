//! What is served over plain HTTP, and who may upgrade.

use super::harness::Server;
use serde_json::Value;

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a body").1
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn healthz_is_open_and_the_root_names_the_socket() {
    let server = Server::start().await;
    let health = server.get("/healthz", "").await;
    assert_eq!((status(&health), body(&health)), (200, "ready\n"));
    assert_eq!(status(&server.http("GET /healthz HTTP/1.1\r\nHost: probe.internal\r\n\r\n").await), 200);
    let root = server.get("/", "").await;
    assert!(status(&root) == 200 && body(&root).contains("/ws"), "{root}");
    assert_eq!(status(&server.get("/metrics", "").await), 404);
    assert_eq!(status(&server.http("POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await), 405);
    assert_eq!(status(&server.http("NONSENSE\r\n\r\n").await), 400);
}

#[tokio::test]
async fn schema_json_wants_a_token_and_describes_all_that_is_advertised() {
    let server = Server::start().await;
    assert_eq!(status(&server.get("/schema.json", "").await), 401);
    assert_eq!(status(&server.get("/schema.json", "Authorization: Bearer gw_wrong\r\n").await), 401);
    assert_eq!(status(&server.get("/schema.json", "Authorization: Basic abc\r\n").await), 401);
    let answer = server.get("/schema.json", &format!("Authorization: Bearer {}\r\n", server.operator)).await;
    assert_eq!(status(&answer), 200);
    let text =
        &body(&answer)[body(&answer).find('{').expect("JSON")..=body(&answer).rfind('}').expect("JSON")];
    let schema: Value = serde_json::from_str(text).expect("JSON");
    let features = server.open().await.connect(&server.operator).await["features"].clone();
    for method in features["methods"].as_array().expect("a list") {
        let entry = &schema["methods"][method.as_str().expect("a name")];
        assert!(entry["params"].is_object() && entry["result"].is_object(), "{method}");
    }
    for event in features["events"].as_array().expect("a list") {
        assert!(schema["events"][event.as_str().expect("a name")]["payload"].is_object(), "{event}");
    }
    let place = &schema["methods"]["trades.place"];
    assert_eq!(place["idempotent"], true);
    let reference = place["params"]["allOf"][0]["$ref"].as_str().expect("a reference");
    let params = schema.pointer(reference.trim_start_matches('#')).expect("references lead somewhere");
    assert!(params["properties"]["accountId"].is_object());
}

#[tokio::test]
async fn tokens_cannot_be_guessed_over_http_either() {
    let server = Server::start().await;
    for _ in 0..10 {
        assert_eq!(status(&server.get("/schema.json", "Authorization: Bearer gw_wrong\r\n").await), 401);
    }
    let wait = server.get("/schema.json", "Authorization: Bearer gw_wrong\r\n").await;
    assert!(status(&wait) == 429 && wait.to_ascii_lowercase().contains("retry-after: "), "{wait}");
    let valid = format!("Authorization: Bearer {}\r\n", server.operator);
    assert_eq!(status(&server.get("/schema.json", &valid).await), 200);
}

#[tokio::test]
async fn gw06_a_foreign_origin_or_host_never_upgrades() {
    let server = Server::configured("[gateway]\nallowed_origins = [\"https://desk.example.com\"]").await;
    let own = server.address.clone();
    let port = own.rsplit(':').next().expect("a port");
    let upgrade = |host: String, origin: &'static str| {
        let head = format!("GET /ws HTTP/1.1\r\nHost: {host}\r\n{origin}{UPGRADE}\r\n");
        let server = &server;
        async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut stream = tokio::net::TcpStream::connect(&server.address).await.expect("connected");
            stream.write_all(head.as_bytes()).await.expect("sent");
            let mut answer = vec![0; 1_024];
            let read = stream.read(&mut answer).await.expect("an answer");
            status(std::str::from_utf8(&answer[..read]).expect("text"))
        }
    };
    assert_eq!(upgrade(own.clone(), "").await, 101);
    assert_eq!(upgrade(format!("localhost:{port}"), "").await, 101);
    assert_eq!(upgrade(own.clone(), "Origin: https://desk.example.com\r\n").await, 101);
    assert_eq!(upgrade(own.clone(), "Origin: null\r\n").await, 403);
    assert_eq!(upgrade(own.clone(), "Origin: https://evil.example.com\r\n").await, 403);
    assert_eq!(upgrade(own.clone(), "Origin: http://desk.example.com\r\n").await, 403);
    assert_eq!(upgrade("evil.example.com".into(), "").await, 403);
    assert_eq!(upgrade(format!("evil.example.com:{port}"), "").await, 403);
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_so() {
    let server = Server::start().await;
    assert_eq!(status(&server.get("/ws", "").await), 426);
    assert_eq!(status(&server.get("/ws", &UPGRADE.replace("13", "8")).await), 426);
    assert_eq!(status(&server.get("/ws", &UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short")).await), 400);
}
