//! Evenly chosen numbers out of a source of ids.

use terms::IdSource;

/// Draws numbers from a source's bytes.
pub(crate) struct Random<'a> {
    draw: Box<dyn FnMut() -> [u8; 16] + 'a>,
    left: Vec<u8>,
}

impl<'a> Random<'a> {
    /// Of the bytes that `draw` gives, sixteen at a time.
    pub(crate) fn new(draw: impl FnMut() -> [u8; 16] + 'a) -> Self {
        Self { draw: Box::new(draw), left: Vec::new() }
    }

    /// Of a source.
    pub(crate) fn of(ids: &'a dyn IdSource) -> Self {
        Self::new(|| ids.next())
    }

    /// A number below `bound` (1 to 65,536), each as likely as the others.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let whole = 1 << 16;
        assert!((1..=whole).contains(&bound), "a bound from 1 to 65,536");
        // The rest of the range would make small numbers likelier.
        let even = whole - whole % bound;
        loop {
            if self.left.len() < 2 {
                self.left.extend((self.draw)());
            }
            let (high, low) = (self.left.pop(), self.left.pop());
            let number = usize::from(high.unwrap_or(0)) << 8 | usize::from(low.unwrap_or(0));
            if number < even {
                return number % bound;
            }
        }
    }

    /// One of the items.
    pub(crate) fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_their_bound_and_all_come() {
        let mut count = 0_u128;
        let mut random = Random::new(|| {
            count += 1;
            count.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
        });
        for bound in [1, 2, 26, 62, 95] {
            let mut seen = vec![false; bound];
            (0..bound * 100).for_each(|_| seen[random.below(bound)] = true);
            assert!(seen.iter().all(|&came| came), "{bound}: {seen:?}");
        }
    }
}
