//! Tables and indexes; only this crate writes them.

use ledger::{Index, Record, Schema, Table};
use terms::Timestamp;
use vpc::Scope;

use crate::model::{Health, Listener, LoadBalancer, Rule, Target, TargetGroup};

/// Scope and `app/NAME/ID`.
pub(crate) type LoadBalancerKey = (Scope, String);
/// Scope and `NAME/ID`.
pub(crate) type GroupKey = (Scope, String);
/// Scope, the load balancer's `app/NAME/ID`, and the listener's id.
pub(crate) type ListenerKey = (Scope, String, String);
/// As a listener's, and the rule's id.
pub(crate) type RuleKey = (Scope, String, String, String);
/// Scope, the group's `NAME/ID`, the target's id and its port.
pub(crate) type TargetKey = (Scope, String, String, u32);

impl Record for LoadBalancer {}
impl Record for Listener {}
impl Record for Rule {}
impl Record for TargetGroup {}
impl Record for Target {}
impl Record for Health {}

/// The tables' handles.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Load balancers.
    pub(crate) load_balancers: Table<LoadBalancerKey, LoadBalancer>,
    /// Load balancers by name.
    pub(crate) load_balancer_names: Index<(Scope, String), LoadBalancerKey, LoadBalancer>,
    /// Load balancers of all accounts by the address that they listen on, as a number.
    pub(crate) addresses: Index<u32, LoadBalancerKey, LoadBalancer>,
    /// Listeners, with what they do by default.
    pub(crate) listeners: Table<ListenerKey, Listener>,
    /// Listeners by the target groups that their default actions name: scope and `NAME/ID`.
    pub(crate) listeners_by_group: Index<GroupKey, ListenerKey, Listener>,
    /// Listeners by the ARNs of the certificates that they serve with.
    pub(crate) listeners_by_certificate: Index<String, ListenerKey, Listener>,
    /// Rules but the default ones.
    pub(crate) rules: Table<RuleKey, Rule>,
    /// Rules by the target groups that their actions name: scope and `NAME/ID`.
    pub(crate) rules_by_group: Index<GroupKey, RuleKey, Rule>,
    /// Target groups.
    pub(crate) groups: Table<GroupKey, TargetGroup>,
    /// Target groups by name.
    pub(crate) group_names: Index<(Scope, String), GroupKey, TargetGroup>,
    /// Registered targets, those that are draining too.
    pub(crate) targets: Table<TargetKey, Target>,
    /// Draining targets by when that ends.
    pub(crate) draining: Index<Timestamp, TargetKey, Target>,
    /// What health checks found: written by what the data plane reports, by nothing else.
    pub(crate) health: Table<TargetKey, Health>,
}

impl Tables {
    /// Declares the tables.
    pub fn declare(schema: &mut Schema) -> Self {
        let load_balancers = schema.table("elbv2.load_balancers");
        let listeners = schema.table("elbv2.listeners");
        let rules = schema.table("elbv2.rules");
        let groups = schema.table("elbv2.target_groups");
        let targets = schema.table("elbv2.targets");
        Self {
            load_balancers,
            load_balancer_names: schema.index(
                &load_balancers,
                "name",
                |key: &LoadBalancerKey, row: &LoadBalancer| vec![(key.0.clone(), row.name.clone())],
            ),
            addresses: schema.index(&load_balancers, "address", |_, row: &LoadBalancer| {
                vec![u32::from(row.address)]
            }),
            listeners,
            listeners_by_group: schema.index(
                &listeners,
                "group",
                |key: &ListenerKey, row: &Listener| row.default_actions.groups(&key.0),
            ),
            listeners_by_certificate: schema.index(
                &listeners,
                "certificate",
                |_, row: &Listener| {
                    row.certificates().into_iter().map(str::to_owned).collect::<Vec<_>>()
                },
            ),
            rules,
            rules_by_group: schema
                .index(&rules, "group", |key: &RuleKey, row: &Rule| row.actions.groups(&key.0)),
            groups,
            group_names: schema.index(&groups, "name", |key: &GroupKey, row: &TargetGroup| {
                vec![(key.0.clone(), row.name.clone())]
            }),
            targets,
            draining: schema
                .index(&targets, "draining", |_, row: &Target| Vec::from_iter(row.draining_until)),
            health: schema.table("elbv2.health"),
        }
    }
}
