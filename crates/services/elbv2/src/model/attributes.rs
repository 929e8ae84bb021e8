//! Attributes: their names, defaults and values (API reference, `LoadBalancerAttribute`,
//! `TargetGroupAttribute`, `ListenerAttribute`).

use std::collections::BTreeMap;

/// What values an attribute may have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values {
    /// `true` or `false`.
    Bool,
    /// Only this.
    Fixed(&'static str),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A number between these, both allowed.
    Number(u32, u32),
    /// 0, or a number between these.
    ZeroOr(u32, u32),
    /// `off`, or a number between these.
    OffOr(u32, u32),
    /// A kind of stickiness; these are for target groups of the kind.
    Stickiness(&'static [&'static str]),
    /// Any text.
    Text,
    /// The name of a bucket of S3, or nothing.
    Bucket,
    /// What names of objects in it begin with, or nothing.
    Prefix,
    /// The name of an application's cookie, not one of the load balancer's own.
    CookieName,
}

/// An attribute that a kind of resource has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute {
    /// Its name.
    pub(crate) key: &'static str,
    /// What it is until it is set.
    pub(crate) default: &'static str,
    /// What it may be.
    pub(crate) values: Values,
}

const fn attribute(key: &'static str, default: &'static str, values: Values) -> Attribute {
    Attribute { key, default, values }
}

/// Most healthy targets that a threshold may ask for.
const TARGETS_MAX: u32 = 1000;

