//! Health checks as requests describe them (API reference, `CreateTargetGroup`).

use shapes_elbv2 as shapes;
use shapes_elbv2::ProtocolEnum;

use crate::error::Error;
use crate::model::{HealthCheck, Matcher, Protocol, Version};

/// Longest path.
const PATH_MAX: usize = 1024;

/// The settings of a request, of either operation that has them.
pub(super) struct Wanted<'a> {
    /// What the targets speak.
    pub(super) spoken: (Protocol, Version),
    pub(super) enabled: Option<bool>,
    pub(super) interval: Option<i32>,
    pub(super) path: Option<&'a str>,
    pub(super) port: Option<&'a str>,
    pub(super) protocol: Option<ProtocolEnum>,
    pub(super) timeout: Option<i32>,
    pub(super) healthy: Option<i32>,
    pub(super) unhealthy: Option<i32>,
    pub(super) matcher: Option<&'a shapes::Matcher>,
}

impl Wanted<'_> {
    /// `before` with what the request says.
    pub(super) fn over(&self, before: &HealthCheck) -> Result<HealthCheck, Error> {
        if self.enabled == Some(false) {
            return Err(Error::invalid(
                "Health checks cannot be disabled for target groups with target type 'instance' or \
                 'ip'",
            ));
        }
        let number = |wanted: Option<i32>, before: u32| {
            wanted.and_then(|wanted| u32::try_from(wanted).ok()).unwrap_or(before)
        };
        let check = HealthCheck {
            protocol: self.protocol()?.unwrap_or(before.protocol),
            port: match self.port {
                Some(port) => read_port(port)?,
                None => before.port,
            },
            path: self.path.map(read_path).transpose()?.unwrap_or_else(|| before.path.clone()),
            interval_seconds: number(self.interval, before.interval_seconds),
            timeout_seconds: number(self.timeout, before.timeout_seconds),
            healthy_threshold: number(self.healthy, before.healthy_threshold),
            unhealthy_threshold: number(self.unhealthy, before.unhealthy_threshold),
            matcher: self.matcher()?.unwrap_or_else(|| before.matcher.clone()),
        };
        let (timeout, interval) = (check.timeout_seconds, check.interval_seconds);
        if self.spoken.0.is_stream() {
            if timeout > interval {
                return Err(Error::invalid(format!(
                    "Health check timeout '{timeout}' must be smaller than or equal to the interval \
                     '{interval}'"
                )));
            }
            return Ok(check);
        }
        if timeout >= interval {
            return Err(Error::invalid(format!(
                "Health check timeout '{timeout}' must be smaller than the interval '{interval}'"
            )));
        }
        Ok(check)
    }

    fn protocol(&self) -> Result<Option<Protocol>, Error> {
        match self.protocol {
            None => Ok(None),
            Some(ProtocolEnum::Http) => Ok(Some(Protocol::Http)),
            Some(ProtocolEnum::Https) => Ok(Some(Protocol::Https)),
            Some(ProtocolEnum::Tcp) if self.spoken.0.is_stream() => Ok(Some(Protocol::Tcp)),
            Some(other) => Err(Error::invalid(format!(
                "Health check protocol '{}' is not supported for target groups with the HTTP \
                 protocol",
                other.as_str()
            ))),
        }
    }

    fn matcher(&self) -> Result<Option<Matcher>, Error> {
        let Some(matcher) = self.matcher else { return Ok(None) };
        if self.spoken.1 == Version::Grpc {
            if matcher.http_code.is_some() {
                return Err(Error::invalid(
                    "An HTTP code cannot be specified for target groups with protocol version GRPC",
                ));
            }
            let read = matcher.grpc_code.as_deref().map(Matcher::parse_grpc).transpose();
            return read.map_err(|wrong| Error::invalid(wrong.to_string()));
        }
        if matcher.grpc_code.is_some() {
            return Err(Error::invalid(
                "A gRPC code cannot be specified for target groups with protocol version HTTP1 or HTTP2",
            ));
        }
        let parse = match self.spoken.0.is_stream() {
            true => Matcher::parse_wide,
            false => Matcher::parse,
        };
        let read = matcher.http_code.as_deref().map(parse).transpose();
        read.map_err(|wrong| Error::invalid(wrong.to_string()))
    }
}

/// `None` is the port that gets traffic.
fn read_port(text: &str) -> Result<Option<u16>, Error> {
    if text == "traffic-port" {
        return Ok(None);
    }
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(Error::invalid(format!(
            "Health check port '{text}' must be 'traffic-port' or between '1-65535' inclusive"
        ))),
    }
}

fn read_path(path: &str) -> Result<String, Error> {
    let is_one = path.starts_with('/')
        && path.len() <= PATH_MAX
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    match is_one {
        true => Ok(path.to_owned()),
        false => Err(Error::invalid(format!(
            "Health check path '{path}' must begin with a '/' character, and can only contain \
             printable ASCII characters, without spaces"
        ))),
    }
}
