//! What an account may have.

use shapes_ec2 as shapes;
use wire::Context;

use super::scope;
use crate::Vpc;
use crate::error::Error;
use crate::model::DefaultVpc;

impl Vpc {
    /// Tells the attributes of the account: its default VPC, and AWS's usual limits.
    pub(super) fn describe_account_attributes(
        &self,
        context: &Context,
        input: shapes::DescribeAccountAttributesRequest,
    ) -> Result<shapes::DescribeAccountAttributesResult, Error> {
        let wanted = input.attribute_names.as_deref().unwrap_or_default();
        let is_wanted =
            |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted.as_str() == name);
        let all = [
            ("supported-platforms", "VPC".to_owned()),
            ("default-vpc", DefaultVpc::id(&scope(context))),
            ("max-instances", "20".to_owned()),
            ("vpc-max-security-groups-per-interface", "5".to_owned()),
            ("max-elastic-ips", "5".to_owned()),
            ("vpc-max-elastic-ips", "5".to_owned()),
        ];
        let attribute = |(name, value): (&str, String)| shapes::AccountAttribute {
            attribute_name: Some(name.to_owned()),
            attribute_values: Some(vec![shapes::AccountAttributeValue {
                attribute_value: Some(value),
            }]),
        };
        let shown = all.into_iter().filter(|(name, _)| is_wanted(name)).map(attribute);
        Ok(shapes::DescribeAccountAttributesResult { account_attributes: Some(shown.collect()) })
    }
}
