//! A ledger with certificates, and an edge over it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certificates::{Certificates, Hidden, Issued, Issuer, KeyKind, Tables, Users};
use ledger::{Ledger, MemoryStore, Schema, SecretsKeys, Snapshot, Tx};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::Value;
use stage::{CountedIds, HeldClock};
use terms::Timestamp;
use wire::Edge;

/// An authority of a test: what it issues is signed by its own key and is valid for a year.
struct Authority;

impl Issuer for Authority {
    fn issue(&self, names: &[String], _: KeyKind, now: Timestamp) -> Result<Issued, String> {
        if names[0] == "refused.example.com" {
            return Err("this one is not issued".to_owned());
        }
        let (certificate, key) = signed(names, now, 365);
        Ok(Issued { chain: certificate.clone(), certificate, key: Hidden::new(key) })
    }
}

/// A certificate that is signed by its own key, both as PEM.
pub fn signed(names: &[String], now: Timestamp, days: i64) -> (String, String) {
    let at = |seconds| time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let mut wanted = CertificateParams::new(names.to_vec()).unwrap();
    wanted.distinguished_name.push(DnType::CommonName, names[0].clone());
    wanted.not_before = at(now.seconds() - 3600);
    wanted.not_after = at(now.seconds() + days * 86_400);
    let key = KeyPair::generate().unwrap();
    (wanted.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Load balancers that serve with certificates, by the certificates' ARNs.
#[derive(Clone, Default)]
pub struct Serving(pub Arc<Mutex<BTreeMap<String, String>>>);

impl Users for Serving {
    fn at(&self, _: &Tx<'_>, certificate: &str) -> Vec<String> {
        self.0.lock().unwrap().get(certificate).cloned().into_iter().collect()
    }

    fn seen(&self, _: &Snapshot, certificate: &str) -> Vec<String> {
        self.0.lock().unwrap().get(certificate).cloned().into_iter().collect()
    }
}

pub struct World {
    edge: Edge,
    pub clock: HeldClock,
    pub serving: Serving,
    pub certificates: Certificates,
}

impl World {
    /// A world whose rows are in `store`, sealed with a key.
    pub fn on(store: MemoryStore) -> Self {
        let mut schema = Schema::new();
        let tables = Tables::declare(&mut schema);
        let keys = SecretsKeys::new(&[[7_u8; 32]]).unwrap();
        schema.seal_secrets(Arc::new(keys));
        let (clock, ids) = (HeldClock::default(), Arc::new(CountedIds::default()));
        let ledger = Ledger::open(schema, Box::new(store), Arc::new(clock.clone()), ids).unwrap();
        let serving = Serving::default();
        let users = Arc::new(serving.clone());
        let certificates = Certificates::new(tables, ledger, Arc::new(Authority), users);
        let edge = stage::edge(&clock).service(certificates.service()).build();
        Self { edge, clock, serving, certificates }
    }

    /// Puts the clock forward.
    pub fn wait_days(&self, days: u64) {
        self.clock.advance(Duration::from_secs(days * 86_400));
    }

    /// Status and body of a call.
    pub async fn ask(&self, operation: &str, input: &str) -> (u16, String) {
        stage::ask_json(&self.edge, &format!("CertificateManager.{operation}"), input).await
    }

    /// The answer to a call that must succeed.
    pub async fn get(&self, operation: &str, input: Value) -> Value {
        let (status, body) = self.ask(operation, &input.to_string()).await;
        assert_eq!(status, 200, "{operation}: {body}");
        serde_json::from_str(&body).unwrap_or_default()
    }
}
