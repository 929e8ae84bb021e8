//! What has come of an upload since its last part: a file of this machine, so that many slow pushes hold
//! no memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::bucket::Content;
use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;

use crate::depot::DepotError;

/// So much is kept in memory; most blobs but layers are smaller.
const MEMORY_BYTES: usize = 64 * 1024;

/// The bytes in their order: first those in the file, then those on their way there, then those in memory.
/// Between two awaits it is always whole: a request may break off anywhere.
pub(super) struct Tail {
    folder: PathBuf,
    /// Without a name; made when it is needed first.
    file: Option<Arc<File>>,
    in_file: usize,
    /// What is being written, and how much of it there is.
    writing: Option<(JoinHandle<io::Result<Arc<File>>>, usize)>,
    memory: BytesMut,
}

impl Tail {
    /// Nothing, with room in a folder, which may not be there yet.
    pub(super) fn new(folder: &Path) -> Self {
        let (folder, memory) = (folder.to_owned(), BytesMut::new());
        Self { folder, file: None, in_file: 0, writing: None, memory }
    }

    pub(super) fn len(&self) -> usize {
        self.in_file + self.writing.as_ref().map_or(0, |(_, count)| *count) + self.memory.len()
    }

    /// Adds bytes before anything is waited for. Once what was added before was waited for
    /// ([`Tail::settle`]), it can be more than is kept in memory.
    pub(super) fn push(&mut self, bytes: Bytes) {
        let is_much = self.memory.len() + bytes.len() > MEMORY_BYTES;
        if !is_much || self.writing.is_some() {
            self.memory.extend_from_slice(&bytes);
            return;
        }
        let bytes = match self.memory.is_empty() {
            true => bytes,
            false => {
                self.memory.extend_from_slice(&bytes);
                std::mem::take(&mut self.memory).freeze()
            }
        };
        let (count, at, file) = (bytes.len(), self.in_file as u64, self.file.take());
        let folder = self.folder.clone();
        let write = move || {
            let file = match file {
                Some(file) => file,
                None => {
                    std::fs::create_dir_all(&folder)?;
                    Arc::new(tempfile::tempfile_in(&folder)?)
                }
            };
            file.write_all_at(&bytes, at)?;
            Ok(file)
        };
        self.writing = Some((tokio::task::spawn_blocking(write), count));
    }

    /// Waits until what was added is written, as far as it is.
    pub(super) async fn settle(&mut self) -> Result<(), DepotError> {
        let Some((work, count)) = &mut self.writing else { return Ok(()) };
        let (written, count) = (work.await, *count);
        self.writing = None;
        let written = written.map_err(io::Error::other).flatten();
        self.file = Some(written.map_err(|source| self.failed("write a file in", source))?);
        self.in_file += count;
        Ok(())
    }

    fn failed(&self, action: &'static str, source: io::Error) -> DepotError {
        DepotError::File { action, path: self.folder.clone(), source }
    }

    /// All of it, to be sent. What was added must have been waited for ([`Tail::settle`]).
    pub(super) fn content(&self) -> Content {
        debug_assert!(self.writing.is_none(), "who sends it has waited for it");
        let file = self.file.clone().filter(|_| self.in_file > 0);
        let file = file.map(|file| (file, self.in_file as u64));
        Content::new(Bytes::new(), file, Bytes::copy_from_slice(&self.memory))
    }

    /// The same, and begins anew with another file: this one is read while it is sent.
    pub(super) fn take(&mut self) -> Content {
        let content = self.content();
        *self = Self::new(&self.folder);
        content
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_added_comes_back_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut tail = Tail::new(&folder.path().join("spool"));
        for _ in 0..2 {
            let mut expected = Vec::new();
            for (number, count) in [1, 40_000, 30_000, 5, 200_000, 0, 70_000, 7].iter().enumerate()
            {
                let piece = vec![number as u8; *count];
                expected.extend_from_slice(&piece);
                tail.push(piece.into());
                assert_eq!(tail.len(), expected.len());
                // Some are waited for before the next.
                if number % 3 == 0 {
                    tail.settle().await.unwrap();
                }
            }
            tail.settle().await.unwrap();
            assert!(tail.content().read().unwrap() == expected);
            assert!(tail.memory.len() <= MEMORY_BYTES + 7, "the rest is in the file");
            let taken = tail.take();
            assert_eq!((tail.len(), tail.content().read().unwrap().len()), (0, 0));
            tail.push(vec![9; 100_000].into());
            tail.settle().await.unwrap();
            assert!(taken.read().unwrap() == expected, "what comes next goes elsewhere");
            tail.take();
        }
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::new(file.path());
        tail.push(vec![0; MEMORY_BYTES + 1].into());
        let error = tail.settle().await.unwrap_err();
        assert!(error.to_string().contains("cannot write a file in"), "{error}");
    }
}
