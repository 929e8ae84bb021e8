//! The file that an agent's journal lies on: torn where a crash meets a write.

use std::io;
use std::sync::Arc;

use agent::journal::Medium;
use async_trait::async_trait;
use parking_lot::Mutex;

use super::Seen;
use crate::mutation::Mutation;
use crate::world::World;

/// The file of one machine. Clones are the same file.
#[derive(Clone, Default)]
pub(crate) struct JournalFile(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    durable: usize,
}

impl JournalFile {
    /// The file as one life of an agent writes it.
    pub(crate) fn written_by(&self, seen: &Seen) -> Written {
        Written { file: self.clone(), seen: seen.clone() }
    }

    /// What a loss of power keeps: what was durable, and any part of the rest.
    pub(crate) fn lose_power(&self, world: &World) {
        let mut kept = self.0.lock();
        let (durable, length) = (kept.durable, kept.bytes.len());
        let rest = u64::try_from(length - durable).unwrap_or(0);
        let kept_rest = world.draw(|chance| chance.below(rest + 1));
        kept.bytes.truncate(durable + usize::try_from(kept_rest).unwrap_or(0));
        kept.durable = kept.bytes.len();
        world.note(format!("of {length} bytes of a journal {} are left", kept.bytes.len()));
    }
}

/// The file, with the life that writes it.
pub(crate) struct Written {
    file: JournalFile,
    seen: Seen,
}

impl Written {
    fn full(&self) -> io::Result<()> {
        let world = &self.seen.host.world;
        if world.strikes(|faults| faults.journal_fails) {
            world.tally("journal is full", &self.seen.host.name);
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

#[async_trait]
impl Medium for Written {
    fn name(&self) -> String {
        format!("{}/journal", self.seen.host.name)
    }

    async fn read(&mut self) -> io::Result<Vec<u8>> {
        self.seen.life.pass().await;
        Ok(self.file.0.lock().bytes.clone())
    }

    async fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.seen.life.pass().await;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut kept = self.file.0.lock();
        kept.bytes.truncate(length);
        kept.durable = kept.durable.min(length);
        Ok(())
    }

    async fn append(&mut self, bytes: Vec<u8>, durable: bool) -> io::Result<()> {
        let world = self.seen.host.world.clone();
        self.seen.life.pass().await;
        if let Err(error) = self.full() {
            // A part of it went in.
            let part = world.draw(|chance| chance.below(bytes.len() as u64));
            let part = usize::try_from(part).unwrap_or(0);
            self.file.0.lock().bytes.extend_from_slice(&bytes[..part]);
            return Err(error);
        }
        if world.strikes(|faults| faults.crash_before_effect) {
            // In the middle of the write.
            let part = world.draw(|chance| chance.below(bytes.len() as u64 + 1));
            let part = usize::try_from(part).unwrap_or(0);
            self.file.0.lock().bytes.extend_from_slice(&bytes[..part]);
            world.tally("agent dies writing its journal", &self.seen.host.name);
            self.seen.life.kill();
            return std::future::pending().await;
        }
        let name = &self.seen.host.name;
        let length = {
            let mut kept = self.file.0.lock();
            kept.bytes.extend_from_slice(&bytes);
            kept.bytes.len()
        };
        world.note(format!("{name}: journal, {} bytes", bytes.len()));
        if durable {
            tokio::time::sleep(world.disk_time(super::EFFECT, name)).await;
            self.seen.life.pass().await;
            if !world.is_mutated(Mutation::JournalLies) {
                let mut kept = self.file.0.lock();
                kept.durable = kept.durable.max(length);
            }
        }
        if world.strikes(|faults| faults.crash_after_effect) {
            world.tally("agent dies after writing its journal", &self.seen.host.name);
            self.seen.life.kill();
            return std::future::pending().await;
        }
        Ok(())
    }

    async fn replace(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.seen.life.pass().await;
        self.full()?;
        let time = self.seen.host.world.disk_time(super::EFFECT, &self.seen.host.name);
        tokio::time::sleep(time).await;
        self.seen.life.pass().await;
        let mut kept = self.file.0.lock();
        kept.durable = bytes.len();
        kept.bytes = bytes;
        Ok(())
    }
}
