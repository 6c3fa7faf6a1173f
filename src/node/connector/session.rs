//! One session with a venue: connect, log on, then frames both ways until something ends it.

use super::{
    Entrance,
    lines::{LineError, Lines},
    port::{Port, Signal},
    requests::Speech,
    wire::{self, Logon, PROTOCOL, VenueFrame, VenueLogon},
};
use crate::{
    domain::{
        account::LinkSettings,
        id::AccountId,
        message::{LinkEvent, LinkInput, LinkUp, NotSent},
    },
    node::{
        runtime::{BoxFuture, Rt, Stream, timeout},
        vault::Secret,
    },
};
use std::{
    future::{pending, poll_fn},
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::AsyncWriteExt;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const LOGON_TIMEOUT: Duration = Duration::from_secs(5);
/// What we propose; the venue decides.
const HEARTBEAT_MS: u64 = 5_000;
const HEARTBEAT_MS_RANGE: std::ops::RangeInclusive<u64> = 100..=60_000;
/// Silence of so many heartbeats is death.
const SILENT_BEATS: u32 = 3;
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// Characters of a foreign text in a reason.
const REASON_CHARS: usize = 300;

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Something else is wanted.
    Unwanted,
    /// It is tried again.
    Lost { reason: String },
    /// The venue broke the protocol, or will not have us: not tried again.
    Fault { reason: String },
}

impl End {
    pub fn lost(reason: impl Into<String>) -> Self {
        Self::Lost { reason: reason.into() }
    }

    fn fault(reason: impl Into<String>) -> Self {
        Self::Fault { reason: reason.into() }
    }
}

/// What a session needs.
pub(super) struct Session<'a> {
    pub rt: &'a Rt,
    pub entrance: &'a Arc<dyn Entrance>,
    pub port: &'a Port,
    pub speech: Speech<'a>,
    pub account: &'a AccountId,
    /// The wish that it serves.
    pub version: u64,
}

/// A stream that let us in.
pub(super) struct LoggedOn {
    stream: Box<dyn Stream>,
    lines: Lines,
    heartbeat: Duration,
    up: LinkUp,
}

/// What one turn of the loop brought.
enum Turn {
    Signal(Signal),
    Line(Result<Vec<u8>, LineError>),
    Entered(Result<(), String>),
    Timer,
}

impl Session<'_> {
    /// Connects and logs on.
    pub async fn log_on(&self, settings: &LinkSettings, token: Option<Secret>) -> Result<LoggedOn, End> {
        let address = &settings.address;
        let connect = timeout(self.rt, CONNECT_TIMEOUT, self.rt.connect(address.clone()));
        let mut stream = match connect.await {
            None => return Err(End::lost(format!("{address} does not answer"))),
            Some(Err(error)) => return Err(End::lost(format!("{address} cannot be reached: {error}"))),
            Some(Ok(stream)) => stream,
        };
        let logon = Logon {
            protocol: PROTOCOL,
            account: Some(settings.login.clone()),
            market_data: None,
            token: token.map(|secret| secret.expose().to_owned()),
            heartbeat_ms: Some(HEARTBEAT_MS),
            client: Some(client()),
        };
        let mut lines = Lines::default();
        let venue = exchange(self.rt, &mut *stream, &mut lines, &logon).await?;
        let heartbeat = heartbeat(&venue)?;
        if venue.log.is_empty() {
            return Err(End::fault("its logon names no log of reports"));
        }
        tracing::info!(account = %self.account, venue = %shown(&venue.venue), "a venue let us in");
        let up = LinkUp { log: venue.log, capabilities: venue.capabilities };
        Ok(LoggedOn { stream, lines, heartbeat, up })
    }

    /// Talks until something ends it. The port must have begun.
    pub async fn talk(&self, link: LoggedOn) -> End {
        let LoggedOn { mut stream, mut lines, heartbeat, up } = link;
        let mut entering = Some(self.enter(LinkEvent::Up(up)));
        let mut timer = self.rt.sleep(heartbeat);
        let (mut heard_ns, mut written) = (self.rt.mono(), 0);
        // what is being told as not sent: should the session end meanwhile, it is told after it
        let mut untold = NotSent::default();
        let end = loop {
            let is_idle = entering.is_none();
            let turn = tokio::select! {
                biased;
                signal = poll_fn(|cx| self.port.poll_signal(cx, self.version)) => Turn::Signal(signal),
                () = &mut timer => Turn::Timer,
                entered = entered(&mut entering) => Turn::Entered(entered),
                line = poll_fn(|cx| self.poll_stream(cx, &mut *stream, &mut lines, is_idle)) => Turn::Line(line),
            };
            match turn {
                Turn::Signal(Signal::Wish) => break End::Unwanted,
                Turn::Signal(Signal::Reset(reason)) => break End::Lost { reason },
                Turn::Signal(Signal::Broken(broken)) => break End::lost(broken.to_string()),
                Turn::Signal(Signal::NotSent(not_sent)) => {
                    // behind what is being entered
                    let before = entering.take();
                    untold.orders.extend(&not_sent.orders);
                    untold.terms.extend(&not_sent.terms);
                    entering = Some(self.enter_after(before, LinkEvent::NotSent(not_sent)));
                }
                Turn::Timer => {
                    written = self.port.beat(written);
                    let silent = Duration::from_nanos(self.rt.mono().saturating_sub(heard_ns));
                    // while the engine has no room we do not listen
                    if entering.is_none() && silent >= heartbeat * SILENT_BEATS {
                        break End::lost("the venue has fallen silent");
                    }
                    timer = self.rt.sleep(heartbeat);
                }
                Turn::Entered(Err(reason)) => break End::Lost { reason },
                Turn::Entered(Ok(())) => {
                    entering = None;
                    untold = NotSent::default();
                    heard_ns = self.rt.mono();
                }
                Turn::Line(Err(LineError::TooLong)) => break End::fault(LineError::TooLong.to_string()),
                Turn::Line(Err(error)) => break End::lost(error.to_string()),
                Turn::Line(Ok(line)) => {
                    heard_ns = self.rt.mono();
                    match self.take(&line) {
                        Ok(event) => entering = event.map(|event| self.enter(event)),
                        Err(end) => break end,
                    }
                }
            }
        };
        self.port.keep_not_sent(untold);
        if end == End::Unwanted {
            let _ = timeout(self.rt, CLOSE_TIMEOUT, stream.shutdown()).await;
        }
        end
    }

    /// Writes what waits, and reads if there is somebody to take it.
    fn poll_stream(
        &self,
        cx: &mut Context<'_>,
        stream: &mut dyn Stream,
        lines: &mut Lines,
        read: bool,
    ) -> Poll<Result<Vec<u8>, LineError>> {
        if let Poll::Ready(Err(error)) = self.port.poll_write(cx, stream) {
            return Poll::Ready(Err(error.into()));
        }
        if read { lines.poll_next(cx, stream) } else { Poll::Pending }
    }

    /// What the engine must know of a line.
    fn take(&self, line: &[u8]) -> Result<Option<LinkEvent>, End> {
        let frame = wire::read_venue(line).map_err(|error| End::fault(error.to_string()))?;
        Ok(match frame {
            VenueFrame::Report(report) => Some(LinkEvent::Report(Box::new(self.speech.report(report)))),
            VenueFrame::Snapshot { snapshot } => Some(LinkEvent::Snapshot(self.speech.snapshot(snapshot))),
            VenueFrame::Status { orders } => Some(LinkEvent::Status(self.speech.states(orders))),
            VenueFrame::Heartbeat { last } => last.map(|last| LinkEvent::Heartbeat { last }),
            VenueFrame::Resend { after } => {
                self.port.repeat(after);
                None
            }
            VenueFrame::Logoff { reason } => {
                return Err(End::lost(format!("the venue ended the session: {}", shown(&reason))));
            }
            VenueFrame::Logon(_) | VenueFrame::Reject { .. } | VenueFrame::Quote(_) => {
                return Err(End::fault("it sent a frame that does not belong here"));
            }
        })
    }

    /// Hands an event to the engine; ready when there is room for the next.
    fn enter(&self, event: LinkEvent) -> BoxFuture<Result<(), String>> {
        self.enter_after(None, event)
    }

    fn enter_after(
        &self,
        before: Option<BoxFuture<Result<(), String>>>,
        event: LinkEvent,
    ) -> BoxFuture<Result<(), String>> {
        let entrance = Arc::clone(self.entrance);
        let input = LinkInput { account: self.account.clone(), event };
        Box::pin(async move {
            if let Some(before) = before {
                before.await?;
            }
            // whether it became durable is told by a reset, should it not
            entrance.report(input).await.map(drop).map_err(|refusal| refusal.message)
        })
    }
}

