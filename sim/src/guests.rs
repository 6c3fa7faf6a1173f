//! Clients beyond the operator and the viewer, as parts of scenarios and plans: a second operator, a
//! client that does not read, and one that abuses the protocol.

use crate::{
    draw::Draw,
    plan::{Action, Step},
    scenario::{Mix, Span, Workload},
};
use serde::{Deserialize, Serialize};

pub use crate::actor::abuse::{Abuse, AbuseStep, BadText, Guise, WrongFrame, WrongRequest};

/// What a scenario says of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuestMix {
    pub second_operator: Option<SecondOperatorMix>,
    pub slow_reader: Option<NapMix>,
    pub abuser: Option<AbuserMix>,
}

/// A second operator, with a token of its own, who trades the same accounts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondOperatorMix {
    /// How many steps.
    pub steps: Span,
    /// How often each kind of step is taken, relative to the others.
    pub mix: Mix,
    /// Of a thousand cancels, closes, changes, stops and resumes of the operator: how many it also tries at
    /// the same time.
    #[serde(default)]
    pub clash_permille: u64,
    /// In how many of a thousand worlds its idempotency keys are those of the operator, word for word.
    #[serde(default)]
    pub same_keys_permille: u64,
}

/// A client that subscribes to everything and from time to time stops reading.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NapMix {
    /// How often it stops.
    pub naps: Span,
    /// For how long, in milliseconds.
    pub for_ms: Span,
    /// Of a thousand naps: in how many it reads one frame after each `every_ms`, rather than none.
    #[serde(default)]
    pub drowsy_permille: u64,
    #[serde(default = "second")]
    pub every_ms: Span,
}

const fn second() -> Span {
    Span(1_000, 1_000)
}

/// A client that abuses the protocol, with and without a token.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbuserMix {
    /// How many abuses, one after the other.
    pub steps: Span,
}

/// What a plan says of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guests {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_operator: Option<SecondOperator>,
    /// When it stops reading; absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_reader: Option<Vec<Step>>,
    /// Absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abuser: Option<Vec<AbuseStep>>,
}

/// See `SecondOperatorMix`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondOperator {
    pub steps: Vec<Step>,
    /// Whether its idempotency keys are those of the operator, word for word.
    pub same_keys: bool,
}

impl GuestMix {
    /// The ranges of the tables, with their names.
    pub fn spans(&self) -> Vec<(&'static str, Span)> {
        let mut spans = Vec::new();
        if let Some(second) = &self.second_operator {
            spans.push(("guests.second_operator.steps", second.steps));
        }
        if let Some(naps) = &self.slow_reader {
            spans.extend([
                ("guests.slow_reader.naps", naps.naps),
                ("guests.slow_reader.for_ms", naps.for_ms),
                ("guests.slow_reader.every_ms", naps.every_ms),
            ]);
        }
        spans.extend(self.abuser.as_ref().map(|abuser| ("guests.abuser.steps", abuser.steps)));
        spans
    }

    /// The shares of a thousand, with their names.
    pub fn permilles(&self) -> Vec<(&'static str, u64)> {
        let mut permilles = Vec::new();
        if let Some(second) = &self.second_operator {
            permilles.push(("second_operator.clash_permille", second.clash_permille));
            permilles.push(("second_operator.same_keys_permille", second.same_keys_permille));
        }
        let drowsy = self.slow_reader.as_ref().map(|naps| naps.drowsy_permille);
        permilles.extend(drowsy.map(|drowsy| ("slow_reader.drowsy_permille", drowsy)));
        permilles
    }
}

impl Guests {
    /// Draws them. `steps` draws a workload, `operator` is what the operator does.
    pub fn draw(
        mix: &GuestMix,
        duration_ms: u64,
        operator: &[Step],
        steps: impl FnOnce(&Workload, &mut Draw) -> Vec<Step>,
        stream: impl Fn(&str) -> Draw,
    ) -> Self {
        let second_operator = mix.second_operator.as_ref().map(|second| {
            let mut draw = stream("second operator");
            let workload = Workload { steps: second.steps, mix: second.mix.clone(), bursts: None };
            let mut steps = steps(&workload, &mut draw);
            steps.extend(clashes(operator, second.clash_permille, &mut draw));
            steps.sort_by_key(|step| step.at_ms);
            SecondOperator { steps, same_keys: draw.chance(second.same_keys_permille) }
        });
        let slow_reader = mix.slow_reader.as_ref().map(|mix| naps(mix, duration_ms, &mut stream("naps")));
        let abuser = mix.abuser.as_ref().map(|abuser| {
            let mut draw = stream("abuser");
            let mut steps: Vec<AbuseStep> = (0..abuser.steps.draw(&mut draw))
                .map(|_| AbuseStep::draw(draw.within(200..=duration_ms.max(200)), &mut draw))
                .collect();
            steps.sort_by_key(|step| step.at_ms);
            steps
        });
        Self { second_operator, slow_reader, abuser }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.second_operator.is_none() && self.slow_reader.is_none() && self.abuser.is_none()
    }

    /// Steps and abuses of all of them.
    pub fn len(&self) -> usize {
        let second = self.second_operator.as_ref().map_or(0, |second| second.steps.len());
        let naps = self.slow_reader.as_ref().map_or(0, Vec::len);
        second + naps + self.abuser.as_ref().map_or(0, Vec::len)
    }

    /// When each step is due.
    pub fn times(&mut self) -> impl Iterator<Item = &mut u64> {
        let second = self.second_operator.iter_mut().flat_map(|second| &mut second.steps);
        let steps = second.chain(self.slow_reader.iter_mut().flatten()).map(|step| &mut step.at_ms);
        steps.chain(self.abuser.iter_mut().flatten().map(|step| &mut step.at_ms))
    }
}

/// What the second operator also tries when the operator does it.
fn clashes(operator: &[Step], permille: u64, draw: &mut Draw) -> Vec<Step> {
    const APART_MS: u64 = 30;
    let mut clashes = Vec::new();
    for step in operator {
        let contends = matches!(
            step.action,
            Action::Cancel { .. }
                | Action::CancelAll
                | Action::Modify { .. }
                | Action::Protect { .. }
                | Action::Close { .. }
                | Action::CloseSymbol { .. }
                | Action::Stop { .. }
                | Action::Resume { .. }
        );
        if contends && draw.chance(permille) {
            clashes.push(Step { at_ms: step.at_ms + draw.within(0..=APART_MS), ..step.clone() });
        }
    }
    clashes
}

fn naps(mix: &NapMix, duration_ms: u64, draw: &mut Draw) -> Vec<Step> {
    let mut naps: Vec<Step> = (0..mix.naps.draw(draw))
        .map(|_| {
            let for_ms = mix.for_ms.draw(draw);
            let every_ms = draw.chance(mix.drowsy_permille).then(|| mix.every_ms.draw(draw).max(1));
            let at_ms = draw.within(500..=duration_ms.max(500));
            Step { at_ms, action: Action::Nap { for_ms, every_ms }, account: crate::plan::PAPER.to_owned() }
        })
        .collect();
    naps.sort_by_key(|step| step.at_ms);
    naps
}
