//! The files that every container gets: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`; and those
//! that tell it of a smaller machine, if it is to see one.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::machine;
use super::{ContainerSpec, Dns, HostEntry, Network};

/// Docker's, for a host whose own servers its containers cannot reach.
const FALLBACK_SERVERS: &[&str] = &["8.8.8.8", "8.8.4.4"];

/// Where systemd-resolved keeps the servers behind its own loopback address.
const RESOLVED_SERVERS: &str = "/run/systemd/resolve/resolv.conf";

/// Writes the files into `directory`; each with the place where it is mounted.
pub(super) fn write(
    directory: &Path,
    spec: &ContainerSpec,
    hostname: &str,
) -> io::Result<Vec<(PathBuf, &'static str)>> {
    let hosts = hosts(spec, hostname);
    let resolv = match (&spec.network, &spec.dns) {
        (Network::Host, dns) if dns.servers.is_empty() && dns.search.is_empty() => {
            read("/etc/resolv.conf")
        }
        (_, dns) => resolv(dns, &host_servers()),
    };
    let mut texts = vec![
        ("hosts", "/etc/hosts", hosts),
        ("hostname", "/etc/hostname", format!("{hostname}\n")),
        ("resolv.conf", "/etc/resolv.conf", resolv),
    ];
    if let Some(view) = spec.machine {
        let cpus = std::thread::available_parallelism()?.get();
        texts.push(("meminfo", machine::MEMINFO, machine::meminfo(view, &read(machine::MEMINFO))));
        texts.push(("cpuinfo", machine::CPUINFO, machine::cpuinfo(view, &read(machine::CPUINFO))));
        texts.push(("online", machine::ONLINE, machine::online(view, cpus)));
    }
    let mut files = Vec::new();
    for (name, target, text) in texts {
        let path = directory.join(name);
        fs::write(&path, text)?;
        // Whatever our umask: every user in the container reads these.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        files.push((path, target));
    }
    Ok(files)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn hosts(spec: &ContainerSpec, hostname: &str) -> String {
    let mut text = match &spec.network {
        Network::Host => read("/etc/hosts"),
        _ => String::from(
            "127.0.0.1\tlocalhost\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\n\
             ff00::0\tip6-mcastprefix\n\
             ff02::1\tip6-allnodes\n\
             ff02::2\tip6-allrouters\n",
        ),
    };
    for HostEntry { name, address } in &spec.extra_hosts {
        let _ = writeln!(text, "{address}\t{name}");
    }
    if let Network::Namespace { address: Some(address), .. } = &spec.network {
        // A name with a domain is known without it, too.
        let short = hostname.split_once('.').map_or(String::new(), |(name, _)| format!(" {name}"));
        let _ = writeln!(text, "{address}\t{hostname}{short}");
    }
    text
}

fn host_servers() -> String {
    let own = read("/etc/resolv.conf");
    let reachable = |text: &str| servers(text).any(|server| !server.is_loopback());
    if !reachable(&own) && reachable(&read(RESOLVED_SERVERS)) {
        return read(RESOLVED_SERVERS);
    }
    own
}

fn servers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok())
}

/// The host's, without servers on its loopback, which is another one in there.
fn resolv(dns: &Dns, host: &str) -> String {
    let mut text = String::new();
    for line in host.lines() {
        let word = line.split_whitespace().next();
        match word {
            Some("search" | "domain") if !dns.search.is_empty() => {}
            Some("nameserver") if !dns.servers.is_empty() => {}
            Some("nameserver") if servers(line).all(|server| server.is_loopback()) => {}
            Some("nameserver" | "search" | "domain" | "options") => {
                let _ = writeln!(text, "{line}");
            }
            _ => {}
        }
    }
    for server in &dns.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !dns.search.is_empty() {
        let _ = writeln!(text, "search {}", dns.search.join(" "));
    }
    if servers(&text).next().is_none() {
        for server in FALLBACK_SERVERS {
            let _ = writeln!(text, "nameserver {server}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_the_hosts_loopback_are_left_out() {
        let check = |host: &str, dns: &Dns, expected: &str| assert_eq!(resolv(dns, host), expected);
        let none = Dns::default();
        check("nameserver 10.0.0.2\noptions x\n", &none, "nameserver 10.0.0.2\noptions x\n");
        check("nameserver 127.0.0.53\n", &none, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
        let own = Dns { servers: vec![IpAddr::from([1, 1, 1, 1])], search: vec!["a.b".into()] };
        check("nameserver 10.0.0.2\nsearch c\n", &own, "nameserver 1.1.1.1\nsearch a.b\n");
    }
}
