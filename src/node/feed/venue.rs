//! Quotes of a venue: a market data session (docs/VENUE_LINK.md) that is begun anew whenever it is lost.

use super::{
    FeedContext,
    live::{Gone, send},
};
use crate::{
    domain::{
        config::Config,
        id::Symbol,
        instrument::{Instrument, InstrumentId},
        market::Quote,
    },
    node::{
        config::VenueSpec,
        connector::{
            Backoff, End, client, exchange, heartbeat,
            lines::Lines,
            wire::{self, GatewayFrame, Logon, PROTOCOL, QuoteFrame, VenueFrame},
        },
        runtime::{Stream, run_blocking, timeout},
        status::FeedState,
        vault::Secret,
    },
};
use std::{collections::BTreeMap, convert::Infallible, future::poll_fn, path::PathBuf, time::Duration};
use tokio::io::AsyncWriteExt;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence of so many heartbeats is death.
const SILENT_BEATS: u32 = 3;
/// A token's file at most.
const TOKEN_BYTES: usize = 4_096;
/// Quotes that find no room are sent when the next comes, or after this.
const ROOM_PAUSE: Duration = Duration::from_millis(20);

/// A venue's market data.
pub(crate) struct VenueFeed {
    address: String,
    token: Token,
    symbols: Vec<(Symbol, InstrumentId, Instrument)>,
}

/// Where the token comes from.
enum Token {
    None,
    Given(Secret),
    /// Read before each session, so that a new one can be put in its place.
    File(PathBuf),
}

/// There is no such instrument.
#[derive(Debug, thiserror::Error)]
#[error("feed: there is no instrument `{symbol}`; known: {known}")]
pub struct UnknownSymbol {
    symbol: Symbol,
    known: String,
}

/// A session that began.
struct Connected {
    stream: Box<dyn Stream>,
    lines: Lines,
    heartbeat: Duration,
}

/// Why a session ended.
enum Lost {
    Writer,
    Session(End),
}

impl From<End> for Lost {
    fn from(end: End) -> Self {
        Self::Session(end)
    }
}

impl From<Gone> for Lost {
    fn from(_: Gone) -> Self {
        Self::Writer
    }
}

impl VenueFeed {
    /// The feed of these symbols.
    pub fn new(spec: VenueSpec, token: Option<Secret>, config: &Config) -> Result<Self, UnknownSymbol> {
        let token = match (spec.token_file, token) {
            (Some(file), _) => Token::File(file),
            (None, Some(token)) => Token::Given(token),
            (None, None) => Token::None,
        };
        let known = || (0..).map(InstrumentId).zip(&config.instruments);
        let find = |symbol: &Symbol| {
            let found = known().find(|(_, instrument)| instrument.symbol == *symbol);
            found.map(|(id, instrument)| (symbol.clone(), id, instrument.clone())).ok_or_else(|| {
                UnknownSymbol {
                    symbol: symbol.clone(),
                    known: config
                        .instruments
                        .iter()
                        .map(|i| i.symbol.as_str())
                        .collect::<Vec<_>>()
                        .join(", "),
                }
            })
        };
        let all =
            || known().map(|(id, instrument)| (instrument.symbol.clone(), id, instrument.clone())).collect();
        let symbols = match spec.symbols.is_empty() {
            true => all(),
            false => spec.symbols.iter().map(find).collect::<Result<_, _>>()?,
        };
        Ok(Self { address: spec.address, token, symbols })
    }

    /// What it quotes.
    pub fn symbols(&self) -> Vec<Symbol> {
        self.symbols.iter().map(|(symbol, ..)| symbol.clone()).collect()
    }

    /// Has sessions until the writer is gone.
    pub async fn run(self, context: &FeedContext) {
        let mut backoff = Backoff::new();
        let mut told = None;
        loop {
            let began_ns = context.rt.mono();
            let (state, reason) = match self.session(context).await {
                Lost::Writer => return,
                Lost::Session(End::Fault { reason }) => (FeedState::Failed, reason),
                Lost::Session(End::Lost { reason }) => (FeedState::Connecting, reason),
                Lost::Session(End::Unwanted) => (FeedState::Connecting, String::new()),
            };
            let was_live = {
                let mut board = context.board.lock();
                std::mem::replace(&mut board.feed, state) == FeedState::Live
            };
            if was_live || told.as_ref() != Some(&reason) {
                tracing::warn!(reason, "no market data of the venue");
                told = Some(reason);
            }
            let lived_ns = if was_live { context.rt.mono().saturating_sub(began_ns) } else { 0 };
            context.rt.sleep(backoff.after(&context.rt, Duration::from_nanos(lived_ns))).await;
        }
    }

    async fn session(&self, context: &FeedContext) -> Lost {
        let connected = match self.connect(context).await {
            Ok(connected) => connected,
            Err(lost) => return lost,
        };
        context.board.lock().feed = FeedState::Live;
        match self.listen(context, connected).await {
            Ok(never) => match never {},
            Err(lost) => lost,
        }
    }

