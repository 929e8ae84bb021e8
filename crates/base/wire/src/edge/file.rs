//! Bodies that are parts of files, and how the kernel sends them by itself.
//!
//! A byte that is read from a file and written to a socket is copied twice, and needs memory in
//! between. Without TLS, in HTTP/1, nobody but the kernel has to touch it: `sendfile` hands the file's
//! pages to the socket. hyper knows of no files, it writes slices of memory. So it is given
//! *stand-ins*, slices of one block that nobody reads or writes, and [`Sending`], which lies between
//! hyper and the socket, sends the file's bytes in their place: it knows them by their address.
//!
//! **Invariant:** stand-ins come about only on a connection whose stream is [`Sending`], and only in
//! HTTP/1, which writes answers one after the other: so the bytes that were promised first stand
//! behind the first stand-in. All others (TLS, HTTP/2, requests made in memory) read the file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::num::NonZero;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, fadvise, sendfile};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::body::{Body, BodyError};

/// What is read at a time. With many downloads, twice this for each is what they hold in memory.
const READ_BYTES: u64 = 256 * 1024;
/// What is promised to hyper at a time.
const WINDOW_BYTES: u64 = 1024 * 1024;
/// So far apart are the bytes of a window that are asked after, to see whether the disk has to be read.
const PROBE_BYTES: usize = 256 * 1024;
/// So far ahead of what is sent the disk is read, once it has to be: disks give large pieces faster than many small ones.
const AHEAD_BYTES: u64 = 8 * 1024 * 1024;
/// What is read at a time to have it in the kernel's memory.
const WARM_BYTES: u64 = 64 * 1024;
/// Windows that were promised and not sent. hyper holds fewer; more would mean that somebody copied
/// stand-ins.
const PROMISES_MAX: usize = 64;

/// What stands in for bytes of files. It takes no memory: its pages are never touched.
static STAND_IN: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; WINDOW_BYTES as usize]));

fn is_stand_in(slice: &[u8]) -> bool {
    STAND_IN.as_ptr_range().contains(&slice.as_ptr())
}

/// Bytes of a file.
#[derive(Clone, Debug)]
struct Part {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Part {
    /// The first bytes, as many as there are and at most `most`; they are no longer part of this.
    fn split(&mut self, most: u64) -> Self {
        let first = Self { file: Arc::clone(&self.file), at: self.at, left: self.left.min(most) };
        self.skip(first.left);
        first
    }

    fn skip(&mut self, count: u64) {
        self.at += count;
        self.left -= count;
    }

