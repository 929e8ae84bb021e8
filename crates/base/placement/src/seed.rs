//! Chance from a seed.

/// `SplitMix64` (Steele, Lea, Flood 2014): the next number from a state.
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which must not be 0; every one about equally likely.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from((u128::from(self.next()) * bound as u128) >> 64).unwrap_or(0)
    }

    /// How long one waits for the first of `rate` equal clocks to ring, in units of the time that
    /// one of them takes on average. Of several such times the least is that of the first with a
    /// likelihood in proportion to its rate, and what is left of the others is again such a time.
    pub(crate) fn wait(&mut self, rate: usize) -> f64 {
        // 53 bits, moved off zero: the logarithm is finite.
        let uniform = ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -uniform.ln() / rate.max(1) as f64
    }
}

/// Spreads a number over 64 bits.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
