//! Shrinking: the smallest plan that fails in the same way. Faults go first, then the workload, then time.
//!
//! A candidate is good if it gives the same signature with the plan's own schedule, or with one of some
//! others: taking a step away shifts everything that is drawn after it.

use crate::{
    draw::Draw,
    guests::{AbuseStep, Guests},
    outcome::Outcome,
    plan::{ChaosPlan, Client, FaultKind, Plan, RelayPlan, Step},
    run::Report,
};

/// Schedules that are tried for a candidate in the end.
const SCHEDULES: u64 = 32;
/// What follows the last step, so that its consequences show.
const AFTERMATH_MS: u64 = 2_000;

/// How a world failed, as far as another is compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub outcome: Outcome,
    pub oracle: String,
    pub rule: String,
}

impl Signature {
    /// `None`: it did not fail.
    pub fn of(report: &Report) -> Option<Self> {
        if report.outcome == Outcome::Ok {
            return None;
        }
        let gravest = report.violations.iter().min_by_key(|violation| violation.severity);
        let (oracle, rule) = gravest.map_or(("", ""), |v| (v.oracle, v.rule));
        Some(Self { outcome: report.outcome, oracle: oracle.to_owned(), rule: rule.to_owned() })
    }
}

/// What limits a search.
pub struct Budget<'a> {
    /// Worlds at a time.
    pub jobs: usize,
    /// Whether there is time for more.
    pub goes_on: &'a dyn Fn() -> bool,
}

/// What a search has found.
#[derive(Debug)]
pub struct Shrunk<P = Plan> {
    pub plan: P,
    /// Plans that were run.
    pub runs: usize,
}

/// Steps of clients and faults, those of streams and relay included: a kind of them counts as one.
pub fn size(plan: &Plan) -> usize {
    plan.operator.len() + plan.viewer.len() + plan.guests.len() + plan.faults.len() + kinds(plan).len()
}

/// Whether a plan fails as it is to.
pub type Fails<'a> = &'a (dyn Fn(&Plan) -> bool + Sync);

/// The smallest plan found that fails.
pub fn shrink(plan: &Plan, fails: Fails<'_>, budget: &Budget<'_>) -> Shrunk {
    let mut search = Search { best: plan.clone(), fails, budget, runs: 0 };
    loop {
        let before = size(&search.best);
        search.drop_kinds();
        search.thin(|plan| &mut plan.faults);
        search.thin(|plan| &mut plan.operator);
        search.thin(|plan| &mut plan.viewer);
        search.thin_guests();
        search.shorten();
        if size(&search.best) == before || !(budget.goes_on)() {
            break;
        }
    }
    // what is left is hard to do without: under some other schedule it may not be
    search.one_by_one(|plan| &mut plan.faults);
    search.one_by_one(|plan| &mut plan.operator);
    search.one_by_one(|plan| &mut plan.viewer);
    search.guests_one_by_one();
    search.shorten();
    search.end()
}

/// A search under way, for worlds or for what else can be left out of.
pub(crate) struct Search<'a, P = Plan> {
    pub best: P,
    pub fails: &'a (dyn Fn(&P) -> bool + Sync),
    pub budget: &'a Budget<'a>,
    pub runs: usize,
}

impl<P: Clone + Send + Sync> Search<'_, P> {
    /// What was found.
    pub fn end(self) -> Shrunk<P> {
        Shrunk { plan: self.best, runs: self.runs }
    }

    /// Runs the candidates, several at a time, and takes the first of them that fails as wanted.
    pub fn take_first(&mut self, candidates: &[P]) -> Option<usize> {
        for (wave, plans) in candidates.chunks(self.budget.jobs.max(1)).enumerate() {
            if !(self.budget.goes_on)() {
                return None;
            }
            self.runs += plans.len();
            let test = self.fails;
            let fails: Vec<bool> = std::thread::scope(|scope| {
                let worlds: Vec<_> = plans.iter().map(|plan| scope.spawn(move || test(plan))).collect();
                worlds.into_iter().map(|world| world.join().expect("a world reports its panics")).collect()
            });
            if let Some(place) = fails.iter().position(|fails| *fails) {
                self.best = plans[place].clone();
                return Some(wave * self.budget.jobs.max(1) + place);
            }
        }
        None
    }

    /// Leaves out ever smaller pieces of a list.
    pub fn thin<T: Clone>(&mut self, list: impl Fn(&mut P) -> &mut Vec<T>) {
        let mut piece = list(&mut self.best).len();
        while piece > 0 {
            let mut from = 0;
            loop {
                let length = list(&mut self.best).len();
                if from >= length {
                    break;
                }
                let starts: Vec<usize> = (from..length).step_by(piece).collect();
                // a long list has many candidates, each a list of its own: as many as run at a time exist
                let taken = starts.chunks(self.budget.jobs.max(1)).find_map(|starts| {
                    let without = |start: &usize| {
                        let mut candidate = self.best.clone();
                        list(&mut candidate).drain(*start..(start + piece).min(length));
                        candidate
                    };
                    let candidates: Vec<P> = starts.iter().map(without).collect();
                    self.take_first(&candidates).map(|place| starts[place])
                });
                match taken {
                    // what was left out before it could not be
                    Some(start) => from = start,
                    None => break,
                }
            }
            piece /= 2;
        }
    }
}

