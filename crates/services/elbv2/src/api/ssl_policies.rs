//! The operation that lists security policies.

use shapes_elbv2 as shapes;
use wire::Context;

use super::paging::page;
use crate::Inner;
use crate::error::Error;
use crate::model::policies::{self, Policy};

impl Inner {
    /// Lists security policies, all of which both kinds of load balancers take.
    pub(super) async fn describe_ssl_policies(
        &self,
        _: Context,
        input: shapes::DescribeSSLPoliciesInput,
    ) -> Result<shapes::DescribeSSLPoliciesOutput, Error> {
        let named = input.names.unwrap_or_default();
        let found = match named.is_empty() {
            true => policies::ALL.iter().map(show).collect(),
            false => {
                let one = |name: &String| {
                    policies::named(name).map(show).ok_or_else(|| Error::Policy(name.clone()))
                };
                let is_first = |(index, name): &(usize, &String)| !named[..*index].contains(*name);
                let once = named.iter().enumerate().filter(is_first).map(|(_, name)| name);
                once.map(one).collect::<Result<Vec<_>, Error>>()?
            }
        };
        let is_gateway = input.load_balancer_type == Some(shapes::LoadBalancerTypeEnum::Gateway);
        let found = if is_gateway { Vec::new() } else { found };
        let name = |shown: &shapes::SslPolicy| shown.name.clone().unwrap_or_default();
        let (shown, next_marker) = page(found, name, input.page_size, input.marker.as_deref())?;
        Ok(shapes::DescribeSSLPoliciesOutput { next_marker, ssl_policies: Some(shown) })
    }
}

fn show(policy: &Policy) -> shapes::SslPolicy {
    let cipher = |(index, name): (usize, &'static str)| shapes::Cipher {
        name: Some(name.to_owned()),
        priority: i32::try_from(index + 1).ok(),
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    shapes::SslPolicy {
        ciphers: Some(policy.ciphers().enumerate().map(cipher).collect()),
        name: Some(policy.name.to_owned()),
        ssl_protocols: Some(texts(policy.protocols)),
        supported_load_balancer_types: Some(texts(&["application", "network"])),
    }
}
