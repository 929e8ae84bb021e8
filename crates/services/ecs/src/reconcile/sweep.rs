//! Forgets what is old: stopped tasks, deregistered instances, deleted clusters, services and
//! capacity providers, client tokens.
//!
//! The rows say when they stopped mattering, and indexes have them in that order, so a round
//! costs what it forgets.

use std::time::{Duration, Instant};

use ledger::{Ledger, TransactError, Tx};
use terms::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{definitions, ended, interfaces, usage};
use crate::STOPPED_TASK_RETENTION_MIN;
use crate::decide::token;
use crate::error::Error;
use crate::tables::Tables;

/// How often the loop looks.
const ROUND: Duration = Duration::from_secs(60);
/// How many stopped tasks are kept, over all clusters, however young they are.
const STOPPED_TASKS_MAX: usize = 100_000;
/// How long a deregistered instance, a deleted cluster, service or capacity provider is described
/// as INACTIVE.
const INACTIVE_KEPT: Duration = Duration::from_secs(60 * 60);
/// How many rows one transaction forgets.
pub(super) const BATCH: usize = 500;

/// What is kept of stopped tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    time: Duration,
    /// How many, over all clusters, however young they are.
    tasks_max: usize,
}

impl Kept {
    /// Stopped tasks are kept for `time`, or for the least time that clients count on.
    pub(crate) fn for_time(time: Duration) -> Self {
        Self { time: time.max(STOPPED_TASK_RETENTION_MIN), tasks_max: STOPPED_TASKS_MAX }
    }
}

/// Runs the loop until `shutdown`. A round that the ledger refuses is left to the next one.
pub(crate) async fn run(
    ledger: &Ledger,
    tables: &Tables,
    vpc: &vpc::Tables,
    kept: Kept,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        let begun = Instant::now();
        if let Err(error) = round(ledger, tables, vpc, kept).await {
            tracing::warn!(%error, "old rows could not be forgotten");
        }
        let timer = meters::ecs().loop_seconds.get_or_create_owned(&meters::Loop { name: "sweep" });
        timer.observe(begun.elapsed().as_secs_f64());
    }
}

/// Forgets everything that is old now.
pub(crate) async fn round(
    ledger: &Ledger,
    tables: &Tables,
    vpc: &vpc::Tables,
    kept: Kept,
) -> Result<(), TransactError<Error>> {
    loop {
        // Counted outside: a count inside would make every stopping task a conflict.
        let snapshot = ledger.snapshot();
        let many = snapshot.len(&tables.tasks) > kept.tasks_max;
        let stopped = if many { snapshot.index(&tables.stopped, &()).count() } else { 0 };
        let surplus = stopped.saturating_sub(kept.tasks_max);
        let forget = |tx: &mut Tx<'_>| {
            let orphans = interfaces::give_back(tx, tables, vpc, kept.time);
            let services = ended::forget(tx, tables, INACTIVE_KEPT, BATCH);
            let rows = forget(tx, tables, kept.time, surplus);
            Ok((rows.max(orphans).max(services), tx.now()))
        };
        let (forgotten, now) = ledger.transact("sweep", forget).await?.value;
        if forgotten < BATCH {
            usage::round(ledger, tables).await?;
            return definitions::round(ledger, tables, now).await;
        }
    }
}

/// Forgets a batch, `surplus` stopped tasks even if they are young; gives how many rows it was.
fn forget(tx: &mut Tx<'_>, tables: &Tables, kept: Duration, surplus: usize) -> usize {
    let now = tx.now();
    let old_tasks: Vec<_> = tx
        .index(&tables.stopped, &())
        .take(BATCH)
        .enumerate()
        .take_while(|(index, (_, row))| *index < surplus || is_old(row.times.stopped_at, kept, now))
        .map(|(_, (key, _))| key)
        .collect();
    old_tasks.iter().for_each(|key| tx.delete(&tables.tasks, key));
    let inactive = ..=(now - INACTIVE_KEPT);
    let instances: Vec<_> =
        tx.index_range(&tables.gone_instances, inactive).take(BATCH).map(|(key, _)| key).collect();
    for key in &instances {
        tx.delete(&tables.instances, key);
        tx.delete(&tables.releases, key);
    }
    let clusters: Vec<_> = tx
        .index_range(&tables.deleted_clusters, inactive)
        .take(BATCH)
        .map(|(key, _)| key)
        .collect();
    clusters.iter().for_each(|key| tx.delete(&tables.clusters, key));
    let providers: Vec<_> = tx
        .index_range(&tables.deleted_providers, inactive)
        .take(BATCH)
        .map(|(key, _)| key)
        .collect();
    providers.iter().for_each(|key| tx.delete(&tables.providers, key));
    let tokens = old_tokens(tx, tables, now);
    tokens.iter().for_each(|key| tx.delete(&tables.run_tokens, key));
    let counts = [old_tasks.len(), instances.len(), clusters.len(), providers.len(), tokens.len()];
    counts.into_iter().max().unwrap_or(0)
}

