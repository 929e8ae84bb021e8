//! Blocks of addresses.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A block of IPv4 or IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cidr {
    base: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Reads a block, as in `10.0.0.0/8` or `2001:db8::/32`.
    pub fn parse(text: &str) -> Option<Self> {
        let (base, prefix) = text.split_once('/')?;
        let base: IpAddr = base.parse().ok()?;
        let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| is_number)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        (prefix <= most).then_some(Self { base, prefix })
    }

    /// Whether the address is one of the block's.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                let differ = u32::from(base) ^ u32::from(address);
                differ.checked_shr(shift).unwrap_or_default() == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                let differ = u128::from(base) ^ u128::from(address);
                differ.checked_shr(shift).unwrap_or_default() == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_contain_their_addresses_alone() {
        let has = |block: &str, address: &str| {
            let block = Cidr::parse(block).expect("a block");
            block.contains(address.parse().expect("an address"))
        };
        assert!(has("10.0.0.0/8", "10.255.0.1"));
        assert!(!has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("0.0.0.0/0", "203.0.113.9"));
        assert!(has("192.0.2.7/32", "192.0.2.7"));
        assert!(!has("192.0.2.7/32", "192.0.2.6"));
        assert!(has("2001:db8::/32", "2001:db8:1::1"));
        assert!(!has("::/0", "192.0.2.7"));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "a/8", "10.0.0.0/+8", "::/129"] {
            assert_eq!(Cidr::parse(wrong), None, "{wrong}");
        }
    }
}
