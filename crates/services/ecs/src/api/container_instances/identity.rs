//! What is known of the machine behind an instance.

use std::collections::BTreeMap;

use serde::Deserialize;
use terms::ContainerInstanceId;

use crate::tables::Scope;

/// What an instance says that gives tasks interfaces.
const TASK_ENI: &str = "ecs.capability.task-eni";

/// EC2's instance identity document, as far as it matters here (EC2 User Guide, "Instance identity
/// documents"). Agents outside EC2 send an empty one; ours writes its own.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Identity {
    /// As in `i-0123456789abcdef0`.
    pub(super) instance_id: Option<String>,
    /// As in `t3.micro`.
    pub(super) instance_type: Option<String>,
    /// As in `us-east-1a`.
    pub(super) availability_zone: Option<String>,
    /// As in `ami-0123456789abcdef0`.
    pub(super) image_id: Option<String>,
    /// `x86_64` or `arm64`.
    pub(super) architecture: Option<String>,
}

impl Identity {
    /// Reads a document. One that is empty or not JSON says nothing: refusing it would end the
    /// agent for good (agent protocol §1.4).
    pub(super) fn read(document: Option<&str>) -> Self {
        document.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The attributes that the server adds (ECS semantics §4). What the agent sent stands.
    pub(super) fn add_to(&self, attributes: &mut BTreeMap<String, Option<String>>, scope: &Scope) {
        let Scope { account, region } = scope;
        let zone = self.availability_zone.clone().unwrap_or_else(|| format!("{region}a"));
        let added = [
            ("ecs.availability-zone", Some(zone)),
            ("ecs.instance-type", self.instance_type.clone()),
            ("ecs.ami-id", self.image_id.clone()),
            ("ecs.cpu-architecture", self.architecture.clone()),
        ];
        for (name, value) in added {
            if value.is_some() {
                attributes.entry(name.to_owned()).or_insert(value);
            }
        }
        if !attributes.contains_key(TASK_ENI) {
            return;
        }
        // Amazon's agent asks EC2 where it is (agent protocol §1.6); ours is where its zone is.
        let zone = attributes.get("ecs.availability-zone").cloned().flatten().unwrap_or_default();
        let network = vpc::Scope { account: account.clone(), region: region.clone() };
        if let Some(subnet) = vpc::default_subnet(&network, &zone) {
            attributes.entry("ecs.vpc-id".to_owned()).or_insert(Some(subnet.vpc));
            attributes.entry("ecs.subnet-id".to_owned()).or_insert(Some(subnet.id));
        }
    }

    /// The machine's id, or one that looks like it and belongs to the instance alone.
    pub(super) fn instance_id(&self, id: ContainerInstanceId) -> String {
        let made_up = || format!("i-{:.17}", id.to_string());
        self.instance_id.clone().filter(|id| !id.is_empty()).unwrap_or_else(made_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_say_nothing_are_accepted() {
        for text in [None, Some(""), Some("{}"), Some("nonsense"), Some("[1]")] {
            assert_eq!(Identity::read(text), Identity::default(), "{text:?}");
        }
        let document = r#"{"instanceId":"i-1","availabilityZone":"eu-west-1b","pendingTime":"x"}"#;
        let identity = Identity::read(Some(document));
        assert_eq!(identity.availability_zone.as_deref(), Some("eu-west-1b"));
        let id = ContainerInstanceId::from_bytes([0xab; 16]);
        assert_eq!(identity.instance_id(id), "i-1");
        assert_eq!(Identity::default().instance_id(id), "i-ababababababababa");
    }
}
