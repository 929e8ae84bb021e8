//! Callers and policies in a short form.

use std::sync::Arc;

use policy::{Kind, Policy, Principal, PrincipalKind, Source};

pub(crate) const ACCOUNT: &str = "111122223333";

pub(crate) fn user(name: &str, account: &str) -> Principal {
    let arn = format!("arn:aws:iam::{account}:user/{name}");
    Principal {
        kind: PrincipalKind::User,
        account: account.to_owned(),
        entity_arn: arn.clone(),
        arn,
        entity_id: "AIDAAAAAAAAAAAAAAAAA".to_owned(),
    }
}

pub(crate) fn session() -> Principal {
    Principal {
        kind: PrincipalKind::RoleSession,
        account: ACCOUNT.to_owned(),
        arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/app/s1"),
        entity_arn: format!("arn:aws:iam::{ACCOUNT}:role/app"),
        entity_id: "AROAAAAAAAAAAAAAAAAA".to_owned(),
    }
}

pub(crate) fn root() -> Principal {
    let arn = format!("arn:aws:iam::{ACCOUNT}:root");
    Principal {
        kind: PrincipalKind::Root,
        account: ACCOUNT.to_owned(),
        entity_arn: arn.clone(),
        arn,
        entity_id: String::new(),
    }
}

pub(crate) fn federated() -> Principal {
    Principal {
        kind: PrincipalKind::FederatedUser,
        account: ACCOUNT.to_owned(),
        arn: format!("arn:aws:sts::{ACCOUNT}:federated-user/fred"),
        entity_arn: format!("arn:aws:iam::{ACCOUNT}:user/alice"),
        entity_id: "AIDAAAAAAAAAAAAAAAAA".to_owned(),
    }
}

pub(crate) fn service(name: &str) -> Principal {
    Principal {
        kind: PrincipalKind::Service,
        account: String::new(),
        arn: name.to_owned(),
        entity_arn: name.to_owned(),
        entity_id: String::new(),
    }
}

pub(crate) fn source(name: &str, document: &str, kind: Kind) -> Source {
    let policy = Policy::parse(document, kind).unwrap_or_else(|e| panic!("{document}: {e}"));
    Source { name: name.to_owned(), arn: None, policy: Arc::new(policy) }
}
