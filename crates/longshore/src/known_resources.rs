//! What decisions of IAM need to know of the resources of other services.

use ecs::Ecs;
use iam::{Known, Resources};
use secrets::Secrets;
use terms::{AccountId, Region};

/// The services that are asked.
pub struct KnownResources {
    /// Tags of its resources, newest revisions of families, roles of definitions.
    pub ecs: Ecs,
    /// Whole ARNs and tags of secrets.
    pub secrets: Secrets,
}

impl Resources for KnownResources {
    fn known(&self, account: &AccountId, region: &Region, arn: &str) -> Option<Known> {
        let found = match arn.split(':').nth(2)? {
            "ecs" => self.ecs.known_resource(account, region, arn),
            "secretsmanager" => self.secrets.known_secret(account, region, arn),
            _ => None,
        };
        found.map(|(arn, tags)| Known { arn, tags })
    }

    fn roles_of(&self, account: &AccountId, region: &Region, definition: &str) -> Vec<String> {
        self.ecs.roles_of_definition(account, region, definition)
    }
}
