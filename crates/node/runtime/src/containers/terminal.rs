//! Commands with a terminal in a running container: ECS Exec.
//!
//! The command is held by a short-lived child of ours, the shim's program as `session`: no container
//! depends on it, so it needs none of what shims are for, and a shim that is older than this
//! program need not know of it. Its end of the terminal hangs up when ours is closed.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use nix::libc;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use shim::Session;
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::sync::{oneshot, watch};

use super::CallError;

/// Bytes that are read from a terminal at once.
const READ_BYTES: usize = 16 * 1024;

/// The most that is kept of why a command could not be run.
const WORDS_BYTES_MAX: u64 = 4096;

/// How long a command may go on after its terminal hung up, before it is killed.
const HANG_UP_GRACE: Duration = Duration::from_secs(3);

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Its width.
    pub columns: u16,
    /// Its height.
    pub rows: u16,
}

/// A command that runs at a terminal. Dropping it hangs up, and kills what does not heed that.
#[async_trait]
pub trait Terminal: Send + Sync {
    /// What the command wrote: empty once it has ended and all was read. May be dropped and called
    /// again without losing anything.
    async fn read(&self) -> io::Result<Bytes>;

    /// Writes what there is room for, and says how much that was. May be dropped before it writes.
    async fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Changes the size; the foreground command is told.
    fn resize(&self, size: TerminalSize) -> io::Result<()>;

    /// Waits for the command's end: its exit code, 128 + n if signal n ended it.
    async fn exit(&self) -> i32;
}

/// A terminal of a container of this host.
pub(super) struct LinuxTerminal {
    master: AsyncFd<OwnedFd>,
    /// How the command ended, once it has.
    ended: watch::Receiver<Option<i32>>,
    /// Dropped with this.
    _held: oneshot::Sender<()>,
}

/// Runs the command in the container of `directory`, whose first process is `pid`.
pub(super) async fn open(
    program: &Path,
    directory: &Path,
    pid: i32,
    args: Vec<String>,
    size: TerminalSize,
) -> Result<LinuxTerminal, CallError> {
    let io = |source| CallError::Io { what: "cannot run a command".to_owned(), source };
    let TerminalSize { columns, rows } = size;
    let session = Session { args, env: BTreeMap::new(), columns, rows };
    let request = serde_json::to_vec(&session).map_err(|error| io(error.into()))?;
    let (ours, theirs) = UnixStream::pair().map_err(io)?;
    let mut child = tokio::process::Command::new(program)
        .arg("session")
        .arg(pid.to_string())
        .current_dir(directory)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(io)?;
    let master = match ask(ours, &request).await.map_err(io)? {
        Some(master) => master,
        None => return Err(refused(&mut child).await),
    };
    nix::fcntl::fcntl(&master, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .map_err(|error| io(error.into()))?;
    let master = register(master).map_err(io)?;
    let (sender, ended) = watch::channel(None);
    let (held, dropped) = oneshot::channel();
    tokio::spawn(await_end(child, sender, dropped));
    Ok(LinuxTerminal { master, ended, _held: held })
}

/// Sends the request, and takes the terminal: none if the helper ended without one.
async fn ask(mut socket: UnixStream, request: &[u8]) -> io::Result<Option<OwnedFd>> {
    // It is taken whole before anything is answered, and is far below a socket's buffer.
    socket.write_all(request)?;
    socket.shutdown(std::net::Shutdown::Write)?;
    socket.set_nonblocking(true)?;
    let socket = register(socket)?;
    loop {
        let mut ready = socket.readable().await?;
        match ready.try_io(|socket| take(socket.get_ref())) {
            Ok(taken) => return taken,
            Err(_would_block) => {}
        }
    }
}

/// Lets the runtime tell when the descriptor is ready.
#[allow(unsafe_code)]
fn register<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: both types that this is called with own their descriptor, and give out the same one
    // for as long as they live; neither is taken out again.
    unsafe { AsyncFd::register(inner) }.map_err(io::Error::from)
}

fn take(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0; 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}

/// Why the helper ended.
async fn refused(child: &mut Child) -> CallError {
    let mut words = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(WORDS_BYTES_MAX).read_to_string(&mut words).await;
    }
    let words = words.trim();
    let words = if words.is_empty() { "the command could not be run" } else { words };
    CallError::Refused(words.to_owned())
}

/// Tells how the helper ended; kills it some time after nobody holds the terminal any more.
async fn await_end(
    mut child: Child,
    ended: watch::Sender<Option<i32>>,
    dropped: oneshot::Receiver<()>,
) {
    let status = tokio::select! {
        biased;
        status = child.wait() => status,
        _ = dropped => match tokio::time::timeout(HANG_UP_GRACE, child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                let _ = child.start_kill();
                child.wait().await
            }
        },
    };
    let code = status.ok().and_then(|status| status.code()).unwrap_or(128 + libc::SIGKILL);
    ended.send_replace(Some(code));
}

impl LinuxTerminal {
    fn read_now(&self) -> io::Result<Bytes> {
        let mut buffer = [0; READ_BYTES];
        let count = rustix::io::read(self.master.get_ref(), &mut buffer)?;
        Ok(Bytes::copy_from_slice(&buffer[..count]))
    }

    /// Reads as soon as there is something; empty at the end.
    async fn read_next(&self) -> io::Result<Bytes> {
        loop {
            let mut ready = self.master.readable().await?;
            match ready.try_io(|_| self.read_now()) {
                // How Linux says that nobody has the other side open.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => {
                    return Ok(Bytes::new());
                }
                Ok(read) => return read,
                Err(_would_block) => {}
            }
        }
    }
}

#[async_trait]
impl Terminal for LinuxTerminal {
    async fn read(&self) -> io::Result<Bytes> {
        let mut ended = self.ended.clone();
        let over = async {
            // The sender ends only after it has told.
            let _ = ended.wait_for(Option::is_some).await;
        };
        let read = tokio::select! {
            biased;
            read = self.read_next() => read?,
            // What runs on in the background may keep the terminal open.
            () = over => match self.read_now() {
                Ok(read) => read,
                Err(_nothing_more) => Bytes::new(),
            },
        };
        if read.is_empty() {
            self.exit().await;
        }
        Ok(read)
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.master.writable().await?;
            let write = |master: &AsyncFd<OwnedFd>| Ok(rustix::io::write(master.get_ref(), bytes)?);
            match ready.try_io(write) {
                Ok(written) => return written,
                Err(_would_block) => {}
            }
        }
    }

    #[allow(unsafe_code)]
    fn resize(&self, size: TerminalSize) -> io::Result<()> {
        let size =
            libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        let master = self.master.get_ref().as_fd().as_raw_fd();
        // SAFETY: the request reads a `winsize`, which lives until the call returns.
        match unsafe { libc::ioctl(master, libc::TIOCSWINSZ, &raw const size) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    async fn exit(&self) -> i32 {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(code) => code.unwrap_or_default(),
            Err(_untold) => 128 + libc::SIGKILL,
        }
    }
}
