//! How container instances keep their machine in order: what the operator says about it. What
//! Amazon's agent has a variable for is read from that too (`ECS_IMAGE_PULL_BEHAVIOR`, …), so that
//! an `ecs.config` goes on to work.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use agent::{Floor, House, ImageCleanup, RequestRate};
use anyhow::{Result, bail};
use clap::Args;
use runtime::images::PullBehavior;

use crate::settings::Resolver;

/// Settings that Amazon's agent has too, and its variables for them.
const AMAZONS: [(&str, &str); 6] = [
    ("image_pull_behavior", "ECS_IMAGE_PULL_BEHAVIOR"),
    ("image_cleanup_interval", "ECS_IMAGE_CLEANUP_INTERVAL"),
    ("image_cleanup_age", "ECS_IMAGE_MINIMUM_CLEANUP_AGE"),
    ("image_cleanup_count", "ECS_NUM_IMAGES_DELETE_PER_CYCLE"),
    ("task_cleanup_wait", "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION"),
    ("metadata_rate", "ECS_TASK_METADATA_RPS_LIMIT"),
];

/// The variable by which Amazon's agent is told a setting.
pub fn amazons_variable(setting: &str) -> Option<&'static str> {
    AMAZONS.iter().find(|(name, _)| *name == setting).map(|(_, variable)| *variable)
}

/// Flags of the roles that run container instances.
#[derive(Args, Clone, Debug, Default)]
pub struct HouseFlags {
    /// When registries are asked for images: default (always, else what is here), always (or fail),
    /// once, prefer-cached (only for what is not here) [default: prefer-cached]
    #[arg(long, value_name = "BEHAVIOR")]
    pub image_pull_behavior: Option<Behavior>,
    /// Time between two clean-ups of images, as in `30m` or `1h30m` [default: 30m]
    #[arg(long, value_name = "TIME")]
    pub image_cleanup_interval: Option<Span>,
    /// How long an image is kept at least after it was pulled and last used [default: 1h]
    #[arg(long, value_name = "TIME")]
    pub image_cleanup_age: Option<Span>,
    /// The most images that one clean-up removes; 0: none is, unless the disk is low [default: 5]
    #[arg(long, value_name = "N")]
    pub image_cleanup_count: Option<usize>,
    /// How long stopped tasks' containers and output are kept on the machine [default: 3h]
    #[arg(long, value_name = "TIME")]
    pub task_cleanup_wait: Option<Span>,
    /// With less free on the disk, unneeded images and stopped tasks go at once: a size such as
    /// `5GiB`, or a part such as `10%` [default: 5%, at most 2 GiB]
    #[arg(long, value_name = "SIZE|PART")]
    pub disk_low: Option<Floor>,
    /// With less free on the disk, the instance takes no new tasks [default: 1%, at most 512 MiB]
    #[arg(long, value_name = "SIZE|PART")]
    pub disk_full: Option<Floor>,
    /// Requests that a task may send to its metadata endpoint: a second, and at once
    /// [default: 40,60]
    #[arg(long, value_name = "RATE,BURST")]
    pub metadata_rate: Option<Rate>,
    /// Address and port of the introspection API, or `none` [default: 127.0.0.1:51678, unless
    /// another instance has it]
    #[arg(long, value_name = "ADDRESS:PORT|none")]
    pub introspection_listen: Option<Listen>,
}

/// What they come to.
#[derive(Clone, Debug, Default)]
pub struct HouseSettings {
    /// When registries are asked.
    pub pull_behavior: PullBehavior,
    /// How long stopped tasks are kept; none: as the agent does.
    pub task_cleanup_wait: Option<Duration>,
    /// The rest.
    pub house: House,
}

impl HouseSettings {
    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// If a value cannot be read.
    pub fn read(resolver: &mut Resolver, flags: &HouseFlags) -> Result<Self> {
        let (house, images) = (House::default(), ImageCleanup::default());
        let behavior =
            resolver.value("image_pull_behavior", flags.image_pull_behavior, Behavior::default)?;
        let interval =
            resolver.value("image_cleanup_interval", flags.image_cleanup_interval, || {
                Span(images.interval)
            })?;
        let age =
            resolver.value("image_cleanup_age", flags.image_cleanup_age, || Span(images.age))?;
        let off = std::env::var("ECS_DISABLE_IMAGE_CLEANUP").is_ok_and(|text| text == "true");
        let count = resolver.value("image_cleanup_count", flags.image_cleanup_count, || {
            if off { 0 } else { images.count }
        })?;
        let wait = resolver.value("task_cleanup_wait", flags.task_cleanup_wait, || {
            Span(agent::engine::Settings::default().cleanup_wait)
        })?;
        let low = resolver.value("disk_low", flags.disk_low, || house.disk_low)?;
        let full = resolver.value("disk_full", flags.disk_full, || house.disk_full)?;
        let rate = resolver.value("metadata_rate", flags.metadata_rate, Rate::default)?;
        let listen =
            resolver.value("introspection_listen", flags.introspection_listen, Listen::default)?;
        if interval.0.is_zero() {
            bail!("image_cleanup_interval must be longer than nothing");
        }
        let cleanup = ImageCleanup { interval: interval.0, age: age.0, count };
        Ok(Self {
            pull_behavior: behavior.0,
            task_cleanup_wait: Some(wait.0),
            house: House {
                images: (count > 0).then_some(cleanup),
                disk_low: low,
                disk_full: full,
                request_rate: rate.0,
                introspection: listen.0,
            },
        })
    }

