//! VPCs and subnets (VPC User Guide, "VPC CIDR blocks", "Subnet CIDR blocks").

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Addresses at the start of a subnet that nobody gets: network, router, name server, future use
/// (VPC User Guide, "Subnet CIDR blocks").
const RESERVED_FIRST: u32 = 4;
/// Addresses at the end of a subnet that nobody gets: broadcast.
const RESERVED_LAST: u32 = 1;

/// A block of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cidr {
    /// The first address.
    pub base: Ipv4Addr,
    /// How many bits all its addresses have in common: 16 to 28 of a VPC or subnet.
    pub prefix: u8,
}

impl Cidr {
    /// How many addresses it has.
    pub fn size(self) -> u32 {
        1 << (32 - u32::from(self.prefix))
    }

    /// The subnet's router: the second address.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// Whether the address is one of the block's.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let bits = 32 - u32::from(self.prefix);
        // None of both, if all addresses are the block's.
        u32::from(address).checked_shr(bits) == u32::from(self.base).checked_shr(bits)
    }

    /// Whether all addresses of the other block are among its own.
    pub(crate) fn holds(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.base)
    }

    /// Whether the two have an address in common.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.holds(other) || other.holds(self)
    }

    /// The addresses that interfaces may have, as numbers: all but the first four and the last.
    pub fn usable(self) -> std::ops::Range<u32> {
        let first = u32::from(self.base);
        first + RESERVED_FIRST..first + self.size() - RESERVED_LAST
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// The text is no block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a block of IPv4 addresses, such as 10.0.0.0/16")]
pub struct NoCidr;

impl FromStr for Cidr {
    type Err = NoCidr;

    /// Reads `10.0.1.7/16` as the block that has this address: 10.0.0.0/16, as EC2 does.
    fn from_str(text: &str) -> Result<Self, NoCidr> {
        let (address, prefix) = text.split_once('/').ok_or(NoCidr)?;
        let address: Ipv4Addr = address.parse().map_err(|_| NoCidr)?;
        let is_plain = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| is_plain).ok_or(NoCidr)?;
        let mask = match prefix {
            0 => 0,
            1..=32 => u32::MAX << (32 - u32::from(prefix)),
            _ => return Err(NoCidr),
        };
        Ok(Self { base: Ipv4Addr::from(u32::from(address) & mask), prefix })
    }
}

/// Tags: keys and values, in the order of the keys.
pub(crate) type Tags = Vec<(String, String)>;

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VpcRecord {
    /// As in `vpc-0123456789abcdef0`.
    pub(crate) id: String,
    /// Its addresses.
    pub(crate) cidr: Cidr,
    /// The id of the association of its addresses.
    pub(crate) cidr_association: String,
    /// The id of its DHCP options.
    pub(crate) dhcp_options: String,
    /// Whether it is the one that an account has from the start.
    pub(crate) is_default: bool,
    /// Whether machines get public names: kept and shown.
    pub(crate) has_dns_hostnames: bool,
    /// Whether there is a name server: kept and shown.
    pub(crate) has_dns_support: bool,
    /// Tags.
    pub(crate) tags: Tags,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// As in `subnet-0123456789abcdef0`.
    pub id: String,
    /// The VPC's id.
    pub vpc: String,
    /// The zone's name, as in `us-east-1a`.
    pub zone: String,
    /// The zone's id, as in `use1-az1`.
    pub zone_id: String,
    /// Its addresses.
    pub cidr: Cidr,
    /// Whether it is the default one of its zone.
    pub(crate) is_default: bool,
    /// Whether interfaces are to get public addresses, which there are none of: kept and shown.
    pub(crate) maps_public: bool,
    /// Tags.
    pub(crate) tags: Tags,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap_or_else(|NoCidr| panic!("{text}"))
    }

    #[test]
    fn blocks_are_read_as_their_network() {
        for (text, expected) in [
            ("10.0.0.0/16", "10.0.0.0/16"),
            ("100.68.0.18/18", "100.68.0.0/18"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.0.0.7/32", "10.0.0.7/32"),
        ] {
            assert_eq!(cidr(text).to_string(), expected);
        }
        for text in ["", "10.0.0.0", "10.0.0/16", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "::/0"]
        {
            assert_eq!(text.parse::<Cidr>(), Err(NoCidr), "{text}");
        }
    }

    #[test]
    fn blocks_overlap_where_one_holds_the_other() {
        assert!(cidr("10.0.0.0/16").holds(cidr("10.0.255.0/24")));
        assert!(!cidr("10.0.0.0/24").holds(cidr("10.0.0.0/16")));
        assert!(cidr("10.0.0.0/24").overlaps(cidr("10.0.0.0/16")));
        assert!(!cidr("10.0.0.0/24").overlaps(cidr("10.0.1.0/24")));
    }

    proptest! {
        #[test]
        fn reading_never_fails_badly(text: String, address: u32, prefix in 0_u8..=32) {
            let _ = text.parse::<Cidr>();
            let read = cidr(&format!("{}/{prefix}", Ipv4Addr::from(address)));
            prop_assert!(prefix == 0 || read.contains(Ipv4Addr::from(address)));
            prop_assert_eq!(cidr(&read.to_string()), read);
        }
    }
}
