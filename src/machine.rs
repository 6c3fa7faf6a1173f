//! The one function that all drivers call: engine and paper venue, stepped until quiet.

use crate::core::{Engine, EngineInput};
use crate::domain::{
    config::{Config, Setup},
    id::AccountId,
    instrument::InstrumentId,
    market::{Bar, Quote},
    message::{Answer, ErrorCode, Input, Mark, Outputs, Query, Refusal, VenueRequest},
    money::Money,
    time::UnixNanos,
};
use crate::venue::{QuoteKind, Venue, VenueOut};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// A 256-bit hash of outputs or of a state.
pub type Hash = blake3::Hash;

/// Why a stored state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another version wrote it.
    #[error(
        "the state was written as version {found}, this build reads version {expected}: \
         start the version that wrote it, drain it, and upgrade then"
    )]
    Version { found: u32, expected: u32 },
    /// The bytes are not a state.
    #[error("the state cannot be read: {0}")]
    Malformed(String),
}

/// Counts of a run that are not events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Quotes that were not used, by reason (EX10).
    pub quarantined: BTreeMap<&'static str, u64>,
    /// Bars in which the order of two exits is a matter of policy (EX05).
    pub ambiguous_bars: u64,
    /// Quotes that were used, expanded ones included.
    pub quotes: u64,
    pub bars: u64,
}

