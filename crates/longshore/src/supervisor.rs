//! What systemd is told of a role that serves (`Type=notify`): that it is ready, that it ends, that it
//! still works. The protocol is sd_notify(3): a datagram of lines to the socket that `NOTIFY_SOCKET`
//! names. Where nobody asks, nothing is sent (decision 0040).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Names the socket: a path, or `@` and a name without a file.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";
/// After so many microseconds without a word systemd takes the process for dead.
const WATCHDOG_VARIABLE: &str = "WATCHDOG_USEC";
/// The process that the watchdog is for, if systemd says so.
const WATCHDOG_PROCESS_VARIABLE: &str = "WATCHDOG_PID";

/// Says that the role serves, and begins to say that it still works: until the process ends, so that
/// the watchdog does not cut an orderly end short.
pub fn ready(status: &str) {
    // A status is one line.
    let status = status.lines().next().unwrap_or_default();
    tell(&format!("READY=1\nSTATUS={status}"));
    if let Some(every) = watchdog() {
        // Of the runtime that everything else runs on: if that stands still, so does this.
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(every);
            loop {
                beat.tick().await;
                tell("WATCHDOG=1");
            }
        });
    }
}

/// Says that the role ends.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=ending");
}

/// How often systemd wants to hear that the process works: twice in the time that it grants.
fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours =
        number(WATCHDOG_PROCESS_VARIABLE).is_none_or(|pid| pid == u64::from(std::process::id()));
    let micros = number(WATCHDOG_VARIABLE).filter(|micros| *micros > 0 && is_ours)?;
    Some(Duration::from_micros((micros / 2).max(1)))
}

fn tell(message: &str) {
    let Ok(name) = std::env::var(SOCKET_VARIABLE) else { return };
    if let Err(error) = send(&name, message) {
        tracing::warn!(%error, socket = name, "the supervisor was not told");
    }
}

fn send(name: &str, message: &str) -> io::Result<()> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor that reads nothing must not hold the role up.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_sockets_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let heard = |socket: UnixDatagram, name: &str| {
            send(name, "READY=1").unwrap();
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        };
        heard(UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap());
        let name = format!("longshore-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        heard(UnixDatagram::bind_addr(&address).unwrap(), &format!("@{name}"));
        assert!(send("/nonesuch/socket", "READY=1").is_err());
    }
}
