//! The page. What matters most stands in it as plain HTML, for print and for those without scripts.

use super::{saying, story};
use crate::{
    outcome::Outcome,
    plan::Plan,
    run::Report,
    trace::{Kind, Record},
};
use std::fmt::Write;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 3] = [include_str!("layout.js"), include_str!("drawing.js"), include_str!("page.js")];

/// The whole page. `again` is the command that runs the world once more.
pub fn page(plan: &Plan, world: &Report, again: &str, commit: &str) -> String {
    let Plan { scenario, seed, .. } = plan;
    fill(
        TEMPLATE,
        &[
            // scripts and styles of the page itself may run, and nothing else
            ("nonce", &world.trace_hash()),
            ("style", STYLE),
            ("title", &escape(&format!("{scenario} seed {seed}: {}", world.outcome))),
            ("scenario", &escape(scenario)),
            ("seed", &seed.to_string()),
            ("outcome", &world.outcome.to_string()),
            ("well", if world.outcome == Outcome::Ok { "well" } else { "ill" }),
            ("start", &escape(&plan.start)),
            ("lasted", &seconds(u64::try_from(world.simulated.as_nanos()).expect("worlds are short"))),
            ("records", &world.trace.len().to_string()),
            ("hash", &world.trace_hash()),
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", &escape(commit)),
            ("again", &escape(again)),
            ("violations", &violations(world)),
            ("faults", &faults(world)),
            ("marks", &marks(world)),
            ("story", &story::json(plan, world)),
            ("script", &SCRIPTS.concat()),
        ],
    )
}

/// Puts values in the place of `{{names}}`. What a value holds is not looked at again.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("the template closes what it opens");
        let value = values.iter().find(|(known, _)| *known == name);
        page += before;
        page += value.expect("the template names what there is").1;
        rest = after;
    }
    page + rest
}

/// Text for HTML, also within an attribute.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}

/// Simulated time.
fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

fn violations(world: &Report) -> String {
    let mut html = String::new();
    let mut line = |content: String| writeln!(html, "{content}").expect("a string takes everything");
    for note in &world.notes {
        line(format!(r#"<li class="note">{}</li>"#, escape(note)));
    }
    for violation in &world.violations {
        let place = match world.trace.get(violation.seq) {
            Some(Record { seq, at_ns, node, .. }) => {
                format!(r##"<a href="#r{seq}">#{seq} {} at {}</a>"##, node.name(), seconds(at_ns))
            }
            None => "no record".to_owned(),
        };
        line(format!(
            "<li><b>{} {}</b> {place}<p>{}</p></li>",
            violation.oracle,
            violation.rule,
            escape(&violation.message)
        ));
    }
    if html.is_empty() { "<li class=\"none\">No oracle was contradicted.</li>".to_owned() } else { html }
}

fn faults(world: &Report) -> String {
    let faults = world.trace.records().filter(|record| record.kind == Kind::Fault);
    let rows = faults.map(|Record { seq, at_ns, node, body, .. }| {
        let body = serde_json::from_str(body).unwrap_or_default();
        let said = escape(&saying::phrase(&body));
        format!(
            r##"<tr><td><a href="#r{seq}">{}</a></td><td>{}</td><td>{said}</td></tr>"##,
            seconds(at_ns),
            node.name()
        )
    });
    let rows: String = rows.collect();
    if rows.is_empty() { "<tr><td colspan=\"3\">None took effect.</td></tr>".to_owned() } else { rows }
}

fn marks(world: &Report) -> String {
    let row = |(mark, count): (&String, &u64)| {
        format!("<tr><td class=\"number\">{count}</td><td>{}</td></tr>", escape(mark))
    };
    world.counts.marks.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        assert_eq!(fill("a{{x}}b{{y}}", &[("x", "{{y}}"), ("y", "1")]), "a{{y}}b1");
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape(r#"<a b="c" d='e'>&"#), "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
    }
}
