//! What a service needs now: tasks started and stopped, deployments ended or gone back from.

mod breaker;
mod percent;
pub(crate) mod texts;
mod throttle;

pub use self::throttle::ThrottleCurve;
