//! Making, showing and deleting load balancers.

use std::net::Ipv4Addr;

use ledger::{Tx, View};
use shapes_elbv2 as shapes;
use vpc::Scope;
use wire::Context;

use super::paging::page;
use super::placement::{Placement, placed};
use super::{limits, names, scope, show};
use crate::Inner;
use crate::arn;
use crate::error::{Error, Kind, Limit};
use crate::model::attributes;
use crate::model::{DNS_SUFFIX, LoadBalancer, State, network_suffix};
use crate::tables::LoadBalancerKey;

/// Most load balancers that one request names.
const NAMED_MAX: usize = 20;
/// The first of the addresses that load balancers get: loopback addresses beside those that people
/// use by hand (docs/decisions/0100-addresses-of-load-balancers.md).
const FIRST_ADDRESS: u32 = u32::from_be_bytes([127, 64, 0, 1]);
/// How many there are.
const ADDRESSES: u32 = 0x003f_fffe;

impl Inner {
    /// Makes a load balancer. One that is there with the same settings is shown.
    pub(super) async fn create_load_balancer(
        &self,
        context: Context,
        input: shapes::CreateLoadBalancerInput,
    ) -> Result<shapes::CreateLoadBalancerOutput, Error> {
        names::check_load_balancer(&input.name)?;
        let is_network = is_network(&input)?;
        let tags = names::tags(input.tags.as_deref().unwrap_or_default())?;
        let internal = input.scheme == Some(shapes::LoadBalancerSchemeEnum::Internal);
        let wanted = placed(
            input.subnets.as_deref(),
            input.subnet_mappings.as_deref(),
            "CreateLoadBalancer",
        )?;
        let scope = scope(&context);
        let done = self.ledger.transact("create load balancer", |tx| {
            let groups = input.security_groups.as_deref().unwrap_or_default();
            let placed = self.place(tx, &scope, &wanted, (groups, is_network))?;
            if !is_network && !placed.spans_zones() {
                return Err(Error::invalid(
                    "At least two subnets in two different Availability Zones must be specified",
                ));
            }
            let Placement { vpc, subnets, groups } = placed;
            if let Some((key, row)) = self.load_balancer_named(tx, &scope, &input.name) {
                let same = arn::is_network(&key.1) == is_network
                    && row.internal == internal
                    && row.subnets == subnets
                    && row.security_groups == groups;
                return match same {
                    true => Ok(show::load_balancer(&key, &row)),
                    false => Err(Error::DuplicateLoadBalancer(input.name.clone())),
                };
            }
            if tx.facts().prefix(&self.tables.load_balancers, &scope).count()
                >= limits::LOAD_BALANCERS
            {
                return Err(Error::too_many(
                    Limit::LoadBalancers,
                    format!("At most {} load balancers are allowed", limits::LOAD_BALANCERS),
                ));
            }
            let address = self.free_address(tx).ok_or_else(|| {
                Error::too_many(Limit::LoadBalancers, "No address is left for a load balancer")
            })?;
            let id = names::id(tx.next_id());
            let row = LoadBalancer {
                name: input.name.clone(),
                dns_name: match is_network {
                    true => network_name(&scope, &input.name, &id),
                    false => dns_name(&scope, &input.name, internal, tx.next_id()),
                },
                address,
                internal,
                vpc,
                subnets,
                security_groups: groups,
                attributes: Default::default(),
                tags: tags.clone(),
                made_at: tx.now(),
                state: State::Provisioning,
            };
            let kind = if is_network { "net" } else { "app" };
            let key = (scope.clone(), format!("{kind}/{}/{id}", input.name));
            let shown = show::load_balancer(&key, &row);
            tx.put(&self.tables.load_balancers, key, row);
            Ok(shown)
        });
        let made = done.await?.value;
        Ok(shapes::CreateLoadBalancerOutput { load_balancers: Some(vec![made]) })
    }

    /// Lists load balancers.
    pub(super) async fn describe_load_balancers(
        &self,
        context: Context,
        input: shapes::DescribeLoadBalancersInput,
    ) -> Result<shapes::DescribeLoadBalancersOutput, Error> {
        let (scope, snapshot) = (scope(&context), self.ledger.snapshot());
        let arns = input.load_balancer_arns.unwrap_or_default();
        let named = input.names.unwrap_or_default();
        if !arns.is_empty() && !named.is_empty() {
            return Err(Error::invalid(
                "Load balancer names and load balancer ARNs cannot be specified at the same time",
            ));
        }
        if arns.len().max(named.len()) > NAMED_MAX {
            return Err(Error::invalid(format!(
                "No more than {NAMED_MAX} load balancers can be described at once"
            )));
        }
        let mut found = Vec::new();
        for text in &arns {
            let key = arn::load_balancer(&scope, text)?;
            let row = snapshot.get(&self.tables.load_balancers, &key);
            let row = row.ok_or(Error::NotFound(Kind::LoadBalancer))?;
            found.push(show::load_balancer(&key, &row));
        }
        for name in &named {
            let row = self.load_balancer_named(&snapshot, &scope, name);
            let (key, row) = row.ok_or(Error::NotFound(Kind::LoadBalancer))?;
            found.push(show::load_balancer(&key, &row));
        }
        if arns.is_empty() && named.is_empty() {
            let rows = snapshot.prefix(&self.tables.load_balancers, &scope);
            found.extend(rows.map(|(key, row)| show::load_balancer(&key, &row)));
        }
        let name =
            |shown: &shapes::LoadBalancer| shown.load_balancer_arn.clone().unwrap_or_default();
        let (shown, next_marker) = page(found, name, input.page_size, input.marker.as_deref())?;
        Ok(shapes::DescribeLoadBalancersOutput { load_balancers: Some(shown), next_marker })
    }

