//! The loop of one WebSocket: it alone reads, writes and waits; the session decides.

use super::{
    Gateway,
    auth::Place,
    frame::BadFrame,
    limits,
    session::{Close, Session},
    visitors::Visit,
};
use crate::node::{
    hub::Release,
    runtime::{Rt, timeout},
};
use futures_util::{FutureExt, SinkExt, Stream, StreamExt};
use std::{
    future::{pending, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// Serves a WebSocket to its end. `kick` ends it from outside.
pub async fn serve<S>(
    gateway: Arc<Gateway>,
    address: String,
    place: Arc<Place>,
    visit: Arc<Visit>,
    stream: S,
    mut kick: mpsc::Receiver<Close>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let rt = Arc::clone(&gateway.rt);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config(&gateway))).await;
    let mut session = Session::new(gateway, address, place, visit);
    let end = contain(talk(&rt, &mut session, &mut socket, &mut kick)).await;
    if let End::Close(close) = end {
        say_goodbye(&rt, &mut session, &mut socket, close).await;
    }
}

fn config(gateway: &Gateway) -> WebSocketConfig {
    let most = Some(gateway.limits.frame_bytes);
    WebSocketConfig::default().read_buffer_size(16 << 10).max_message_size(most).max_frame_size(most)
}

/// A panic ends the session that it happened in, and tells the peer; nothing else notices.
async fn contain(talk: impl Future<Output = End>) -> End {
    AssertUnwindSafe(talk).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a session ended by a panic; its connection is closed with 1011");
        End::Close(Close::INTERNAL)
    })
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The peer is gone or has said goodbye.
    Gone,
    /// We end it.
    Close(Close),
}

/// What one turn of the loop brought.
enum Turn {
    Message(Option<Result<Message, Error>>),
    /// Less waits than before, so that more of the log can be fetched.
    Roomy,
    Answered(super::session::Answered),
    CaughtUp(Result<Vec<crate::node::journal::StoredEvent>, crate::domain::message::Refusal>),
    Released(Option<Arc<Release>>),
    Kicked(Close),
    Timer,
}

async fn talk<S>(
    rt: &Rt,
    session: &mut Session,
    socket: &mut WebSocketStream<S>,
    kick: &mut mpsc::Receiver<Close>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut clock = Clock::new(rt, session);
    loop {
        if let Some(close) = session.closing {
            return End::Close(close);
        }
        session.begin_catch_up();
        let turn = tokio::select! {
            biased;
            close = kick.recv() => Turn::Kicked(close.unwrap_or(Close::SHUTDOWN)),
            // before the socket: whoever floods it does not gain time by that
            () = &mut clock.timer => Turn::Timer,
            Some(answered) = session.in_flight.next(), if !session.in_flight.is_empty() => Turn::Answered(answered),
            message = poll_fn(|cx| poll_socket(&mut session.outbox, socket, cx)) => message,
            page = caught_up(&mut session.catch_up) => Turn::CaughtUp(page),
            release = released(&mut session.connected) => Turn::Released(release),
        };
        match turn {
            Turn::Answered(answered) => session.answered(answered),
            Turn::CaughtUp(page) => session.caught_up(page),
            Turn::Released(release) => session.released(release.as_deref()),
            Turn::Kicked(close) => {
                take_what_was_released(session);
                session.close(close);
            }
            Turn::Timer => clock.tick(rt, session),
            Turn::Roomy => {}
            Turn::Message(message) => {
                clock.heard_ns = rt.mono();
                match message {
                    Some(Ok(message)) => {
                        if take(session, message).is_break() {
                            // the library has queued the answer to the peer's close frame
                            timeout(rt, limits::CLOSE_TIMEOUT, socket.flush()).await;
                            return End::Gone;
                        }
                    }
                    Some(Err(error)) => return failed(&error),
                    None => return End::Gone,
                }
            }
        }
    }
}

/// Writes what waits, and reads unless too much waits: who does not read is not heard.
fn poll_socket<S>(
    outbox: &mut super::outbox::Outbox,
    socket: &mut WebSocketStream<S>,
    cx: &mut Context<'_>,
) -> Poll<Turn>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let was_crowded = outbox.is_crowded();
    if outbox.has_work()
        && let Poll::Ready(Err(error)) = outbox.poll_drain(cx, socket)
    {
        return Poll::Ready(Turn::Message(Some(Err(error))));
    }
    if outbox.is_crowded() {
        return Poll::Pending;
    }
    if was_crowded {
        return Poll::Ready(Turn::Roomy);
    }
    Pin::new(socket).poll_next(cx).map(Turn::Message)
}

fn take(session: &mut Session, message: Message) -> std::ops::ControlFlow<()> {
    match message {
        Message::Text(text) => session.receive(&text),
        Message::Binary(_) => session.bad_frame(&BadFrame::binary()),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        Message::Close(_) => return std::ops::ControlFlow::Break(()),
    }
    std::ops::ControlFlow::Continue(())
}

fn failed(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::Close(Close::TOO_BIG),
        Error::Utf8(_) => End::Close(Close::NOT_UTF8),
        Error::Protocol(_) => End::Close(Close::PROTOCOL),
        _ => End::Gone,
    }
}

async fn released(connected: &mut Option<super::session::Connected>) -> Option<Arc<Release>> {
    match connected {
        Some(connected) => connected.releases.recv().await,
        None => pending().await,
    }
}

async fn caught_up(
    catch_up: &mut Option<super::session::CatchUp>,
) -> Result<Vec<crate::node::journal::StoredEvent>, crate::domain::message::Refusal> {
    match catch_up {
        Some(page) => page.await,
        None => pending().await,
    }
}

