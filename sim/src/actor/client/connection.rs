//! A connection: made with the token that lies on the gateway's disk, resumed where the client was, and lost.

use super::{Client, phase::Phase};
use crate::{
    actor::wire::{self, Frame},
    history::{Cursor, Request, Session},
    network::Windowed,
    trace::Kind,
};
use futures_util::{SinkExt, StreamExt};
use madsim::{net::TcpStream, time::timeout};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Tungstenite zeroes so many bytes before each read; nearly all frames are shorter.
const READ_BYTES: usize = 8 << 10;

pub(super) type Socket = WebSocketStream<Windowed<TcpStream>>;

impl Client {
    /// A connection on which `gateway.connect` succeeded, or why there is none.
    pub(super) async fn connect(&mut self) -> Result<Socket, &'static str> {
        let token = self.setup.gateway_disk.small_file(self.setup.token_file).ok_or("no token")?;
        let token = String::from_utf8(token).map_err(|_| "a damaged token")?;
        let print = print(token.trim());
        let address = self.setup.address.clone();
        let stream = timeout(CONNECT_LIMIT, TcpStream::connect(&address)).await;
        let stream = stream.map_err(|_| "no route")?.map_err(|_| "nobody listens")?;
        let own = stream.local_addr().map_err(|_| "no address")?;
        let stream = self.setup.windows.opened(stream, own);
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
        let upgrade = client_async_with_config(format!("ws://{address}/ws"), stream, Some(config));
        let upgrade = timeout(CONNECT_LIMIT, upgrade).await;
        let (mut socket, _) = upgrade.map_err(|_| "no upgrade in time")?.map_err(|_| "no upgrade")?;
        let resume = match (&self.cursor, self.phase) {
            (Some(cursor), Phase::Reading) => Some(Cursor { offset: 0, ..cursor.clone() }),
            (cursor, _) => cursor.clone(),
        };
        let name = self.setup.node.name();
        let hello = Message::text(wire::connect(name, token.trim(), resume.as_ref()));
        socket.send(hello).await.map_err(|_| "lost while connecting")?;
        self.record(Kind::Sent, &wire::connect(name, "***", resume.as_ref()));
        let text = timeout(CONNECT_LIMIT, next_text(&mut socket)).await;
        let text = text.map_err(|_| "no answer in time")?.map_err(|_| "lost while connecting")?;
        let seq = self.record(Kind::Received, &text);
        match wire::read(seq, &text) {
            Frame::Response { ok: true, body, .. } => {
                self.is_now(print);
                self.connected(seq, resume, &body);
                Ok(socket)
            }
            Frame::Response { body, .. } if body["code"] == "AUTH_INVALID" => {
                self.setup.coverage.mark("token_refused");
                Err("not let in")
            }
            _ => Err("not let in"),
        }
    }

    /// The token is this one. Another one than before makes it another principal, for whom the keys of before
    /// mean nothing: whatever it asked for and was not told must not be asked for again.
    fn is_now(&mut self, print: String) {
        let before = std::mem::replace(&mut self.token, print);
        if before.is_empty() || before == self.token {
            return;
        }
        self.give_up_open();
        self.setup.coverage.mark("client_has_another_token");
    }

    fn connected(&mut self, seq: usize, resumed_from: Option<Cursor>, body: &Value) {
        let head = Cursor::read(&body["head"]).or_else(|| Cursor::read(&body["cursor"]));
        let recovered = body["recovered"].as_bool();
        let again = !self.journal().sessions.is_empty();
        if again {
            self.setup.coverage.mark("client_reconnected");
        }
        if recovered == Some(true)
            && resumed_from.as_ref().map(|c| c.offset) < head.as_ref().map(|c| c.offset)
        {
            self.setup.coverage.mark("events_resumed");
        }
        if self.cursor.is_none() || recovered == Some(false) {
            self.cursor = head.clone();
        }
        let token = self.token.clone();
        let session = Session { seq, resumed_from, recovered, head, token, ..Session::default() };
        self.journal().sessions.push(session);
        self.connected_ns = self.now_ns();
        self.link(r#"{"link":"connected"}"#);
        if !self.setup.topics.is_empty() {
            let params = json!({ "topics": self.setup.topics });
            self.ask(Request { method: "feeds.subscribe".into(), params, ..Request::default() }, true);
        }
    }

    /// The connection is over.
    pub(super) fn over(&self, body: &str, code: Option<u16>) {
        let ended = self.record(Kind::Link, body);
        if let Some(session) = self.journal().sessions.last_mut() {
            (session.ended, session.closed) = (Some(ended), code);
        }
    }
}

/// The next text frame; an error when the connection is over: the code of a close frame, if one came. Pings
/// are answered on the way.
pub(super) async fn next_text(socket: &mut Socket) -> Result<String, Option<u16>> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(None),
        }
    }
}

/// Tells a token from others and does not give it away.
pub fn print(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex()[..8].to_owned()
}
