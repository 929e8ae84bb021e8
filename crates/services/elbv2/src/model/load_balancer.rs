//! Load balancers, listeners, rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use shapes_elbv2 as shapes;
use terms::Timestamp;
use wire::document::Document;

use super::Actions;

/// What names of application load balancers end with; nobody else's zone.
pub(crate) const DNS_SUFFIX: &str = "elb.internal";

/// What names of a region's network load balancers end with.
pub(crate) fn network_suffix(region: &impl Display) -> String {
    format!("elb.{region}.internal")
}

/// Where a load balancer is in its life (API reference, `LoadBalancerState`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// Nobody listens on its address yet.
    #[default]
    Provisioning,
    /// Its listeners take connections.
    Active,
    /// Some listener cannot listen, with the reason.
    Impaired(String),
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadBalancer {
    /// Its name, one of an account and region.
    pub(crate) name: String,
    /// Where it is found.
    pub(crate) dns_name: String,
    /// The address that it listens on, its own among all load balancers.
    pub(crate) address: Ipv4Addr,
    /// Whether it is internal; both kinds are reached alike.
    pub(crate) internal: bool,
    /// The VPC of its subnets.
    pub(crate) vpc: String,
    /// Its subnets with their zones, in the order in which they were named.
    pub(crate) subnets: Vec<(String, String)>,
    /// Its security groups: shown, not enforced.
    pub(crate) security_groups: Vec<String>,
    /// Attributes that were set; all others have their defaults.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// When it was made.
    pub(crate) made_at: Timestamp,
    /// Where it is in its life: written by what the data plane reports.
    pub(crate) state: State,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Listener {
    /// Where it listens.
    pub(crate) port: u16,
    /// What is done with requests that no rule takes.
    pub(crate) default_actions: Actions,
    /// The id of the rule that shows the default actions.
    pub(crate) default_rule: String,
    /// Attributes that were set.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// Tags of the default rule.
    pub(crate) default_rule_tags: BTreeMap<String, String>,
    /// What it shows and how, if it takes TLS.
    #[serde(default)]
    pub(crate) secure: Option<Secure>,
    /// What carries bytes to it.
    #[serde(default)]
    pub(crate) transport: Transport,
}

/// What carries bytes to a listener of a network load balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Transport {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
    /// Either.
    Both,
}

/// What a listener has that takes TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secure {
    /// The ARN of the certificate that clients get unless another fits better.
    pub(crate) certificate: String,
    /// The ARNs of certificates that were added, in that order; the first may be among them.
    pub(crate) more: Vec<String>,
    /// The name of its security policy.
    pub(crate) policy: String,
}

impl Listener {
    /// The ARNs of its certificates, each once.
    pub(crate) fn certificates(&self) -> BTreeSet<&str> {
        let all = self.secure.iter();
        all.flat_map(|secure| std::iter::once(&secure.certificate).chain(&secure.more))
            .map(String::as_str)
            .collect()
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// 1 to 50,000, its own among the listener's rules; the lowest is asked first.
    pub(crate) priority: u32,
    /// What a request must be for the rule to take it: all of these.
    pub(crate) conditions: Vec<Document<shapes::RuleCondition>>,
    /// What is done with it.
    pub(crate) actions: Actions,
    /// Tags.
    pub(crate) tags: BTreeMap<String, String>,
}
