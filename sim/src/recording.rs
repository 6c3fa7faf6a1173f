//! A gateway alone in a world, fed with a recording to its end: the third driver of DT04.

use crate::{
    disk::Disk,
    draw::Draw,
    panics::{self, Panics},
    run::prime,
    runtime::{Clock, SimRuntime},
};
use lockstep::{
    domain::{
        message::{Input, Mark, Outputs},
        time::UnixNanos,
    },
    node::services::{Probe, Services, SyntheticMarkets},
    serve::{ServeOptions, serve},
};
use madsim::runtime::{Handle, Runtime};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// More than any recording lasts on a replay at full speed.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3_600);
const START: &str = "2024-03-04T09:00:00Z";
const SYNC_MS: (u64, u64) = (1, 3);
const DYING: Duration = Duration::from_millis(5);

/// Sees each step of the gateway's machine.
pub type Watch = Box<dyn FnMut(&Outputs) + Send>;

/// Runs the gateway until its feed has ended and everything is durable, then drains it. An error says
/// why it ended before.
pub fn run_recording(seed: u64, options: ServeOptions, watch: Watch) -> Result<(), String> {
    prime();
    let world = std::thread::Builder::new().name("recording".to_owned());
    let world = world.spawn(move || {
        panics::enter_world();
        let mut runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.set_time_limit(TIME_LIMIT);
        runtime.block_on(live(seed, options, watch))
    });
    world.expect("the host can start a thread").join().map_err(|panic| panics::message(&*panic))?
}

async fn live(seed: u64, options: ServeOptions, watch: Watch) -> Result<(), String> {
    let (panics, mut fatal) = Panics::new();
    let (end_reached, mut end) = mpsc::unbounded_channel();
    let (shutdown, asked) = oneshot::channel();
    let (ended, result) = oneshot::channel();
    let start = UnixNanos::parse(START).expect("an instant");
    let disk = Disk::new(seed, "gateway", SYNC_MS);
    let mount = Arc::new(disk.mount());
    let runtime =
        SimRuntime::new(Clock::new(start, 0), Draw::new(seed, "gateway random"), disk, panics.clone());
    let probe = Arc::new(Watcher { watch: Mutex::new(watch), end_offset: Mutex::new(None), end_reached });
    let services =
        Services { storage: mount.clone(), files: mount, markets: Arc::new(SyntheticMarkets), probe };
    let handle = Handle::current();
    let node = handle.create_node().name("gateway").ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))).build();
    drop(node.spawn(async move {
        let (ready, _) = oneshot::channel();
        let served = serve(Arc::new(runtime), services, options, ready, asked).await;
        let _ = ended.send(served.map_err(|error| error.to_string())); // `live` waits unless a panic ends it
    }));
    tokio::select! {
        biased;
        _ = fatal.recv() => return Err(panics.all().join("; ")),
        _ = end.recv() => {}
    }
    let _ = shutdown.send(lockstep::gateway::Shutdown::Stop); // a gateway that has ended by itself says why below
    let result = result.await.unwrap_or_else(|_| Err(panics.all().join("; ")));
    handle.kill(node.id());
    madsim::time::sleep(DYING).await;
    result
}

struct Watcher {
    watch: Mutex<Watch>,
    /// Where the end of the data stands in the journal.
    end_offset: Mutex<Option<u64>>,
    end_reached: mpsc::UnboundedSender<()>,
}

impl Probe for Watcher {
    fn step(&self, offset: u64, _: UnixNanos, input: &Input, outputs: &Outputs) {
        if matches!(input, Input::EndOfData) {
            *self.end_offset.lock().unwrap_or_else(PoisonError::into_inner) = Some(offset);
        }
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)(outputs);
    }

    fn mark(&self, _: Mark) {}

    fn commit(&self, _: u64, _: usize) {}

    fn release(&self, offset: u64, _: usize, _: usize) {
        let end = *self.end_offset.lock().unwrap_or_else(PoisonError::into_inner);
        if end.is_some_and(|end| offset >= end) {
            let _ = self.end_reached.send(()); // nobody listens any more once it is known
        }
    }
}
