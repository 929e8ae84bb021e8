//! What decisions of IAM need to know of the resources of other services.

use ecr::Ecr;
use ecs::Ecs;
use iam::Resources;
use secrets::Secrets;
use terms::{AccountId, Region};

/// The services that are asked.
pub struct KnownResources {
    /// Tags of its resources, newest revisions of families, roles of definitions.
    pub ecs: Ecs,
    /// Whole ARNs, tags and policies of secrets.
    pub secrets: Secrets,
    /// Policies of repositories and registries.
    pub ecr: Ecr,
}

impl Resources for KnownResources {
    fn whole(&self, account: &AccountId, region: &Region, arn: &str) -> Option<String> {
        match arn.split(':').nth(2)? {
            "ecs" => self.ecs.whole_arn(account, region, arn),
            "secretsmanager" => self.secrets.known_secret(account, region, arn).map(|(arn, _)| arn),
            _ => None,
        }
    }

    fn tags(
        &self,
        account: &AccountId,
        region: &Region,
        arn: &str,
    ) -> Option<Vec<(String, String)>> {
        match arn.split(':').nth(2)? {
            "ecs" => self.ecs.tags_of(account, region, arn),
            "secretsmanager" => {
                self.secrets.known_secret(account, region, arn).map(|(_, tags)| tags)
            }
            _ => None,
        }
    }

    fn policies(&self, arn: &str) -> Vec<(String, String)> {
        match arn.split(':').nth(2) {
            Some("secretsmanager") => self.secrets.policy_of(arn).into_iter().collect(),
            Some("ecr") => self.ecr.policies_of(arn),
            _ => Vec::new(),
        }
    }

    fn roles_of(&self, account: &AccountId, region: &Region, definition: &str) -> Vec<String> {
        self.ecs.roles_of_definition(account, region, definition)
    }
}
