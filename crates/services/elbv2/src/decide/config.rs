//! The data plane's configuration out of a snapshot.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use balancer::{
    Action, Algorithm, CertificatePair, Check, Cidr, Condition, Config, Desync, Forwarded, Group,
    KeyPem, Kind, LogPlace, Redirect, Settings, Speaks, State, Texts, Tls, Verdict,
};
use ledger::Snapshot;
use shapes_elbv2 as shapes;
use shapes_elbv2::ActionTypeEnum;
use vpc::Scope;

use crate::arn;
use crate::model::attributes::{
    OF_LISTENERS, OF_LOAD_BALANCERS, OF_NETWORK_LISTENERS, of_load_balancers, of_target_groups,
    value,
};
use crate::model::{
    Actions, Health, HealthState, Listener, LoadBalancer, Protocol, Secure, Target, TargetGroup,
    Transport, Version, policies, weighted,
};
use crate::tables::{GroupKey, ListenerKey, LoadBalancerKey, Tables, TargetKey};

/// How long connections of TCP may be without a byte, unless it is set.
const STREAM_IDLE: Duration = Duration::from_secs(350);

/// What the data plane is to do, and which rows its names mean.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) load_balancers: BTreeMap<String, LoadBalancerKey>,
    pub(crate) groups: BTreeMap<String, GroupKey>,
    /// Which load balancer uses a group.
    pub(crate) users: BTreeMap<String, String>,
}

/// What follows from a snapshot.
pub(crate) fn plan(
    tables: &Tables,
    certificates: &certificates::Tables,
    snapshot: &Snapshot,
) -> Plan {
    let mut plan = Plan::default();
    let mut used = BTreeMap::new();
    for (key, row) in snapshot.range(&tables.load_balancers, ..) {
        let name = arn::of_load_balancer(&key);
        let groups = tables.groups_of(snapshot, &key).into_iter();
        used.extend(groups.map(|group| (group, name.clone())));
        plan.config.load_balancers.push(balancer::LoadBalancer {
            name: name.clone(),
            address: IpAddr::V4(row.address),
            dns_name: row.dns_name.clone(),
            settings: settings(&row),
            log: log_place(&key, &row),
            listeners: listeners(tables, certificates, snapshot, &key),
        });
        plan.load_balancers.insert(name, key);
    }
    for (key, user) in used {
        let Some(row) = snapshot.get(&tables.groups, &key) else { continue };
        let targets = snapshot.prefix(&tables.targets, &key);
        let targets = targets.filter_map(|(key, row)| target(&key, &row)).collect();
        let name = arn::of_group(&key);
        plan.config.groups.push(group(name.clone(), &row, targets));
        plan.users.insert(name.clone(), user);
        plan.groups.insert(name, key);
    }
    plan
}

/// How the targets of the groups in a plan are, as far as it is known.
pub(crate) fn verdicts(
    tables: &Tables,
    snapshot: &Snapshot,
    plan: &Plan,
) -> BTreeMap<String, Vec<Verdict>> {
    let of_target = |((_, _, id, port), row): (TargetKey, ledger::Row<Health>)| {
        let state = match row.state {
            HealthState::Initial => State::Initial,
            HealthState::Healthy => State::Healthy,
            HealthState::Unhealthy => State::Unhealthy,
        };
        Some(Verdict { id, port: u16::try_from(port).ok()?, state })
    };
    let of_group = |(name, key): (&String, &GroupKey)| {
        let all = snapshot.prefix(&tables.health, key).filter_map(of_target);
        (name.clone(), all.collect())
    };
    plan.groups.iter().map(of_group).collect()
}

/// Where a load balancer's requests are written down (Application Load Balancer guide, "Access log
/// files").
fn log_place((scope, name): &LoadBalancerKey, row: &LoadBalancer) -> Option<LogPlace> {
    let get = |key| value(of_load_balancers(arn::is_network(name)), &row.attributes, key);
    let bucket = get("access_logs.s3.bucket");
    if get("access_logs.s3.enabled") != "true" || bucket.is_empty() {
        return None;
    }
    let prefix = get("access_logs.s3.prefix").trim_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    let Scope { account, region } = scope;
    let dots = name.replace('/', ".");
    Some(LogPlace {
        folder: format!("{bucket}/{prefix}{slash}AWSLogs/{account}/elasticloadbalancing/{region}"),
        file: format!("{account}_elasticloadbalancing_{region}_{dots}"),
        load_balancer: name.clone(),
        node: row.address.to_string(),
    })
}