/// Those of application load balancers.
pub(crate) const OF_LOAD_BALANCERS: &[Attribute] = &[
    attribute("access_logs.s3.enabled", "false", Values::Bool),
    attribute("access_logs.s3.bucket", "", Values::Bucket),
    attribute("access_logs.s3.prefix", "", Values::Prefix),
    attribute("client_keep_alive.seconds", "3600", Values::Number(60, 604_800)),
    attribute("connection_logs.s3.enabled", "false", Values::Bool),
    attribute("connection_logs.s3.bucket", "", Values::Text),
    attribute("connection_logs.s3.prefix", "", Values::Text),
    attribute("deletion_protection.enabled", "false", Values::Bool),
    attribute("idle_timeout.timeout_seconds", "60", Values::Number(1, 4000)),
    attribute("ipv6.deny_all_igw_traffic", "false", Values::Bool),
    attribute("load_balancing.cross_zone.enabled", "true", Values::Fixed("true")),
    attribute(
        "routing.http.desync_mitigation_mode",
        "defensive",
        Values::OneOf(&["monitor", "defensive", "strictest"]),
    ),
    attribute("routing.http.drop_invalid_header_fields.enabled", "false", Values::Bool),
    attribute("routing.http.preserve_host_header.enabled", "false", Values::Bool),
    attribute("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Values::Bool),
    attribute("routing.http.xff_client_port.enabled", "false", Values::Bool),
    attribute(
        "routing.http.xff_header_processing.mode",
        "append",
        Values::OneOf(&["append", "preserve", "remove"]),
    ),
    attribute("routing.http2.enabled", "true", Values::Bool),
    attribute("waf.fail_open.enabled", "false", Values::Bool),
    attribute("zonal_shift.config.enabled", "false", Values::Bool),
];

/// Those of target groups of instances and addresses behind application load balancers.
pub(crate) const OF_TARGET_GROUPS: &[Attribute] = &[
    attribute("deregistration_delay.timeout_seconds", "300", Values::Number(0, 3600)),
    attribute("load_balancing.algorithm.anomaly_mitigation", "off", Values::OneOf(&["on", "off"])),
    attribute(
        "load_balancing.algorithm.type",
        "round_robin",
        Values::OneOf(&["round_robin", "least_outstanding_requests", "weighted_random"]),
    ),
    attribute(
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        Values::OneOf(&["true", "false", "use_load_balancer_configuration"]),
    ),
    attribute("slow_start.duration_seconds", "0", Values::ZeroOr(30, 900)),
    attribute("stickiness.enabled", "false", Values::Bool),
    attribute("stickiness.type", "lb_cookie", Values::Stickiness(&["lb_cookie", "app_cookie"])),
    attribute("stickiness.lb_cookie.duration_seconds", "86400", Values::Number(1, 604_800)),
    attribute("stickiness.app_cookie.cookie_name", "", Values::CookieName),
    attribute("stickiness.app_cookie.duration_seconds", "86400", Values::Number(1, 604_800)),
    attribute(
        "target_group_health.dns_failover.minimum_healthy_targets.count",
        "1",
        Values::OffOr(1, TARGETS_MAX),
    ),
    attribute(
        "target_group_health.dns_failover.minimum_healthy_targets.percentage",
        "off",
        Values::OffOr(1, 100),
    ),
    attribute(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        "1",
        Values::Number(1, TARGETS_MAX),
    ),
    attribute(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        Values::OffOr(1, 100),
    ),
];

/// Those of HTTP listeners.
pub(crate) const OF_LISTENERS: &[Attribute] = &[
    attribute(
        "routing.http.response.access_control_allow_credentials.header_value",
        "",
        Values::Text,
    ),
    attribute("routing.http.response.access_control_allow_headers.header_value", "", Values::Text),
    attribute("routing.http.response.access_control_allow_methods.header_value", "", Values::Text),
    attribute("routing.http.response.access_control_allow_origin.header_value", "", Values::Text),
    attribute("routing.http.response.access_control_expose_headers.header_value", "", Values::Text),
    attribute("routing.http.response.access_control_max_age.header_value", "", Values::Text),
    attribute("routing.http.response.content_security_policy.header_value", "", Values::Text),
    attribute("routing.http.response.server.enabled", "true", Values::Bool),
    attribute("routing.http.response.strict_transport_security.header_value", "", Values::Text),
    attribute("routing.http.response.x_content_type_options.header_value", "", Values::Text),
    attribute("routing.http.response.x_frame_options.header_value", "", Values::Text),
];

/// Those of network load balancers.
pub(crate) const OF_NETWORK_LOAD_BALANCERS: &[Attribute] = &[
    attribute("access_logs.s3.enabled", "false", Values::Bool),
    attribute("access_logs.s3.bucket", "", Values::Bucket),
    attribute("access_logs.s3.prefix", "", Values::Prefix),
    attribute("deletion_protection.enabled", "false", Values::Bool),
    attribute(
        "dns_record.client_routing_policy",
        "any_availability_zone",
        Values::OneOf(&[
            "any_availability_zone",
            "availability_zone_affinity",
            "partial_availability_zone_affinity",
        ]),
    ),
    attribute("ipv6.deny_all_igw_traffic", "false", Values::Bool),
    attribute("load_balancing.cross_zone.enabled", "false", Values::Bool),
    // A load balancer here has one address and needs no more: a port of it is for one target at a time.
    attribute("secondary_ips.auto_assigned.per_subnet", "0", Values::Fixed("0")),
    attribute("zonal_shift.config.enabled", "false", Values::Bool),
];

/// Those of target groups behind network load balancers. Clients' addresses cannot be kept here, so
/// that setting has one value.
pub(crate) const OF_NETWORK_TARGET_GROUPS: &[Attribute] = &[
    attribute("deregistration_delay.connection_termination.enabled", "false", Values::Bool),
    attribute("deregistration_delay.timeout_seconds", "300", Values::Number(0, 3600)),
    attribute(
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        Values::OneOf(&["true", "false", "use_load_balancer_configuration"]),
    ),
    attribute("preserve_client_ip.enabled", "false", Values::Fixed("false")),
    attribute("proxy_protocol_v2.enabled", "false", Values::Bool),
    attribute("stickiness.enabled", "false", Values::Bool),
    attribute("stickiness.type", "source_ip", Values::Stickiness(&["source_ip"])),
    attribute(
        "target_group_health.dns_failover.minimum_healthy_targets.count",
        "1",
        Values::OffOr(1, TARGETS_MAX),
    ),
    attribute(
        "target_group_health.dns_failover.minimum_healthy_targets.percentage",
        "off",
        Values::OffOr(1, 100),
    ),
    attribute(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        "1",
        Values::Number(1, TARGETS_MAX),
    ),
    attribute(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        Values::OffOr(1, 100),
    ),
    attribute("target_health_state.unhealthy.connection_termination.enabled", "true", Values::Bool),
    attribute(
        "target_health_state.unhealthy.draining_interval_seconds",
        "0",
        Values::Number(0, 360_000),
    ),
];

/// Those of TCP listeners.
pub(crate) const OF_NETWORK_LISTENERS: &[Attribute] =
    &[attribute("tcp.idle_timeout.seconds", "350", Values::Number(60, 6000))];

/// Every kind of stickiness that there is, apart from those of gateways.
const STICKINESS: [&str; 3] = ["app_cookie", "lb_cookie", "source_ip"];

/// The attributes of load balancers of a kind.
pub(crate) fn of_load_balancers(is_network: bool) -> &'static [Attribute] {
    if is_network { OF_NETWORK_LOAD_BALANCERS } else { OF_LOAD_BALANCERS }
}

