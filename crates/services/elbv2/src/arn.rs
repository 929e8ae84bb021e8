//! Names of load balancing's resources (Elastic Load Balancing guides, "ARNs").

use vpc::Scope;

use crate::error::{Error, Kind};
use crate::tables::{GroupKey, ListenerKey, LoadBalancerKey, RuleKey};

/// The first part of a resource's name.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::LoadBalancer => "loadbalancer",
        Kind::TargetGroup => "targetgroup",
        Kind::Listener => "listener",
        Kind::Rule => "listener-rule",
    }
}

fn arn(scope: &Scope, kind: Kind, tail: &str) -> String {
    let Scope { account, region } = scope;
    format!("arn:aws:elasticloadbalancing:{region}:{account}:{}/{tail}", word(kind))
}

/// A load balancer's ARN.
pub(crate) fn of_load_balancer(key: &LoadBalancerKey) -> String {
    arn(&key.0, Kind::LoadBalancer, &key.1)
}

/// Whether it is a network load balancer's, of its `net/NAME/ID`.
pub(crate) fn is_network(name: &str) -> bool {
    name.starts_with("net/")
}

/// A target group's ARN.
pub(crate) fn of_group(key: &GroupKey) -> String {
    arn(&key.0, Kind::TargetGroup, &key.1)
}

/// A listener's ARN.
pub(crate) fn of_listener(key: &ListenerKey) -> String {
    arn(&key.0, Kind::Listener, &format!("{}/{}", key.1, key.2))
}

/// A rule's ARN; the listener's can be read from it.
pub(crate) fn of_rule(key: &RuleKey) -> String {
    arn(&key.0, Kind::Rule, &format!("{}/{}/{}", key.1, key.2, key.3))
}

/// What kind of resource an ARN is of, if it is of one of ours.
pub(crate) fn kind(arn: &str) -> Option<Kind> {
    let resource = arn.splitn(6, ':').nth(5)?;
    let kinds = [Kind::LoadBalancer, Kind::TargetGroup, Kind::Listener, Kind::Rule];
    let first = resource.split('/').next()?;
    kinds.into_iter().find(|kind| word(*kind) == first)
}

/// The parts behind `kind/`, if there are `count`; nothing of another account or region is found.
fn parts<'a>(scope: &Scope, arn: &'a str, kind: Kind, count: usize) -> Result<Vec<&'a str>, Error> {
    let malformed = || Error::Arn { kind, arn: arn.to_owned() };
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, service, region, account, resource] = fields[..] else { return Err(malformed()) };
    let tail = resource.strip_prefix(word(kind)).and_then(|rest| rest.strip_prefix('/'));
    let parts: Vec<&str> = tail.ok_or_else(malformed)?.split('/').collect();
    if service != "elasticloadbalancing" || parts.len() != count {
        return Err(malformed());
    }
    if region != scope.region.as_str() || account != scope.account.as_str() {
        return Err(Error::NotFound(kind));
    }
    Ok(parts)
}

/// The key of a load balancer's ARN.
pub(crate) fn load_balancer(scope: &Scope, arn: &str) -> Result<LoadBalancerKey, Error> {
    let parts = parts(scope, arn, Kind::LoadBalancer, 3)?;
    Ok((scope.clone(), parts.join("/")))
}

/// The key of a target group's ARN.
pub(crate) fn group(scope: &Scope, arn: &str) -> Result<GroupKey, Error> {
    let parts = parts(scope, arn, Kind::TargetGroup, 2)?;
    Ok((scope.clone(), parts.join("/")))
}

/// The key of a listener's ARN.
pub(crate) fn listener(scope: &Scope, arn: &str) -> Result<ListenerKey, Error> {
    let parts = parts(scope, arn, Kind::Listener, 4)?;
    Ok((scope.clone(), parts[..3].join("/"), parts[3].to_owned()))
}

/// The key of a rule's ARN.
pub(crate) fn rule(scope: &Scope, arn: &str) -> Result<RuleKey, Error> {
    let parts = parts(scope, arn, Kind::Rule, 5)?;
    Ok((scope.clone(), parts[..3].join("/"), parts[3].to_owned(), parts[4].to_owned()))
}
