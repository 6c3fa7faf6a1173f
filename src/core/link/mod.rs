//! Accounts at venues behind a wire: sessions, reports, reconciliation.
//!
//! What a venue says is put on the grid and judged here, before anything changes: a report that cannot
//! be true takes its account to `error` and leaves everything as it was. What is believed goes the way of
//! every other report. Knows no socket and no frame; times and names come as arguments.

mod books;
mod doubt;
mod events;
mod session;
mod translate;

pub(crate) use session::Session;
