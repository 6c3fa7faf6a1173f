//! Where a process that serves gets its quotes: the arguments of `serve` and `venue`.

use crate::{
    node::{
        clock::Speed,
        config::{FEED_FORMS, FeedSpec},
    },
    serve::ServeOptions,
};

#[derive(Debug, clap::Args)]
pub(super) struct FeedArguments {
    #[arg(long, value_name = "FEED", value_parser = FeedSpec::parse, help = FEED_FORMS)]
    feed: Option<FeedSpec>,
    /// Speed of a replay: a factor such as 60, or max
    #[arg(long, value_name = "N|max", value_parser = parse_speed)]
    speed: Option<Speed>,
    /// Seed of the synthetic market
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl FeedArguments {
    /// What is given here goes before the configuration file.
    pub fn over(&self, file: ServeOptions) -> ServeOptions {
        ServeOptions {
            feed: self.feed.clone().unwrap_or(file.feed),
            speed: self.speed.unwrap_or(file.speed),
            seed: self.seed,
            ..file
        }
    }
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    Speed::parse(text).ok_or_else(|| "write a positive number such as 60 or 0.5, or max".to_owned())
}