impl Search<'_> {
    /// Leaves out one at a time, under other schedules, too.
    fn one_by_one<T: Clone>(&mut self, list: impl Fn(&mut Plan) -> &mut Vec<T>) {
        let mut at = 0;
        while at < list(&mut self.best).len() {
            let mut without = self.best.clone();
            list(&mut without).remove(at);
            if self.take_first(&schedules(&without)).is_none() {
                at += 1;
            }
        }
    }

    /// Leaves out whole kinds of what streams and relay do, the rest, and that somebody sees less.
    fn drop_kinds(&mut self) {
        let mut at = 0;
        while at < kinds(&self.best).len() {
            let mut without = self.best.clone();
            let drop = kinds(&without)[at];
            drop(&mut without);
            if self.take_first(&[without]).is_none() {
                at += 1;
            }
        }
    }

    /// Leaves out what the guests do; who does nothing does not come.
    fn thin_guests(&mut self) {
        for list in guest_lists(&self.best) {
            match list {
                GuestList::Steps(list) => self.thin(list),
                GuestList::Abuses(list) => self.thin(list),
            }
        }
        for dismiss in dismissals(&self.best) {
            let mut without = self.best.clone();
            dismiss(&mut without);
            self.take_first(&[without]);
        }
    }

    fn guests_one_by_one(&mut self) {
        for list in guest_lists(&self.best) {
            match list {
                GuestList::Steps(list) => self.one_by_one(list),
                GuestList::Abuses(list) => self.one_by_one(list),
            }
        }
    }

    /// Ends the plan soon after its last step, and brings the steps closer together.
    fn shorten(&mut self) {
        let mut candidate = self.best.clone();
        candidate.duration_ms = candidate.duration_ms.min(last_ms(&candidate) + AFTERMATH_MS);
        if candidate != self.best {
            self.take_first(&[candidate]);
        }
        loop {
            let mut closer = self.best.clone();
            let steps = closer.operator.iter_mut().chain(&mut closer.viewer).map(|step| &mut step.at_ms);
            let steps = steps.chain(closer.guests.times());
            steps.chain(closer.faults.iter_mut().map(|fault| &mut fault.at_ms)).for_each(|at| *at /= 2);
            closer.duration_ms = closer.duration_ms.min(last_ms(&closer) + AFTERMATH_MS);
            if closer == self.best || self.take_first(&[closer]).is_none() {
                break;
            }
        }
    }
}

/// A list of a guest that is there.
enum GuestList {
    Steps(fn(&mut Plan) -> &mut Vec<Step>),
    Abuses(fn(&mut Plan) -> &mut Vec<AbuseStep>),
}

fn guest_lists(plan: &Plan) -> Vec<GuestList> {
    let Guests { second_operator, slow_reader, abuser } = &plan.guests;
    let mut lists = Vec::new();
    if second_operator.is_some() {
        let list: fn(&mut Plan) -> &mut Vec<Step> =
            |plan| &mut plan.guests.second_operator.as_mut().expect("it is there").steps;
        lists.push(GuestList::Steps(list));
    }
    if slow_reader.is_some() {
        lists.push(GuestList::Steps(|plan| plan.guests.slow_reader.as_mut().expect("it is there")));
    }
    if abuser.is_some() {
        lists.push(GuestList::Abuses(|plan| plan.guests.abuser.as_mut().expect("it is there")));
    }
    lists
}

