//! A client of the wire protocol that shares no code with the gateway.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{fmt, io, time::Duration};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// An answer later than this is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a call has no result.
#[derive(Debug)]
pub enum CallError {
    /// The gateway answered `ok: false`; the `error` object.
    Refused(Value),
    /// The connection ended, so the outcome is open.
    Lost(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
        }
    }
}

impl CallError {
    /// The refusal's code and reason; of a lost connection: `LOST`.
    pub fn code(&self) -> (&str, &str) {
        match self {
            Self::Refused(error) => (
                error["code"].as_str().unwrap_or_default(),
                error["details"]["reason"].as_str().unwrap_or_default(),
            ),
            Self::Lost(_) => ("LOST", ""),
        }
    }
}

/// One connection, one request at a time. Events that arrive meanwhile are kept.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    requests: u64,
    pub events: Vec<Value>,
    /// The result of `gateway.connect`.
    pub hello: Value,
}

impl Client {
    /// Connects and authenticates.
    pub async fn connect(address: &str, token: &str) -> Result<Self, CallError> {
        Self::resume(address, token, None).await
    }

    /// Connects, authenticates and asks for what is newer than the cursor.
    pub async fn resume(address: &str, token: &str, cursor: Option<&Value>) -> Result<Self, CallError> {
        let mut client = Self::open(address).await.map_err(|e| CallError::Lost(e.to_string()))?;
        let mut params = json!({
            "client": { "name": "tests", "kind": "service" },
            "protocol": { "min": 1, "max": 1 },
            "auth": { "mode": "token", "token": token },
        });
        if let Some(cursor) = cursor {
            params["resume"] = json!({ "cursor": cursor });
        }
        client.hello = client.call("gateway.connect", params).await?;
        Ok(client)
    }

    /// An upgraded connection that has not said who it is.
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream)
            .await
            .map_err(io::Error::other)?;
        Ok(Self { socket, requests: 0, events: Vec::new(), hello: Value::Null })
    }

    /// Sends a request and waits for its response. Over a rate limit it waits as told and asks again.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, CallError> {
        loop {
            let error = match self.ask(method, &params).await {
                Err(CallError::Refused(error)) if error["code"] == "RATE_LIMITED" => error,
                other => return other,
            };
            let wait = error["details"]["retryAfterMs"].as_u64().unwrap_or(50);
            tokio::time::sleep(Duration::from_millis(wait.max(1))).await;
        }
    }

    async fn ask(&mut self, method: &str, params: &Value) -> Result<Value, CallError> {
        self.requests += 1;
        let id = format!("r{}", self.requests);
        let frame = json!({ "type": "req", "id": id, "method": method, "params": params });
        let lost = |error: tokio_tungstenite::tungstenite::Error| CallError::Lost(error.to_string());
        self.socket.send(Message::text(frame.to_string())).await.map_err(lost)?;
        loop {
            let frame = self.next_frame().await?;
            if frame["type"] == "event" {
                self.events.push(frame);
            } else if frame["id"] == id {
                return match frame["ok"].as_bool() {
                    Some(true) => Ok(frame["payload"].clone()),
                    _ => Err(CallError::Refused(frame["error"].clone())),
                };
            }
        }
    }

    /// Returns once the instrument has been quoted.
    pub async fn await_quote(&mut self, symbol: &str) {
        for _ in 0..PATIENCE.as_millis() / 20 {
            let params = json!({ "symbol": symbol, "timeframe": "1m" });
            let found = self.call("feeds.getCandles", params).await.expect("candles");
            if found["candles"].as_array().is_some_and(|candles| !candles.is_empty()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no quote of {symbol} for {PATIENCE:?}");
    }

    /// Reads on until an event satisfies the predicate, also among those already read.
    pub async fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value, CallError> {
        if let Some(found) = self.events.iter().find(|event| wanted(event)) {
            return Ok(found.clone());
        }
        loop {
            let frame = self.next_frame().await?;
            if frame["type"] == "event" {
                self.events.push(frame.clone());
                if wanted(&frame) {
                    return Ok(frame);
                }
            }
        }
    }

    async fn next_frame(&mut self) -> Result<Value, CallError> {
        let text = self.next_text().await?;
        Ok(serde_json::from_str(&text).expect("the gateway sends JSON"))
    }

    /// The next text frame, as it came.
    pub async fn next_text(&mut self) -> Result<String, CallError> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .map_err(|_| CallError::Lost(format!("nothing came for {PATIENCE:?}")))?;
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => return Err(CallError::Lost(format!("closed: {frame:?}"))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(CallError::Lost(error.to_string())),
                None => return Err(CallError::Lost("end of stream".to_owned())),
            }
        }
    }
}
