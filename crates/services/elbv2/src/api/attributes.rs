//! Attributes: all that a resource has, with their defaults; set all or none.

use std::collections::BTreeMap;

use shapes_elbv2 as shapes;
use wire::Context;

use super::scope;
use crate::Inner;
use crate::arn;
use crate::error::{Error, Kind};
use crate::model::attributes::{
    Attribute, OF_TARGET_GROUPS, of_listeners, of_load_balancers, of_target_groups, value,
};
use crate::model::{Listener, Protocol, TargetGroup};

type Set = BTreeMap<String, String>;

/// Every attribute with its value.
fn all(known: &'static [Attribute], set: &Set) -> Vec<(String, String)> {
    let pair = |one: &Attribute| (one.key.to_owned(), value(known, set, one.key).to_owned());
    known.iter().map(pair).collect()
}

/// `set` with `wanted`; what an unknown key is answered with differs. Refusals name the `protocol`.
fn changed(
    known: &'static [Attribute],
    set: &Set,
    wanted: impl Iterator<Item = (Option<String>, Option<String>)>,
    (protocol, unknown): (&str, fn(&str) -> Error),
) -> Result<Set, Error> {
    let mut set = set.clone();
    for (key, wanted) in wanted {
        let (key, wanted) = (key.unwrap_or_default(), wanted.unwrap_or_default());
        let attribute = known.iter().find(|one| one.key == key).ok_or_else(|| unknown(&key))?;
        if let Some(text) = attribute.refusal(&wanted, protocol) {
            return Err(Error::Configuration(text));
        }
        set.insert(key, wanted);
    }
    Ok(set)
}

/// Values that do not go together (Application Load Balancer guide, "Target group attributes").
fn check_together(set: &Set) -> Result<(), Error> {
    let get = |key| value(OF_TARGET_GROUPS, set, key);
    let refused = |text: &str| Err(Error::Configuration(text.to_owned()));
    let slow = get("slow_start.duration_seconds") != "0";
    let algorithm = get("load_balancing.algorithm.type");
    if slow && algorithm != "round_robin" {
        return refused(
            "Slow start mode cannot be enabled together with an algorithm other than round_robin",
        );
    }
    let anomalies = get("load_balancing.algorithm.anomaly_mitigation") == "on";
    if anomalies && algorithm != "weighted_random" {
        return refused("Anomaly mitigation needs the weighted_random algorithm");
    }
    let sticky = get("stickiness.enabled") == "true";
    if sticky && get("load_balancing.cross_zone.enabled") == "false" {
        return refused("Stickiness cannot be enabled while cross-zone load balancing is off");
    }
    let of_application = get("stickiness.type") == "app_cookie";
    if sticky && of_application && get("stickiness.app_cookie.cookie_name").is_empty() {
        return refused(
            "You must set an application cookie name to enable stickiness of type 'app_cookie'",
        );
    }
    Ok(())
}

/// Refuses what would change which target a connection goes to, or when it ends, and is not built.
fn check_built(row: &TargetGroup, set: &Set) -> Result<(), Error> {
    let get = |key| value(of_target_groups(true), set, key);
    let operation = "ModifyTargetGroupAttributes";
    if !row.protocol.is_stream() {
        return Ok(());
    }
    if get("stickiness.enabled") == "true" && row.protocol == Protocol::Tls {
        return Err(Error::Configuration(
            "You cannot enable stickiness on target groups with the TLS protocol".to_owned(),
        ));
    }
    if get("target_health_state.unhealthy.draining_interval_seconds") != "0" {
        let key = "target_health_state.unhealthy.draining_interval_seconds";
        return Err(Error::not_built(operation, key));
    }
    Ok(())
}

impl Inner {
    /// Shows a load balancer's attributes.
    pub(super) async fn describe_load_balancer_attributes(
        &self,
        context: Context,
        input: shapes::DescribeLoadBalancerAttributesInput,
    ) -> Result<shapes::DescribeLoadBalancerAttributesOutput, Error> {
        let key = arn::load_balancer(&scope(&context), &input.load_balancer_arn)?;
        let row = self.ledger.snapshot().get(&self.tables.load_balancers, &key);
        let row = row.ok_or(Error::NotFound(Kind::LoadBalancer))?;
        Ok(shapes::DescribeLoadBalancerAttributesOutput {
            attributes: Some(of_load_balancer(arn::is_network(&key.1), &row.attributes)),
        })
    }

    /// Sets a load balancer's attributes.
    pub(super) async fn modify_load_balancer_attributes(
        &self,
        context: Context,
        input: shapes::ModifyLoadBalancerAttributesInput,
    ) -> Result<shapes::ModifyLoadBalancerAttributesOutput, Error> {
        let unknown = |key: &str| Error::Configuration(format!("Key {key} not valid"));
        let of = arn::load_balancer(&scope(&context), &input.load_balancer_arn)?;
        let is_network = arn::is_network(&of.1);
        let row = self.change_load_balancer(&context, &input.load_balancer_arn, |_, row| {
            let wanted = input.attributes.iter().map(|one| (one.key.clone(), one.value.clone()));
            let known = of_load_balancers(is_network);
            row.attributes = changed(known, &row.attributes, wanted, ("", unknown))?;
            let get = |key| value(known, &row.attributes, key);
            if get("access_logs.s3.enabled") == "true" && get("access_logs.s3.bucket").is_empty() {
                return Err(Error::Configuration(
                    "An S3 bucket name must be specified to enable access logs".to_owned(),
                ));
            }
            Ok(())
        });
        let attributes = Some(of_load_balancer(is_network, &row.await?.attributes));
        Ok(shapes::ModifyLoadBalancerAttributesOutput { attributes })
    }

