//! How an agent keeps its machine in order, as a person may choose it.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::endpoints::RequestRate;

const GIB: u64 = 1 << 30;

/// How an agent keeps its machine in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct House {
    /// Clean-up of images; none keeps all of them, but for a disk that is low.
    pub images: Option<ImageCleanup>,
    /// With less free than this, what nobody needs goes at once: images, stopped tasks.
    pub disk_low: Floor,
    /// With less free than this, the instance takes no new tasks.
    pub disk_full: Floor,
    /// Requests that one task may send to its local endpoints.
    pub request_rate: RequestRate,
    /// Where the introspection API is served; none: nowhere.
    pub introspection: Option<SocketAddr>,
}

impl Default for House {
    /// Amazon's figures where its agent has some; no introspection, which takes a port.
    fn default() -> Self {
        Self {
            images: Some(ImageCleanup::default()),
            disk_low: Floor::Either { percent: 5, bytes: 2 * GIB },
            disk_full: Floor::Either { percent: 1, bytes: GIB / 2 },
            request_rate: RequestRate::default(),
            introspection: None,
        }
    }
}

/// When images go that no container needs. The defaults are those of Amazon's agent
/// (ecs-semantics §23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageCleanup {
    /// Time between two looks.
    pub interval: Duration,
    /// An image stays for at least this long after it was pulled, and after it was last used.
    pub age: Duration,
    /// So many go at the most each time.
    pub count: usize,
}

impl Default for ImageCleanup {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30 * 60), age: Duration::from_secs(3600), count: 5 }
    }
}

/// The least that is to be free on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// So many bytes.
    Bytes(u64),
    /// Such a part of the disk, up to 100.
    Percent(u8),
    /// The smaller of both: a part of a small disk, so many bytes of a large one.
    Either {
        /// The part.
        percent: u8,
        /// The bytes.
        bytes: u64,
    },
}

impl Floor {
    /// The bytes that are to be free on a disk of `total` bytes.
    pub fn bytes(self, total: u64) -> u64 {
        let part = |percent: u8| {
            let bytes = u128::from(total) * u128::from(percent) / 100;
            u64::try_from(bytes).unwrap_or(u64::MAX)
        };
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => part(percent),
            Self::Either { percent, bytes } => part(percent).min(bytes),
        }
    }
}

/// `5%`, or bytes: `512MiB`, `2GiB`, `1000000`.
impl FromStr for Floor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is neither a part such as 5% nor a size such as 2GiB");
        if let Some(digits) = text.strip_suffix('%') {
            let percent: u8 = digits.trim().parse().map_err(|_| wrong())?;
            return (percent <= 100).then_some(Self::Percent(percent)).ok_or_else(wrong);
        }
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit: u64 = match text[digits.len()..].trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => GIB,
            "TiB" => 1 << 40,
            _ => return Err(wrong()),
        };
        let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        bytes.map(Self::Bytes).ok_or_else(wrong)
    }
}

impl Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&size(*bytes)),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Either { percent, bytes } => write!(f, "{percent}%, at most {}", size(*bytes)),
        }
    }
}

/// Bytes for people: `512 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", GIB), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn floors_are_read() {
        let check = |text: &str, expected| assert_eq!(text.parse::<Floor>().ok(), expected);
        check("5%", Some(Floor::Percent(5)));
        check("100%", Some(Floor::Percent(100)));
        check("101%", None);
        check("2GiB", Some(Floor::Bytes(2 << 30)));
        check("512 MiB", Some(Floor::Bytes(512 << 20)));
        check("1000", Some(Floor::Bytes(1000)));
        check("2GB", None);
        check("", None);
        check("-1", None);
    }

    #[test]
    fn the_smaller_of_both_counts() {
        let floor = Floor::Either { percent: 10, bytes: 1000 };
        assert_eq!((floor.bytes(2000), floor.bytes(1_000_000)), (200, 1000));
        assert_eq!(Floor::Percent(100).bytes(u64::MAX), u64::MAX);
        assert_eq!(Floor::Either { percent: 2, bytes: GIB }.to_string(), "2%, at most 1 GiB");
        assert_eq!(size(1_610_612_736), "1.5 GiB");
    }
}