fn settings(row: &LoadBalancer) -> Settings {
    let get = |key| value(OF_LOAD_BALANCERS, &row.attributes, key);
    let forwarded = match get("routing.http.xff_header_processing.mode") {
        "preserve" => Forwarded::Preserve,
        "remove" => Forwarded::Remove,
        _ => Forwarded::Append,
    };
    let idle = get("idle_timeout.timeout_seconds").parse();
    let desync = match get("routing.http.desync_mitigation_mode") {
        "monitor" => Desync::Monitor,
        "strictest" => Desync::Strictest,
        _ => Desync::Defensive,
    };
    let life = get("client_keep_alive.seconds").parse();
    Settings {
        client_life: life.map_or(Settings::default().client_life, Duration::from_secs),
        desync,
        idle: idle.map_or(Settings::default().idle, Duration::from_secs),
        forwarded,
        client_port: get("routing.http.xff_client_port.enabled") == "true",
        preserve_host: get("routing.http.preserve_host_header.enabled") == "true",
        http2: get("routing.http2.enabled") == "true",
        tells_tls: get("routing.http.x_amzn_tls_version_and_cipher_suite.enabled") == "true",
        drop_invalid_headers: get("routing.http.drop_invalid_header_fields.enabled") == "true",
    }
}

fn listeners(
    tables: &Tables,
    certificates: &certificates::Tables,
    snapshot: &Snapshot,
    of: &LoadBalancerKey,
) -> Vec<balancer::Listener> {
    let show = |(key, row): (ListenerKey, ledger::Row<Listener>)| {
        let mut rules: Vec<_> = snapshot.prefix(&tables.rules, &key).collect();
        rules.sort_by_key(|(_, row)| row.priority);
        let rule = |row: &crate::model::Rule| balancer::Rule {
            priority: row.priority,
            conditions: row.conditions.iter().map(|one| condition(one)).collect(),
            action: action(&row.actions),
        };
        let server = "routing.http.response.server.enabled";
        let idle = value(OF_NETWORK_LISTENERS, &row.attributes, "tcp.idle_timeout.seconds").parse();
        balancer::Listener {
            port: row.port,
            kind: match arn::is_network(&key.1) {
                true => Kind::Streams(idle.map_or(STREAM_IDLE, Duration::from_secs)),
                false => Kind::Requests,
            },
            rules: rules.iter().map(|(_, row)| rule(row)).collect(),
            default: action(&row.default_actions),
            shows_server: value(OF_LISTENERS, &row.attributes, server) == "true",
            tls: row.secure.as_ref().map(|secure| tls(certificates, snapshot, &key.0, secure)),
        }
    };
    let shown = |(key, row): (ListenerKey, ledger::Row<Listener>)| {
        let transport = row.transport;
        let listener = show((key, row));
        let datagrams = balancer::Listener { kind: Kind::Datagrams, ..listener.clone() };
        match transport {
            Transport::Tcp => vec![listener],
            Transport::Udp => vec![datagrams],
            Transport::Both => vec![listener, datagrams],
        }
    };
    snapshot.prefix(&tables.listeners, of).flat_map(shown).collect()
}

/// What a listener shows; a certificate that is gone is left out.
fn tls(
    certificates: &certificates::Tables,
    snapshot: &Snapshot,
    scope: &Scope,
    secure: &Secure,
) -> Tls {
    let Scope { account, region } = scope.clone();
    let scope = certificates::Scope { account, region };
    let mut arns: Vec<&String> = vec![&secure.certificate];
    arns.extend(secure.more.iter().filter(|arn| **arn != secure.certificate));
    let pair = |arn: &String| {
        let served = certificates.served(snapshot, &scope, arn)?;
        let key = KeyPem::new(served.key.expose().clone());
        Some(CertificatePair { name: arn.clone(), chain: served.chain, key })
    };
    let policy = policies::named(&secure.policy);
    let texts = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    Tls {
        certificates: arns.into_iter().filter_map(pair).collect(),
        protocols: texts(policy.map(|policy| policy.protocols.to_vec()).unwrap_or_default()),
        ciphers: texts(policy.map(|policy| policy.ciphers().collect()).unwrap_or_default()),
    }
}

/// An action that was checked when it was stored.
fn action(actions: &Actions) -> Action {
    let Some(action) = actions.routing() else { return nowhere() };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match (action.type_, &action.redirect_config, &action.fixed_response_config) {
        (ActionTypeEnum::Redirect, Some(config), _) => Action::Redirect(Redirect {
            permanent: config.status_code == shapes::RedirectActionStatusCodeEnum::Http301,
            protocol: text(&config.protocol),
            host: text(&config.host),
            port: text(&config.port),
            path: text(&config.path),
            query: text(&config.query),
        }),
        (ActionTypeEnum::FixedResponse, _, Some(config)) => Action::Fixed {
            status: config.status_code.parse().unwrap_or(200),
            content_type: config.content_type.clone().filter(|text| !text.is_empty()),
            body: text(&config.message_body),
        },
        _ => Action::Forward { groups: weighted(action), sticky: stays(action) },
    }
}

fn nowhere() -> Action {
    Action::Forward { groups: Vec::new(), sticky: None }
}

