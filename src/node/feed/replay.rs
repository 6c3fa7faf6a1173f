//! A recording of bars or ticks, whose stamps are the clock.

use super::FeedContext;
use crate::{
    domain::{
        calendar::Zone,
        id::Symbol,
        instrument::{Instrument, InstrumentId},
        message::Input,
        time::UnixNanos,
    },
    node::{
        clock::{Clock, Speed},
        config::ReplaySpec,
        journal::{JournalError, JournalReader},
        lanes::{MarketInput, Row},
        runtime::{Rt, run_blocking},
        status::FeedState,
    },
    quotes::{DataError, DataOptions, MarketData, OffGrid, Source, open_recording},
};
use std::{cmp::Ordering, collections::VecDeque, ops::ControlFlow, path::Path, time::Duration};

/// Rows that are read off the async threads at once.
const CHUNK_ROWS: usize = 256;

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file is not usable.
    #[error("feed: {0}")]
    Data(#[from] DataError),
    /// There is no such instrument.
    #[error("feed: there is no instrument `{symbol}`; known: {known}")]
    UnknownSymbol { symbol: Symbol, known: String },
    /// Nothing says which instrument the file is about.
    #[error("feed: {file} does not begin with a known symbol: add ,symbol=S, such as ,symbol=EURUSD")]
    NoSymbol { file: String },
    /// There is no such time zone.
    #[error("feed: `{0}` is not a time zone: use a name such as Europe/London, or UTC-05")]
    UnknownZone(String),
    /// What has entered before cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Where a replay goes on.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The last instant that the machine has reached.
    pub reached: UnixNanos,
    /// The machine knows of the end.
    pub ended: bool,
    /// Knows which rows entered.
    pub journal: JournalReader,
}

/// An open recording.
pub(crate) struct Replay {
    symbol: Symbol,
    rows: Rows,
    speed: Speed,
    /// Where the machine stood when it was opened.
    reached: UnixNanos,
    /// The machine knows of the end already.
    ended: bool,
}

impl Replay {
    /// Opens the files and skips what the machine has had. Blocks.
    pub fn open(
        spec: &ReplaySpec,
        speed: Speed,
        instruments: &[Instrument],
        progress: &Progress,
    ) -> Result<Self, ReplayError> {
        let index = find_instrument(spec, instruments)?;
        let id = InstrumentId(index as u16);
        let mut rows =
            Rows { data: open_data(spec, &instruments[index], id)?, ahead: VecDeque::new(), ended: false };
        let entered = count_entered(&progress.journal, id, progress.reached)?;
        rows.skip_entered(progress.reached, entered)?;
        let ended = progress.ended && rows.ended;
        let symbol = instruments[index].symbol.clone();
        Ok(Self { symbol, rows, speed, reached: progress.reached, ended })
    }

    /// What it quotes.
    pub const fn symbol(&self) -> &Symbol {
        &self.symbol
    }

    /// The clock that its stamps drive.
    pub fn clock(&self, rt: &Rt, reached: UnixNanos) -> Clock {
        Clock::replay(rt.clone(), reached, self.speed, self.rows.peek_stamp())
    }

    /// Sends every row when it is due, then the end.
    pub async fn run(self, context: &FeedContext) -> Result<(), ReplayError> {
        let Self { mut rows, mut reached, ended, .. } = self;
        if ended {
            context.board.lock().feed = FeedState::Ended;
            return Ok(());
        }
        rows = rows.fill(&context.rt).await?;
        while let Some((at, input)) = rows.ahead.pop_front() {
            rows = rows.fill(&context.rt).await?;
            let wait = context.clock.until_row(at);
            if wait > Duration::ZERO {
                context.rt.sleep(wait).await;
            }
            // after the last row the clock stands still until the end is journaled
            let next = rows.peek_stamp().or(Some(at));
            reached = at;
            if context.market.send(MarketInput { input, row: Some(Row { at, next }) }).await.is_err() {
                return Ok(());
            }
        }
        let end = MarketInput { input: Input::EndOfData, row: Some(Row { at: reached, next: None }) };
        // a writer that is gone needs no end
        let _ = context.market.send(end).await;
        Ok(())
    }
}

