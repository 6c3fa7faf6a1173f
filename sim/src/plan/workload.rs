//! What clients do: steps, their times, their accounts.

use super::{Action, Manner, Pending, Place, Step, VenuePlan, paper};
use crate::{
    draw::Draw,
    scenario::{Bursts, Mix, Workload},
};

/// Spreads steps over the accounts. Who was stopped is resumed.
pub(super) fn spread(steps: &mut [Step], venues: &[VenuePlan], paper_permille: u64, draw: &mut Draw) {
    let accounts: Vec<&String> = venues.iter().flat_map(|venue| &venue.accounts).map(|a| &a.id).collect();
    let mut stopped = None;
    for step in steps {
        if !draw.chance(paper_permille)
            && let Some(account) = draw.pick(&accounts)
        {
            step.account = (*account).clone();
        }
        match &step.action {
            Action::Stop { .. } => stopped = Some(step.account.clone()),
            Action::Resume { .. } => step.account = stopped.clone().unwrap_or_else(paper),
            _ => {}
        }
    }
}

pub(super) fn steps(workload: &Workload, symbols: &[String], duration_ms: u64, draw: &mut Draw) -> Vec<Step> {
    let count = workload.steps.draw(draw);
    let mut steps = Vec::new();
    for _ in 0..count {
        let at_ms = draw.within(500..=duration_ms.max(500));
        let Some(action) = action(&workload.mix, symbols, draw) else { break };
        if let Action::Stop { global, .. } = action
            && !draw.chance(100)
        {
            let resume = Action::Resume { global, by_stop: draw.chance(500) };
            steps.push(Step { at_ms: at_ms + draw.within(200..=8_000), action: resume, account: paper() });
        }
        steps.push(Step { at_ms, action, account: paper() });
    }
    if let Some(bursts) = &workload.bursts {
        steps.extend(burst_steps(bursts, symbols, duration_ms, draw));
    }
    steps.sort_by_key(|step| step.at_ms);
    steps
}

/// Many steps at once, several times.
fn burst_steps(bursts: &Bursts, symbols: &[String], duration_ms: u64, draw: &mut Draw) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..bursts.count.draw(draw) {
        let at_ms = draw.within(2_000..=duration_ms.max(2_000));
        let mix = draw.pick(&bursts.mixes).expect("a scenario names a mix").clone();
        for _ in 0..bursts.steps.draw(draw) {
            let Some(action) = action(&mix, symbols, draw) else { break };
            if let Action::Stop { global, .. } = action {
                let resume = Action::Resume { global, by_stop: draw.chance(500) };
                let later_ms = at_ms + draw.within(200..=2_000);
                steps.push(Step { at_ms: later_ms, action: resume, account: paper() });
            }
            steps.push(Step { at_ms, action, account: paper() });
        }
    }
    steps
}

/// Whoever hears no ticks looks at the market before placing an order.
pub(super) fn look_first(steps: &mut Vec<Step>) {
    const BEFORE_MS: u64 = 300;
    let looks: Vec<Step> = steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Place(Place { symbol, .. }) | Action::Preview(Place { symbol, .. }) => {
                let at_ms = step.at_ms.saturating_sub(BEFORE_MS);
                Some(Step { at_ms, action: Action::Candles { symbol: symbol.clone() }, account: paper() })
            }
            _ => None,
        })
        .collect();
    steps.extend(looks);
    steps.sort_by_key(|step| step.at_ms);
}

fn action(mix: &Mix, symbols: &[String], draw: &mut Draw) -> Option<Action> {
    let weights = [
        mix.market,
        mix.limit,
        mix.preview,
        mix.cancel,
        mix.cancel_all,
        mix.close,
        mix.close_symbol,
        mix.stop,
        mix.account,
        mix.order,
        mix.risk_status,
        mix.status,
        mix.candles,
        mix.ping,
        mix.modify,
        mix.protect,
        mix.pending,
    ];
    let symbol = |draw: &mut Draw| draw.pick(symbols).expect("a topology has symbols").clone();
    Some(match draw.weighted(&weights)? {
        0 => Action::Place(place(symbol(draw), false, draw)),
        1 if mix.pending > 0 => Action::Place(dressed(place(symbol(draw), true, draw), draw)),
        1 => Action::Place(place(symbol(draw), true, draw)),
        2 => {
            let limit = draw.chance(300);
            Action::Preview(place(symbol(draw), limit, draw))
        }
        3 => Action::Cancel { pick: draw.number() },
        4 => Action::CancelAll,
        5 => Action::Close { pick: draw.number(), half: draw.chance(300) },
        6 => Action::CloseSymbol { symbol: symbol(draw) },
        7 => Action::Stop { global: draw.chance(500), actions: stop_actions(draw) },
        8 => Action::Account,
        9 => Action::Order { pick: draw.number() },
        10 => Action::RiskStatus,
        11 => Action::Status,
        12 => Action::Candles { symbol: symbol(draw) },
        13 => Action::Ping,
        14 => Action::Modify {
            pick: draw.number(),
            limit: draw.within(0..=60) as i64 - 10,
            volume: draw.chance(400).then(|| draw.within(1..=30)),
        },
        16 => Action::Place(pending(place(symbol(draw), false, draw), draw)),
        _ => Action::Protect {
            pick: draw.number(),
            stop_loss: draw.chance(700).then(|| draw.within(5..=60) as i64),
            take_profit: draw.chance(600).then(|| draw.within(2..=40) as i64),
        },
    })
}

fn place(symbol: String, limit: bool, draw: &mut Draw) -> Place {
    Place {
        symbol,
        buy: draw.chance(500),
        limit: limit.then(|| draw.within(0..=60) as i64 - 10),
        volume: if draw.chance(30) { draw.within(0..=20_000) } else { draw.within(1..=30) },
        stop_loss: draw.chance(500).then(|| draw.within(5..=60) as i64),
        take_profit: draw.chance(400).then(|| draw.within(2..=40) as i64),
        pending: None,
        lives_ms: None,
        manner: None,
    }
}

/// A limit order that does not live for ever, or fills in one way only.
fn dressed(mut place: Place, draw: &mut Draw) -> Place {
    place.lives_ms = draw.chance(250).then(|| if draw.chance(200) { 0 } else { draw.within(200..=15_000) });
    let manners = [Manner::PostOnly, Manner::Fok, Manner::Ioc];
    place.manner = draw.chance(350).then(|| manners[draw.within(0..=2) as usize]);
    place
}

/// A stop, a stop-limit or a trailing stop.
fn pending(mut place: Place, draw: &mut Draw) -> Place {
    let mut tenths = |least: u64, most: u64| draw.within(least..=most) as i64;
    let (beyond, limit, by, percent) = (tenths(0, 40), tenths(0, 20) - 5, tenths(1, 40), tenths(5, 120));
    place.pending = Some(match draw.within(0..=5) {
        0 | 1 => Pending::Stop { beyond, limit: None },
        2 | 3 => Pending::Stop { beyond, limit: Some(limit) },
        4 => Pending::Trail { by },
        _ => Pending::TrailPercent { by: percent },
    });
    place.lives_ms = draw.chance(200).then(|| draw.within(200..=15_000));
    place
}

fn stop_actions(draw: &mut Draw) -> Vec<String> {
    let names: &[&str] = match draw.within(0..=3) {
        0 => &["pause"],
        1 => &["pause", "cancel_all"],
        2 => &["pause", "close_all"],
        _ => &["pause", "cancel_all", "close_all"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}
