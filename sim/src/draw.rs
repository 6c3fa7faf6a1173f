//! Random draws: one stream per subsystem, each a pure function of the seed and the stream's name,
//! so that a change in how one subsystem draws does not shift what the others get.

use std::ops::RangeInclusive;

/// A stream of draws.
#[derive(Debug, Clone)]
pub struct Draw {
    stream: blake3::OutputReader,
}

impl Draw {
    /// The stream of this name under this seed.
    pub fn new(seed: u64, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("lockstep-sim 1 random streams");
        hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
        Self { stream: hasher.finalize_xof() }
    }

    /// Fills the buffer.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        self.stream.fill(buffer);
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number of the range, both ends included. The bias of the division (under 2^-32 for ranges
    /// below 2^32) does not matter here.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        assert!(low <= high, "an empty range has no number");
        match (high - low).checked_add(1) {
            Some(count) => low + self.number() % count,
            None => self.number(),
        }
    }

    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.within(0..=999) < permille
    }

    /// One of the items. `None` of an empty list.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let last = items.len().checked_sub(1)? as u64;
        items.get(self.within(0..=last) as usize)
    }

    /// The index of a weight, as often as its share of the sum. `None` if all weights are zero.
    pub fn weighted(&mut self, weights: &[u64]) -> Option<usize> {
        let sum: u64 = weights.iter().sum();
        let mut left = self.within(0..=sum.checked_sub(1)?);
        weights.iter().position(|weight| {
            let hit = left < *weight;
            left = left.saturating_sub(*weight);
            hit
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_functions_of_seed_and_name() {
        let first = |seed, name| Draw::new(seed, name).number();
        assert_eq!(first(1, "disk"), first(1, "disk"));
        assert_ne!(first(1, "disk"), first(1, "plan"));
        assert_ne!(first(1, "disk"), first(2, "disk"));
    }

    #[test]
    fn weights_of_zero_are_never_drawn() {
        let mut draw = Draw::new(7, "test");
        for _ in 0..1_000 {
            assert!(matches!(draw.weighted(&[0, 3, 0, 1]), Some(1 | 3)));
        }
        assert_eq!(draw.weighted(&[0, 0]), None);
        assert_eq!(draw.weighted(&[]), None);
    }

    #[test]
    fn both_ends_of_a_range_are_drawn() {
        let mut draw = Draw::new(7, "test");
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| draw.within(3..=5)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
    }
}
