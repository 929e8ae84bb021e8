//! Which load balancers use which target groups and certificates: it follows from the actions of listeners and
//! rules, and is stored nowhere else.

use std::collections::BTreeSet;

use certificates::Users;
use ledger::{Snapshot, Tx, View};

use crate::arn;
use crate::tables::{GroupKey, ListenerKey, LoadBalancerKey, Tables};
use crate::{Elb, Inner};

impl Tables {
    /// The load balancers whose actions name a target group: one at most.
    pub(crate) fn load_balancers_of(
        &self,
        view: &impl View,
        group: &GroupKey,
    ) -> BTreeSet<LoadBalancerKey> {
        let listeners = view.index(&self.listeners_by_group, group);
        let listeners = listeners.map(|(key, _)| (key.0, key.1));
        let rules = view.index(&self.rules_by_group, group).map(|(key, _)| (key.0, key.1));
        listeners.chain(rules).collect()
    }

    /// The target groups that a load balancer's actions name.
    pub(crate) fn groups_of(
        &self,
        view: &impl View,
        load_balancer: &LoadBalancerKey,
    ) -> BTreeSet<GroupKey> {
        let scope = &load_balancer.0;
        let listeners = view.prefix(&self.listeners, load_balancer);
        let listeners = listeners.flat_map(|(_, row)| row.default_actions.groups(scope));
        let rules = view.prefix(&self.rules, load_balancer);
        let rules = rules.flat_map(|(_, row)| row.actions.groups(scope));
        listeners.chain(rules).collect()
    }
}

impl Tables {
    /// The ARNs of the load balancers that serve with a certificate.
    fn users_of(&self, view: &impl View, certificate: &str) -> Vec<String> {
        let named = certificate.to_owned();
        let listeners = view.index(&self.listeners_by_certificate, &named);
        let users: BTreeSet<_> =
            listeners.map(|(key, _)| arn::of_load_balancer(&(key.0, key.1))).collect();
        users.into_iter().collect()
    }
}

impl Users for Elb {
    fn at(&self, tx: &Tx<'_>, certificate: &str) -> Vec<String> {
        self.inner.tables.users_of(tx, certificate)
    }

    fn seen(&self, snapshot: &Snapshot, certificate: &str) -> Vec<String> {
        self.inner.tables.users_of(snapshot, certificate)
    }
}

impl Inner {
    /// Deletes a listener with its rules.
    pub(crate) fn drop_listener(&self, tx: &mut Tx<'_>, key: &ListenerKey) {
        let rules: Vec<_> = tx.prefix(&self.tables.rules, key).map(|(key, _)| key).collect();
        for rule in rules {
            tx.delete(&self.tables.rules, &rule);
        }
        tx.delete(&self.tables.listeners, key);
    }
}
