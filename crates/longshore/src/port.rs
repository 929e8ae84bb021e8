//! Opening the API's port, and telling who holds a taken one.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;

/// Listens on the address.
///
/// # Errors
/// If it cannot be had; for a taken port the text names the process that holds it.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder = holder(address.port()).map_or_else(
                || "another process".to_owned(),
                |(pid, name)| format!("{name} (pid {pid})"),
            );
            bail!("{address} is in use by {holder}; stop it, or use --listen with another port")
        }
        Err(error) => Err(error).with_context(|| format!("listening on {address}")),
    }
}

/// The process that listens on a TCP port, if this process may look.
fn holder(port: u16) -> Option<(u32, String)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|file| fs::read_to_string(file).ok());
    let inode = tables.iter().flatten().find_map(|table| listening_inode(table, port))?;
    let socket = format!("socket:[{inode}]");
    let pids = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let holds = |pid: &u32| {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        links
            .into_iter()
            .any(|link| fs::read_link(link.path()).is_ok_and(|target| target == Path::new(&socket)))
    };
    let pid = pids.into_iter().find(holds)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some((pid, name.trim().to_owned()))
}

/// The inode of the listening socket (state 0A) on a port, in the form of proc(5)'s `net/tcp`.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    let hex_port = format!(":{port:04X}");
    let line = table.lines().skip(1).find(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1).unwrap_or_default();
        local.ends_with(&hex_port) && fields.nth(1) == Some("0A")
    })?;
    line.split_whitespace().nth(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_found_by_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:11D6 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n\
             1: 0100007F:11D6 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1\n";
        assert_eq!(listening_inode(table, 0x11d6), Some(42));
        assert_eq!(listening_inode(table, 80), None);
    }
}
