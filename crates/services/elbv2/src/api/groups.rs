//! Target groups.

use std::collections::BTreeMap;

use ledger::View;
use shapes_elbv2 as shapes;
use shapes_elbv2::{ProtocolEnum, TargetTypeEnum};
use vpc::Scope;
use wire::Context;

use super::health_settings::Wanted;
use super::paging::page;
use super::{limits, names, scope};
use crate::Inner;
use crate::arn;
use crate::error::{Error, Kind, Limit};
use crate::model::{HealthCheck, Protocol, TargetGroup, TargetType, Version};
use crate::tables::GroupKey;

const CREATE: &str = "CreateTargetGroup";

impl Inner {
    /// Makes a target group. One that is there with the same settings is shown.
    pub(super) async fn create_target_group(
        &self,
        context: Context,
        input: shapes::CreateTargetGroupInput,
    ) -> Result<shapes::CreateTargetGroupOutput, Error> {
        names::check_group(&input.name)?;
        let target_type = target_type(&input)?;
        let (protocol, version) = spoken(&input)?;
        let tags = names::tags(input.tags.as_deref().unwrap_or_default())?;
        let check =
            wanted(&input, (protocol, version)).over(&HealthCheck::usual(protocol, version))?;
        let port = input.port.and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| Error::invalid("A port must be specified"))?;
        let vpc = input.vpc_id.clone();
        let vpc = vpc.ok_or_else(|| Error::invalid("A VPC ID must be specified"))?;
        let scope = scope(&context);
        let done = self.ledger.transact("create target group", |tx| {
            self.check_vpc(tx, &scope, &vpc)?;
            let named = (scope.clone(), input.name.clone());
            if let Some((key, row)) = tx.index(&self.tables.group_names, &named).next() {
                let same = row.target_type == target_type
                    && (row.protocol, row.version) == (protocol, version)
                    && row.port == port
                    && row.vpc == vpc
                    && row.check == check;
                return match same {
                    true => Ok(self.show_group(tx, &key, &row)),
                    false => Err(Error::DuplicateTargetGroup(input.name.clone())),
                };
            }
            let max = limits::TARGET_GROUPS;
            if tx.facts().prefix(&self.tables.groups, &scope).count() >= max {
                let text = format!("At most {max} target groups are allowed");
                return Err(Error::too_many(Limit::TargetGroups, text));
            }
            let row = TargetGroup {
                name: input.name.clone(),
                target_type,
                protocol,
                port,
                vpc: vpc.clone(),
                check: check.clone(),
                attributes: first_attributes(protocol),
                tags: tags.clone(),
                made_at: tx.now(),
                version,
            };
            let key = (scope.clone(), format!("{}/{}", input.name, names::id(tx.next_id())));
            let shown = self.show_group(tx, &key, &row);
            tx.put(&self.tables.groups, key, row);
            Ok(shown)
        });
        let made = done.await?.value;
        Ok(shapes::CreateTargetGroupOutput { target_groups: Some(vec![made]) })
    }

    /// Lists target groups.
    pub(super) async fn describe_target_groups(
        &self,
        context: Context,
        input: shapes::DescribeTargetGroupsInput,
    ) -> Result<shapes::DescribeTargetGroupsOutput, Error> {
        let (scope, snapshot) = (scope(&context), self.ledger.snapshot());
        let arns = input.target_group_arns.unwrap_or_default();
        let named = input.names.unwrap_or_default();
        let of = input.load_balancer_arn.as_deref();
        let ways = [!arns.is_empty(), !named.is_empty(), of.is_some()];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            return Err(Error::invalid(
                "Target group names, target group ARNs, and a load balancer ARN cannot be \
                 specified at the same time",
            ));
        }
        let keys: Vec<GroupKey> = if let Some(of) = of {
            let key = arn::load_balancer(&scope, of)?;
            let row = snapshot.get(&self.tables.load_balancers, &key);
            row.ok_or(Error::NotFound(Kind::LoadBalancer))?;
            self.tables.groups_of(&snapshot, &key).into_iter().collect()
        } else if !arns.is_empty() {
            arns.iter().map(|text| arn::group(&scope, text)).collect::<Result<_, _>>()?
        } else if !named.is_empty() {
            let key = |name: &String| {
                let named = (scope.clone(), name.clone());
                let found = snapshot.index(&self.tables.group_names, &named).next();
                found.map(|(key, _)| key).ok_or(Error::NotFound(Kind::TargetGroup))
            };
            named.iter().map(key).collect::<Result<_, _>>()?
        } else {
            snapshot.prefix(&self.tables.groups, &scope).map(|(key, _)| key).collect()
        };
        let show = |key: &GroupKey| {
            let row = snapshot.get(&self.tables.groups, key);
            let row = row.ok_or(Error::NotFound(Kind::TargetGroup))?;
            Ok(self.show_group(&snapshot, key, &row))
        };
        let found = keys.iter().map(show).collect::<Result<Vec<_>, Error>>()?;
        let name = |shown: &shapes::TargetGroup| shown.target_group_arn.clone().unwrap_or_default();
        let (shown, next_marker) = page(found, name, input.page_size, input.marker.as_deref())?;
        Ok(shapes::DescribeTargetGroupsOutput { next_marker, target_groups: Some(shown) })
    }

    /// Changes how health is checked.
    pub(super) async fn modify_target_group(
        &self,
        context: Context,
        input: shapes::ModifyTargetGroupInput,
    ) -> Result<shapes::ModifyTargetGroupOutput, Error> {
        let key = arn::group(&scope(&context), &input.target_group_arn)?;
        let wanted = |spoken| Wanted {
            spoken,
            enabled: input.health_check_enabled,
            interval: input.health_check_interval_seconds,
            path: input.health_check_path.as_deref(),
            port: input.health_check_port.as_deref(),
            protocol: input.health_check_protocol,
            timeout: input.health_check_timeout_seconds,
            healthy: input.healthy_threshold_count,
            unhealthy: input.unhealthy_threshold_count,
            matcher: input.matcher.as_ref(),
        };
        let done = self.ledger.transact("modify target group", |tx| {
            let row = tx.get(&self.tables.groups, &key);
            let row = row.ok_or(Error::NotFound(Kind::TargetGroup))?;
            let changed = TargetGroup {
                check: wanted((row.protocol, row.version)).over(&row.check)?,
                ..TargetGroup::clone(&row)
            };
            let shown = self.show_group(tx, &key, &changed);
            tx.put(&self.tables.groups, key.clone(), changed);
            Ok::<_, Error>(shown)
        });
        let shown = done.await?.value;
        Ok(shapes::ModifyTargetGroupOutput { target_groups: Some(vec![shown]) })
    }

    /// Deletes a target group that nothing forwards to, with its targets; one that is not there is
    /// no error.
    pub(super) async fn delete_target_group(
        &self,
        context: Context,
        input: shapes::DeleteTargetGroupInput,
    ) -> Result<shapes::DeleteTargetGroupOutput, Error> {
        let key = match arn::group(&scope(&context), &input.target_group_arn) {
            Err(Error::NotFound(_)) => return Ok(shapes::DeleteTargetGroupOutput {}),
            key => key?,
        };
        let done = self.ledger.transact("delete target group", |tx| {
            if !self.tables.load_balancers_of(tx, &key).is_empty() {
                return Err(Error::TargetGroupInUse(input.target_group_arn.clone()));
            }
            let targets: Vec<_> =
                tx.prefix(&self.tables.targets, &key).map(|(key, _)| key).collect();
            for target in targets {
                tx.delete(&self.tables.targets, &target);
                tx.delete(&self.tables.health, &target);
            }
            tx.delete(&self.tables.groups, &key);
            Ok(())
        });
        done.await?;
        Ok(shapes::DeleteTargetGroupOutput {})
    }

    fn check_vpc(&self, view: &impl View, scope: &Scope, id: &str) -> Result<(), Error> {
        match self.vpc.has_vpc(view, scope, id) {
            true => Ok(()),
            false => Err(Error::invalid(format!("The VPC ID '{id}' is not found"))),
        }
    }
}