/// Ways to leave out a whole guest, and the faults that concern it.
fn dismissals(plan: &Plan) -> Vec<fn(&mut Plan)> {
    let Guests { second_operator, slow_reader, abuser } = &plan.guests;
    let mut found: Vec<fn(&mut Plan)> = Vec::new();
    let mut add = |there: bool, dismiss: fn(&mut Plan)| found.extend(there.then_some(dismiss));
    add(second_operator.is_some(), |plan| {
        plan.guests.second_operator = None;
        forget_client(plan, Client::SecondOperator);
    });
    add(slow_reader.is_some(), |plan| {
        plan.guests.slow_reader = None;
        forget_client(plan, Client::SlowReader);
    });
    add(abuser.is_some(), |plan| plan.guests.abuser = None);
    found
}

fn forget_client(plan: &mut Plan, gone: Client) {
    plan.faults.retain(|fault| match fault.kind {
        FaultKind::Drop { client } | FaultKind::Clog { client, .. } | FaultKind::Revoke { client, .. } => {
            client != gone
        }
        _ => true,
    });
}

fn last_ms(plan: &Plan) -> u64 {
    let steps = plan.operator.iter().chain(&plan.viewer).map(|step| step.at_ms);
    let guests: Vec<u64> = plan.guests.clone().times().map(|at_ms| *at_ms).collect();
    steps.chain(guests).chain(plan.faults.iter().map(|fault| fault.at_ms)).max().unwrap_or(0)
}

/// The same under its own schedule first, then under others.
fn schedules(plan: &Plan) -> Vec<Plan> {
    let mut draw = Draw::new(plan.seed, "schedules of a shrunk plan");
    let others = (1..SCHEDULES).map(|_| draw.number());
    std::iter::once(plan.schedule_seed)
        .chain(others)
        .map(|schedule_seed| Plan { schedule_seed, ..plan.clone() })
        .collect()
}

