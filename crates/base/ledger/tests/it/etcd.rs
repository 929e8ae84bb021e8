//! Servers that share Debian's etcd.

use std::time::Duration;

use ledger::{
    Batch, EtcdSettings, EtcdStore, EtcdTls, LedgerError, Secret, Store, StoreError, StoredRow,
    TransactError, Write,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::time::{sleep, timeout};

use crate::etcd_server::{EtcdServer, etcdctl, shared_settings};
use crate::world::{Key, World, key, runtime, settings, ship};

/// Far more than anything here takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs servers on tasks of their own.
pub fn run(test: impl Future<Output = ()>) {
    runtime().block_on(async { timeout(PATIENCE, test).await.expect("nothing hangs") });
}

pub fn named(settings: &EtcdSettings, name: &str) -> EtcdSettings {
    let mut settings = settings.clone();
    settings.member.name = name.to_owned();
    settings
}

pub async fn join(settings: &EtcdSettings, name: &str) -> World {
    World::join(None, named(settings, name)).await.unwrap()
}

/// Writes until a server of these takes it, and gives the number of that server.
pub async fn put_anywhere(worlds: &[&World], key: Key) -> usize {
    for number in (0..worlds.len()).cycle() {
        let World { ledger, ships, .. } = worlds[number];
        let put = ledger.transact("put", |tx| {
            tx.put(ships, key.clone(), ship("Oslo", 1));
            Ok::<_, ()>(())
        });
        if put.await.is_ok() {
            return number;
        }
        sleep(Duration::from_millis(20)).await;
    }
    unreachable!("it tries for ever")
}

#[test]
fn one_leads_and_the_other_follows() {
    run(async {
        let settings = shared_settings("one");
        let one = join(&settings, "one").await;
        one.leads().await;
        let other = join(&settings, "other").await;
        one.put(key("red", 1), ship("Oslo", 1)).await;
        let snapshot = other.ledger.current().await.unwrap();
        assert_eq!(snapshot.get(&other.ships, &key("red", 1)).unwrap().cargo, 1);
        let refused = other.ledger.transact("refused", |_| Ok::<_, ()>(())).await;
        let Err(TransactError::Ledger(LedgerError::NotLeading { leader: Some(leader) })) = refused
        else {
            panic!("{refused:?}")
        };
        assert_eq!((leader.name.as_str(), leader.url.as_str()), ("one", "http://one"));

        one.ledger.resign().await;
        other.leads().await;
        other.put(key("red", 2), ship("Oslo", 1)).await;
        assert_eq!(one.ledger.current().await.unwrap().revision(), 2);
    });
}

#[test]
fn a_dead_leader_is_replaced() {
    let settings = EtcdSettings { lease: Duration::from_secs(2), ..shared_settings("one") };
    let doomed = runtime();
    let one = doomed.block_on(async {
        let etcd = ledger::connect_etcd(&settings).await.unwrap();
        World::join(Some(etcd), settings.clone()).await.unwrap()
    });
    doomed.block_on(put_anywhere(&[&one], key("red", 1)));
    run(async {
        let other = join(&settings, "other").await;
        assert!(!other.ledger.leadership().borrow().is_leading());
        // Its tasks stop between two steps, as with `kill -9`.
        doomed.shutdown_background();
        other.leads().await;
        assert_eq!(other.all().len(), 1);
        put_anywhere(&[&other], key("red", 2)).await;
    });
    drop(one);
}

#[test]
fn etcd_may_be_killed_and_started_again() {
    let mut server = EtcdServer::start();
    let settings = settings("one", &server.endpoint, "/longshore");
    run(async {
        let one = join(&settings, "one").await;
        one.leads().await;
        let other = join(&settings, "other").await;
        for round in 0..3_u32 {
            let (leads, follows) = match put_anywhere(&[&one, &other], key("red", round)).await {
                0 => (&one, &other),
                _ => (&other, &one),
            };
            server.kill();
            let put = leads.ledger.transact("put", |tx| {
                tx.put(&leads.ships, key("lost", round), ship("Oslo", 1));
                Ok::<_, ()>(())
            });
            // Nobody can say that it was written, and nobody does.
            let read = follows.ledger.current();
            let (put, read) = tokio::join!(timeout(PATIENCE, put), timeout(PATIENCE, read));
            assert!(matches!(put.unwrap(), Err(TransactError::Ledger(_))));
            assert!(matches!(read.unwrap(), Err(LedgerError::Unreachable { .. })));
            server.start_again();
            put_anywhere(&[&one, &other], key("red", 100 + round)).await;
        }
        let snapshot = other.reached().await;
        assert_eq!(snapshot.prefix(&other.ships, &"red".to_owned()).count(), 6);
        one.reached().await;
        assert_eq!(one.all(), other.all());
    });
}

#[test]
fn large_transactions_go_in_parts() {
    run(async {
        let settings = shared_settings("one");
        let one = join(&settings, "one").await;
        one.leads().await;
        let other = join(&settings, "other").await;
        let mut feed = other.ledger.subscribe();
        let cargo = "x".repeat(10_000);
        let many = one.ledger.transact("many", |tx| {
            for number in 0..1_000 {
                tx.put(&one.ships, key("red", number), ship(&cargo, 1));
            }
            Ok::<_, ()>(())
        });
        many.await.unwrap();
        one.put(key("red", 0), ship("Oslo", 2)).await;
        let commit = feed.next().await.unwrap();
        assert_eq!((commit.revision(), commit.changes_of(&one.ships).count()), (1, 1_000));
        assert_eq!(feed.next().await.unwrap().revision(), 2);
        other.ledger.current().await.unwrap();
        assert_eq!(other.all(), one.all());
        let third = join(&settings, "third").await;
        assert_eq!(third.all(), one.all());
        let too_large = one.ledger.transact("too large", |tx| {
            tx.put(&one.ships, key("red", 1), ship(&"x".repeat(1 << 20), 1));
            Ok::<_, ()>(())
        });
        let error = too_large.await.unwrap_err();
        assert!(
            matches!(error, TransactError::Ledger(LedgerError::RowTooLarge { .. })),
            "{error:?}"
        );
    });
}

#[test]
fn a_leader_whose_key_is_gone_writes_nothing() {
    run(async {
        let settings = shared_settings("one");
        let one = join(&settings, "one").await;
        one.leads().await;
        one.put(key("red", 1), ship("Oslo", 1)).await;
        etcdctl(&settings.endpoints[0], &["del", &format!("{}/leader", settings.prefix)]);
        let put = one.ledger.transact("put", |tx| {
            tx.put(&one.ships, key("red", 2), ship("Oslo", 1));
            Ok::<_, ()>(())
        });
        let error = put.await.unwrap_err();
        assert!(
            matches!(error, TransactError::Ledger(LedgerError::NotLeading { .. })),
            "{error:?}"
        );
        // It campaigns again, and goes on.
        one.leads().await;
        put_anywhere(&[&one], key("red", 3)).await;
        let keys: Vec<Key> = one.all().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [key("red", 1), key("red", 3)]);
    });
}

