//! What a real etcd does with time: tokens expire, history is compacted, the quota is reached.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ledger::{EtcdSettings, LedgerError, Secret, TransactError};

use crate::etcd::{join, named, put_anywhere, run};
use crate::etcd_server::{EtcdServer, LONG_LEASE, etcdctl, try_etcdctl};
use crate::world::{World, key, settings, ship};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(240);
/// A row of 100 kB.
const LARGE: usize = 100_000;

async fn put(world: &World, number: u32, bytes: usize) -> Result<(), TransactError<()>> {
    let cargo = "x".repeat(bytes);
    let put = world.ledger.transact("put", |tx| {
        tx.put(&world.ships, key("red", number), ship(&cargo, 1));
        Ok(())
    });
    put.await.map(drop)
}

/// The same, however often nobody leads for a moment.
async fn put_surely(world: &World, number: u32, bytes: usize) {
    while let Err(error) = put(world, number, bytes).await {
        assert!(has_passed(&error), "{error:?}");
        world.leads().await;
    }
}

/// Has etcd ask for the password of `root`, which is `hush`, from now on.
fn ask_for_passwords(endpoint: &str) {
    etcdctl(endpoint, &["user", "add", "root:hush"]);
    etcdctl(endpoint, &["user", "grant-role", "root", "root"]);
    etcdctl(endpoint, &["auth", "enable"]);
}

#[test]
fn tokens_that_expire_or_are_forgotten_are_asked_for_anew() {
    let extra = ["--auth-token-ttl", "1", "--log-level", "info"];
    let mut server = EtcdServer::start_with(&extra);
    let endpoint = server.endpoint.clone();
    ask_for_passwords(&endpoint);
    run(async {
        let user = Some(("root".to_owned(), Secret::new("hush")));
        // Its renewals do not keep the token in use.
        let lease = LONG_LEASE;
        let settings = EtcdSettings { user, lease, ..settings("one", &endpoint, "/longshore") };
        let one = join(&settings, "one").await;
        one.leads().await;
        let other = join(&settings, "other").await;
        for number in 0..2 {
            put_surely(&one, number, 10).await;
            server.await_line("deleted a simple token");
        }
        // Users change: tokens of another kind (JWT) end with that.
        etcdctl(&endpoint, &["--user", "root:hush", "user", "add", "guest:guest"]);
        put_surely(&one, 2, 10).await;
        let shown = other.reached().await;
        assert_eq!(shown.prefix(&other.ships, &"red".to_owned()).count(), 3);
        // After a restart etcd knows no tokens at all.
        server.kill();
        server.start_again();
        while put(&one, 3, 10).await.is_err() && put(&other, 3, 10).await.is_err() {
            tokio::select! {
                () = one.leads() => {}
                () = other.leads() => {}
            }
        }
        let shown = other.reached().await;
        assert_eq!(shown.prefix(&other.ships, &"red".to_owned()).count(), 4);
    });
}

#[test]
fn signed_tokens_expire_and_end_with_a_change_of_users() {
    let folder = tempfile::tempdir().unwrap();
    let signs = folder.path().join("key");
    std::fs::write(&signs, "a key that only this etcd knows").unwrap();
    let tokens = format!("jwt,priv-key={},sign-method=HS256,ttl=1s", signs.display());
    let server = EtcdServer::start_with(&["--auth-token", &tokens]);
    let endpoint = server.endpoint.clone();
    ask_for_passwords(&endpoint);
    run(async {
        let user = Some(("root".to_owned(), Secret::new("hush")));
        let settings = EtcdSettings { user, ..settings("one", &endpoint, "/longshore") };
        let one = join(&settings, "one").await;
        one.leads().await;
        let other = join(&settings, "other").await;
        // Whoever is refused for long enough leads no more.
        let both = [&one, &other];
        // For as long as three tokens live: etcd tells nobody that one has expired.
        let end = Instant::now() + Duration::from_secs(3);
        let mut numbers = 0..;
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        while Instant::now() < end {
            beat.tick().await;
            put_anywhere(&both, key("red", numbers.next().unwrap())).await;
        }
        etcdctl(&endpoint, &["--user", "root:hush", "user", "add", "guest:guest"]);
        let last = numbers.next().unwrap();
        put_anywhere(&both, key("red", last)).await;
        // The first question with the old token may be refused; the next has a new one.
        let shown = other.reached().await;
        let rows = shown.prefix(&other.ships, &"red".to_owned()).count();
        assert_eq!(rows, last as usize + 1);
    });
}

