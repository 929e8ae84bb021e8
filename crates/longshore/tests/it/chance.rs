//! Chance that can be had again: with the seed that a failed test prints.

/// A generator of numbers.
#[derive(Debug)]
pub struct Chance {
    /// Printed with each failure.
    #[allow(dead_code, reason = "read by Debug")]
    seed: u64,
    state: u64,
}

impl Chance {
    /// From `LONGSHORE_TEST_SEED`, or the same numbers each time.
    pub fn new() -> Self {
        Self::of(seed())
    }

    /// From a seed.
    pub fn of(seed: u64) -> Self {
        Self { seed, state: seed | 1 }
    }

    /// Marsaglia's xorshift.
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A number below the limit.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from((self.next() >> 16) % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// The seed of this run.
pub fn seed() -> u64 {
    let seed = std::env::var("LONGSHORE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    seed.unwrap_or(20_261_121)
}