/// What the streams and the relay do, each as a way to leave it out.
fn kinds(plan: &Plan) -> Vec<fn(&mut Plan)> {
    let mut found: Vec<fn(&mut Plan)> = Vec::new();
    if plan.rest.is_some() {
        found.push(|p| p.rest = None);
    }
    if plan.viewer_sees.is_some() {
        found.push(|p| p.viewer_sees = None);
    }
    if let Some(ChaosPlan { split, coalesce, stall, half_close, reset }) = &plan.chaos {
        let mut add = |there: bool, drop: fn(&mut Plan)| found.extend(there.then_some(drop));
        add(split.is_some(), |p| p.chaos.iter_mut().for_each(|c| c.split = None));
        add(coalesce.is_some(), |p| p.chaos.iter_mut().for_each(|c| c.coalesce = None));
        add(stall.is_some(), |p| p.chaos.iter_mut().for_each(|c| c.stall = None));
        add(half_close.is_some(), |p| p.chaos.iter_mut().for_each(|c| c.half_close = None));
        add(reset.is_some(), |p| p.chaos.iter_mut().for_each(|c| c.reset = None));
    }
    if let Some(RelayPlan {
        lose_report,
        repeat_report,
        late_report,
        lose_ack,
        lose_order,
        lose_entry,
        drop_logon,
        wrong_snapshot,
    }) = &plan.relay
    {
        let mut add = |there: bool, drop: fn(&mut Plan)| found.extend(there.then_some(drop));
        add(*lose_report > 0, |p| p.relay.iter_mut().for_each(|r| r.lose_report = 0));
        add(*repeat_report > 0, |p| p.relay.iter_mut().for_each(|r| r.repeat_report = 0));
        add(late_report.is_some(), |p| p.relay.iter_mut().for_each(|r| r.late_report = None));
        add(lose_ack.is_some(), |p| p.relay.iter_mut().for_each(|r| r.lose_ack = None));
        add(*lose_order > 0, |p| p.relay.iter_mut().for_each(|r| r.lose_order = 0));
        add(*lose_entry > 0, |p| p.relay.iter_mut().for_each(|r| r.lose_entry = 0));
        add(*drop_logon > 0, |p| p.relay.iter_mut().for_each(|r| r.drop_logon = 0));
        add(*wrong_snapshot > 0, |p| p.relay.iter_mut().for_each(|r| r.wrong_snapshot = 0));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{Action, plan},
        scenario,
    };

    /// A plan of the scenario with several faults.
    fn whole(name: &str) -> Plan {
        let scenario = &scenario::select(&scenario::folder(None), name).expect("it is there")[0];
        let plans = (0..100).map(|seed| plan(seed, scenario));
        let crashes = |p: &Plan| p.faults.iter().any(|f| matches!(f.kind, FaultKind::VenueCrash { .. }));
        let closes =
            |p: &Plan| p.operator.iter().filter(|s| matches!(s.action, Action::Close { .. })).count();
        plans
            .into_iter()
            .find(|p| p.faults.len() > 2 && crashes(p) && closes(p) > 2)
            .expect("some seed has them")
    }

    fn endless(jobs: usize) -> Budget<'static> {
        Budget { jobs, goes_on: &|| true }
    }

    #[test]
    fn what_is_not_needed_goes_and_what_is_needed_stays() {
        let plan = whole("venue_crash");
        let needs = |p: &Plan| {
            let closes = p.operator.iter().filter(|s| matches!(s.action, Action::Close { .. })).count();
            let crashes = p.faults.iter().filter(|f| matches!(f.kind, FaultKind::VenueCrash { .. })).count();
            let splits = p.chaos.as_ref().is_some_and(|chaos| chaos.split.is_some());
            closes >= 2 && crashes >= 1 && splits
        };
        let chaos = Some(ChaosPlan { split: Some(crate::scenario::Span(1, 9)), ..ChaosPlan::default() });
        let plan = Plan { chaos, ..plan };
        assert!(needs(&plan), "the plan has what it takes");
        for jobs in [1, 3] {
            let small = shrink(&plan, &needs, &endless(jobs));
            assert_eq!(size(&small.plan), 4, "two closes, a crash, a kind of chaos: {:?}", small.plan);
            assert!(needs(&small.plan) && small.plan.duration_ms < plan.duration_ms);
        }
    }

    #[test]
    fn a_step_that_only_another_schedule_can_do_without_goes_too() {
        let plan = whole("venue_crash");
        let own = plan.schedule_seed;
        let needs = |p: &Plan| !p.operator.is_empty() && (p.operator.len() > 1 || p.schedule_seed != own);
        let small = shrink(&plan, &needs, &endless(2)).plan;
        assert_eq!((small.operator.len(), small.faults.len()), (1, 0));
        assert_ne!(small.schedule_seed, own, "the schedule that does it is kept");
    }

    #[test]
    fn guests_and_what_they_do_are_left_out_and_kept_as_needed() {
        let of = |name: &str, has: &dyn Fn(&Plan) -> bool| {
            let scenario = &scenario::select(&scenario::folder(None), name).expect("it is there")[0];
            (0..100).map(|seed| plan(seed, scenario)).find(|plan| has(plan)).expect("some seed has them")
        };
        let hostile = of("hostile_client", &|p| p.guests.abuser.as_ref().is_some_and(|a| a.len() > 10));
        let slow = of("slow_consumer", &|p| p.guests.slow_reader.as_ref().is_some_and(|n| n.len() > 1));
        let revoked =
            of("token_revoked", &|p| p.faults.iter().any(|f| matches!(f.kind, FaultKind::Revoke { .. })));
        let all = Plan {
            guests: Guests {
                abuser: hostile.guests.abuser,
                slow_reader: slow.guests.slow_reader,
                ..revoked.guests.clone()
            },
            ..revoked
        };
        let second = |p: &Plan| p.guests.second_operator.as_ref().map_or(0, |second| second.steps.len());
        assert!(second(&all) > 2);
        let none = shrink(&all, &|p| !p.operator.is_empty(), &endless(2)).plan;
        assert_eq!((size(&none), none.guests.is_empty()), (1, true), "{none:?}");
        let needs = |p: &Plan| {
            let revokes = p.faults.iter().any(|f| matches!(f.kind, FaultKind::Revoke { .. }));
            second(p) > 1 && p.guests.abuser.as_ref().is_some_and(|a| !a.is_empty()) && revokes
        };
        let small = shrink(&all, &needs, &endless(2)).plan;
        assert_eq!((size(&small), small.guests.slow_reader.is_none()), (4, true), "{small:?}");
        assert!(needs(&small) && small.duration_ms < all.duration_ms);
    }

    #[test]
    fn a_search_without_time_gives_the_plan_back() {
        let plan = whole("venue_crash");
        let small = shrink(&plan, &|_| true, &Budget { jobs: 2, goes_on: &|| false });
        assert_eq!((small.plan, small.runs), (plan, 0));
    }
}
