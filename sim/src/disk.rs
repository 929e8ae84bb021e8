//! The server's disk: it survives the server, which may die before and after each write.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ledger::{Batch, Bytes, LoadedRow, Pace, Revision, Store, StoreError, StoredRow};
use parking_lot::Mutex;

use crate::life::Life;
use crate::mutation::Mutation;
use crate::world::World;

/// How long a write takes at most on a good day.
const WRITE: Duration = Duration::from_millis(8);

/// What is on the disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Kept>>);

#[derive(Clone, Default)]
struct Kept {
    revision: Revision,
    rows: BTreeMap<(&'static str, Bytes), StoredRow>,
    /// What a lying disk goes back to at a crash.
    lying_about: Option<Box<Kept>>,
    /// What is being written: of a crash meanwhile it survives or not.
    under_way: Option<Batch>,
}

impl Kept {
    fn write(&mut self, batch: &Batch, but: Option<usize>) {
        self.revision = batch.revision;
        for (index, write) in batch.writes.iter().enumerate() {
            let key = (write.table, write.key.clone());
            if but == Some(index) {
                continue;
            }
            match &write.row {
                Some(row) => self.rows.insert(key, row.clone()),
                None => self.rows.remove(&key),
            };
        }
    }
}

impl Disk {
    /// The store of one server's life.
    pub(crate) fn store(&self, world: &World, life: &Life, failed: &Arc<AtomicBool>) -> SimStore {
        let mut kept = self.0.lock();
        if let Some(before) = kept.lying_about.take() {
            *kept = *before;
        }
        if let Some(batch) = kept.under_way.take()
            && world.draw(|chance| chance.below(2)) == 0
        {
            world.tally("a write outlives a crash", format!("{}", batch.revision));
            kept.write(&batch, None);
        }
        drop(kept);
        SimStore {
            disk: self.clone(),
            world: world.clone(),
            life: life.clone(),
            failed: failed.clone(),
        }
    }
}

/// The disk as one server sees it.
pub(crate) struct SimStore {
    disk: Disk,
    world: World,
    life: Life,
    failed: Arc<AtomicBool>,
}

impl SimStore {
    fn write(&self, batch: &Batch) {
        let mut kept = self.disk.0.lock();
        let world = &self.world;
        if world.is_mutated(Mutation::AcknowledgesBeforeDurable) {
            // The last batch is only in a cache that a crash empties.
            kept.lying_about = None;
            kept.lying_about = Some(Box::new(kept.clone()));
        }
        let torn = world.is_mutated(Mutation::TearsBatches)
            && batch.writes.len() > 1
            && world.draw(|chance| chance.below(20)) == 0;
        kept.write(batch, torn.then_some(batch.writes.len() - 1));
    }
}

impl Store for SimStore {
    fn load(
        &mut self,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<Revision, StoreError> {
        let kept = self.disk.0.lock();
        for ((table, key), row) in &kept.rows {
            sink(LoadedRow {
                table,
                key,
                created: row.created,
                version: row.version,
                record_version: row.record_version,
                body: &row.body,
            })?;
        }
        Ok(kept.revision)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.life.is_over() || self.failed.load(Ordering::Relaxed) {
            return Err(StoreError::Stopped);
        }
        let world = self.world.clone();
        if world.strikes(|faults| faults.crash_before_commit) {
            world.tally("crash before commit", format!("{}", batch.revision));
            self.life.kill();
            return Err(StoreError::Stopped);
        }
        if world.strikes(|faults| faults.store_fails) {
            let written = world.draw(|chance| chance.below(2)) == 0;
            world.tally("store fails", format!("at {}, written {written}", batch.revision));
            if written {
                self.write(batch);
            }
            self.failed.store(true, Ordering::Relaxed);
            let source = "the disk of the simulation".into();
            return Err(StoreError::Io { action: "writing", path: PathBuf::new(), source });
        }
        self.write(batch);
        world.note(format!("disk: revision {}, {} rows", batch.revision, batch.writes.len()));
        if world.strikes(|faults| faults.crash_after_commit) {
            world.tally("crash after commit", format!("{}", batch.revision));
            self.life.kill();
            return Err(StoreError::Stopped);
        }
        Ok(())
    }

    fn pace(&self) -> Pace {
        if self.world.plan.disk_takes_time { Pace::Task } else { Pace::Inline }
    }

    fn wait(&mut self, batch: &Batch) -> BoxFuture<'static, ()> {
        let (world, life, disk) = (self.world.clone(), self.life.clone(), self.disk.clone());
        // A process that is dead begins no more writes, though what it had gathered is still there.
        if !life.is_over() {
            disk.0.lock().under_way = Some(batch.clone());
        }
        let time = world.disk_time(WRITE, "the server");
        Box::pin(async move {
            tokio::time::sleep(time).await;
            // Of a process that is dead by then nothing comes back.
            life.pass().await;
            disk.0.lock().under_way = None;
        })
    }
}
