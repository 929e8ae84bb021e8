//! How services are kept: what the operator says about it.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use ecs::{ServiceRules, ThrottleCurve};

use crate::settings::Resolver;

/// After which time without its agent an instance of `up` is lost: its machine is this one, so
/// its agent is back within seconds or never.
pub const LOST_AFTER_HERE: Duration = Duration::from_secs(60);

/// Flags of `up` and `server`.
#[derive(Args, Clone, Debug, Default)]
pub struct ServiceFlags {
    /// How long a task without health checks runs until it counts as healthy [default: 40]
    #[arg(long, value_name = "SECONDS")]
    pub settle_seconds: Option<f64>,
    /// The pause after a service's tasks ended before they ran [default: 1]
    #[arg(long, value_name = "SECONDS")]
    pub throttle_first_seconds: Option<f64>,
    /// What each further round of such tasks multiplies the pause by [default: 2]
    #[arg(long, value_name = "FACTOR")]
    pub throttle_factor: Option<f64>,
    /// The longest such pause [default: 1620]
    #[arg(long, value_name = "SECONDS")]
    pub throttle_longest_seconds: Option<f64>,
    /// How long an agent is away until its instance's tasks are replaced; 0 means for ever
    /// [default: 0, and 60 for `up`]
    #[arg(long, value_name = "SECONDS")]
    pub lost_after_seconds: Option<f64>,
}

impl ServiceFlags {
    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// If a value cannot be read, or is no time.
    pub fn read(&self, resolver: &mut Resolver) -> Result<ServiceRules> {
        let (usual, curve) = (ServiceRules::default(), ThrottleCurve::default());
        let settle = seconds(resolver, "settle_seconds", self.settle_seconds, usual.settle)?;
        let first = self.throttle_first_seconds;
        let first = seconds(resolver, "throttle_first_seconds", first, curve.first)?;
        let factor = resolver.value("throttle_factor", self.throttle_factor, || curve.factor)?;
        if !(1.0..=1000.0).contains(&factor) {
            bail!("throttle_factor must be from 1 to 1000");
        }
        let longest = self.throttle_longest_seconds;
        let longest = seconds(resolver, "throttle_longest_seconds", longest, curve.longest)?;
        let lost = self.lost_after_seconds;
        let lost = seconds(resolver, "lost_after_seconds", lost, Duration::ZERO)?;
        Ok(ServiceRules {
            settle,
            throttle: ThrottleCurve { first, factor, longest },
            lost_after: Some(lost).filter(|lost| !lost.is_zero()),
        })
    }
}

/// The longest time that can be said, in seconds: a year.
const LONGEST_S: f64 = 365.0 * 24.0 * 60.0 * 60.0;

fn seconds(
    resolver: &mut Resolver,
    name: &'static str,
    flag: Option<f64>,
    usual: Duration,
) -> Result<Duration> {
    let value = resolver.value(name, flag, || usual.as_secs_f64())?;
    if !(0.0..=LONGEST_S).contains(&value) {
        bail!("{name} must be a number of seconds from 0 to {LONGEST_S}");
    }
    Ok(Duration::from_secs_f64(value))
}
