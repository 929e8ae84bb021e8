//! What must be so in stored rows, for `longshore store check`. All of them are sealed: without the
//! key of secrets there is nothing to look at.

use std::collections::BTreeMap;

use ledger::{Findings, Snapshot};

use crate::Tables;
use crate::keys::{SECRET_CHARACTERS, check_node_name};
use crate::model::{KeyStatus, Owner};
use crate::tables::owner_key;

/// What session tokens are sealed with.
const SEAL_BYTES: usize = 32;
/// A token's SHA-256 in hexadecimal digits.
const HASH_DIGITS: usize = 64;

impl Tables {
    /// Notes owners with two active keys, keys and tokens of a form that nobody could use, and a
    /// seal that seals nothing.
    pub fn check(&self, snapshot: &Snapshot, findings: &mut Findings) {
        let mut active: BTreeMap<String, String> = BTreeMap::new();
        for (id, key) in snapshot.range(&self.keys, ..) {
            if key.secret.len() != SECRET_CHARACTERS {
                findings.note("iam.keys", &id, "its secret is not as long as secrets are");
            }
            if let Owner::Node(name) = &key.owner
                && check_node_name(name).is_err()
            {
                findings.note("iam.keys", &id, format!("its instance cannot be named '{name}'"));
            }
            // Users may have two.
            if key.status == KeyStatus::Active
                && !matches!(key.owner, Owner::User(_))
                && let Some(other) = active.insert(owner_key(&key.owner), id.clone())
            {
                let owner = owner_key(&key.owner);
                findings.note("iam.owners", owner, format!("{other} and {id} are both active"));
            }
        }
        for (hash, _) in snapshot.range(&self.join_tokens, ..) {
            if hash.len() != HASH_DIGITS || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                findings.note("iam.tokens", &hash, "it is no hash, so no token is found by it");
            }
        }
        for (_, seal) in snapshot.range(&self.seal, ..) {
            if seal.0.len() != SEAL_BYTES {
                findings.note("iam.seal", "sessions", "what seals them has not 32 bytes");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use ledger::{Ledger, MemoryStore, Schema};
    use terms::{Clock, IdSource, Timestamp};

    use super::*;
    use crate::model::{AccessKey, JoinToken};
    use crate::tables::SealSecret;

    struct Zero;

    impl Clock for Zero {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }
    }

    impl IdSource for Zero {
        fn next(&self) -> [u8; 16] {
            [0; 16]
        }
    }

    fn key(owner: &str, secret: &str) -> AccessKey {
        AccessKey {
            account: "000000000000".parse().unwrap(),
            secret: secret.to_owned(),
            owner: Owner::Node(owner.to_owned()),
            user_id: "AIDA".to_owned(),
            status: KeyStatus::Active,
            created_at: Timestamp::from_millis(0),
        }
    }

    #[tokio::test]
    async fn what_nobody_could_use_is_found() {
        let mut schema = Schema::new();
        let tables = Tables::new(&mut schema);
        let (zero, store) = (Arc::new(Zero), Box::new(MemoryStore::new()));
        let ledger = Ledger::open(schema, store, zero.clone(), zero).unwrap();
        let good = "s".repeat(SECRET_CHARACTERS);
        let write = ledger.transact("damage", |tx| {
            tx.put(&tables.keys, "AKIA1".to_owned(), key("web-1", &good));
            tx.put(&tables.keys, "AKIA2".to_owned(), key("web-1", &good));
            tx.put(&tables.keys, "AKIA3".to_owned(), key("no name", "short"));
            let token = JoinToken {
                account: "000000000000".parse().unwrap(),
                expires_at: Timestamp::from_millis(0),
                uses_left: None,
                name: None,
            };
            tx.put(&tables.join_tokens, "no hash".to_owned(), token.clone());
            tx.put(&tables.join_tokens, "0a".repeat(32), token);
            tx.put(&tables.seal, (), SealSecret(vec![1]));
            Ok::<_, ()>(())
        });
        write.await.unwrap();
        let mut findings = Findings::default();
        tables.check(&ledger.snapshot(), &mut findings);
        let counts: Vec<_> =
            findings.counts.iter().map(|(rule, count)| (&**rule, *count)).collect();
        let expected = [("iam.keys", 2), ("iam.owners", 1), ("iam.seal", 1), ("iam.tokens", 1)];
        assert_eq!(counts, expected);
        let told = format!("{findings:?}");
        assert!(told.contains("AKIA1 and AKIA2 are both active"), "{told}");
    }
}
