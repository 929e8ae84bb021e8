//! A container's terminal: made in the container by its launcher, handed over on a socket.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use shim::file;

/// The name of the terminal comes along; it is not needed.
const NAME_BYTES_MAX: usize = 256;

/// The socket, in the container's directory, which is the current one.
pub(crate) fn listen() -> io::Result<UnixListener> {
    // One that an earlier run left.
    let _ = std::fs::remove_file(file::CONSOLE);
    UnixListener::bind(file::CONSOLE)
}

/// The terminal's side of ours. To be called when the launcher has said that the container is
/// created: what it sent waits then.
pub(crate) fn accept(listener: &UnixListener) -> io::Result<OwnedFd> {
    listener.set_nonblocking(true)?;
    let (stream, _) = listener.accept()?;
    let _ = std::fs::remove_file(file::CONSOLE);
    let mut name = [0; NAME_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        &stream,
        &mut [IoSliceMut::new(&mut name)],
        &mut control,
        RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
    )?;
    let sent = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    sent.ok_or_else(|| io::Error::other("the launcher handed over no terminal"))
}
