//! Targets: registering, deregistering, and how they are.

use std::net::IpAddr;
use std::time::Duration;

use ledger::View;
use shapes_elbv2 as shapes;
use shapes_elbv2::{TargetHealthReasonEnum as ShownReason, TargetHealthStateEnum as ShownState};
use wire::Context;

use super::{limits, scope};
use crate::Inner;
use crate::arn;
use crate::error::{Error, Kind, Limit};
use crate::model::attributes::{self, OF_TARGET_GROUPS};
use crate::model::{Health, HealthState, Reason, Target, TargetGroup, TargetType};
use crate::tables::{GroupKey, TargetKey};

impl Inner {
    /// Registers targets. One that is registered stays; one that is draining is back.
    pub(super) async fn register_targets(
        &self,
        context: Context,
        input: shapes::RegisterTargetsInput,
    ) -> Result<shapes::RegisterTargetsOutput, Error> {
        let scope = scope(&context);
        let key = arn::group(&scope, &input.target_group_arn)?;
        // Instances are looked up before: where one is changes only when it registers anew.
        let addresses: Vec<Option<IpAddr>> =
            input.targets.iter().map(|wanted| self.instances.address(&scope, &wanted.id)).collect();
        let done = self.ledger.transact("register targets", |tx| {
            let group = tx.get(&self.tables.groups, &key);
            let group = group.ok_or(Error::NotFound(Kind::TargetGroup))?;
            for (wanted, instance) in input.targets.iter().zip(&addresses) {
                let address = address(&group, wanted, *instance)?;
                let target = target_key(&key, wanted, port(wanted, group.port)?);
                let before = tx.get(&self.tables.targets, &target);
                if before.as_ref().is_some_and(|before| before.draining_until.is_none()) {
                    continue;
                }
                let row = Target {
                    address: Some(address),
                    zone: wanted.availability_zone.clone(),
                    registered_at: tx.now(),
                    draining_until: None,
                };
                tx.delete(&self.tables.health, &target);
                tx.put(&self.tables.targets, target, row);
            }
            let max = limits::TARGETS;
            if tx.prefix(&self.tables.targets, &key).count() > max {
                let text = format!("At most {max} targets are allowed in a target group");
                return Err(Error::too_many(Limit::Targets, text));
            }
            Ok(())
        });
        done.await?;
        Ok(shapes::RegisterTargetsOutput {})
    }

    /// Deregisters targets: they get no new requests, and are gone when their time is over.
    pub(super) async fn deregister_targets(
        &self,
        context: Context,
        input: shapes::DeregisterTargetsInput,
    ) -> Result<shapes::DeregisterTargetsOutput, Error> {
        let key = arn::group(&scope(&context), &input.target_group_arn)?;
        let done = self.ledger.transact("deregister targets", |tx| {
            let group = tx.get(&self.tables.groups, &key);
            let group = group.ok_or(Error::NotFound(Kind::TargetGroup))?;
            let until = tx.now() + delay(&group);
            for wanted in &input.targets {
                for target in self.registered(tx, &key, &group, wanted)? {
                    let row = tx.get(&self.tables.targets, &target);
                    let Some(row) = row.filter(|row| row.draining_until.is_none()) else {
                        continue;
                    };
                    let row = Target { draining_until: Some(until), ..Target::clone(&row) };
                    tx.put(&self.tables.targets, target, row);
                }
            }
            Ok::<_, Error>(())
        });
        done.await?;
        Ok(shapes::DeregisterTargetsOutput {})
    }

    /// The registrations that a request means: without a port the one on the group's port, else all
    /// of the id (the guides are silent).
    fn registered(
        &self,
        view: &impl View,
        group_key: &GroupKey,
        group: &TargetGroup,
        wanted: &shapes::TargetDescription,
    ) -> Result<Vec<TargetKey>, Error> {
        if wanted.port.is_some() {
            return Ok(vec![target_key(group_key, wanted, port(wanted, group.port)?)]);
        }
        let usual = target_key(group_key, wanted, group.port);
        if view.get(&self.tables.targets, &usual).is_some() {
            return Ok(vec![usual]);
        }
        let of_id = (group_key.0.clone(), group_key.1.clone(), wanted.id.clone());
        Ok(view.prefix(&self.tables.targets, &of_id).map(|(key, _)| key).collect())
    }

    /// Tells how targets are.
    pub(super) async fn describe_target_health(
        &self,
        context: Context,
        input: shapes::DescribeTargetHealthInput,
    ) -> Result<shapes::DescribeTargetHealthOutput, Error> {
        if input.include.as_deref().is_some_and(|include| !include.is_empty()) {
            return Err(Error::not_built("DescribeTargetHealth", "Include"));
        }
        let key = arn::group(&scope(&context), &input.target_group_arn)?;
        let snapshot = self.ledger.snapshot();
        let now = self.ledger.clock().now();
        let group = snapshot.get(&self.tables.groups, &key);
        let group = group.ok_or(Error::NotFound(Kind::TargetGroup))?;
        let is_there = |row: &Target| row.draining_until.is_none_or(|until| until > now);
        let is_used = !self.tables.load_balancers_of(&snapshot, &key).is_empty();
        let show = |target: &TargetKey, row: &Target| {
            let found = snapshot.get(&self.tables.health, target);
            let found = found.as_deref();
            describe(&group, target, row, health(row, is_used, found))
        };
        let shown = match input.targets.as_deref().filter(|targets| !targets.is_empty()) {
            None => {
                let rows = snapshot.prefix(&self.tables.targets, &key);
                rows.filter(|(_, row)| is_there(row)).map(|(key, row)| show(&key, &row)).collect()
            }
            Some(named) => {
                let mut shown = Vec::new();
                for wanted in named {
                    let targets = self.registered(&snapshot, &key, &group, wanted)?;
                    let rows = targets.into_iter().filter_map(|target| {
                        let row = snapshot.get(&self.tables.targets, &target)?;
                        is_there(&row).then(|| show(&target, &row))
                    });
                    let before = shown.len();
                    shown.extend(rows);
                    if shown.len() == before {
                        shown.push(not_registered(&group, wanted));
                    }
                }
                shown
            }
        };
        Ok(shapes::DescribeTargetHealthOutput { target_health_descriptions: Some(shown) })
    }
}