#[test]
fn a_newer_format_is_refused() {
    run(async {
        let settings = shared_settings("one");
        drop(join(&settings, "one").await);
        etcdctl(&settings.endpoints[0], &["put", &format!("{}/format", settings.prefix), "99"]);
        let error = World::join(None, settings.clone()).await.err().unwrap();
        let StoreError::NewerKeys { found: 99, .. } = error else { panic!("{error}") };
        assert_eq!(
            error.to_string(),
            format!(
                "the keys under {} in etcd have format 99, this program reads up to 1; use a \
                 newer longshore",
                settings.prefix
            )
        );
    });
}

#[test]
fn a_nearly_full_etcd_takes_changes_but_no_new_rows() {
    run(async {
        let settings = EtcdSettings { quota_bytes: 1, ..shared_settings("one") };
        let one = join(&settings, "one").await;
        one.leads().await;
        let refused = loop {
            let put = one.ledger.transact("put", |tx| {
                tx.put(&one.ships, key("red", 1), ship("Oslo", 1));
                Ok::<_, ()>(())
            });
            if let Err(error) = put.await {
                break error;
            }
            let delete = one.ledger.transact("delete", |tx| {
                tx.delete(&one.ships, &key("red", 1));
                Ok::<_, ()>(())
            });
            delete.await.unwrap();
        };
        let full = matches!(refused, TransactError::Ledger(LedgerError::StoreNearlyFull { .. }));
        assert!(full, "{refused:?}");
    });
}