#[test]
fn history_is_compacted_and_who_was_away_loads_anew() {
    let server = EtcdServer::start();
    // An eighth of it may be history.
    let quota_bytes = 64 << 20;
    let settings = EtcdSettings { quota_bytes, ..settings("one", &server.endpoint, "/longshore") };
    // Its tasks stand still while nobody runs this.
    let asleep = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (away, mut feed) = asleep.block_on(async {
        let settings = named(&settings, "zoe");
        let etcd = ledger::connect_etcd(&settings).await.unwrap();
        let away = World::join(Some(etcd), settings).await.unwrap();
        away.ledger.leadership().wait_for(ledger::Leadership::is_leading).await.unwrap();
        away.put(key("blue", 1), ship("Oslo", 1)).await;
        let feed = away.ledger.subscribe();
        (away, feed)
    });
    run(async {
        let one = join(&settings, "one").await;
        one.leads().await;
        put_surely(&one, 0, 10).await;
        let head = etcdctl(&settings.endpoints[0], &["get", "/longshore/head", "-w", "json"]);
        let head: serde_json::Value = serde_json::from_str(&head).unwrap();
        let revision = head["header"]["revision"].to_string();
        let old = ["get", "--rev", &revision, "/longshore/head"];
        let deadline = Instant::now() + PATIENCE;
        // No faster than history is looked at, or the quota is reached before.
        let mut beat = tokio::time::interval(Duration::from_millis(40));
        for number in (0..10).cycle() {
            beat.tick().await;
            put_surely(&one, number, LARGE).await;
            if try_etcdctl(&settings.endpoints[0], &old).is_err() {
                break;
            }
            assert!(Instant::now() < deadline, "history is not compacted");
        }
        put_surely(&one, 10, 10).await;
        one.ledger.resign().await;
    });
    asleep.block_on(async {
        // It still believes that it leads, until its tasks find out.
        assert!(feed.next().await.is_err(), "what was missed is told");
        assert_eq!(feed.restart().get(&away.ships, &key("red", 10)).unwrap().cargo, 1);
        let rows = feed.snapshot().prefix(&away.ships, &"red".to_owned()).count();
        assert!((2..=11).contains(&rows), "{rows}");
        put_surely(&away, 11, 10).await;
    });
}

#[test]
fn new_rows_are_refused_before_the_quota_and_all_goes_on_behind_an_alarm() {
    // The file grows by 16 MiB at a time, so the ledger is told less than etcd has.
    let server = EtcdServer::start_with(&["--quota-backend-bytes", "50331648"]);
    let warnings = Warnings::all();
    let endpoint = server.endpoint.clone();
    run(async {
        let quota_bytes = 20 << 20;
        let settings = EtcdSettings { quota_bytes, ..settings("one", &endpoint, "/longshore") };
        let one = join(&settings, "one").await;
        one.leads().await;
        let mut rows = 0;
        let refused = loop {
            match put(&one, rows, LARGE).await {
                Ok(()) => rows += 1,
                Err(error) if has_passed(&error) => one.leads().await,
                Err(error) => break error,
            }
            // How full it is, it looks every few seconds.
            if rows > 180 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let full = matches!(refused, TransactError::Ledger(LedgerError::StoreNearlyFull { .. }));
        assert!(full, "{refused:?}");
        let told = String::from_utf8(warnings.0.lock().unwrap().clone()).unwrap();
        assert!(told.contains("nearly as large as its quota") && told.contains("defrag"), "{told}");
        // Changes are taken, until etcd itself takes nothing more from anybody.
        let is_full = || etcdctl(&endpoint, &["alarm", "list"]).contains("NOSPACE");
        put_surely(&one, 0, LARGE).await;
        let mut changes = 0;
        while !is_full() {
            let _ = put(&one, 0, 9 * LARGE).await;
            changes += 1;
            assert!(changes < 200, "etcd takes all");
        }
        assert!(put(&one, 0, 11).await.is_err());
        // An operator makes room.
        let head = etcdctl(&endpoint, &["get", "/longshore/head", "--write-out", "json"]);
        let head: serde_json::Value = serde_json::from_str(&head).unwrap();
        etcdctl(&endpoint, &["compact", &head["header"]["revision"].to_string()]);
        etcdctl(&endpoint, &["defrag"]);
        etcdctl(&endpoint, &["alarm", "disarm"]);
        one.leads().await;
        put_surely(&one, 0, 12).await;
        one.reached().await;
        assert_eq!(one.all().len() as u32, rows);
    });
}

/// Whether nobody led for a moment, which happens on a busy machine.
fn has_passed(error: &TransactError<()>) -> bool {
    matches!(
        error,
        TransactError::Ledger(
            LedgerError::NotLeading { .. }
                | LedgerError::OutcomeUnknown
                | LedgerError::Unreachable { .. }
        )
    )
}

/// What is warned of in this process.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<u8>>>);

impl Warnings {
    fn all() -> Self {
        let all = Self::default();
        let writer = all.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN);
        let subscriber = subscriber.with_ansi(false).with_writer(move || writer.clone());
        subscriber.try_init().expect("no other test listens");
        all
    }
}

impl Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