/// Tokens that mean nothing any more. None of them is younger than an hour.
fn old_tokens(tx: &Tx<'_>, tables: &Tables, now: Timestamp) -> Vec<crate::tables::TokenKey> {
    let an_hour_old = ..=(now - token::TASKS_SEEN);
    let rows: Vec<_> = tx.index_range(&tables.run_tokens_by_age, an_hour_old).take(BATCH).collect();
    let old = rows
        .into_iter()
        .filter(|((cluster, _), row)| token::is_spent(tx, tables, cluster, row, now));
    old.map(|(key, _)| key).collect()
}

fn is_old(at: Option<Timestamp>, kept: Duration, now: Timestamp) -> bool {
    at.is_some_and(|at| now.since(at) >= kept)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use ledger::{MemoryStore, Schema};
    use terms::{Clock, IdSource};

    use super::*;
    use crate::model::TaskStatus;
    use crate::model::sample::{MADE, task};
    use crate::model::{Document, Task};
    use crate::tables::{OrphanedInterface, RunToken, task_key};

    struct TestClock(AtomicI64);

    impl Clock for TestClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    struct NoIds;

    impl IdSource for NoIds {
        fn next(&self) -> [u8; 16] {
            [0; 16]
        }
    }

    struct World {
        ledger: Ledger,
        tables: Tables,
        vpc: vpc::Tables,
        clock: Arc<TestClock>,
        kept: Kept,
    }

    impl World {
        fn new() -> Self {
            let mut schema = Schema::new();
            let tables = Tables::declare(&mut schema);
            let vpc = vpc::Tables::declare(&mut schema);
            let clock = Arc::new(TestClock(AtomicI64::new(MADE.millis())));
            let store = Box::new(MemoryStore::new());
            let ledger = Ledger::open(schema, store, clock.clone(), Arc::new(NoIds)).unwrap();
            Self { ledger, tables, vpc, clock, kept: Kept::for_time(Duration::ZERO) }
        }

        async fn put(&self, rows: impl IntoIterator<Item = Task>) {
            let rows: Vec<Task> = rows.into_iter().collect();
            let put = self.ledger.transact("put", |tx| {
                for row in &rows {
                    tx.put(&self.tables.tasks, task_key(&row.arn), row.clone());
                }
                Ok::<_, Error>(())
            });
            put.await.unwrap();
        }

        async fn sweep(&self, after: Duration, stopped_max: usize) -> usize {
            self.clock.0.store((MADE + after).millis(), Ordering::SeqCst);
            let kept = Kept { tasks_max: stopped_max, ..self.kept };
            round(&self.ledger, &self.tables, &self.vpc, kept).await.unwrap();
            self.ledger.snapshot().len(&self.tables.tasks)
        }
    }

    fn stopped(number: u8, after: Duration) -> Task {
        let mut row = task(number);
        row.status = TaskStatus::Stopped;
        row.times.stopped_at = Some(MADE + after);
        row
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn stopped_tasks_are_kept_for_an_hour_and_others_for_ever() {
        let world = World::new();
        world.put([task(1), stopped(2, Duration::ZERO), stopped(3, MINUTE)]).await;
        assert_eq!(world.sweep(59 * MINUTE, 10).await, 3);
        assert_eq!(world.sweep(60 * MINUTE, 10).await, 2);
        assert_eq!(world.sweep(10_000 * MINUTE, 10).await, 1);
    }

    #[tokio::test]
    async fn the_operator_may_keep_them_for_longer() {
        let world = World { kept: Kept::for_time(180 * MINUTE), ..World::new() };
        world.put([stopped(1, Duration::ZERO), stopped(2, MINUTE)]).await;
        assert_eq!(world.sweep(179 * MINUTE, 10).await, 2);
        assert_eq!(world.sweep(180 * MINUTE, 10).await, 1);
        assert_eq!(world.sweep(181 * MINUTE, 10).await, 0);
    }

    #[tokio::test]
    async fn too_many_stopped_tasks_are_forgotten_the_oldest_first() {
        let world = World::new();
        world.put((1..=9).map(|number| stopped(number, MINUTE * number.into()))).await;
        assert_eq!(world.sweep(10 * MINUTE, 4).await, 4);
        let snapshot = world.ledger.snapshot();
        let oldest = snapshot.index(&world.tables.stopped, &()).next().unwrap().1;
        assert_eq!(oldest.times.stopped_at, Some(MADE + 6 * MINUTE));
    }

    #[tokio::test]
    async fn the_interface_of_an_abandoned_task_is_kept_however_soon_its_row_is_forgotten() {
        let world = World::new();
        let scope = task_key(&task(1).arn).0.scope;
        let network = vpc::Scope { account: scope.account.clone(), region: scope.region.clone() };
        let subnet = vpc::default_subnet(&network, "us-east-1a").unwrap();
        let put = world.ledger.transact("put", |tx| {
            let made = world.vpc.attach(tx, &network, &subnet, vpc::NewInterface::default());
            let orphan = OrphanedInterface { since: tx.now() };
            tx.put(&world.tables.orphans, (scope.clone(), made.unwrap().id), orphan);
            Ok::<_, Error>(())
        });
        put.await.unwrap();
        world.put([stopped(1, Duration::ZERO)]).await;
        let free = || world.vpc.free_addresses(&world.ledger.snapshot(), &network, &subnet);
        let before = free();
        assert_eq!(world.sweep(MINUTE, 0).await, 0);
        world.sweep(59 * MINUTE, 0).await;
        assert_eq!(free(), before);
        world.sweep(60 * MINUTE, 0).await;
        assert_eq!(free(), before + 1);
        assert_eq!(world.ledger.snapshot().len(&world.tables.orphans), 0);
    }

    #[tokio::test]
    async fn a_deleted_provider_is_described_for_an_hour() {
        use crate::model::{CapacityProvider, ManagedScaling, ProviderStatus};
        let world = World::new();
        let scope = task_key(&task(1).arn).0.scope;
        let row = |name: &str, status| CapacityProvider {
            name: name.parse().unwrap(),
            status,
            update: None,
            group: name.to_owned(),
            scaling: ManagedScaling::default(),
            termination_protection: false,
            draining: true,
            tags: Vec::new(),
            changed_at: MADE,
        };
        let rows = [row("gone", ProviderStatus::Inactive), row("stays", ProviderStatus::Active)];
        let put = world.ledger.transact("put", |tx| {
            for row in rows.clone() {
                tx.put(&world.tables.providers, (scope.clone(), row.name.clone()), row);
            }
            Ok::<_, Error>(())
        });
        put.await.unwrap();
        let left = || world.ledger.snapshot().len(&world.tables.providers);
        world.sweep(59 * MINUTE, 10).await;
        assert_eq!(left(), 2);
        world.sweep(60 * MINUTE, 10).await;
        assert_eq!(left(), 1);
    }

    #[tokio::test]
    async fn a_token_lives_as_long_as_its_tasks_and_an_hour() {
        let world = World::new();
        world.put([task(1), stopped(2, Duration::ZERO)]).await;
        let token = |number: u8, text: &str| {
            let (cluster, id) = task_key(&task(number).arn);
            let row = RunToken { request: Document::default(), tasks: vec![id], created_at: MADE };
            ((cluster, text.to_owned()), row)
        };
        let rows = [token(1, "runs"), token(2, "stopped")];
        let put = world.ledger.transact("put", |tx| {
            for (key, row) in rows.clone() {
                tx.put(&world.tables.run_tokens, key, row);
            }
            Ok::<_, Error>(())
        });
        put.await.unwrap();
        let left = || world.ledger.snapshot().len(&world.tables.run_tokens);
        world.sweep(59 * MINUTE, 10).await;
        assert_eq!(left(), 2);
        world.sweep(60 * MINUTE, 10).await;
        assert_eq!(left(), 1);
        world.sweep(24 * 60 * MINUTE, 10).await;
        assert_eq!(left(), 0);
    }
}
