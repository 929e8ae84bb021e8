//! Bytes that are sent without being in memory all at once.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

/// What is read of a file at a time.
const PIECE_BYTES: u64 = 128 * 1024;

/// Some bytes, then the beginning of a file, then some bytes. Cheap to clone. Of the file nothing may
/// change while it is sent.
#[derive(Clone, Default)]
pub struct Content {
    head: Bytes,
    file: Option<(Arc<File>, u64)>,
    rest: Bytes,
}

impl Content {
    /// The parts in their order; of the file so many bytes from its beginning.
    pub fn new(head: Bytes, file: Option<(Arc<File>, u64)>, rest: Bytes) -> Self {
        Self { head, file, rest }
    }

    /// The same with some bytes before it.
    #[must_use]
    pub fn behind(self, head: Bytes) -> Self {
        debug_assert!(self.head.is_empty(), "nothing stands before a file but this");
        Self { head, ..self }
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        let in_file = self.file.as_ref().map_or(0, |(_, count)| *count);
        self.head.len() as u64 + in_file + self.rest.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it at once. Blocks on the disk.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&self) -> io::Result<Bytes> {
        let mut all = Vec::with_capacity(usize::try_from(self.len()).map_err(io::Error::other)?);
        self.each(|piece| all.extend_from_slice(piece))?;
        Ok(all.into())
    }

    /// Its SHA-256. Blocks on the disk.
    pub(crate) fn sha256(&self) -> io::Result<[u8; 32]> {
        let mut hasher = Sha256::new();
        self.each(|piece| hasher.update(piece))?;
        Ok(hasher.finalize().into())
    }

    fn each(&self, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
        visit(&self.head);
        if let Some((file, count)) = &self.file {
            let mut at = 0;
            while at < *count {
                let piece = piece(file, at, *count)?;
                visit(&piece);
                at += piece.len() as u64;
            }
        }
        visit(&self.rest);
        Ok(())
    }

    pub(crate) fn body(&self) -> ContentBody {
        ContentBody { content: self.clone(), at: 0, reading: None }
    }
}

/// The next piece of a file of which `end` bytes are meant.
fn piece(file: &File, at: u64, end: u64) -> io::Result<Vec<u8>> {
    let count = (end - at).min(PIECE_BYTES);
    let mut piece = vec![0; usize::try_from(count).map_err(io::Error::other)?];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece)
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.len())
    }
}

/// A content as the body of a request: what of the file comes next is read when it is asked for.
pub(crate) struct ContentBody {
    content: Content,
    at: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl ContentBody {
    /// What comes next, if nobody has to wait for it; else begins to read it.
    fn next(&mut self) -> Option<Bytes> {
        let Content { head, file, rest } = &self.content;
        let in_head = head.len() as u64;
        if self.at < in_head {
            return Some(head.slice(self.at as usize..));
        }
        let in_file = file.as_ref().map_or(0, |(_, count)| *count);
        let at = self.at - in_head;
        match file {
            Some((file, count)) if at < *count => {
                let (file, count) = (Arc::clone(file), *count);
                let work = move || piece(&file, at, count);
                self.reading = Some(tokio::task::spawn_blocking(work));
                None
            }
            _ => Some(rest.slice((at - in_file) as usize..)),
        }
    }
}

impl hyper::body::Body for ContentBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.at == self.content.len() {
            return Poll::Ready(None);
        }
        let bytes = loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                match read.map_err(io::Error::other).flatten() {
                    Ok(read) => break Bytes::from(read),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            if let Some(bytes) = self.next() {
                break bytes;
            }
        };
        self.at += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.content.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.len() - self.at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http_body_util::BodyExt;
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn all_of_it_comes_in_its_order() {
        let check = async |head: &[u8], in_file: usize, rest: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            let written: Vec<u8> = (0..in_file).map(|at| (at % 251) as u8).collect();
            file.write_all(&written).unwrap();
            file.write_all(b"what is not meant").unwrap();
            let file = (in_file > 0).then(|| (Arc::new(file), in_file as u64));
            let content = Content::new(Bytes::new(), file, Bytes::copy_from_slice(rest));
            let content = content.behind(Bytes::copy_from_slice(head));
            let expected = [head, &written, rest].concat();
            assert_eq!(content.len(), expected.len() as u64);
            assert_eq!(content.sha256().unwrap()[..], Sha256::digest(&expected)[..]);
            assert!(content.read().unwrap() == expected);
            let body = content.body();
            let size = hyper::body::Body::size_hint(&body).exact();
            assert_eq!(size, Some(expected.len() as u64));
            assert!(body.collect().await.unwrap().to_bytes() == expected);
        };
        let large = PIECE_BYTES as usize;
        check(b"", 0, b"").await;
        check(b"head", 0, b"rest").await;
        check(b"", 1, b"").await;
        check(b"head", large, b"").await;
        check(b"", 2 * large + 1, b"rest").await;
        check(b"head", 3 * large, b"rest").await;
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_breaks_it_off() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let content = Content::new(Bytes::new(), Some((file, 5)), Bytes::new());
        assert!(content.sha256().is_err() && content.body().collect().await.is_err());
    }
}