/// Engine, paper venue and the running hash of everything they put out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    engine: Engine,
    venue: Venue,
    /// As last entered; what is derived from it is rebuilt.
    config: Option<Config>,
    now: UnixNanos,
    events: u64,
    bars: u64,
    output_hash: [u8; 32],
    #[serde(skip)]
    reports: VenueOut,
    /// Requests to venues outside of the machine, until the step ends.
    #[serde(skip)]
    outgoing: Vec<VenueRequest>,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// Version of `encode`'s format.
    pub const STATE_VERSION: u32 = 2;

    /// The oldest version that `decode` still reads: what it lacks has its default.
    const OLDEST_STATE_VERSION: u32 = 1;

    /// An empty machine; its first input must be the configuration.
    pub fn new() -> Self {
        Self {
            engine: Engine::default(),
            venue: Venue::default(),
            config: None,
            now: UnixNanos(i64::MIN),
            events: 0,
            bars: 0,
            output_hash: [0; 32],
            reports: VenueOut::default(),
            outgoing: Vec::new(),
        }
    }

    /// Fires all deadlines up to `now`, each at its own instant, then applies the input, until
    /// quiet. Time never goes back: an earlier `now` counts as the last one. Anything before the
    /// first configuration is ignored.
    pub fn step(&mut self, now: UnixNanos, input: &Input, out: &mut Outputs) {
        self.step_watched(now, input, out, |_| {});
    }

    /// `step`, and after each quote that was used, when all is quiet again, `watch` sees the machine:
    /// four times for a bar.
    pub fn step_watched(
        &mut self,
        now: UnixNanos,
        input: &Input,
        out: &mut Outputs,
        mut watch: impl FnMut(&Self),
    ) {
        out.clear();
        let now = now.max(self.now);
        if let Input::Config(config) = input {
            self.fire_deadlines(now, out);
            self.configure(now, config, out);
        } else if self.config.is_some() {
            self.fire_deadlines(now, out);
            self.dispatch(now, input, out, &mut watch);
        }
        out.venue.append(&mut self.outgoing);
        self.seal(out);
    }

    fn dispatch(&mut self, now: UnixNanos, input: &Input, out: &mut Outputs, watch: &mut impl FnMut(&Self)) {
        match input {
            Input::Config(_) | Input::Wake => {}
            Input::Gateway(state) => self.apply(now, EngineInput::Gateway(*state), out),
            Input::Quote { instrument, bid, ask } => {
                self.quote(now, *instrument, Quote { bid: *bid, ask: *ask }, QuoteKind::Tick, out, watch);
            }
            Input::Bar(bar) => self.bar(now, bar, out, watch),
            Input::Command(command) => self.apply(now, EngineInput::Command(command), out),
            Input::Link(link) => self.apply(now, EngineInput::Link(link), out),
            Input::ClockSuspect { suspect } => self.apply(now, EngineInput::ClockSuspect(*suspect), out),
            Input::EndOfData => {
                self.venue.end_of_data(now, &mut self.reports);
                self.carry_out(now, out);
                self.apply(now, EngineInput::EndOfData, out);
            }
        }
    }

    fn configure(&mut self, now: UnixNanos, config: &Config, out: &mut Outputs) {
        self.now = now;
        if self.config.as_ref() == Some(config) {
            return;
        }
        self.take_into_force(now, config, out);
        self.carry_out(now, out);
    }

    fn take_into_force(&mut self, now: UnixNanos, config: &Config, out: &mut Outputs) {
        let setup = Arc::new(Setup::new(config.clone()));
        self.config = Some(config.clone());
        self.venue.configure(&setup, now);
        self.engine.apply(now, EngineInput::Configure(setup), out);
    }

    fn fire_deadlines(&mut self, now: UnixNanos, out: &mut Outputs) {
        while let Some(due) = self.next_deadline().filter(|due| *due <= now) {
            self.now = self.now.max(due);
            // at equal instants the venue's first: what it did is known when the engine looks (EX14)
            if let Some((_, deadline)) = self.venue.pop_deadline(due) {
                self.venue.deadline(due, deadline, &mut self.reports);
                self.carry_out(self.now, out);
            } else if let Some((_, timer)) = self.engine.pop_deadline(due) {
                self.apply(self.now, EngineInput::Deadline(timer), out);
            }
        }
        self.now = now;
    }

    /// A quote: marks, then the venue, its reports, then the engine (EX14).
    fn quote(
        &mut self,
        now: UnixNanos,
        instrument: InstrumentId,
        quote: Quote,
        kind: QuoteKind,
        out: &mut Outputs,
        watch: &mut impl FnMut(&Self),
    ) {
        let known = self.config.as_ref().is_some_and(|c| instrument.index() < c.instruments.len());
        if !known || self.engine.admit(now, instrument, quote, out).is_err() {
            return;
        }
        self.venue.quote(now, instrument, quote, kind, &mut self.reports);
        self.carry_out(now, out);
        self.apply(now, EngineInput::Quote(instrument, quote), out);
        watch(self);
    }

    /// A bar: four quotes at their own instants, with the deadlines between them (EX05). One of an
    /// unknown instrument, or of a length that no bar has, is set aside: it would only move time.
    fn bar(&mut self, now: UnixNanos, bar: &Bar, out: &mut Outputs, watch: &mut impl FnMut(&Self)) {
        let known = self.config.as_ref().is_some_and(|c| bar.instrument.index() < c.instruments.len());
        if !known || !bar.has_length() {
            out.marks.push(Mark::QuoteQuarantined);
            return;
        }
        self.bars += 1;
        for (index, leg) in self.venue.begin_bar(bar).into_iter().enumerate() {
            let at = self.now.max(now.plus(leg.after_ns));
            self.fire_deadlines(at, out);
            self.venue.begin_leg(index, &mut self.reports);
            let kind = if leg.path { QuoteKind::BarPath } else { QuoteKind::BarOpen };
            self.quote(at, bar.instrument, leg.quote, kind, out, watch);
        }
        self.venue.end_bar(&mut self.reports);
        out.marks.append(&mut self.reports.marks);
    }

    /// Applies one thing and everything that follows from it.
    fn apply(&mut self, now: UnixNanos, input: EngineInput<'_>, out: &mut Outputs) {
        self.engine.apply(now, input, out);
        self.carry_out(now, out);
    }

    /// Carries requests to the paper venue and its reports to the engine until there are none.
    fn carry_out(&mut self, now: UnixNanos, out: &mut Outputs) {
        loop {
            if let Some(config) = self.engine.take_wanted_config() {
                self.take_into_force(now, &config, out);
            }
            for request in std::mem::take(&mut out.venue) {
                if self.venue.serves(request.account()) {
                    self.venue.request(now, &request, &mut self.reports);
                } else {
                    self.outgoing.push(request);
                }
            }
            let reports = std::mem::take(&mut self.reports.reports);
            for report in &reports {
                self.engine.apply(now, EngineInput::Report(report), out);
            }
            let quiet = reports.is_empty() && out.venue.is_empty();
            self.reports.reports = reports;
            self.reports.reports.clear();
            if quiet {
                self.engine.settle(now, out);
                if out.venue.is_empty() {
                    break;
                }
            }
        }
        out.marks.append(&mut self.reports.marks);
    }

    /// Counts the events and chains the hash of what was put out.
    fn seal(&mut self, out: &Outputs) {
        self.events += out.events.len() as u64;
        if out.is_quiet() {
            return;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.output_hash);
        let mut part = |tag: &str, bytes: &[u8]| {
            hasher.update(tag.as_bytes());
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for event in &out.events {
            part(event.name(), &event.payload());
        }
        for entry in &out.ledger {
            part("ledger", &json(entry));
        }
        for request in &out.venue {
            part("venue", &json(request));
        }
        for reply in &out.replies {
            part("reply", &json(reply));
        }
        self.output_hash = *hasher.finalize().as_bytes();
    }

    /// The last instant reached.
    pub const fn now(&self) -> UnixNanos {
        self.now
    }

    /// When something is due without an input.
    pub fn next_deadline(&self) -> Option<UnixNanos> {
        [self.engine.next_deadline(), self.venue.next_deadline()].into_iter().flatten().min()
    }

    /// Critical events so far: the cursor's offset.
    pub const fn event_count(&self) -> u64 {
        self.events
    }

    /// Hash of all outputs so far.
    pub const fn output_hash(&self) -> Hash {
        Hash::from_bytes(self.output_hash)
    }

    /// Hash of the state.
    pub fn state_hash(&self) -> Hash {
        blake3::hash(&self.encode())
    }

    /// The state's canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        json(self)
    }

    /// Reads what `encode` wrote.
    pub fn decode(version: u32, bytes: &[u8]) -> Result<Self, StateError> {
        if !(Self::OLDEST_STATE_VERSION..=Self::STATE_VERSION).contains(&version) {
            return Err(StateError::Version { found: version, expected: Self::STATE_VERSION });
        }
        let mut machine: Self =
            serde_json::from_slice(bytes).map_err(|e| StateError::Malformed(e.to_string()))?;
        if let Some(config) = &machine.config {
            let setup = Arc::new(Setup::new(config.clone()));
            machine.venue.adopt(&setup);
            machine.engine.adopt(setup);
        }
        Ok(machine)
    }

    /// Answers a question about the last instant reached; no effect.
    pub fn query(&self, query: &Query) -> Result<Answer, Refusal> {
        self.query_at(self.now, query)
    }

    /// Answers a question as of `now`, at or after the last instant reached; no effect.
    pub fn query_at(&self, now: UnixNanos, query: &Query) -> Result<Answer, Refusal> {
        if self.config.is_none() {
            let message = "no configuration is in force";
            return Err(Refusal::new(ErrorCode::InternalError, "NOT_CONFIGURED", message));
        }
        self.engine.query(now.max(self.now), self.events, query)
    }

    /// The configuration in force.
    pub const fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// Whether `Input::EndOfData` has come.
    pub const fn data_ended(&self) -> bool {
        self.engine.data_ended()
    }

    /// Counts that are not events.
    pub fn tally(&self) -> Tally {
        let (quotes, quarantined) = self.engine.quote_counts();
        Tally { quarantined, ambiguous_bars: self.venue.ambiguous_bars(), quotes, bars: self.bars }
    }

    /// Balance plus floating profit and loss.
    pub fn equity(&self, account: &AccountId) -> Option<Money> {
        self.engine.equity(account)
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("the machine's types are maps with text keys")
}

/// Alarms: marks that must never fire.
pub const ALARMS: &[Mark] = &[Mark::IllegalTransition, Mark::OrphanReport, Mark::ResolvedContradicted];