    /// All of it, into memory that nobody has written zeros to first: that is as much work as reading.
    fn read(&self) -> io::Result<Bytes> {
        let count = usize::try_from(self.left).map_err(io::Error::other)?;
        let mut buffer = Vec::with_capacity(count);
        while buffer.len() < count {
            let at = self.at + buffer.len() as u64;
            match pread(&*self.file, spare_capacity(&mut buffer), at) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        buffer.truncate(count);
        Ok(buffer.into())
    }

    /// Whether the kernel seems to have it in memory.
    fn is_warm(&self) -> bool {
        let has = |at: u64| {
            let (mut byte, flags) = ([0], ReadWriteFlags::NOWAIT);
            let read = preadv2(&*self.file, &mut [IoSliceMut::new(&mut byte)], at, flags);
            read == Ok(1)
        };
        let (first, last) = (self.at, self.at + self.left - 1);
        (first..last).step_by(PROBE_BYTES).all(has) && has(last)
    }

    /// Sees to it that the kernel has it in memory, and has it begin to read what is `ahead`.
    fn warm(mut self, ahead: &Self) -> io::Result<()> {
        // It reads ahead by itself, only less far.
        if let Some(count) = NonZero::new(ahead.left) {
            let _ = fadvise(&*ahead.file, ahead.at, Some(count), Advice::WillNeed);
        }
        while self.left > 0 {
            self.split(WARM_BYTES).read()?;
        }
        Ok(())
    }
}

/// What is done so that the kernel has in memory what it is to send.
#[derive(Debug, Default)]
struct Warming {
    /// Up to which byte of the file the disk was asked for; 0 as long as all was there.
    asked_to: u64,
    work: Option<JoinHandle<io::Result<()>>>,
}

impl Warming {
    /// Waits until the kernel seems to have the first window of a part. Once the disk had to be read, it is
    /// kept at it.
    fn poll(&mut self, part: &Part, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.work.is_none() {
            let window = Part { left: part.left.min(WINDOW_BYTES), ..part.clone() };
            let end = part.at + part.left;
            let is_behind = (1..end.min(part.at + AHEAD_BYTES / 2)).contains(&self.asked_to);
            if !is_behind && window.is_warm() {
                return Poll::Ready(Ok(()));
            }
            let from = self.asked_to.max(part.at);
            self.asked_to = end.min(part.at + AHEAD_BYTES);
            let ahead = Part { at: from, left: self.asked_to - from, ..part.clone() };
            self.work = Some(blocking(move || window.warm(&ahead)));
        }
        let Some(work) = &mut self.work else { return Poll::Ready(Ok(())) };
        let warmed = ready!(poll_blocking(work, cx));
        self.work = None;
        Poll::Ready(warmed)
    }
}

/// Does what may wait for the disk.
fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> JoinHandle<io::Result<T>> {
    tokio::task::spawn_blocking(work)
}

fn poll_blocking<T>(
    work: &mut JoinHandle<io::Result<T>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    Pin::new(work).poll(cx).map(|joined| joined.map_err(io::Error::other)?)
}

/// A part of a file as a body: read a little ahead of whoever takes it, or sent by the kernel.
#[derive(Debug)]
pub(super) struct FileBody {
    /// What nobody has begun to read, or has promised.
    part: Part,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// By reading: what is being read, and its length.
    Reading(Option<(JoinHandle<io::Result<Bytes>>, u64)>),
    /// By the kernel: over this lane; what is not in its memory yet comes there first.
    Sending(Lane, Warming),
}

impl Body {
    /// The `count` bytes of a file from byte `from` on. They must be there and never change: they are
    /// read, and on a connection without TLS sent by the kernel, while the client takes them. An answer
    /// whose file turns out to be shorter breaks off.
    pub fn file(file: Arc<File>, from: u64, count: u64) -> Self {
        let part = Part { file, at: from, left: count };
        FileBody { part, way: Way::Reading(None) }.into()
    }
}

impl FileBody {
    /// The same over a lane, if nothing has been read.
    pub(super) fn over(self, lane: &Lane) -> Self {
        match self.way {
            Way::Reading(None) => {
                Self { way: Way::Sending(lane.clone(), Warming::default()), ..self }
            }
            _ => self,
        }
    }

