//! Identities, keys, STS and task credentials.