/// How long a deregistered target may go on with what it has begun.
pub(crate) fn delay(group: &TargetGroup) -> Duration {
    let key = "deregistration_delay.timeout_seconds";
    let text = attributes::value(OF_TARGET_GROUPS, &group.attributes, key);
    Duration::from_secs(text.parse().unwrap_or_default())
}

/// Where a target of a request is: at its own address, or at its instance's.
fn address(
    group: &TargetGroup,
    wanted: &shapes::TargetDescription,
    instance: Option<IpAddr>,
) -> Result<IpAddr, Error> {
    let id = &wanted.id;
    if wanted.quic_server_id.is_some() {
        return Err(Error::not_built("RegisterTargets", "QuicServerId"));
    }
    match group.target_type {
        TargetType::Instance => instance.ok_or_else(|| {
            Error::Target(format!("The following targets are not in a running state: '{id}'"))
        }),
        TargetType::Ip => {
            let address = id.parse::<std::net::Ipv4Addr>().map(IpAddr::V4);
            address.map_err(|_| {
                Error::invalid(format!("The IP address '{id}' is not a valid IPv4 address"))
            })
        }
    }
}

fn target_key(group: &GroupKey, wanted: &shapes::TargetDescription, port: u16) -> TargetKey {
    (group.0.clone(), group.1.clone(), wanted.id.clone(), u32::from(port))
}

fn port(wanted: &shapes::TargetDescription, usual: u16) -> Result<u16, Error> {
    let Some(port) = wanted.port else { return Ok(usual) };
    let read = u16::try_from(port).ok().filter(|port| *port > 0);
    read.ok_or_else(|| Error::invalid(format!("Target port '{port}' must be between 1 and 65535")))
}

/// State, reason and description of a registered target, in ELB's words (Application Load Balancer
/// guide, "Target health status").
fn health(row: &Target, is_used: bool, found: Option<&Health>) -> shapes::TargetHealth {
    let told = |state, reason, text: &str| shapes::TargetHealth {
        description: Some(text.to_owned()),
        reason: Some(reason),
        state: Some(state),
    };
    if row.draining_until.is_some() {
        let reason = ShownReason::TargetDeregistrationInProgress;
        return told(ShownState::Draining, reason, "Target deregistration is in progress");
    }
    if !is_used {
        return told(
            ShownState::Unused,
            ShownReason::TargetNotInUse,
            "Target group is not configured to receive traffic from the load balancer",
        );
    }
    let registering = ShownReason::ElbRegistrationInProgress;
    let Some(found) = found else {
        return told(ShownState::Initial, registering, "Target registration is in progress");
    };
    let text = |usual: &str| found.description.clone().unwrap_or_else(|| usual.to_owned());
    match (found.state, found.reason) {
        (HealthState::Healthy, _) => {
            shapes::TargetHealth { state: Some(ShownState::Healthy), ..Default::default() }
        }
        (HealthState::Initial, _) => told(
            ShownState::Initial,
            ShownReason::ElbInitialHealthChecking,
            "Initial health checks in progress",
        ),
        (HealthState::Unhealthy, Some(Reason::ResponseCodeMismatch)) => told(
            ShownState::Unhealthy,
            ShownReason::TargetResponseCodeMismatch,
            &text("Health checks failed"),
        ),
        (HealthState::Unhealthy, Some(Reason::Timeout)) => {
            told(ShownState::Unhealthy, ShownReason::TargetTimeout, "Request timed out")
        }
        (HealthState::Unhealthy, Some(Reason::FailedHealthChecks) | None) => told(
            ShownState::Unhealthy,
            ShownReason::TargetFailedHealthChecks,
            "Health checks failed",
        ),
    }
}

fn describe(
    group: &TargetGroup,
    (_, _, id, port): &TargetKey,
    row: &Target,
    health: shapes::TargetHealth,
) -> shapes::TargetHealthDescription {
    let checked = group.check.port.map_or(*port, u32::from);
    shapes::TargetHealthDescription {
        health_check_port: Some(checked.to_string()),
        target: Some(shapes::TargetDescription {
            availability_zone: row.zone.clone(),
            id: id.clone(),
            port: i32::try_from(*port).ok(),
            quic_server_id: None,
        }),
        target_health: Some(health),
        ..Default::default()
    }
}

fn not_registered(
    group: &TargetGroup,
    wanted: &shapes::TargetDescription,
) -> shapes::TargetHealthDescription {
    let port = wanted.port.unwrap_or_else(|| i32::from(group.port));
    let checked = group.check.port.map_or(port, i32::from);
    let health = shapes::TargetHealth {
        description: Some("Target is not registered to the target group".to_owned()),
        reason: Some(ShownReason::TargetNotRegistered),
        state: Some(ShownState::Unused),
    };
    shapes::TargetHealthDescription {
        health_check_port: Some(checked.to_string()),
        target: Some(shapes::TargetDescription { port: Some(port), ..wanted.clone() }),
        target_health: Some(health),
        ..Default::default()
    }
}