    /// How many bytes are to come.
    fn remaining(&self) -> u64 {
        match &self.way {
            Way::Reading(Some((_, count))) => self.part.left + count,
            Way::Reading(None) | Way::Sending(..) => self.part.left,
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let Self { part, way } = self;
        match way {
            Way::Reading(reading) => {
                let begin = |part: &mut Part| {
                    let next = part.split(READ_BYTES);
                    let count = next.left;
                    (blocking(move || next.read()), count)
                };
                let (work, _) = reading.get_or_insert_with(|| begin(part));
                let read = ready!(poll_blocking(work, cx));
                *reading = (part.left > 0 && read.is_ok()).then(|| begin(part));
                Poll::Ready(read)
            }
            Way::Sending(lane, warming) => {
                ready!(warming.poll(part, cx))?;
                let window = part.split(WINDOW_BYTES);
                let count = usize::try_from(window.left).map_err(io::Error::other)?;
                lane.promise(window)?;
                Poll::Ready(Ok(STAND_IN.slice(..count)))
            }
        }
    }
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.remaining() == 0 {
            return Poll::Ready(None);
        }
        let bytes = ready!(self.poll_bytes(cx));
        Poll::Ready(Some(bytes.map(Frame::data).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

/// What stands behind the stand-ins that hyper was given on one connection, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane(Arc<Mutex<VecDeque<Part>>>);

impl Lane {
    fn promise(&self, part: Part) -> io::Result<()> {
        let mut parts = self.0.lock();
        if parts.len() >= PROMISES_MAX {
            return Err(io::Error::other("bytes of files were promised and never sent"));
        }
        parts.push_back(part);
        Ok(())
    }
}

/// A client's socket that sends files.
#[derive(Debug)]
pub(super) struct Sending {
    io: TcpStream,
    lane: Lane,
}

impl Sending {
    /// The socket, and the lane to it.
    pub(super) fn new(io: TcpStream) -> (Self, Lane) {
        let lane = Lane::default();
        (Self { io, lane: lane.clone() }, lane)
    }

    /// Sends what stands behind a stand-in of this length, or its beginning.
    fn poll_send(&self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        let mut parts = self.lane.0.lock();
        let Some(part) = parts.front_mut() else {
            return Poll::Ready(Err(io::Error::other("nothing was promised")));
        };
        let count = usize::try_from(part.left).unwrap_or(usize::MAX).min(most);
        loop {
            ready!(self.io.poll_write_ready(cx))?;
            let send = || {
                let mut at = part.at;
                Ok(sendfile(&self.io, &*part.file, Some(&mut at), count)?)
            };
            match self.io.try_io(Interest::WRITABLE, send) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                Ok(sent) => {
                    part.skip(sent as u64);
                    if part.left == 0 {
                        parts.pop_front();
                    }
                    return Poll::Ready(Ok(sent));
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::Interrupted => {}
                    _ => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

impl AsyncRead for Sending {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Sending {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match is_stand_in(bytes) {
            true => self.poll_send(cx, bytes.len()),
            false => Pin::new(&mut self.io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let before = slices.iter().take_while(|slice| !is_stand_in(slice)).count();
        let (before, after) = slices.split_at(before);
        match after.first() {
            Some(slice) if before.iter().all(|slice| slice.is_empty()) => {
                self.poll_send(cx, slice.len())
            }
            _ => Pin::new(&mut self.io).poll_write_vectored(cx, before),
        }
    }

    /// So hyper hands on slices as they are, and copies none.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    fn file(text: &str) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Arc::new(file)
    }

    #[tokio::test]
    async fn what_hyper_is_given_stands_in_for_the_file() {
        let (mut client, server) = pair().await;
        let (mut sending, lane) = Sending::new(server);
        let mut body = Body::file(file("0123456789"), 2, 6).over(&lane);
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(is_stand_in(&frame) && frame.len() == 6);
        assert!(body.frame().await.is_none());
        // In two pieces, between others, as hyper writes them.
        let slices = [&b"head "[..], &frame[..2], &frame[2..], &b" tail"[..]];
        for slice in slices {
            let mut slices = [IoSlice::new(b""), IoSlice::new(slice)];
            let mut slices = &mut slices[..];
            while slices.iter().any(|slice| !slice.is_empty()) {
                let count = sending.write_vectored(slices).await.unwrap();
                IoSlice::advance_slices(&mut slices, count);
            }
        }
        drop(sending);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "head 234567 tail");
    }

    #[tokio::test]
    async fn a_disk_that_had_to_be_read_is_kept_at_it() {
        const MIB: u64 = 1024 * 1024;
        let end = 20 * MIB;
        let file = tempfile::tempfile().unwrap();
        file.set_len(end).unwrap();
        let file = Arc::new(file);
        // The first window had to be read; then at each byte of the file, up to where it was asked for.
        let mut warming = Warming { asked_to: 1, work: None };
        for (at, asked_to) in [(0, 8), (3, 8), (5, 13), (8, 13), (12, 20), (19, 20)] {
            let part = Part { file: Arc::clone(&file), at: at * MIB, left: end - at * MIB };
            std::future::poll_fn(|cx| warming.poll(&part, cx)).await.unwrap();
            assert_eq!(warming.asked_to, asked_to * MIB, "at {at}");
        }
    }

    #[tokio::test]
    async fn stand_ins_without_a_promise_are_not_sent() {
        let (_client, server) = pair().await;
        let (mut sending, _) = Sending::new(server);
        let written = sending.write_vectored(&[IoSlice::new(&STAND_IN)]).await;
        assert_eq!(written.unwrap_err().to_string(), "nothing was promised");
        assert!(sending.write(&STAND_IN).await.is_err());
    }

    #[tokio::test]
    async fn promises_that_nobody_asks_for_end() {
        let (_client, server) = pair().await;
        let (_sending, lane) = Sending::new(server);
        let file = file("0123456789");
        let promise = || Body::file(Arc::clone(&file), 0, 10).over(&lane).collect(10);
        for _ in 0..PROMISES_MAX {
            promise().await.unwrap();
        }
        assert!(promise().await.is_err());
    }
}