    async fn connect(&self, context: &FeedContext) -> Result<Connected, Lost> {
        let (rt, address) = (&context.rt, &self.address);
        let token = self.token(context).await?;
        let mut stream = match timeout(rt, CONNECT_TIMEOUT, rt.connect(address.clone())).await {
            None => return Err(lost(format!("{address} does not answer"))),
            Some(Err(error)) => return Err(lost(format!("{address} cannot be reached: {error}"))),
            Some(Ok(stream)) => stream,
        };
        let logon = Logon {
            protocol: PROTOCOL,
            account: None,
            market_data: Some(self.symbols.iter().map(|(symbol, ..)| symbol.to_string()).collect()),
            token: token.map(|secret| secret.expose().to_owned()),
            heartbeat_ms: None,
            client: Some(client()),
        };
        let mut lines = Lines::default();
        let venue = exchange(rt, &mut *stream, &mut lines, &logon).await?;
        Ok(Connected { stream, lines, heartbeat: heartbeat(&venue)? })
    }

    async fn listen(&self, context: &FeedContext, connected: Connected) -> Result<Infallible, Lost> {
        let Connected { mut stream, mut lines, heartbeat } = connected;
        let rt = &context.rt;
        let (mut timer, mut heard_ns, mut beats) = (rt.sleep(heartbeat), rt.mono(), 0);
        let (mut waiting, mut has_warned) = (BTreeMap::new(), false);
        loop {
            send(context, &mut waiting)?;
            let is_idle = waiting.is_empty();
            let line = tokio::select! {
                biased;
                () = &mut timer => None,
                line = poll_fn(|cx| lines.poll_next(cx, &mut *stream)) => {
                    Some(line.map_err(|error| lost(error.to_string()))?)
                }
                () = rt.sleep(ROOM_PAUSE), if !is_idle => continue,
            };
            let Some(line) = line else {
                if Duration::from_nanos(rt.mono().saturating_sub(heard_ns)) >= heartbeat * SILENT_BEATS {
                    return Err(lost("the venue has fallen silent".to_owned()));
                }
                beats += 1;
                beat(context, &mut *stream, beats).await?;
                timer = rt.sleep(heartbeat);
                continue;
            };
            heard_ns = rt.mono();
            let Some(quote) = take(&line)? else { continue };
            match self.on_grid(&quote) {
                Some((id, quote)) => {
                    let replaced = waiting.insert(id, quote).is_some();
                    context.board.lock().conflated += u64::from(replaced);
                }
                None if has_warned => {}
                None => {
                    has_warned = true;
                    tracing::warn!(symbol = %quote.symbol, bid = %quote.bid, ask = %quote.ask,
                        "the venue quotes what was not asked for or lies on no tick; such quotes are dropped");
                }
            }
        }
    }

    fn on_grid(&self, quote: &QuoteFrame) -> Option<(InstrumentId, Quote)> {
        let (_, id, instrument) = self.symbols.iter().find(|(symbol, ..)| *symbol == quote.symbol)?;
        Some((*id, Quote { bid: instrument.to_price(quote.bid)?, ask: instrument.to_price(quote.ask)? }))
    }

    async fn token(&self, context: &FeedContext) -> Result<Option<Secret>, Lost> {
        let file = match &self.token {
            Token::None => return Ok(None),
            Token::Given(token) => return Ok(Some(token.clone())),
            Token::File(file) => file.clone(),
        };
        let name = file.display().to_string();
        let text = run_blocking(&context.rt, move || std::fs::read_to_string(file)).await;
        let text = text.map_err(|error| fault(&format!("{name}: {error}")))?;
        let token = text.trim();
        if token.is_empty() || token.len() > TOKEN_BYTES {
            return Err(fault(&format!("{name} holds no token")));
        }
        Ok(Some(Secret::from(token.to_owned())))
    }
}

/// The quote of a line, if it has one.
fn take(line: &[u8]) -> Result<Option<QuoteFrame>, Lost> {
    match wire::read_venue(line) {
        Ok(VenueFrame::Quote(quote)) => Ok(Some(quote)),
        Ok(VenueFrame::Heartbeat { .. }) => Ok(None),
        Ok(VenueFrame::Logoff { reason }) => {
            let reason: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(lost(format!("the venue ended the session: {reason}")))
        }
        Ok(_) => Err(fault("it sent a frame that does not belong here")),
        Err(error) => Err(fault(&error.to_string())),
    }
}

fn lost(reason: String) -> Lost {
    Lost::Session(End::lost(reason))
}

fn fault(reason: &str) -> Lost {
    Lost::Session(End::Fault { reason: reason.to_owned() })
}

async fn beat(context: &FeedContext, stream: &mut dyn Stream, number: u64) -> Result<(), Lost> {
    let line = wire::numbered(number, &wire::body(&GatewayFrame::Heartbeat));
    match timeout(&context.rt, WRITE_TIMEOUT, stream.write_all(&line)).await {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(lost(error.to_string())),
        None => Err(lost("the venue does not read".to_owned())),
    }
}