/// How many rows of this instrument entered at `reached`, which nothing is newer than. Ticks may share a
/// stamp, and a crash may part them.
fn count_entered(journal: &JournalReader, id: InstrumentId, reached: UnixNanos) -> Result<u64, JournalError> {
    let mut rows = 0;
    journal.inputs_from_newest(|at, input| {
        if at < reached {
            return ControlFlow::Break(());
        }
        let instrument = match input {
            Input::Quote { instrument, .. } => Some(*instrument),
            Input::Bar(bar) => Some(bar.instrument),
            _ => None,
        };
        rows += u64::from(instrument == Some(id));
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

fn open_data(
    spec: &ReplaySpec,
    instrument: &Instrument,
    id: InstrumentId,
) -> Result<Box<dyn MarketData + Send>, ReplayError> {
    let zone = spec
        .zone
        .as_deref()
        .map(|name| Zone::load(name).ok_or_else(|| ReplayError::UnknownZone(name.to_owned())));
    let options = DataOptions {
        instrument: instrument.clone(),
        id,
        zone: zone.transpose()?,
        off_grid: OffGrid::default(),
        timeframe: None,
    };
    for file in &spec.files {
        // those that are opened later should be missed now
        std::fs::metadata(file)
            .map_err(|source| DataError::Io { file: file.display().to_string().into(), source })?;
    }
    let asks = spec.ask.as_deref().map(Source::open).transpose()?;
    let files = spec.files.clone().into_iter().map(|file| Source::open(&file));
    Ok(open_recording(Box::new(files), asks, options)?)
}

/// The instrument that is named, or that the file is named after.
fn find_instrument(spec: &ReplaySpec, instruments: &[Instrument]) -> Result<usize, ReplayError> {
    if let Some(symbol) = &spec.symbol {
        return instruments.iter().position(|i| i.symbol == *symbol).ok_or_else(|| {
            let known: Vec<&str> = instruments.iter().map(|i| i.symbol.as_str()).collect();
            ReplayError::UnknownSymbol { symbol: symbol.clone(), known: known.join(", ") }
        });
    }
    let first = spec.files.first().and_then(|file| file.file_name());
    let name = first.unwrap_or_default().to_string_lossy();
    instruments
        .iter()
        .position(|i| {
            let rest = name.strip_prefix(i.symbol.as_str());
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
        })
        .ok_or_else(|| ReplayError::NoSymbol { file: Path::new(&*name).display().to_string() })
}

/// Rows, with at least one read ahead.
struct Rows {
    data: Box<dyn MarketData + Send>,
    ahead: VecDeque<(UnixNanos, Input)>,
    ended: bool,
}

impl Rows {
    /// Passes over the rows up to `reached`, and `entered` rows of that very stamp: of ticks that share
    /// it, the rest is still to come.
    fn skip_entered(&mut self, reached: UnixNanos, mut entered: u64) -> Result<(), DataError> {
        while self.ahead.is_empty() && !self.ended {
            self.read_chunk()?;
            self.ahead.retain(|(at, _)| match at.cmp(&reached) {
                Ordering::Less => false,
                Ordering::Equal if entered > 0 => {
                    entered -= 1;
                    false
                }
                Ordering::Equal | Ordering::Greater => true,
            });
        }
        Ok(())
    }

    fn peek_stamp(&self) -> Option<UnixNanos> {
        self.ahead.front().map(|(at, _)| *at)
    }

    /// Reads on, off the async threads, unless a row is there.
    async fn fill(mut self, rt: &Rt) -> Result<Self, DataError> {
        if !self.ahead.is_empty() || self.ended {
            return Ok(self);
        }
        run_blocking(rt, move || self.read_chunk().map(|()| self)).await
    }

    fn read_chunk(&mut self) -> Result<(), DataError> {
        for row in self.data.by_ref().take(CHUNK_ROWS) {
            self.ahead.push_back(row?);
        }
        self.ended = self.ahead.is_empty();
        Ok(())
    }
}
