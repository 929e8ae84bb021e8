//! What can go wrong with a bucket.

use std::error::Error;

/// How much of a server's words is told, in characters.
const WORDS_MAX: usize = 300;

/// Why a bucket did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Its server said no, or is not there.
    #[error("cannot {action} {object} in {bucket}: {why}")]
    Refused {
        /// What was tried: "read", "write", …
        action: &'static str,
        /// The object's key, without the prefix.
        object: String,
        /// The bucket's address.
        bucket: String,
        /// What the server answered, or why nobody did.
        why: String,
        /// What that means.
        meaning: Meaning,
    },
    /// Its server said nothing for too long.
    #[error("{bucket} sends nothing of {object}")]
    Silent {
        /// The object's key, without the prefix.
        object: String,
        /// The bucket's address.
        bucket: String,
    },
    /// An object over the caller's limit.
    #[error("{object} in {bucket} has more than {limit_bytes} bytes")]
    TooLarge {
        /// The object's key, without the prefix.
        object: String,
        /// The bucket's address.
        bucket: String,
        /// The caller's limit.
        limit_bytes: u64,
    },
    /// The bucket, or what of it is below the prefix, is somebody else's.
    #[error(
        "{bucket} belongs to the installation {owner}; give each installation a prefix of its own"
    )]
    Foreign {
        /// The bucket's address.
        bucket: String,
        /// Whose it is.
        owner: String,
    },
    /// The client for it cannot be made.
    #[error("{bucket} cannot be used: {why}")]
    Unusable {
        /// The bucket's address.
        bucket: String,
        /// Why not.
        why: String,
    },
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// There is no such object, upload or bucket.
    Missing,
    /// Nobody answered, or with 5xx.
    Away,
    /// It is not allowed, or asked wrongly.
    No,
}

impl Meaning {
    pub(crate) fn of(error: &object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            object_store::Error::Generic { .. } => Self::Away,
            _ => Self::No,
        }
    }
}

/// Why it was: the innermost cause, for the outer ones repeat it; of a document, its code and message.
pub(crate) fn words(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let text = causes.last().map(ToString::to_string).unwrap_or_default();
    let part = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(part, _)| part)
    };
    let told = match (part("Code"), part("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => text.clone(),
    };
    told.chars().take(WORDS_MAX).collect()
}

impl BucketError {
    /// Whether there is no such object, or no such upload in parts.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { meaning: Meaning::Missing, .. })
    }

    /// Whether waiting may help: its server did not say no.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Refused { meaning, .. } => *meaning == Meaning::Away,
            Self::TooLarge { .. } | Self::Foreign { .. } | Self::Unusable { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_document_is_told_by_its_words() {
        let check = |text: &str, expected: &str| {
            assert_eq!(words(&std::io::Error::other(text)), expected);
        };
        let document = "404 Not Found: <?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code>\
                        <Message>It does not exist</Message></Error>";
        check(document, "NoSuchBucket: It does not exist");
        check("<Error><Code>SlowDown</Code></Error>", "SlowDown");
        check("Connection refused", "Connection refused");
    }
}