/// What left the writer before the kick is told before the goodbye.
fn take_what_was_released(session: &mut Session) {
    while let Some(Ok(release)) = session.connected.as_mut().map(|c| c.releases.try_recv()) {
        session.released(Some(&release));
    }
}

/// When to tick, to ping, and to give up.
struct Clock {
    timer: crate::node::runtime::BoxFuture<()>,
    opened_ns: u64,
    heard_ns: u64,
    pinged_ns: u64,
    ticked_ns: u64,
}

impl Clock {
    fn new(rt: &Rt, session: &Session) -> Self {
        let now_ns = rt.mono();
        let limits = &session.gateway.limits;
        let first = limits.connect_timeout.min(limits.ping_interval).min(limits.tick_interval);
        let timer = rt.sleep(first);
        Self { timer, opened_ns: now_ns, heard_ns: now_ns, pinged_ns: now_ns, ticked_ns: now_ns }
    }

    fn tick(&mut self, rt: &Rt, session: &mut Session) {
        let now_ns = rt.mono();
        let limits = session.gateway.limits.clone();
        let left = |since_ns: u64, limit: Duration| {
            since_ns.saturating_add(limits::nanos(limit)).saturating_sub(now_ns)
        };
        let mut next_ns = left(self.heard_ns, limits.dead_after);
        if next_ns == 0 {
            session.close(Close::SILENT);
        }
        if session.connected.is_none() {
            let left_ns = left(self.opened_ns, limits.connect_timeout);
            if left_ns == 0 {
                session.close(Close::CONNECT_TIMEOUT);
            }
            next_ns = next_ns.min(left_ns);
        }
        if left(self.pinged_ns, limits.ping_interval) == 0 {
            self.pinged_ns = now_ns;
            if session.outbox.control(Message::Ping(Bytes::new())).is_err() {
                session.close(Close::SLOW_CONSUMER);
            }
        }
        if left(self.ticked_ns, limits.tick_interval) == 0 {
            self.ticked_ns = now_ns;
            session.tick();
        }
        next_ns = next_ns.min(left(self.pinged_ns, limits.ping_interval));
        next_ns = next_ns.min(left(self.ticked_ns, limits.tick_interval));
        self.timer = rt.sleep(Duration::from_nanos(next_ns.max(1_000_000)));
    }
}

/// Answers what is under way and sends what waits, where that is wanted; then takes leave.
async fn say_goodbye<S>(rt: &Rt, session: &mut Session, socket: &mut WebSocketStream<S>, close: Close)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame = CloseFrame { code: CloseCode::from(close.code), reason: close.reason.into() };
    let goodbye = async {
        if close.drain {
            while let Some(answered) = session.in_flight.next().await {
                session.answered(answered);
            }
            poll_fn(|cx| session.outbox.poll_drain(cx, socket)).await?;
        }
        take_leave(socket, frame).await
    };
    if timeout(rt, limits::CLOSE_TIMEOUT, goodbye).await.is_none() {
        tracing::debug!(code = close.code, "the peer did not take the close frame in time");
    }
}

/// Sends the close frame and nothing after it: a client waits for the server to end the connection (RFC
/// 6455, 7.1.1). Then reads the peer out, so that unread bytes do not make the host reset the connection
/// before the peer has seen the code.
async fn take_leave<S>(socket: &mut WebSocketStream<S>, frame: CloseFrame) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    const READ_OUT_MAX: usize = 4 << 20;
    socket.send(Message::Close(Some(frame))).await?;
    socket.get_mut().shutdown().await?;
    let mut buffer = vec![0; 16 << 10];
    let mut read = 0;
    while read < READ_OUT_MAX {
        match socket.get_mut().read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => read += count,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gw10_a_panic_in_a_session_closes_its_connection_with_1011() {
        let end = contain(async { panic!("a defect") }).await;
        assert_eq!(end, End::Close(Close::INTERNAL));
        assert_eq!(Close::INTERNAL.code, 1011);
    }

    #[tokio::test]
    async fn gw02_whoever_catches_up_goes_on_when_there_is_room_and_not_when_something_happens() {
        let (ours, _theirs) = tokio::io::duplex(1 << 16);
        let mut server = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        let room = crate::gateway::outbox::Room { frames: 4, bytes: 1 << 20 };
        let mut outbox = crate::gateway::outbox::Outbox::new(room, room);
        for _ in 0..3 {
            outbox.answer("x".into()).expect("room");
        }
        assert!(outbox.is_crowded(), "no further page is fetched now");
        let turn = poll_fn(|cx| poll_socket(&mut outbox, &mut server, cx));
        let rt: Rt = Arc::new(crate::node::host::TokioRuntime::new());
        let turn = timeout(&rt, Duration::from_secs(10), turn).await.expect("nothing else needs to happen");
        assert!(matches!(turn, Turn::Roomy) && !outbox.is_crowded());
    }

    #[tokio::test]
    async fn gw10_whoever_waits_for_our_end_of_the_connection_does_not_wait_long() {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        let mut server = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        let peer = async move {
            let told = client.next().await.expect("a frame").expect("a good one");
            // it answers, and leaves the end to the server as the standard wants it
            (told, client.next().await.is_none())
        };
        let frame = CloseFrame { code: CloseCode::from(4401), reason: "".into() };
        let both = futures_util::future::join(take_leave(&mut server, frame.clone()), peer);
        let rt: Rt = Arc::new(crate::node::host::TokioRuntime::new());
        let (left, peer) = timeout(&rt, Duration::from_secs(10), both).await.expect("in time");
        left.expect("the frame is sent");
        assert_eq!(peer, (Message::Close(Some(frame)), true));
    }
}