/// The attributes of target groups behind load balancers of a kind.
pub(crate) fn of_target_groups(is_network: bool) -> &'static [Attribute] {
    if is_network { OF_NETWORK_TARGET_GROUPS } else { OF_TARGET_GROUPS }
}

/// The attributes of listeners of load balancers of a kind.
pub(crate) fn of_listeners(is_network: bool) -> &'static [Attribute] {
    if is_network { OF_NETWORK_LISTENERS } else { OF_LISTENERS }
}

/// The value that is set, or the default.
pub(crate) fn value<'a>(
    known: &'static [Attribute],
    set: &'a BTreeMap<String, String>,
    key: &str,
) -> &'a str {
    let default = || known.iter().find(|known| known.key == key).map_or("", |known| known.default);
    set.get(key).map_or_else(default, String::as_str)
}

impl Attribute {
    /// Why `value` may not be, in ELB's words; `None` if it may. `protocol` is the target group's.
    pub(crate) fn refusal(&self, value: &str, protocol: &str) -> Option<String> {
        let key = self.key;
        let within = |low: u32, high: u32| {
            value.parse::<u32>().is_ok_and(|number| (low..=high).contains(&number))
        };
        let one_of = |all: &[&str]| {
            let known = all.contains(&value);
            (!known).then(|| format!("'{key}' value '{value}' must be one of [{}]", all.join(", ")))
        };
        let range = |is_right: bool, range: String| {
            (!is_right)
                .then(|| format!("'{key}' value '{value}' must be between '{range}' inclusive"))
        };
        match self.values {
            Values::Bool => one_of(&["true", "false"]),
            Values::Fixed(only) => one_of(&[only]),
            Values::OneOf(all) => one_of(all),
            Values::Number(low, high) => range(within(low, high), format!("{low}-{high}")),
            Values::ZeroOr(low, high) => {
                range(value == "0" || within(low, high), format!("{low}-{high}"))
            }
            Values::OffOr(low, high) => {
                range(value == "off" || within(low, high), format!("{low}-{high}"))
            }
            Values::Stickiness(all) if all.contains(&value) => None,
            Values::Stickiness(_) if STICKINESS.contains(&value) => Some(format!(
                "Stickiness type '{value}' is not supported for target groups with the {protocol} \
                 protocol"
            )),
            Values::Stickiness(_) => {
                Some(format!("'Stickiness type' must be one of [{}]", STICKINESS.join(", ")))
            }
            Values::Text => None,
            Values::Bucket => {
                let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                let is_label = |label: &str| !label.is_empty() && label.chars().all(is_inner);
                let is_name = (3..=63).contains(&value.len()) && value.split('.').all(is_label);
                (!value.is_empty() && !is_name)
                    .then(|| format!("The bucket name '{value}' is not valid"))
            }
            Values::Prefix => {
                let is_step = |part: &str| matches!(part, "" | "." | ".." | "AWSLogs");
                (!value.is_empty() && value.split('/').any(is_step))
                    .then(|| format!("The prefix '{value}' is not valid"))
            }
            Values::CookieName => ["AWSALB", "AWSALBAPP", "AWSALBTG"]
                .iter()
                .any(|own| value.starts_with(own))
                .then(|| format!("The cookie name '{value}' is reserved")),
        }
    }
}
