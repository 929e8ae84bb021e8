//! The operations that are built, each with its handler.

mod account;
mod explain;
mod groups;
mod interfaces;
mod listing;
mod regions;
mod rules;
mod subnets;
mod vpcs;

use shapes_ec2 as shapes;
use shapes_ec2::operations as ops;
use wire::{Context, Service, ServiceError};

use crate::Vpc;
use crate::error::{Error, NotFound};
use crate::model::DefaultVpc;
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

/// The service with every operation that is built.
pub(crate) fn service(vpc: &Vpc) -> Service {
    operations! { vpc, Service::new(&shapes::SERVICE).explain(explain::explain),
        DescribeAccountAttributes => describe_account_attributes;
        DescribeAvailabilityZones => describe_availability_zones;
        DescribeNetworkInterfaces => describe_network_interfaces;
        DescribeRegions => describe_regions;
        DescribeSecurityGroupRules => describe_security_group_rules;
        DescribeSecurityGroups => describe_security_groups;
        DescribeSubnets => describe_subnets;
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

fn default_vpc(context: &Context) -> DefaultVpc {
    DefaultVpc::of(&scope(context))
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