    /// The same for a process that reads its other settings by itself.
    ///
    /// # Errors
    /// As [`HouseSettings::read`], and if the file cannot be read.
    pub fn resolve(flags: &HouseFlags) -> Result<Self> {
        Self::read(&mut Resolver::open(None)?, flags)
    }
}

/// [`PullBehavior`] in the words of `ECS_IMAGE_PULL_BEHAVIOR`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behavior(PullBehavior);

const BEHAVIORS: [(&str, PullBehavior); 4] = [
    ("default", PullBehavior::Default),
    ("always", PullBehavior::Always),
    ("once", PullBehavior::Once),
    ("prefer-cached", PullBehavior::PreferCached),
];

impl FromStr for Behavior {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = BEHAVIORS.iter().find(|(name, _)| *name == text);
        known
            .map(|(_, behavior)| Self(*behavior))
            .ok_or_else(|| format!("'{text}' is none of default, always, once and prefer-cached"))
    }
}

impl Display for Behavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = BEHAVIORS.iter().find(|(_, behavior)| *behavior == self.0);
        f.write_str(known.map_or("", |(name, _)| name))
    }
}

/// A time as Amazon's agent is told it: `90s`, `30m`, `1h30m`; days too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(Duration);

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// Ten years, so that no sum overflows.
const SPAN_MAX_MS: u64 = 3_650 * 86_400_000;

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no time such as 90s, 30m or 1h30m");
        let (mut rest, mut sum) = (text, 0_u64);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let unit = UNITS.iter().find(|(name, _)| *name == &rest[..letters]);
            let (_, millis) = unit.ok_or_else(wrong)?;
            sum = number
                .checked_mul(*millis)
                .and_then(|part| sum.checked_add(part))
                .ok_or_else(wrong)?;
            rest = &rest[letters..];
        }
        if text.is_empty() || sum > SPAN_MAX_MS {
            return Err(wrong());
        }
        Ok(Self(Duration::from_millis(sum)))
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let whole =
            UNITS.iter().rev().find(|(_, unit)| millis.is_multiple_of(*unit) && millis >= *unit);
        match whole {
            Some((name, unit)) => write!(f, "{}{name}", millis / unit),
            None => write!(f, "{millis}ms"),
        }
    }
}

/// [`RequestRate`] as `40,60`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(RequestRate);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
        let pair = text.split_once(',');
        let pair = pair.and_then(|(rate, burst)| Some((number(rate)?, number(burst)?)));
        let (per_second, burst) =
            pair.ok_or_else(|| format!("'{text}' is no rate and burst such as 40,60"))?;
        Ok(Self(RequestRate { per_second, burst }))
    }
}

impl Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.0.per_second, self.0.burst)
    }
}

/// An address, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(Option<SocketAddr>);

impl Default for Listen {
    /// Where Amazon's agent has it, but on loopback alone.
    fn default() -> Self {
        Self(Some(SocketAddr::from(([127, 0, 0, 1], 51678))))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let address: SocketAddr = text
            .parse()
            .map_err(|_| format!("'{text}' is neither an address with a port nor none"))?;
        if !address.ip().is_loopback() {
            // It tells what runs here, and asks nobody who they are.
            return Err(format!("'{text}' is no loopback address, and the API is open to all"));
        }
        Ok(Self(Some(address)))
    }
}

impl Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_amazons_agent_reads_them() {
        let check = |text: &str, seconds: Option<f64>| {
            let read = text.parse::<Span>().ok().map(|span| span.0.as_secs_f64());
            assert_eq!(read, seconds, "{text}");
        };
        check("30m", Some(1800.0));
        check("1h30m", Some(5400.0));
        check("90s", Some(90.0));
        check("250ms", Some(0.25));
        check("2d", Some(172_800.0));
        check("", None);
        check("30", None);
        check("m", None);
        check("1h 30m", None);
        check("99999999999999999d", None);
        for text in ["30m", "90s", "3h", "250ms", "2d"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn words_come_back() {
        for (name, _) in BEHAVIORS {
            assert_eq!(name.parse::<Behavior>().unwrap().to_string(), name);
        }
        assert!("sometimes".parse::<Behavior>().unwrap_err().contains("prefer-cached"));
        assert_eq!("40,60".parse::<Rate>().unwrap(), Rate::default());
        assert!("40".parse::<Rate>().is_err() && "0,1".parse::<Rate>().is_err());
        assert_eq!("none".parse::<Listen>().unwrap().to_string(), "none");
        assert!("0.0.0.0:51678".parse::<Listen>().unwrap_err().contains("loopback"));
        assert_eq!("127.0.0.1:51678".parse::<Listen>().unwrap(), Listen::default());
    }
}
