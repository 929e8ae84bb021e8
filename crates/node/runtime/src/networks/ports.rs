//! Host ports: which are free, and who has those that are not.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

use super::{NetworkError, PortMapping, Protocol};

/// Linux's own default for ports that nobody asked for by number.
const DYNAMIC_DEFAULT: (u16, u16) = (32_768, 60_999);

/// A port taken on the host. The firewall turns its traffic away before any socket sees it; the
/// socket is there so that no other program can take the port, and to see whether one has.
pub(super) struct Hold {
    _socket: Held,
}

#[allow(dead_code)] // held, never used
enum Held {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// The ports that this instance holds.
#[derive(Default)]
pub(super) struct Ports {
    held: HashMap<(Protocol, u16), Hold>,
    next: u16,
}

impl Ports {
    /// Takes the ports that are asked for, or free ones of the dynamic range: all or none. Free
    /// ports for ports of a container that follow each other do so too, as a range of them must.
    pub(super) fn take(&mut self, wanted: &[PortMapping]) -> Result<Vec<u16>, NetworkError> {
        let mut taken: Vec<(Protocol, u16)> = Vec::new();
        let follows = |one: &PortMapping, next: &PortMapping| {
            one.protocol == next.protocol
                && (one.host_port, next.host_port) == (0, 0)
                && one.container_port.checked_add(1) == Some(next.container_port)
        };
        for run in wanted.chunk_by(follows) {
            let (protocol, count) = (run[0].protocol, run.len());
            let first = match run[0].host_port {
                0 => self.take_any(protocol, count),
                port => self.take_one(protocol, port).map(|()| port),
            };
            match first {
                Ok(first) => taken.extend((first..).take(count).map(|port| (protocol, port))),
                Err(error) => {
                    for (protocol, port) in taken {
                        self.release(protocol, port);
                    }
                    return Err(error);
                }
            }
        }
        Ok(taken.into_iter().map(|(_, port)| port).collect())
    }

    pub(super) fn take_one(&mut self, protocol: Protocol, port: u16) -> Result<(), NetworkError> {
        if self.held.contains_key(&(protocol, port)) {
            let holder = Some("another container of this instance".to_owned());
            return Err(NetworkError::PortTaken { port, protocol, holder });
        }
        match bind(protocol, port) {
            Ok(hold) => {
                self.held.insert((protocol, port), hold);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(NetworkError::PortTaken { port, protocol, holder: holder(protocol, port) })
            }
            Err(source) => Err(NetworkError::Io {
                what: format!("cannot take host port {port}/{protocol}"),
                source,
            }),
        }
    }

    /// Takes so many free ports that follow each other: the first of them.
    fn take_any(&mut self, protocol: Protocol, count: usize) -> Result<u16, NetworkError> {
        let (first, last) = dynamic_range();
        let start = self.next.clamp(first, last);
        let mut run: Vec<(u16, Hold)> = Vec::with_capacity(count);
        for port in (start..=last).chain(first..=last) {
            let broken = run.last().is_some_and(|(before, _)| before.checked_add(1) != Some(port));
            if broken {
                run.clear();
            }
            match self.held.contains_key(&(protocol, port)) {
                false => match bind(protocol, port) {
                    Ok(hold) => run.push((port, hold)),
                    Err(_) => run.clear(),
                },
                true => run.clear(),
            }
            if run.len() == count {
                self.next = port.checked_add(1).filter(|next| *next <= last).unwrap_or(first);
                let begin = run[0].0;
                self.held.extend(run.into_iter().map(|(port, hold)| ((protocol, port), hold)));
                return Ok(begin);
            }
        }
        Err(NetworkError::NoFreePort { protocol, first, last })
    }

    pub(super) fn release(&mut self, protocol: Protocol, port: u16) {
        self.held.remove(&(protocol, port));
    }
}

fn bind(protocol: Protocol, port: u16) -> io::Result<Hold> {
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    let _socket = match protocol {
        Protocol::Tcp => Held::Tcp(TcpListener::bind(address)?),
        Protocol::Udp => Held::Udp(UdpSocket::bind(address)?),
    };
    Ok(Hold { _socket })
}

fn dynamic_range() -> (u16, u16) {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last && first > 0 => (first, last),
        _ => DYNAMIC_DEFAULT,
    }
}

/// The program that listens on a port, as `name (pid 7)`, if that can be told.
fn holder(protocol: Protocol, port: u16) -> Option<String> {
    let sockets = ["", "6"].iter().filter_map(|version| {
        let table = fs::read_to_string(format!("/proc/net/{protocol}{version}")).ok()?;
        table.lines().skip(1).find_map(|line| listening(line, protocol, port))
    });
    sockets.into_iter().find_map(|inode| owner(&format!("socket:[{inode}]")))
}

/// The socket's inode number, if this line of `/proc/net/tcp` or `udp` is of the port.
fn listening(line: &str, protocol: Protocol, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = words.get(1)?.rsplit_once(':')?;
    let listens = protocol == Protocol::Udp || *words.get(3)? == LISTEN;
    (listens && u16::from_str_radix(local, 16).ok()? == port)
        .then(|| words.get(9).map(|inode| (*inode).to_owned()))?
}

fn owner(socket: &str) -> Option<String> {
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds =
            |fd: fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == socket);
        if open.flatten().any(holds) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let pid = process.file_name();
            return Some(format!("{} (pid {})", name.trim(), pid.to_string_lossy()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mapping(host_port: u16) -> PortMapping {
        PortMapping { container_port: 80, host_port, protocol: Protocol::Tcp }
    }

    #[test]
    fn a_taken_port_is_named_with_its_holder() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let mut ports = Ports::default();
        let error = ports.take(&[mapping(0), mapping(port)]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("host port {port}/tcp is already in use by ")),
            "{error}"
        );
        assert!(ports.held.is_empty(), "all or none");
    }

    #[test]
    fn ports_for_a_range_follow_each_other() {
        let mut ports = Ports::default();
        let range = |protocol| {
            let port = move |container_port| PortMapping { container_port, host_port: 0, protocol };
            (7000..7010).map(port).collect::<Vec<_>>()
        };
        let (first, last) = dynamic_range();
        ports.next = last - 5;
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let taken = ports.take(&range(protocol)).unwrap();
            assert!(taken.windows(2).all(|two| two[0] + 1 == two[1]), "{taken:?}");
            assert!(taken[0] >= first && taken[9] <= last, "{taken:?}");
        }
    }

    #[test]
    fn dynamic_ports_differ() {
        let mut ports = Ports::default();
        let taken = ports.take(&[mapping(0), mapping(0)]).unwrap();
        assert_ne!(taken[0], taken[1]);
        let error = ports.take(&[mapping(taken[0])]).unwrap_err().to_string();
        assert!(error.contains("another container"), "{error}");
        ports.release(Protocol::Tcp, taken[0]);
        ports.take(&[mapping(taken[0])]).unwrap();
    }
}
