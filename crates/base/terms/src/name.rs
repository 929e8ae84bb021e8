//! Names that users choose, and the account and region they live in.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::interned::interned;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is no name of the wanted form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {expected}")]
pub struct ParseNameError {
    text: String,
    expected: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseNameError;
            fn from_str(text: &str) -> Result<Self, ParseNameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(interned(text)))
                } else {
                    Err(ParseNameError { text: text.to_owned(), expected: $expected })
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::interned::deserialize(deserializer)
            }
        }
    };
}

/// Up to 255 letters, digits, hyphens and underscores: the form of most ECS names
/// (ECS API reference, CreateCluster and RegisterTaskDefinition).
fn is_resource_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

name! {
    /// An AWS account: twelve digits.
    AccountId, "an account id (twelve digits)",
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}
name! {
    /// A region such as `us-east-1`: up to 32 lower-case letters, digits and hyphens.
    Region, "a region (lower-case letters, digits and hyphens)",
    |text| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.as_bytes()[0].is_ascii_lowercase()
    }
}
name! {
    /// A cluster's name, unique in its account and region.
    ClusterName, "a cluster name (up to 255 letters, digits, hyphens and underscores)",
    is_resource_name
}
name! {
    /// The family that task definition revisions share.
    Family, "a family (up to 255 letters, digits, hyphens and underscores)",
    is_resource_name
}
name! {
    /// A service's name, unique in its cluster.
    ServiceName, "a service name (up to 255 letters, digits, hyphens and underscores)",
    is_resource_name
}
name! {
    /// A capacity provider's name, unique in its account and region; `FARGATE` and `FARGATE_SPOT`
    /// are ECS's own.
    CapacityProviderName,
    "a capacity provider name (up to 255 letters, digits, hyphens and underscores)",
    is_resource_name
}

impl Default for ClusterName {
    /// The cluster that ECS means when a request names none.
    fn default() -> Self {
        Self("default".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!("my_cluster-1".parse::<ClusterName>().is_ok());
        assert!("".parse::<ClusterName>().is_err());
        assert!("a b".parse::<ClusterName>().is_err());
        assert!("a".repeat(256).parse::<Family>().is_err());
        assert!("000000000000".parse::<AccountId>().is_ok());
        assert!("12".parse::<AccountId>().is_err());
        assert!("us-east-1".parse::<Region>().is_ok());
        assert!("US".parse::<Region>().is_err());
    }
}
