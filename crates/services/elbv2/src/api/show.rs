//! Records as the API shows them.

use ledger::View;
use shapes_elbv2 as shapes;
use wire::document::Document;

use crate::Inner;
use crate::arn;
use crate::model::{
    HealthCheck, Listener, LoadBalancer, Rule, State, TargetGroup, Transport, Version,
};
use crate::tables::{GroupKey, ListenerKey, LoadBalancerKey, RuleKey};

/// Tools ask DNS of this zone about load balancers; it is the one of us-east-1 everywhere.
const HOSTED_ZONE: &str = "Z35SXDOTRQ7X7K";

/// A load balancer.
pub(super) fn load_balancer(key: &LoadBalancerKey, row: &LoadBalancer) -> shapes::LoadBalancer {
    let (code, reason) = match &row.state {
        State::Provisioning => (shapes::LoadBalancerStateEnum::Provisioning, None),
        State::Active => (shapes::LoadBalancerStateEnum::Active, None),
        State::Impaired(reason) => {
            (shapes::LoadBalancerStateEnum::ActiveImpaired, Some(reason.clone()))
        }
    };
    let scheme = match row.internal {
        true => shapes::LoadBalancerSchemeEnum::Internal,
        false => shapes::LoadBalancerSchemeEnum::InternetFacing,
    };
    shapes::LoadBalancer {
        availability_zones: Some(zones(row)),
        canonical_hosted_zone_id: Some(HOSTED_ZONE.to_owned()),
        created_time: Some(row.made_at),
        dns_name: Some(row.dns_name.clone()),
        ip_address_type: Some(shapes::IpAddressType::Ipv4),
        load_balancer_arn: Some(arn::of_load_balancer(key)),
        load_balancer_name: Some(row.name.clone()),
        scheme: Some(scheme),
        security_groups: Some(row.security_groups.clone()),
        state: Some(shapes::LoadBalancerState { code: Some(code), reason }),
        type_: Some(match arn::is_network(&key.1) {
            true => shapes::LoadBalancerTypeEnum::Network,
            false => shapes::LoadBalancerTypeEnum::Application,
        }),
        vpc_id: Some(row.vpc.clone()),
        ..Default::default()
    }
}

/// Zones with the address that all of them have: there is one data plane.
pub(super) fn zones(row: &LoadBalancer) -> Vec<shapes::AvailabilityZone> {
    let address = shapes::LoadBalancerAddress {
        ip_address: Some(row.address.to_string()),
        ..Default::default()
    };
    let zone = |(subnet, zone): &(String, String)| shapes::AvailabilityZone {
        load_balancer_addresses: Some(vec![address.clone()]),
        subnet_id: Some(subnet.clone()),
        zone_name: Some(zone.clone()),
        ..Default::default()
    };
    row.subnets.iter().map(zone).collect()
}

/// A listener.
pub(super) fn listener(key: &ListenerKey, row: &Listener) -> shapes::Listener {
    shapes::Listener {
        default_actions: Some(row.default_actions.shown()),
        listener_arn: Some(arn::of_listener(key)),
        load_balancer_arn: Some(arn::of_load_balancer(&(key.0.clone(), key.1.clone()))),
        port: Some(i32::from(row.port)),
        protocol: Some(match (arn::is_network(&key.1), row.secure.is_some()) {
            (false, true) => shapes::ProtocolEnum::Https,
            (false, false) => shapes::ProtocolEnum::Http,
            (true, true) => shapes::ProtocolEnum::Tls,
            (true, false) => match row.transport {
                Transport::Tcp => shapes::ProtocolEnum::Tcp,
                Transport::Udp => shapes::ProtocolEnum::Udp,
                Transport::Both => shapes::ProtocolEnum::TcpUdp,
            },
        }),
        certificates: row.secure.as_ref().map(|secure| {
            let arn = Some(secure.certificate.clone());
            vec![shapes::Certificate { certificate_arn: arn, is_default: None }]
        }),
        ssl_policy: row.secure.as_ref().map(|secure| secure.policy.clone()),
        ..Default::default()
    }
}

/// A rule.
pub(super) fn rule(key: &RuleKey, row: &Rule) -> shapes::Rule {
    let conditions = row.conditions.iter();
    let conditions =
        conditions.map(|one: &Document<_>| shapes::RuleCondition::clone(one)).collect();
    shapes::Rule {
        actions: Some(row.actions.shown()),
        conditions: Some(conditions),
        is_default: Some(false),
        priority: Some(row.priority.to_string()),
        rule_arn: Some(arn::of_rule(key)),
        ..Default::default()
    }
}

/// The rule that shows a listener's default actions.
pub(super) fn default_rule(key: &ListenerKey, row: &Listener) -> shapes::Rule {
    let key = (key.0.clone(), key.1.clone(), key.2.clone(), row.default_rule.clone());
    shapes::Rule {
        actions: Some(row.default_actions.shown()),
        conditions: Some(Vec::new()),
        is_default: Some(true),
        priority: Some("default".to_owned()),
        rule_arn: Some(arn::of_rule(&key)),
        ..Default::default()
    }
}

impl Inner {
    /// A target group with the load balancer that uses it.
    pub(super) fn show_group(
        &self,
        view: &impl View,
        key: &GroupKey,
        row: &TargetGroup,
    ) -> shapes::TargetGroup {
        let HealthCheck {
            protocol,
            port,
            path,
            interval_seconds,
            timeout_seconds,
            healthy_threshold,
            unhealthy_threshold,
            matcher,
        } = &row.check;
        let number = |number: u32| i32::try_from(number).ok();
        let port = port.map_or_else(|| "traffic-port".to_owned(), |port| port.to_string());
        let users = self.tables.load_balancers_of(view, key);
        let asks = !protocol.is_stream();
        let version = row.version.as_str().to_owned();
        shapes::TargetGroup {
            health_check_enabled: Some(true),
            health_check_interval_seconds: number(*interval_seconds),
            health_check_path: asks.then(|| path.clone()),
            health_check_port: Some(port),
            health_check_protocol: Some(protocol.shown()),
            health_check_timeout_seconds: number(*timeout_seconds),
            healthy_threshold_count: number(*healthy_threshold),
            ip_address_type: Some(shapes::TargetGroupIpAddressTypeEnum::Ipv4),
            load_balancer_arns: Some(users.iter().map(arn::of_load_balancer).collect()),
            matcher: asks.then(|| match row.version {
                Version::Grpc => shapes::Matcher {
                    http_code: None,
                    grpc_code: Some(matcher.as_str().to_owned()),
                },
                Version::Http1 | Version::Http2 => shapes::Matcher {
                    http_code: Some(matcher.as_str().to_owned()),
                    grpc_code: None,
                },
            }),
            port: Some(i32::from(row.port)),
            protocol: Some(row.protocol.shown()),
            protocol_version: (!row.protocol.is_stream()).then_some(version),
            target_group_arn: Some(arn::of_group(key)),
            target_group_name: Some(row.name.clone()),
            target_type: Some(row.target_type.shown()),
            unhealthy_threshold_count: number(*unhealthy_threshold),
            vpc_id: Some(row.vpc.clone()),
            ..Default::default()
        }
    }
}