    /// Shows a target group's attributes.
    pub(super) async fn describe_target_group_attributes(
        &self,
        context: Context,
        input: shapes::DescribeTargetGroupAttributesInput,
    ) -> Result<shapes::DescribeTargetGroupAttributesOutput, Error> {
        let key = arn::group(&scope(&context), &input.target_group_arn)?;
        let row = self.ledger.snapshot().get(&self.tables.groups, &key);
        let row = row.ok_or(Error::NotFound(Kind::TargetGroup))?;
        let attributes = Some(of_group(row.protocol.is_stream(), &row.attributes));
        Ok(shapes::DescribeTargetGroupAttributesOutput { attributes })
    }

    /// Sets a target group's attributes.
    pub(super) async fn modify_target_group_attributes(
        &self,
        context: Context,
        input: shapes::ModifyTargetGroupAttributesInput,
    ) -> Result<shapes::ModifyTargetGroupAttributesOutput, Error> {
        let key = arn::group(&scope(&context), &input.target_group_arn)?;
        let unknown = |key: &str| {
            Error::invalid(format!("Target group attribute key '{key}' is not recognized"))
        };
        let done = self.ledger.transact("modify target group attributes", |tx| {
            let row = tx.get(&self.tables.groups, &key);
            let row = row.ok_or(Error::NotFound(Kind::TargetGroup))?;
            let wanted = input.attributes.iter().map(|one| (one.key.clone(), one.value.clone()));
            let is_network = row.protocol.is_stream();
            let known = of_target_groups(is_network);
            let protocol = row.protocol.shown();
            let attributes = changed(known, &row.attributes, wanted, (protocol.as_str(), unknown))?;
            check_built(&row, &attributes)?;
            if !is_network {
                check_together(&attributes)?;
            }
            let shown = of_group(is_network, &attributes);
            tx.put(
                &self.tables.groups,
                key.clone(),
                TargetGroup { attributes, ..TargetGroup::clone(&row) },
            );
            Ok::<_, Error>(shown)
        });
        let attributes = Some(done.await?.value);
        Ok(shapes::ModifyTargetGroupAttributesOutput { attributes })
    }

    /// Shows a listener's attributes.
    pub(super) async fn describe_listener_attributes(
        &self,
        context: Context,
        input: shapes::DescribeListenerAttributesInput,
    ) -> Result<shapes::DescribeListenerAttributesOutput, Error> {
        let key = arn::listener(&scope(&context), &input.listener_arn)?;
        let row = self.ledger.snapshot().get(&self.tables.listeners, &key);
        let row = row.ok_or(Error::NotFound(Kind::Listener))?;
        let attributes = Some(of_listener(arn::is_network(&key.1), &row.attributes));
        Ok(shapes::DescribeListenerAttributesOutput { attributes })
    }

    /// Sets a listener's attributes.
    pub(super) async fn modify_listener_attributes(
        &self,
        context: Context,
        input: shapes::ModifyListenerAttributesInput,
    ) -> Result<shapes::ModifyListenerAttributesOutput, Error> {
        let key = arn::listener(&scope(&context), &input.listener_arn)?;
        let unknown = |key: &str| Error::Configuration(format!("Key {key} not valid"));
        let done = self.ledger.transact("modify listener attributes", |tx| {
            let row = tx.get(&self.tables.listeners, &key);
            let row = row.ok_or(Error::NotFound(Kind::Listener))?;
            let wanted = input.attributes.iter().map(|one| (one.key.clone(), one.value.clone()));
            let is_network = arn::is_network(&key.1);
            let attributes =
                changed(of_listeners(is_network), &row.attributes, wanted, ("", unknown))?;
            let shown = of_listener(is_network, &attributes);
            tx.put(
                &self.tables.listeners,
                key.clone(),
                Listener { attributes, ..Listener::clone(&row) },
            );
            Ok::<_, Error>(shown)
        });
        let attributes = Some(done.await?.value);
        Ok(shapes::ModifyListenerAttributesOutput { attributes })
    }
}

fn of_load_balancer(is_network: bool, set: &Set) -> Vec<shapes::LoadBalancerAttribute> {
    let one = |(key, value)| shapes::LoadBalancerAttribute { key: Some(key), value: Some(value) };
    all(of_load_balancers(is_network), set).into_iter().map(one).collect()
}

fn of_group(is_network: bool, set: &Set) -> Vec<shapes::TargetGroupAttribute> {
    let one = |(key, value)| shapes::TargetGroupAttribute { key: Some(key), value: Some(value) };
    all(of_target_groups(is_network), set).into_iter().map(one).collect()
}

fn of_listener(is_network: bool, set: &Set) -> Vec<shapes::ListenerAttribute> {
    let one = |(key, value)| shapes::ListenerAttribute { key: Some(key), value: Some(value) };
    all(of_listeners(is_network), set).into_iter().map(one).collect()
}
