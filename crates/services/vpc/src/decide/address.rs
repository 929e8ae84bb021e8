//! Which address a new interface gets.
//!
//! Chosen by chance: control planes that run side by side have the same default VPC, and the
//! addresses of their tasks should seldom be the same; nor should an address come back at once
//! when its task has stopped.

use std::net::Ipv4Addr;

use crate::model::Cidr;

/// How many addresses are tried by chance before all are looked through. In a subnet that is half
/// full, one in 65,000 choices needs that.
const TRIES: usize = 16;

/// Addresses of the block to try one by one, in an order that `seed` decides.
pub(crate) fn candidates(cidr: Cidr, seed: [u8; 16]) -> impl Iterator<Item = Ipv4Addr> {
    let usable = cidr.usable();
    let count = u64::from(usable.end - usable.start);
    let mut state = u128::from_le_bytes(seed);
    let draw = move || {
        // Lehmer's generator over 128 bits: cheap, and good enough to spread addresses.
        state = state.wrapping_mul(0xda94_2042_e4dd_58b5).wrapping_add(1);
        let offset = u64::try_from(state >> 64).unwrap_or_default() % count;
        Ipv4Addr::from(usable.start + u32::try_from(offset).unwrap_or_default())
    };
    std::iter::repeat_with(draw).take(TRIES)
}

/// The first free address of the block behind `taken`'s gaps, given all that are taken, in order;
/// none if the block is full.
pub(crate) fn first_free(cidr: Cidr, taken: impl Iterator<Item = u32>) -> Option<Ipv4Addr> {
    let usable = cidr.usable();
    let mut next = usable.start;
    for address in taken.filter(|address| usable.contains(address)) {
        if address > next {
            break;
        }
        next = address + 1;
    }
    usable.contains(&next).then(|| Ipv4Addr::from(next))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const BLOCK: Cidr = Cidr { base: Ipv4Addr::new(172, 31, 16, 0), prefix: 28 };

    #[test]
    fn the_first_gap_is_found() {
        let first = u32::from(BLOCK.base);
        let check = |taken: &[u32], expected: Option<u32>| {
            let taken = taken.iter().map(|offset| first + offset);
            let expected = expected.map(|offset| Ipv4Addr::from(first + offset));
            assert_eq!(first_free(BLOCK, taken), expected);
        };
        check(&[], Some(4));
        check(&[4, 5, 7], Some(6));
        check(&[5], Some(4));
        check(&[4, 5, 6, 7, 8, 9, 10, 11, 12, 13], Some(14));
        check(&[4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], None);
        check(&[0, 1, 2, 3, 15], Some(4));
    }

    proptest! {
        #[test]
        fn candidates_can_be_had(seed: [u8; 16], prefix in 16_u8..=28) {
            let cidr = Cidr { prefix, ..BLOCK };
            let cidr = Cidr { base: Ipv4Addr::new(172, 31, 0, 0), ..cidr };
            for address in candidates(cidr, seed) {
                prop_assert!(cidr.usable().contains(&u32::from(address)));
            }
        }
    }

    #[test]
    fn candidates_are_spread() {
        let cidr = Cidr { base: Ipv4Addr::new(172, 31, 0, 0), prefix: 20 };
        let firsts: BTreeSet<_> = (0..1000_u128)
            .filter_map(|seed| {
                candidates(
                    cidr,
                    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes(),
                )
                .next()
            })
            .collect();
        // By pure chance, 1,000 of 4,091 leave 887 different ones.
        assert!(firsts.len() > 800, "{}", firsts.len());
    }
}
