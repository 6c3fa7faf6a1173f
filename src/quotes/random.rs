//! Random numbers as a function of where they are used, so that a stream can be entered anywhere.

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection whose output looks random.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A SplitMix64 generator.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The generator of one place: equal parts, equal numbers.
    pub fn at(seed: u64, stream: u64, index: u64) -> Self {
        Self(mix(seed ^ mix(stream ^ mix(index))))
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in `0..bound`; the bias of a bound below 2^32 is under 2^-32.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// About normal, with mean 0 and standard deviation 1000: sums of 256 fair bits have a deviation
    /// of 8.
    pub const fn normal_milli(&mut self) -> i64 {
        let mut ones = 0;
        let mut word = 0;
        while word < 4 {
            ones += self.next().count_ones() as i64;
            word += 1;
        }
        // 125 = 1000 / 8; within one bit's weight uniform, so that all thousandths occur
        (ones - 128) * 125 + self.below(125) as i64 - 62
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_milli_has_mean_0_and_deviation_1000() {
        let mut random = Random::at(7, 0, 0);
        let draws: Vec<i64> = (0..100_000).map(|_| random.normal_milli()).collect();
        let mean = draws.iter().sum::<i64>() / 100_000;
        let variance = draws.iter().map(|d| d * d).sum::<i64>() / 100_000;
        assert!(mean.abs() < 15, "{mean}");
        assert!((970_000..1_030_000).contains(&variance), "{variance}");
    }

    #[test]
    fn neighbouring_places_are_unlike() {
        let first = |seed, stream, index| Random::at(seed, stream, index).next();
        let all = [first(0, 0, 0), first(1, 0, 0), first(0, 1, 0), first(0, 0, 1), first(1, 1, 1)];
        for (index, value) in all.iter().enumerate() {
            assert!(!all[..index].contains(value), "{all:?}");
        }
    }
}
