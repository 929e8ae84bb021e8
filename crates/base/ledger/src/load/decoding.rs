//! Rows that are decoded while more of them arrive.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{Chunk, Decoded, build, decode_chunk};
use crate::schema::Schema;
use crate::state::{Revision, State};
use crate::store::{LoadedRow, Pace, StoreError};

/// The most pages that are decoded at once.
const PAGES_MAX: usize = 8;

/// Rows that come page by page, decoded on other threads meanwhile, or at once for stores that
/// start none.
pub(crate) struct Decoding {
    schema: Arc<Schema>,
    pace: Pace,
    chunk: Chunk,
    running: VecDeque<JoinHandle<Result<Decoded, StoreError>>>,
    /// So many pages are decoded at once; whoever reads waits while there are more.
    running_max: usize,
    done: Vec<Decoded>,
}

impl Decoding {
    pub(crate) fn new(schema: &Arc<Schema>, pace: Pace) -> Self {
        let running_max =
            std::thread::available_parallelism().map_or(1, |n| n.get().min(PAGES_MAX));
        Self {
            schema: schema.clone(),
            pace,
            chunk: Chunk::default(),
            running: VecDeque::new(),
            running_max,
            done: Vec::new(),
        }
    }

    /// Adds a row of a table that is known.
    pub(crate) fn push(&mut self, table: u16, row: &LoadedRow<'_>) {
        self.chunk.push(table, row);
    }

    /// Ends a page: lets the rows that were pushed be decoded.
    pub(crate) async fn end_page(&mut self) -> Result<(), StoreError> {
        let chunk = std::mem::take(&mut self.chunk);
        if self.pace == Pace::Inline {
            self.done.push(decode_chunk(&self.schema, &chunk)?);
            tokio::task::yield_now().await;
            return Ok(());
        }
        while self.running.len() >= self.running_max {
            self.settle_one().await?;
        }
        let schema = self.schema.clone();
        self.running.push_back(tokio::task::spawn_blocking(move || decode_chunk(&schema, &chunk)));
        Ok(())
    }

    async fn settle_one(&mut self) -> Result<(), StoreError> {
        let Some(oldest) = self.running.pop_front() else { return Ok(()) };
        self.done.push(oldest.await.map_err(|_| StoreError::Stopped)??);
        Ok(())
    }

    /// The tables of all rows, as of `revision`.
    pub(crate) async fn finish(mut self, revision: Revision) -> Result<State, StoreError> {
        self.end_page().await?;
        while !self.running.is_empty() {
            self.settle_one().await?;
        }
        let Self { schema, pace, done, .. } = self;
        if pace == Pace::Inline {
            return Ok(build(&schema, revision, done, pace));
        }
        let building = tokio::task::spawn_blocking(move || build(&schema, revision, done, pace));
        building.await.map_err(|_| StoreError::Stopped)
    }
}
