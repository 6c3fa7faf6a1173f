//! A client: takes the steps of its plan, repeats what was not answered, resumes where it was.

mod asking;
mod connection;
mod conversation;
mod phase;

pub use connection::print;

use super::market::Known;
use crate::{
    disk::Disk,
    draw::Draw,
    history::{ClientHistory, Cursor},
    network::Windows,
    plan::Step,
    probe::Coverage,
    runtime::Clock,
    trace::{Kind, Node, Tracer},
};
use asking::Open;
use conversation::{End, Nap};
use madsim::time::sleep;
use phase::Phase;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

const MILLI_NS: u64 = 1_000_000;

/// What the world tells a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The connection ends without a goodbye.
    Drop,
    /// Nothing goes wrong any more: bring everything to its end, then look at it all once more.
    Finish,
}

/// What a client is made of.
pub struct Setup {
    pub node: Node,
    pub address: String,
    /// The file on the gateway's disk that holds its token.
    pub token_file: &'static str,
    pub gateway_disk: Disk,
    /// The accounts of the gateway that it may see.
    pub accounts: Vec<String>,
    /// Those that its token reaches, if it does not reach all.
    pub sees: Option<Vec<String>>,
    pub steps: Vec<Step>,
    /// From when to when it is away.
    pub rest_ns: Option<(u64, u64)>,
    /// What it subscribes to.
    pub topics: &'static [&'static str],
    /// Whose idempotency keys it uses.
    pub key_name: &'static str,
    /// Whether it also acts upon orders of others that it heard of.
    pub knows_others: bool,
    pub windows: Windows,
    pub tracer: Tracer,
    pub coverage: Coverage,
    pub clock: Clock,
    pub draw: Draw,
}

/// A client.
pub struct Client {
    setup: Setup,
    journal: Arc<Mutex<ClientHistory>>,
    known: Known,
    due: VecDeque<Step>,
    open: Vec<Open>,
    /// Every request id that was ever sent: what it was for, and where in the trace.
    ids: BTreeMap<String, (usize, usize)>,
    /// Tells its token from others; empty before the first connection.
    token: String,
    /// The first of the requests that are its principal's.
    own_since: usize,
    nap: Option<Nap>,
    /// When a rate last refused something.
    limited_ns: Option<u64>,
    /// By rate, when the last of those has its turn that it refused.
    turns: BTreeMap<String, u64>,
    /// When it connected last.
    connected_ns: u64,
    /// What it has applied of the log.
    cursor: Option<Cursor>,
    phase: Phase,
    /// The last looks at the accounts at venues, and when to look again.
    looks: Vec<usize>,
    look_again_ns: u64,
}

impl Client {
    /// A client, and its journal.
    pub fn new(setup: Setup) -> (Self, Arc<Mutex<ClientHistory>>) {
        let sees = setup.sees.clone().map(|accounts| accounts.into_iter().collect());
        let journal = ClientHistory { name: setup.node.name(), sees, ..ClientHistory::default() };
        let journal = Arc::new(Mutex::new(journal));
        let client = Self {
            journal: journal.clone(),
            known: Known::new(setup.knows_others),
            due: setup.steps.iter().cloned().collect(),
            open: Vec::new(),
            ids: BTreeMap::new(),
            token: String::new(),
            own_since: 0,
            nap: None,
            limited_ns: None,
            turns: BTreeMap::new(),
            connected_ns: 0,
            cursor: None,
            phase: Phase::Working,
            looks: Vec::new(),
            look_again_ns: 0,
            setup,
        };
        (client, journal)
    }

    /// Lives until it is done.
    pub async fn run(mut self, mut control: mpsc::UnboundedReceiver<Control>) {
        while self.phase != Phase::Done {
            self.rest().await;
            match self.connect().await {
                Err(why) => self.link(&format!(r#"{{"link":"refused","why":"{why}"}}"#)),
                Ok(mut socket) => {
                    let end = self.converse(&mut socket, &mut control).await;
                    drop(socket);
                    self.disconnected();
                    match end {
                        End::Done => {
                            self.over(r#"{"link":"left"}"#, None);
                            continue;
                        }
                        End::Closed(Some(code)) => {
                            self.setup.coverage.mark(&format!("client_closed_{code}"));
                            self.over(&format!(r#"{{"link":"lost","code":{code}}}"#), Some(code));
                        }
                        End::Lost | End::Closed(None) => self.over(r#"{"link":"lost"}"#, None),
                    }
                }
            }
            let pause = self.setup.draw.within(5..=300);
            sleep(Duration::from_millis(pause)).await;
            while let Ok(order) = control.try_recv() {
                self.obey(order);
            }
        }
    }

    /// Is away while it is to rest. Keys are not kept for so long: what nobody answered before is not asked again.
    async fn rest(&mut self) {
        let Some((_, to_ns)) = self.setup.rest_ns.filter(|_| self.rests()) else { return };
        self.give_up_open();
        sleep(Duration::from_nanos(to_ns - self.now_ns())).await;
    }

    fn rests(&self) -> bool {
        self.setup.rest_ns.is_some_and(|(from_ns, to_ns)| (from_ns..to_ns).contains(&self.now_ns()))
    }

    fn now_ns(&self) -> u64 {
        self.setup.clock.elapsed_ns()
    }

    fn record(&self, kind: Kind, body: &str) -> usize {
        self.setup.tracer.record(self.setup.node, kind, body)
    }

    fn link(&self, body: &str) {
        self.record(Kind::Link, body);
    }

    fn journal(&self) -> MutexGuard<'_, ClientHistory> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