fn wanted(input: &shapes::CreateTargetGroupInput, spoken: (Protocol, Version)) -> Wanted<'_> {
    Wanted {
        spoken,
        enabled: input.health_check_enabled,
        interval: input.health_check_interval_seconds,
        path: input.health_check_path.as_deref(),
        port: input.health_check_port.as_deref(),
        protocol: input.health_check_protocol,
        timeout: input.health_check_timeout_seconds,
        healthy: input.healthy_threshold_count,
        unhealthy: input.unhealthy_threshold_count,
        matcher: input.matcher.as_ref(),
    }
}

/// What targets speak; refuses what is not built.
fn spoken(input: &shapes::CreateTargetGroupInput) -> Result<(Protocol, Version), Error> {
    let protocol = match input.protocol {
        None => return Err(Error::invalid("A protocol must be specified")),
        Some(ProtocolEnum::Http) => Protocol::Http,
        Some(ProtocolEnum::Https) => Protocol::Https,
        Some(ProtocolEnum::Tcp) => Protocol::Tcp,
        Some(ProtocolEnum::Tls) => Protocol::Tls,
        Some(ProtocolEnum::Udp) => Protocol::Udp,
        Some(ProtocolEnum::TcpUdp) => Protocol::TcpUdp,
        Some(other) => {
            return Err(Error::not_built(CREATE, format!("Protocol {}", other.as_str())));
        }
    };
    if protocol.is_stream() && input.protocol_version.is_some() {
        return Err(Error::invalid(
            "A protocol version can be specified for HTTP and HTTPS target groups only",
        ));
    }
    let named = input.protocol_version.as_deref().unwrap_or("HTTP1");
    let version = Version::parse(named);
    let wrong = || Error::invalid(format!("'{named}' is not a valid protocol version"));
    Ok((protocol, version.ok_or_else(wrong)?))
}

/// The kind of targets; refuses what is not built.
fn target_type(input: &shapes::CreateTargetGroupInput) -> Result<TargetType, Error> {
    let refused = |what: String| Err(Error::not_built(CREATE, what));
    let target_type = match input.target_type.unwrap_or_default() {
        TargetTypeEnum::Instance => TargetType::Instance,
        TargetTypeEnum::Ip => TargetType::Ip,
        other => return refused(format!("TargetType {}", other.as_str())),
    };
    match input.ip_address_type {
        None | Some(shapes::TargetGroupIpAddressTypeEnum::Ipv4) => {}
        Some(other) => return refused(format!("IpAddressType {}", other.as_str())),
    }
    if input.target_control_port.is_some() {
        return refused("TargetControlPort".to_owned());
    }
    Ok(target_type)
}

/// What a new group's attributes are beside the defaults of all: flows of datagrams end with their
/// target (Network Load Balancer guide, "Edit target group attributes").
fn first_attributes(protocol: Protocol) -> BTreeMap<String, String> {
    let key = "deregistration_delay.connection_termination.enabled".to_owned();
    match protocol {
        Protocol::Udp | Protocol::TcpUdp => BTreeMap::from([(key, "true".to_owned())]),
        _ => BTreeMap::new(),
    }
}