async fn entered(entering: &mut Option<BoxFuture<Result<(), String>>>) -> Result<(), String> {
    match entering {
        Some(entering) => entering.await,
        None => pending().await,
    }
}

/// Sends a logon and reads the answer.
pub(crate) async fn exchange(
    rt: &Rt,
    stream: &mut dyn Stream,
    lines: &mut Lines,
    logon: &Logon,
) -> Result<VenueLogon, End> {
    let exchange = async {
        stream.write_all(&wire::logon_line(logon)).await?;
        stream.flush().await?;
        let line = poll_fn(|cx| lines.poll_next(cx, &mut *stream)).await;
        Ok::<_, io::Error>(line)
    };
    let line = match timeout(rt, LOGON_TIMEOUT, exchange).await {
        None => return Err(End::lost("the venue does not answer the logon")),
        Some(Err(error)) => return Err(End::lost(error.to_string())),
        Some(Ok(Err(LineError::TooLong))) => return Err(End::fault(LineError::TooLong.to_string())),
        Some(Ok(Err(error))) => return Err(End::lost(error.to_string())),
        Some(Ok(Ok(line))) => line,
    };
    match wire::read_venue(&line) {
        Ok(VenueFrame::Logon(venue)) if venue.protocol == PROTOCOL => Ok(venue),
        Ok(VenueFrame::Logon(venue)) => {
            Err(End::fault(format!("it speaks protocol {}, and we speak {PROTOCOL}", venue.protocol)))
        }
        Ok(VenueFrame::Reject { reason, message }) => {
            let (reason, message) = (shown(&reason), shown(&message));
            Err(End::fault(format!("the venue refused the logon: {reason}: {message}")))
        }
        Ok(VenueFrame::Logoff { reason }) => {
            Err(End::lost(format!("the venue ended the session: {}", shown(&reason))))
        }
        Ok(_) => Err(End::fault("it answered the logon with another frame")),
        Err(error) => Err(End::fault(error.to_string())),
    }
}

/// The heartbeat that the venue decided on.
pub(crate) fn heartbeat(venue: &VenueLogon) -> Result<Duration, End> {
    if HEARTBEAT_MS_RANGE.contains(&venue.heartbeat_ms) {
        return Ok(Duration::from_millis(venue.heartbeat_ms));
    }
    let (least, most) = (HEARTBEAT_MS_RANGE.start(), HEARTBEAT_MS_RANGE.end());
    Err(End::fault(format!("its heartbeatMs {} is not from {least} to {most}", venue.heartbeat_ms)))
}

/// How we name ourselves.
pub(crate) fn client() -> String {
    format!("lockstep {}", env!("CARGO_PKG_VERSION"))
}

fn shown(foreign: &str) -> String {
    foreign.chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect()
}
