//! The operations that are built, each with its handler.

mod account;
mod authorize;
mod explain;
mod groups;
mod interfaces;
mod listing;
mod permissions;
mod regions;
mod rules;
mod subnets;
mod tags;
mod vpcs;

use shapes_ec2 as shapes;
use shapes_ec2::operations as ops;
use wire::{Context, Service, ServiceError};

use crate::Vpc;
use crate::error::{Error, NotFound};
use crate::tables::Scope;

/// Adds handlers: the operation, then the method of [`Vpc`] that answers it.
macro_rules! operations {
    ($vpc:ident, $service:expr, $($operation:ident => $handler:ident;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let vpc = $vpc.clone();
            move |context, input| {
                let answer = asked(input.dry_run)
                    .and_then(|()| vpc.$handler(&context, input))
                    .map_err(ServiceError::from);
                std::future::ready(answer)
            }
        }))*
    };
}

/// The same of handlers that change something: they have the caller's scope.
macro_rules! changes {
    ($vpc:ident, $service:expr, $($operation:ident => $handler:ident;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let vpc = $vpc.clone();
            move |context, input| {
                let vpc = vpc.clone();
                async move {
                    asked(input.dry_run)?;
                    vpc.$handler(&scope(&context), input).await.map_err(ServiceError::from)
                }
            }
        }))*
    };
}

/// The service with every operation that is built.
pub(crate) fn service(vpc: &Vpc) -> Service {
    let service = reads(vpc, Service::new(&shapes::SERVICE).explain(explain::explain));
    let service = changes! { vpc, service,
        AuthorizeSecurityGroupEgress => authorize_egress;
        AuthorizeSecurityGroupIngress => authorize_ingress;
        CreateSecurityGroup => create_security_group;
        CreateSubnet => create_subnet;
        CreateTags => create_tags;
        CreateVpc => create_vpc;
        DeleteSecurityGroup => delete_security_group;
        DeleteSubnet => delete_subnet;
        DeleteTags => delete_tags;
        DeleteVpc => delete_vpc;
        RevokeSecurityGroupEgress => revoke_egress;
        RevokeSecurityGroupIngress => revoke_ingress;
    };
    attributes(vpc, service)
}

/// The two that have no dry run.
fn attributes(vpc: &Vpc, service: Service) -> Service {
    let (of_vpc, of_subnet) = (vpc.clone(), vpc.clone());
    service
        .on::<ops::ModifyVpcAttribute, _, _>(move |context, input| {
            let vpc = of_vpc.clone();
            async move {
                vpc.modify_vpc_attribute(&scope(&context), input).await.map_err(ServiceError::from)
            }
        })
        .on::<ops::ModifySubnetAttribute, _, _>(move |context, input| {
            let vpc = of_subnet.clone();
            async move {
                vpc.modify_subnet_attribute(&scope(&context), input)
                    .await
                    .map_err(ServiceError::from)
            }
        })
}

fn reads(vpc: &Vpc, service: Service) -> Service {
    operations! { vpc, service,
        DescribeAccountAttributes => describe_account_attributes;
        DescribeAvailabilityZones => describe_availability_zones;
        DescribeNetworkInterfaces => describe_network_interfaces;
        DescribeRegions => describe_regions;
        DescribeSecurityGroupRules => describe_security_group_rules;
        DescribeSecurityGroups => describe_security_groups;
        DescribeSubnets => describe_subnets;
        DescribeTags => describe_tags;
        DescribeVpcAttribute => describe_vpc_attribute;
        DescribeVpcs => describe_vpcs;
    }
}

/// A dry run ends where the work would begin: everyone who is let in may do everything here.
fn asked(dry_run: Option<bool>) -> Result<(), Error> {
    if dry_run == Some(true) { Err(Error::DryRun) } else { Ok(()) }
}

fn scope(context: &Context) -> Scope {
    let caller = &context.caller;
    Scope { account: caller.account.clone(), region: caller.region.clone() }
}

/// The ARN of something of EC2's.
fn arn(scope: &Scope, kind: &str, id: &str) -> String {
    let Scope { account, region } = scope;
    format!("arn:aws:ec2:{region}:{account}:{kind}/{id}")
}

/// The rows that `ids` name, each once; all rows if there are none.
fn named<T>(
    rows: Vec<T>,
    ids: Option<&[String]>,
    kind: NotFound,
    id_of: fn(&T) -> Option<&str>,
) -> Result<Vec<T>, Error> {
    let Some(ids) = ids.filter(|ids| !ids.is_empty()) else { return Ok(rows) };
    let is_there = |id: &String| rows.iter().any(|row| id_of(row) == Some(id));
    let missing: Vec<String> = ids.iter().filter(|id| !is_there(id)).cloned().collect();
    if !missing.is_empty() {
        return Err(Error::NotFound(kind, missing));
    }
    let is_asked = |row: &T| ids.iter().any(|id| id_of(row) == Some(id));
    Ok(rows.into_iter().filter(is_asked).collect())
}

/// Refuses texts that cannot be ids of the kind.
fn well_formed(
    ids: Option<&[String]>,
    expected: &'static str,
    code: &'static str,
) -> Result<(), Error> {
    let is_one = |id: &&String| id.strip_prefix(expected).is_some_and(|rest| rest.starts_with('-'));
    match ids.into_iter().flatten().find(|id| !is_one(id)) {
        Some(id) => Err(Error::Malformed { code, id: id.clone(), expected }),
        None => Ok(()),
    }
}