    /// Deletes a load balancer with its listeners and their rules; one that is not there is no
    /// error.
    pub(super) async fn delete_load_balancer(
        &self,
        context: Context,
        input: shapes::DeleteLoadBalancerInput,
    ) -> Result<shapes::DeleteLoadBalancerOutput, Error> {
        let key = match arn::load_balancer(&scope(&context), &input.load_balancer_arn) {
            Err(Error::NotFound(_)) => return Ok(shapes::DeleteLoadBalancerOutput {}),
            key => key?,
        };
        let done = self.ledger.transact("delete load balancer", |tx| {
            let Some(row) = tx.get(&self.tables.load_balancers, &key) else { return Ok(()) };
            let protected = "deletion_protection.enabled";
            let known = attributes::of_load_balancers(arn::is_network(&key.1));
            if attributes::value(known, &row.attributes, protected) == "true" {
                return Err(Error::NotPermitted(format!(
                    "Load balancer '{}' cannot be deleted because deletion protection is enabled",
                    input.load_balancer_arn
                )));
            }
            let listeners: Vec<_> =
                tx.prefix(&self.tables.listeners, &key).map(|(key, _)| key).collect();
            for listener in listeners {
                self.drop_listener(tx, &listener);
            }
            tx.delete(&self.tables.load_balancers, &key);
            Ok(())
        });
        done.await?;
        Ok(shapes::DeleteLoadBalancerOutput {})
    }

    /// The load balancer of a name.
    fn load_balancer_named(
        &self,
        view: &impl View,
        scope: &Scope,
        name: &str,
    ) -> Option<(LoadBalancerKey, ledger::Row<LoadBalancer>)> {
        let key = (scope.clone(), name.to_owned());
        view.index(&self.tables.load_balancer_names, &key).next()
    }

    /// An address that no load balancer has: by chance, so that those made at once do not wait for
    /// each other; else the next one that is free.
    fn free_address(&self, tx: &Tx<'_>) -> Option<Ipv4Addr> {
        let bytes = tx.next_id();
        let start = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % ADDRESSES;
        let mut all = (0..ADDRESSES).map(|step| FIRST_ADDRESS + (start + step) % ADDRESSES);
        let is_free = |address: &u32| tx.index(&self.tables.addresses, address).next().is_none();
        all.find(is_free).map(Ipv4Addr::from)
    }
}

/// Whether it is to be a network load balancer; refuses what is not built.
fn is_network(input: &shapes::CreateLoadBalancerInput) -> Result<bool, Error> {
    let refused = |what: &str| Err(Error::not_built("CreateLoadBalancer", what));
    match input.type_ {
        None
        | Some(shapes::LoadBalancerTypeEnum::Application | shapes::LoadBalancerTypeEnum::Network) =>
            {}
        Some(other) => return refused(&format!("Type {}", other.as_str())),
    }
    match input.ip_address_type {
        None | Some(shapes::IpAddressType::Ipv4) => {}
        Some(other) => return refused(&format!("IpAddressType {}", other.as_str())),
    }
    if input.customer_owned_ipv4_pool.is_some() {
        return refused("CustomerOwnedIpv4Pool");
    }
    if input.ipam_pools.is_some() {
        return refused("IpamPools");
    }
    if input.enable_prefix_for_ipv6_source_nat.is_some() {
        return Err(Error::Configuration(
            "EnablePrefixForIpv6SourceNat is supported for UDP listeners with IPv6 only".to_owned(),
        ));
    }
    Ok(input.type_ == Some(shapes::LoadBalancerTypeEnum::Network))
}

/// As AWS names network load balancers, under another suffix: `NAME-ID.elb.REGION.SUFFIX`.
fn network_name(scope: &Scope, name: &str, id: &str) -> String {
    format!("{}-{id}.{}", name.to_lowercase(), network_suffix(&scope.region))
}

/// As AWS names them, under another suffix: `[internal-]NAME-DIGITS.REGION.SUFFIX`.
fn dns_name(scope: &Scope, name: &str, internal: bool, bytes: [u8; 16]) -> String {
    let digits = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let prefix = if internal { "internal-" } else { "" };
    let name = name.to_lowercase();
    format!("{prefix}{name}-{digits:010}.{}.{DNS_SUFFIX}", scope.region)
}
