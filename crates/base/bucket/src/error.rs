//! What can go wrong with a bucket.

/// Why a bucket did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Its server said no, or is not there.
    #[error("cannot {action} {object} in {bucket}")]
    Refused {
        /// What was tried: "read", "write", …
        action: &'static str,
        /// The object's key, without the prefix.
        object: String,
        /// The bucket's address.
        bucket: String,
        /// What the server answered.
        #[source]
        source: Box<object_store::Error>,
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

impl BucketError {
    /// Whether there is no such object, or no such upload in parts.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { source, .. }
            if matches!(**source, object_store::Error::NotFound { .. }))
    }

    /// Whether waiting may help: its server did not say no.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Silent { .. } => true,
            Self::Refused { source, .. } => matches!(**source, object_store::Error::Generic { .. }),
            Self::TooLarge { .. } | Self::Foreign { .. } | Self::Unusable { .. } => false,
        }
    }
}
