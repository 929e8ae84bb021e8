//! What can go wrong between a registry and its client.

/// Why a registry did not do what was asked. Cloneable, since one request can have many waiters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke off.
    #[error("registry {registry} cannot be reached: {cause}")]
    Unreachable {
        /// The registry's host, or that of its token service.
        registry: String,
        /// What the network said.
        cause: String,
    },
    /// The registry's certificate is not one that this machine trusts.
    #[error("registry {registry} is not trusted: {cause}")]
    Untrusted {
        /// The registry's host.
        registry: String,
        /// What is wrong with the certificate.
        cause: String,
    },
    /// It said nothing for too long.
    #[error("registry {registry} sent nothing for {seconds} s while {what} was fetched")]
    Silent {
        /// The registry's host.
        registry: String,
        /// What was on its way.
        what: String,
        /// How long was waited.
        seconds: u64,
    },
    /// It wants other credentials, or some.
    #[error("access denied: {message}")]
    Denied {
        /// The registry's words.
        message: String,
    },
    /// It answered with an error.
    #[error("registry {registry} answered {status} for {what}: {message}")]
    Refused {
        /// The registry's host.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// What was asked for.
        what: String,
        /// The registry's words.
        message: String,
    },
    /// Too many requests.
    #[error("registry {registry} answered 429 (toomanyrequests): {message}")]
    Throttled {
        /// The registry's host.
        registry: String,
        /// The registry's words.
        message: String,
        /// When it wants to be asked again, if it says so.
        retry_after_seconds: Option<u64>,
    },
    /// Plain HTTP, or a way there, where it is not allowed.
    #[error("{url} is not HTTPS; plain HTTP is allowed to loopback addresses only")]
    Insecure {
        /// The address.
        url: String,
    },
    /// More bytes than are read.
    #[error("{what} has more than {limit_bytes} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// An answer that says nothing.
    #[error("{what} is malformed: {problem}")]
    Malformed {
        /// Which answer.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ClientError {
    pub(crate) fn malformed(what: impl Into<String>, problem: impl ToString) -> Self {
        Self::Malformed { what: what.into(), problem: problem.to_string() }
    }

    /// Whether trying again soon may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Throttled { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::Untrusted { .. }
            | Self::Denied { .. }
            | Self::Insecure { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. } => false,
        }
    }
}
