//! Target groups and how their targets' health is checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shapes_elbv2 as shapes;
use terms::Timestamp;

/// What ids name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetType {
    /// Instances.
    Instance,
    /// Addresses.
    Ip,
}

impl TargetType {
    /// As the API has it.
    pub(crate) fn shown(self) -> shapes::TargetTypeEnum {
        match self {
            Self::Instance => shapes::TargetTypeEnum::Instance,
            Self::Ip => shapes::TargetTypeEnum::Ip,
        }
    }
}

/// What targets or their health checks speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Protocol {
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS.
    Https,
    /// Anything over TCP.
    Tcp,
    /// Anything over TLS.
    Tls,
    /// Anything over UDP.
    Udp,
    /// Anything over either.
    TcpUdp,
}

impl Protocol {
    /// Whether it is for network load balancers.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::Udp | Self::TcpUdp)
    }

    /// As the API has it.
    pub(crate) fn shown(self) -> shapes::ProtocolEnum {
        match self {
            Self::Http => shapes::ProtocolEnum::Http,
            Self::Https => shapes::ProtocolEnum::Https,
            Self::Tcp => shapes::ProtocolEnum::Tcp,
            Self::Tls => shapes::ProtocolEnum::Tls,
            Self::Udp => shapes::ProtocolEnum::Udp,
            Self::TcpUdp => shapes::ProtocolEnum::TcpUdp,
        }
    }
}

/// Which HTTP targets speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Version {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
}

impl Version {
    /// The version of a name of the API's.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Http1, Self::Http2, Self::Grpc].into_iter().find(|one| one.as_str() == text)
    }

    /// As the API has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP1",
            Self::Http2 => "HTTP2",
            Self::Grpc => "GRPC",
        }
    }
}

/// The status codes that are health: `200`, `200,202`, `200-299`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matcher(String);

/// Why a text is no matcher: ELB's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Health check matcher HTTP code must be like 200 | 200-399 | 200,201 ...")]
pub(crate) struct Matching;

/// Why a text is no matcher of gRPC's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Health check matcher gRPC code must be like 0 | 0-99 | 0,12 ..., between 0 and 99")]
pub(crate) struct MatchingGrpc;

impl Matcher {
    /// Reads a matcher whose codes are between 200 and 499.
    pub(crate) fn parse(text: &str) -> Result<Self, Matching> {
        let is_code = |code: &u16| (200..=499).contains(code);
        let is_right = |range: (u16, u16)| range.0 <= range.1;
        let read = ranges(text).ok_or(Matching)?;
        let all = read.iter().all(|range| is_code(&range.0) && is_code(&range.1));
        if all && read.into_iter().all(is_right) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Matching)
        }
    }

    /// Reads a matcher for network load balancers, whose codes are between 200 and 599.
    pub(crate) fn parse_wide(text: &str) -> Result<Self, Matching> {
        let is_right = |(first, last): &(u16, u16)| 200 <= *first && first <= last && *last <= 599;
        let read = ranges(text).filter(|read| read.iter().all(is_right));
        read.map(|_| Self(text.to_owned())).ok_or(Matching)
    }

    /// Reads a matcher of gRPC's status codes, which are between 0 and 99.
    pub(crate) fn parse_grpc(text: &str) -> Result<Self, MatchingGrpc> {
        let is_right = |(first, last): &(u16, u16)| first <= last && *last <= 99;
        let read = ranges(text).filter(|read| read.iter().all(is_right));
        read.map(|_| Self(text.to_owned())).ok_or(MatchingGrpc)
    }

    /// As it came.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The codes, as first and last of each range.
    pub(crate) fn ranges(&self) -> Vec<(u16, u16)> {
        ranges(&self.0).unwrap_or_default()
    }
}

fn ranges(text: &str) -> Option<Vec<(u16, u16)>> {
    let code = |text: &str| {
        let is_code =
            (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_code { text.parse().ok() } else { None }
    };
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => Some((code(first)?, code(last)?)),
        None => code(part).map(|code| (code, code)),
    };
    text.split(',').map(range).collect()
}

/// How targets are asked whether they are well (API reference, `CreateTargetGroup`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HealthCheck {
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// Which port is asked, if it is not the one that gets traffic.
    pub(crate) port: Option<u16>,
    /// What is asked for.
    pub(crate) path: String,
    /// Seconds from one check to the next.
    pub(crate) interval_seconds: u32,
    /// Seconds that an answer may take.
    pub(crate) timeout_seconds: u32,
    /// Passes in a row that make an unhealthy target healthy.
    pub(crate) healthy_threshold: u32,
    /// Failures in a row that make a target unhealthy.
    pub(crate) unhealthy_threshold: u32,
    /// Which answers are passes.
    pub(crate) matcher: Matcher,
}

impl HealthCheck {
    /// How targets are checked for which nothing else is said.
    pub(crate) fn usual(protocol: Protocol, version: Version) -> Self {
        if protocol.is_stream() {
            return Self {
                protocol: Protocol::Tcp,
                port: None,
                path: "/".to_owned(),
                interval_seconds: 30,
                timeout_seconds: 10,
                healthy_threshold: 5,
                unhealthy_threshold: 2,
                matcher: Matcher("200-399".to_owned()),
            };
        }
        let (path, matcher) = match version {
            Version::Http1 | Version::Http2 => ("/", "200"),
            // UNIMPLEMENTED: the target speaks gRPC.
            Version::Grpc => ("/AWS.ALB/healthcheck", "12"),
        };
        Self {
            protocol: Protocol::Http,
            port: None,
            path: path.to_owned(),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: Matcher(matcher.to_owned()),
        }
    }
}

/// A target group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetGroup {
    /// Its name, one of an account and region.
    pub(crate) name: String,
    /// What its targets' ids name.
    pub(crate) target_type: TargetType,
    /// What its targets speak.
    pub(crate) protocol: Protocol,
    /// Where targets are reached that come without a port of their own.
    pub(crate) port: u16,
    /// The VPC that it belongs to.
    pub(crate) vpc: String,
    /// How health is checked.
    pub(crate) check: HealthCheck,
    /// Attributes that were set.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// When it was made.
    pub(crate) made_at: Timestamp,
    /// Which HTTP its targets speak.
    #[serde(default)]
    pub(crate) version: Version,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_lists_of_codes_and_ranges() {
        let ranges = |text: &str| Matcher::parse(text).map(|matcher| matcher.ranges());
        assert_eq!(ranges("200"), Ok(vec![(200, 200)]));
        assert_eq!(ranges("200,202-204"), Ok(vec![(200, 200), (202, 204)]));
        let grpc = |text: &str| Matcher::parse_grpc(text).map(|matcher| matcher.ranges());
        assert_eq!(grpc("0,12-14"), Ok(vec![(0, 0), (12, 14)]));
        assert_eq!(grpc("100"), Err(MatchingGrpc));
        for wrong in ["", "20", "200-", "300-200", "199", "500", "+20", "200, 201"] {
            assert_eq!(ranges(wrong), Err(Matching), "{wrong}");
        }
    }
}