/// How long clients stay with the group that a forward action chose for them.
fn stays(action: &shapes::Action) -> Option<Duration> {
    let config = action.forward_config.as_ref()?.target_group_stickiness_config.as_ref()?;
    let seconds = config.duration_seconds.filter(|_| config.enabled == Some(true))?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// A condition that was checked when it was stored.
fn condition(wanted: &shapes::RuleCondition) -> Condition {
    if let Some(config) = &wanted.host_header_config {
        return Condition::Host(texts(&config.values, &config.regex_values));
    }
    if let Some(config) = &wanted.path_pattern_config {
        return Condition::Path(texts(&config.values, &config.regex_values));
    }
    if let Some(config) = &wanted.http_header_config {
        let name = config.http_header_name.clone().unwrap_or_default();
        return Condition::Header(name, texts(&config.values, &config.regex_values));
    }
    if let Some(config) = &wanted.query_string_config {
        let pair = |pair: &shapes::QueryStringKeyValuePair| {
            let key = pair.key.clone().filter(|key| !key.is_empty());
            (key, pair.value.clone().unwrap_or_default())
        };
        return Condition::Query(config.values.iter().flatten().map(pair).collect());
    }
    if let Some(config) = &wanted.source_ip_config {
        let blocks = config.values.iter().flatten();
        return Condition::Source(blocks.filter_map(|text| Cidr::parse(text)).collect());
    }
    let methods = wanted.http_request_method_config.as_ref();
    Condition::Method(methods.and_then(|config| config.values.clone()).unwrap_or_default())
}

fn texts(values: &Option<Vec<String>>, regexes: &Option<Vec<String>>) -> Texts {
    match regexes.as_ref().filter(|regexes| !regexes.is_empty()) {
        Some(regexes) => Texts::Regexes(regexes.clone()),
        None => Texts::Patterns(values.clone().unwrap_or_default()),
    }
}

fn target((_, _, id, port): &TargetKey, row: &Target) -> Option<balancer::Target> {
    let port = u16::try_from(*port).ok()?;
    Some(balancer::Target {
        id: id.clone(),
        port,
        address: SocketAddr::new(row.address?, port),
        registration: row.registered_at.millis(),
        draining: row.draining_until.is_some(),
    })
}

fn speaks(protocol: Protocol, version: Version) -> Speaks {
    match version {
        _ if protocol.is_stream() => Speaks::Bytes,
        Version::Http1 => Speaks::Http1,
        Version::Http2 => Speaks::Http2,
        Version::Grpc => Speaks::Grpc,
    }
}

fn group(name: String, row: &TargetGroup, targets: Vec<balancer::Target>) -> Group {
    let is_network = row.protocol.is_stream();
    let known = of_target_groups(is_network);
    let get = |key| value(known, &row.attributes, key);
    let algorithm = match get("load_balancing.algorithm.type") {
        "least_outstanding_requests" => Algorithm::LeastOutstanding,
        "weighted_random" => Algorithm::Random,
        _ => Algorithm::RoundRobin,
    };
    let least = "target_group_health.unhealthy_state_routing.minimum_healthy_targets";
    let number = |key: &str| value(known, &row.attributes, key).parse();
    let by = |kind| get("stickiness.enabled") == "true" && get("stickiness.type") == kind;
    let lasts =
        |key: &str| value(known, &row.attributes, key).parse().ok().map(Duration::from_secs);
    let sticky = lasts("stickiness.lb_cookie.duration_seconds");
    let app_cookie = lasts("stickiness.app_cookie.duration_seconds");
    let app_cookie_name = get("stickiness.app_cookie.cookie_name").to_owned();
    let slow_start = lasts("slow_start.duration_seconds");
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    Group {
        name,
        targets,
        speaks: speaks(row.protocol, row.version),
        tls: matches!(row.protocol, Protocol::Https | Protocol::Tls),
        greets: get("proxy_protocol_v2.enabled") == "true",
        by_source: is_network && get("stickiness.enabled") == "true",
        cuts_unhealthy: get("target_health_state.unhealthy.connection_termination.enabled")
            == "true",
        cuts_gone: get("deregistration_delay.connection_termination.enabled") == "true",
        check: Check {
            speaks: speaks(row.check.protocol, row.version),
            tls: row.check.protocol == Protocol::Https,
            port: row.check.port,
            path: row.check.path.clone(),
            interval: seconds(row.check.interval_seconds),
            timeout: seconds(row.check.timeout_seconds),
            healthy: row.check.healthy_threshold,
            unhealthy: row.check.unhealthy_threshold,
            codes: row.check.matcher.ranges(),
        },
        algorithm,
        sticky: sticky.filter(|_| by("lb_cookie")),
        app_cookie: app_cookie.filter(|_| by("app_cookie")).map(|lasts| (app_cookie_name, lasts)),
        slow_start: slow_start.filter(|lasts| !lasts.is_zero()),
        healthy_min: number(&format!("{least}.count")).unwrap_or(1),
        healthy_min_percent: number(&format!("{least}.percentage")).unwrap_or_default(),
        verdicts: None,
    }
}
