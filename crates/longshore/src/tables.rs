//! The tables of every service, joined in one schema.

use ecs::EcsTables;
use std::sync::Arc;

use ledger::{Findings, Schema, SecretsKeys, Snapshot};

use crate::ensemble::{IdentityTable, ServersTable};

/// Handles of all tables. Whoever opens a store of Longshore's declares them all.
pub struct Tables {
    /// Keys and tokens.
    pub iam: iam::Tables,
    /// Clusters, definitions, instances, tasks.
    pub ecs: EcsTables,
    /// Certificates.
    pub certificates: certificates::Tables,
    /// Parameters and secrets.
    pub secrets: secrets::Tables,
    /// Networks.
    pub vpc: vpc::Tables,
    /// Event buses, rules, deliveries.
    pub events: events::Tables,
    /// Alarms and log groups.
    pub cloudwatch: cloudwatch::Tables,
    /// Load balancers and target groups.
    pub elbv2: elbv2::Tables,
    /// Repositories and images.
    pub ecr: ecr::Tables,
    /// What the servers of one store share.
    pub identity: IdentityTable,
    /// Who they are and were.
    pub servers: ServersTable,
}

impl Tables {
    /// Declares them.
    pub fn declare(schema: &mut Schema) -> Self {
        Self {
            iam: iam::Tables::new(schema),
            ecs: EcsTables::declare(schema),
            certificates: certificates::Tables::declare(schema),
            secrets: secrets::Tables::declare(schema),
            vpc: vpc::Tables::declare(schema),
            events: events::Tables::declare(schema),
            cloudwatch: cloudwatch::Tables::declare(schema),
            elbv2: elbv2::Tables::declare(schema),
            ecr: ecr::Tables::declare(schema),
            identity: IdentityTable::declare(schema),
            servers: ServersTable::declare(schema),
        }
    }

    /// What breaks an invariant that a service states of its rows.
    pub fn check(&self, snapshot: &Snapshot, findings: &mut Findings) {
        self.iam.check(snapshot, findings);
        self.ecs.check(snapshot, findings);
        self.vpc.check(snapshot, findings);
    }
}

/// The tables of a store that is read without the keys of its secrets.
pub fn without_secrets() -> (Schema, Tables) {
    let mut schema = Schema::new();
    let tables = Tables::declare(&mut schema);
    schema.leave_secrets_out();
    (schema, tables)
}

/// The tables of a store that is looked into with these keys: rows that they do not open are passed
/// over.
pub fn looking_into_secrets(keys: SecretsKeys) -> (Schema, Tables) {
    let mut schema = Schema::new();
    let tables = Tables::declare(&mut schema);
    schema.look_into_secrets(Arc::new(keys));
    (schema, tables)
}