#[test]
fn commands_read_beside_servers_and_write_without_them() {
    let settings = shared_settings("one");
    let mut store = EtcdStore::open(settings.clone()).unwrap();
    let row = |version| {
        let body = rmp_serde::to_vec_named(&ship("Oslo", version)).unwrap();
        Some(StoredRow { created: 1, version, record_version: 1, body: body.into() })
    };
    let write = |number: u32, version| {
        let key = [b"red\0\x01".as_slice(), &number.to_be_bytes()].concat();
        Write { table: "test.ships", key: key.into(), row: row(version) }
    };
    let count = |store: &mut EtcdStore| {
        let mut rows = 0;
        let revision = store.load(&mut |_| {
            rows += 1;
            Ok(())
        });
        (revision.unwrap(), rows)
    };
    store.commit(&Batch { revision: 4, writes: vec![write(0, 4)] }).unwrap();
    let many = (0..1_000).map(|number| write(number, 5)).collect();
    store.commit(&Batch { revision: 5, writes: many }).unwrap();
    assert_eq!(count(&mut store), (5, 1_000));
    drop(store);
    run(async {
        let one = join(&settings, "one").await;
        one.leads().await;
        assert_eq!(one.all().len(), 1_000);
        one.put(key("red", 7), ship("Bergen", 7)).await;
        // As commands do: from a runtime.
        let mut store = EtcdStore::open(settings.clone()).unwrap();
        assert_eq!(count(&mut store), (6, 1_000));
        let error = store.commit(&Batch { revision: 7, writes: vec![write(0, 7)] }).unwrap_err();
        assert!(error.to_string().contains("it is in use by one at http://one"), "{error}");
        one.put(key("red", 8), ship("Bergen", 8)).await;
    });
}

#[test]
fn a_command_is_told_that_nobody_answers() {
    run(async {
        let nobody = settings("one", "http://127.0.0.1:1", "/longshore");
        let error = EtcdStore::open(nobody).err().unwrap();
        assert!(matches!(error, StoreError::Etcd { .. }), "{error}");
    });
}

#[test]
fn a_user_and_a_password_are_asked_for() {
    let server = EtcdServer::start();
    let endpoint = server.endpoint.as_str();
    etcdctl(endpoint, &["user", "add", "root:hush"]);
    etcdctl(endpoint, &["user", "grant-role", "root", "root"]);
    etcdctl(endpoint, &["auth", "enable"]);
    let stranger = settings("one", endpoint, "/longshore");
    let user = |password| Some(("root".to_owned(), Secret::new(password)));
    run(async {
        for user in [None, user("wrong")] {
            let settings = EtcdSettings { user, ..stranger.clone() };
            let error = World::join(None, settings).await.err().unwrap();
            assert!(matches!(error, StoreError::Etcd { .. }), "{error}");
        }
        let settings = EtcdSettings { user: user("hush"), ..stranger.clone() };
        let one = World::join(None, settings).await.unwrap();
        one.leads().await;
        one.put(key("red", 1), ship("Oslo", 1)).await;
    });
}

#[test]
fn both_ends_of_a_connection_show_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let keys = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&keys, &ca).unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let server = EtcdServer::start_with(&[
        "--client-cert-auth",
        "--trusted-ca-file",
        &file("ca.pem", &ca.pem()),
        "--cert-file",
        &file("cert.pem", &certificate.pem()),
        "--key-file",
        &file("key.pem", &keys.serialize_pem()),
    ]);
    let settings = settings("one", &server.endpoint, "/longshore");
    let ca = Some(ca.pem().into_bytes());
    let key_pem = Secret::new(keys.serialize_pem());
    let identity = Some((certificate.pem().into_bytes(), key_pem));
    run(async {
        let tls = Some(EtcdTls { ca: ca.clone(), identity: None });
        let stranger = EtcdSettings { tls, ..settings.clone() };
        assert!(World::join(None, stranger).await.is_err(), "it has no certificate");
        let one = EtcdSettings { tls: Some(EtcdTls { ca, identity }), ..settings.clone() };
        let one = World::join(None, one).await.unwrap();
        one.leads().await;
        one.put(key("red", 1), ship("Oslo", 1)).await;
    });
}
