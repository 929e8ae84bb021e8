//! Amazon Resource Names of ECS, in the long form (ECS Developer Guide, "ARNs and IDs").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    AccountId, CapacityProviderName, ClusterName, ContainerInstanceId, Family, Region, ServiceName,
    TaskId, Uuid,
};

/// A text that is no ARN of the wanted resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {expected}")]
pub struct ParseArnError {
    text: String,
    expected: &'static str,
}

/// `arn:aws:ecs:<region>:<account>:<kind>/<rest>` split into region, account and rest.
fn split<'a>(text: &'a str, kind: &str) -> Option<(Region, AccountId, &'a str)> {
    let mut fields = text.splitn(6, ':');
    let (arn, _partition, service) = (fields.next()?, fields.next()?, fields.next()?);
    let (region, account, resource) = (fields.next()?, fields.next()?, fields.next()?);
    let rest = resource.strip_prefix(kind)?.strip_prefix('/')?;
    (arn == "arn" && service == "ecs").then_some(())?;
    Some((region.parse().ok()?, account.parse().ok()?, rest))
}

macro_rules! arn {
    (
        $(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal,
        { $($(#[$field_doc:meta])* $field:ident: $type:ty),+ },
        |$this:ident, $f:ident| $write:expr, |$rest:ident| $parse:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            /// The region that the resource lives in.
            pub region: Region,
            /// The account that owns the resource.
            pub account: AccountId,
            $($(#[$field_doc])* pub $field: $type,)+
        }

        impl fmt::Display for $name {
            fn fmt(&self, $f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $this = self;
                write!($f, concat!("arn:aws:ecs:{}:{}:", $kind, "/"), $this.region, $this.account)?;
                $write
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseArnError;
            fn from_str(text: &str) -> Result<Self, ParseArnError> {
                let parse = || {
                    let (region, account, $rest) = split(text, $kind)?;
                    let ($($field,)+): ($($type,)+) = $parse;
                    Some(Self { region, account, $($field),+ })
                };
                parse().ok_or_else(|| ParseArnError { text: text.to_owned(), expected: $expected })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::interned::deserialize(deserializer)
            }
        }
    };
}

arn! {
    /// `arn:aws:ecs:<region>:<account>:cluster/<name>`.
    ClusterArn, "cluster", "a cluster ARN",
    {
        /// The cluster's name.
        name: ClusterName
    },
    |arn, f| write!(f, "{}", arn.name),
    |rest| (rest.parse().ok()?,)
}
arn! {
    /// `arn:aws:ecs:<region>:<account>:task/<cluster>/<task id>`.
    TaskArn, "task", "a task ARN",
    {
        /// The cluster that the task runs in.
        cluster: ClusterName,
        /// The task's id.
        id: TaskId
    },
    |arn, f| write!(f, "{}/{}", arn.cluster, arn.id),
    |rest| {
        let (cluster, id) = rest.split_once('/')?;
        (cluster.parse().ok()?, id.parse().ok()?)
    }
}
arn! {
    /// `arn:aws:ecs:<region>:<account>:container-instance/<cluster>/<instance id>`.
    ContainerInstanceArn, "container-instance", "a container instance ARN",
    {
        /// The cluster that the instance belongs to.
        cluster: ClusterName,
        /// The instance's id.
        id: ContainerInstanceId
    },
    |arn, f| write!(f, "{}/{}", arn.cluster, arn.id),
    |rest| {
        let (cluster, id) = rest.split_once('/')?;
        (cluster.parse().ok()?, id.parse().ok()?)
    }
}
arn! {
    /// `arn:aws:ecs:<region>:<account>:container/<cluster>/<task id>/<uuid>`.
    ContainerArn, "container", "a container ARN",
    {
        /// The cluster that the task runs in.
        cluster: ClusterName,
        /// The task that the container belongs to.
        task: TaskId,
        /// The container's own id.
        id: Uuid
    },
    |arn, f| write!(f, "{}/{}/{}", arn.cluster, arn.task, arn.id),
    |rest| {
        let mut parts = rest.splitn(3, '/');
        let (cluster, task, id) = (parts.next()?, parts.next()?, parts.next()?);
        (cluster.parse().ok()?, task.parse().ok()?, id.parse().ok()?)
    }
}
arn! {
    /// `arn:aws:ecs:<region>:<account>:task-definition/<family>:<revision>`.
    TaskDefinitionArn, "task-definition", "a task definition ARN",
    {
        /// The family of the task definition.
        family: Family,
        /// The revision in its family, from 1.
        revision: u32
    },
    |arn, f| write!(f, "{}:{}", arn.family, arn.revision),
    |rest| {
        let (family, revision) = rest.split_once(':')?;
        (family.parse().ok()?, self::revision(revision)?)
    }
}
/// A revision as it is written: from 1, without a sign and without zeros before it.
fn revision(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| matches!(text.as_bytes(), [b'1'..=b'9', ..]))
}

arn! {
    /// `arn:aws:ecs:<region>:<account>:capacity-provider/<name>`.
    CapacityProviderArn, "capacity-provider", "a capacity provider ARN",
    {
        /// The capacity provider's name.
        name: CapacityProviderName
    },
    |arn, f| write!(f, "{}", arn.name),
    |rest| (rest.parse().ok()?,)
}

arn! {
    /// `arn:aws:ecs:<region>:<account>:service/<cluster>/<service>`.
    ServiceArn, "service", "a service ARN",
    {
        /// The cluster that the service is in.
        cluster: ClusterName,
        /// The service's name.
        name: ServiceName
    },
    |arn, f| write!(f, "{}/{}", arn.cluster, arn.name),
    |rest| {
        let (cluster, name) = rest.split_once('/')?;
        (cluster.parse().ok()?, name.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: FromStr + fmt::Display>(text: &str) {
        let Ok(arn) = text.parse::<T>() else { panic!("{text} must parse") };
        assert_eq!(arn.to_string(), text);
    }

    #[test]
    fn arns_come_back_from_their_text() {
        let prefix = "arn:aws:ecs:us-east-1:000000000000";
        let id = "0123456789abcdef0123456789abcdef";
        round_trip::<ClusterArn>(&format!("{prefix}:cluster/default"));
        round_trip::<TaskArn>(&format!("{prefix}:task/default/{id}"));
        round_trip::<ContainerInstanceArn>(&format!("{prefix}:container-instance/default/{id}"));
        round_trip::<ServiceArn>(&format!("{prefix}:service/default/web"));
        round_trip::<CapacityProviderArn>(&format!("{prefix}:capacity-provider/FARGATE"));
        round_trip::<TaskDefinitionArn>(&format!("{prefix}:task-definition/web:7"));
        round_trip::<ContainerArn>(&format!(
            "{prefix}:container/default/{id}/6ba7b814-9dad-41d1-80b4-00c04fd430c8"
        ));
    }

    #[test]
    fn revisions_have_one_form() {
        for revision in ["", "0", "01", "+1", "-1", " 1", "1.0", "4294967296", "latest"] {
            let text = format!("arn:aws:ecs:us-east-1:000000000000:task-definition/web:{revision}");
            assert!(text.parse::<TaskDefinitionArn>().is_err(), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_arns() {
        let check = |text: &str| assert!(text.parse::<ClusterArn>().is_err(), "{text}");
        check("");
        check("default");
        check("arn:aws:ecs:us-east-1:000000000000:service/default");
        check("arn:aws:iam:us-east-1:000000000000:cluster/default");
        check("arn:aws:ecs:us-east-1:12:cluster/default");
        check("arn:aws:ecs:us-east-1:000000000000:cluster/");
        assert!(
            "arn:aws:ecs:us-east-1:000000000000:task-definition/web:0"
                .parse::<TaskDefinitionArn>()
                .is_err()
        );
    }
}
