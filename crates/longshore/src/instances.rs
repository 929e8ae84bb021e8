//! The container instances that one command runs: how many, what each has, and what they are told.

use std::fmt::Display;
use std::fs;
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::str::FromStr;

use agent::engine::Capacity;
use agent::{CAPACITY_PROVIDER_ATTRIBUTE, detect_capacity};
use anyhow::{Context, Result, bail};
use clap::Args;
use nix::fcntl::{Flock, FlockArg};
use terms::CapacityProviderName;

use crate::housekeeping::HouseFlags;

/// The most container instances that one `longshore up` makes.
pub const INSTANCES_MAX: u32 = 64;

/// The least CPU units of an instance that shares its machine, unless a flag says less: no instance
/// type of EC2 has less than one vCPU, so definitions written for ECS fit.
const CPU_UNITS_MIN: u64 = 1024;

/// The zones that instances of one machine are in, one after the other.
const ZONES: [char; 3] = ['a', 'b', 'c'];

/// Namespaces that the instances of one machine keep ready together, and each at the least.
const READY_TOGETHER: usize = 8;

/// Held by the instance that uses the host's own network.
const HOST_LOCK: &str = "/run/longshore-host.lock";

/// Flags about container instances, of `longshore up`.
#[derive(Args, Clone, Debug, Default)]
pub struct InstanceFlags {
    /// Container instances on this machine, in zones a, b, c one after the other [default: 1]
    #[arg(long, value_name = "N")]
    pub instances: Option<u32>,
    /// The capacity providers that the instances belong to, one after the other
    #[arg(long, value_name = "NAME,…")]
    pub capacity_provider: Option<ProviderNames>,
    #[command(flatten)]
    pub size: SizeFlags,
    /// How they keep the machine in order.
    #[command(flatten)]
    pub house: HouseFlags,
}

/// Names of capacity providers, with commas between: what instances made together belong to, one
/// after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderNames(Vec<CapacityProviderName>);

impl ProviderNames {
    /// The provider of the instance with this number, from 0.
    pub fn of(&self, number: u32) -> Option<&CapacityProviderName> {
        self.0.get(number as usize % self.0.len().max(1))
    }
}

impl FromStr for ProviderNames {
    type Err = <CapacityProviderName as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').map(|name| name.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl Display for ProviderNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.0.iter().map(CapacityProviderName::as_str).collect();
        f.write_str(&names.join(","))
    }
}

/// The attribute by which an instance of `provider` says so.
pub fn provider_attribute(provider: Option<&CapacityProviderName>) -> Option<(String, String)> {
    let name = CAPACITY_PROVIDER_ATTRIBUTE.to_owned();
    provider.map(|provider| (name, provider.to_string()))
}

/// Flags about what an instance is and has.
#[derive(Args, Clone, Debug, Default)]
pub struct SizeFlags {
    /// The instance type, as the attribute ecs.instance-type
    #[arg(long, value_name = "TYPE")]
    pub instance_type: Option<String>,
    /// CPU units of each instance, 1024 a processor [default: the machine's share, at least 1024]
    #[arg(long, value_name = "UNITS")]
    pub instance_cpu: Option<u64>,
    /// Memory of each instance, in MiB [default: the machine's share]
    #[arg(long, value_name = "MIB")]
    pub instance_memory: Option<u64>,
}

/// What each instance of this machine registers: memory is shared out among `count`, since a promise
/// beyond what is there ends in killed containers; so is the processor, but not below one vCPU, since
/// CPU units are shares: where they promise too much, everything is slower.
///
/// # Errors
/// If the machine does not say what it has.
pub fn capacity(count: u32, cpu: Option<u64>, memory: Option<u64>) -> Result<Capacity> {
    let whole = detect_capacity().context("reading what this machine has")?;
    Ok(share(whole, count, cpu, memory))
}

fn share(whole: Capacity, count: u32, cpu: Option<u64>, memory: Option<u64>) -> Capacity {
    let count = u64::from(count.max(1));
    let least = CPU_UNITS_MIN.min(whole.cpu);
    Capacity {
        cpu: cpu.unwrap_or_else(|| (whole.cpu / count).max(least)),
        memory: memory.unwrap_or(whole.memory / count),
        ..whole
    }
}

/// The zone of the instance with this number, from 0.
pub fn zone(region: &impl Display, number: u32) -> String {
    format!("{region}{}", ZONES[number as usize % ZONES.len()])
}

/// Namespaces that each of `count` instances keeps ready.
pub fn ready_namespaces(count: u32) -> usize {
    (READY_TOGETHER / count.max(1) as usize).clamp(1, runtime::networks::READY_NAMESPACES)
}

/// Which network an instance of `longshore agent` is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NetworkChoice {
    /// One of its own where another instance is on this machine, else the host's
    Auto,
    /// The host's: published ports are the host's
    Host,
    /// A namespace of its own: published ports are at the instance's own address
    Own,
}

/// The network that an instance is in, for as long as this is kept.
pub struct ChosenNetwork {
    /// Whether it is a namespace of its own.
    pub own: bool,
    _host: Option<Flock<fs::File>>,
}

impl ChosenNetwork {
    /// A namespace of its own.
    pub fn own() -> Self {
        Self { own: true, _host: None }
    }

    /// The host's network, whoever else is there.
    pub fn host() -> Self {
        Self { own: false, _host: host_lock() }
    }

    /// What `choice` says for an agent of `server`: beside a server, and beside another instance
    /// that has the host's network, an instance has its own, so that ports do not collide.
    pub fn of(choice: NetworkChoice, server: &str) -> Self {
        match choice {
            NetworkChoice::Own => Self::own(),
            NetworkChoice::Host => Self::host(),
            NetworkChoice::Auto if server.split(',').any(is_here) => Self::own(),
            NetworkChoice::Auto => match host_lock() {
                Some(lock) => Self { own: false, _host: Some(lock) },
                None => Self::own(),
            },
        }
    }
}

fn host_lock() -> Option<Flock<fs::File>> {
    let file = fs::File::create(HOST_LOCK).ok()?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()
}

/// The first address of `http://HOST:PORT`.
fn address_of(server: &str) -> Option<std::net::SocketAddr> {
    let (_, rest) = server.split_once("://")?;
    let host = rest.split('/').next()?;
    host.to_socket_addrs().or_else(|_| (host, 80).to_socket_addrs()).ok()?.next()
}

/// Whether the server is on this machine: an address can be bound only where it is.
fn is_here(server: &str) -> bool {
    address_of(server).is_some_and(|address| UdpSocket::bind((address.ip(), 0)).is_ok())
}

/// The address of this machine on the way to the server.
pub fn address_towards(server: &str) -> Option<IpAddr> {
    let server = server.split(',').find_map(address_of)?;
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(server).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Holds an instance's folder for this process.
///
/// # Errors
/// If another process runs the instance.
pub fn hold(folder: &Path) -> Result<Flock<fs::File>> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join("lock");
    let file = fs::File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err(_) => bail!(
            "another process runs the instance of {}; end it first, or use another --name",
            folder.display()
        ),
    }
}

/// A custom attribute, as `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl FromStr for Attribute {
    type Err = String;

    /// Names of ECS's own are refused, each with the flag that sets it where there is one.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("an attribute has the form KEY=VALUE")?;
        let reserved = ["ecs.", "com.amazonaws.", "longshore."];
        if let Some(prefix) = reserved.iter().find(|prefix| name.starts_with(**prefix)) {
            let instead = match name {
                "ecs.instance-type" => "; use --instance-type",
                "ecs.availability-zone" => "; use --zone",
                CAPACITY_PROVIDER_ATTRIBUTE => "; use --capacity-provider",
                _ => "",
            };
            return Err(format!("'{name}' is reserved: names in {prefix} are set by ECS{instead}"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./\\".contains(c);
        if name.is_empty() || name.len() > ATTRIBUTE_CHARACTERS_MAX || !name.chars().all(plain) {
            return Err(format!(
                "'{name}' is no attribute's name: 1 to {ATTRIBUTE_CHARACTERS_MAX} letters, digits, \
                 and any of - _ . / \\"
            ));
        }
        if value.len() > ATTRIBUTE_CHARACTERS_MAX || value.trim() != value {
            return Err(format!(
                "'{value}' is no attribute's value: up to {ATTRIBUTE_CHARACTERS_MAX} characters \
                 that neither begin nor end with a space"
            ));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// The longest name and value of an attribute (ECS API, `Attribute`).
const ATTRIBUTE_CHARACTERS_MAX: usize = 128;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_out_and_a_processor_is_left_to_each() {
        let check = |count, cpu, memory, expected| {
            let whole = Capacity { cpu: 4096, memory: 9000, ..Capacity::default() };
            let share = share(whole, count, cpu, memory);
            assert_eq!((share.cpu, share.memory), expected);
        };
        check(1, None, None, (4096, 9000));
        check(3, None, None, (1365, 3000));
        check(8, None, None, (1024, 1125));
        check(3, Some(512), Some(4000), (512, 4000));
    }

    #[test]
    fn zones_go_round() {
        let zones: Vec<_> = (0..4).map(|number| zone(&"eu-west-1", number)).collect();
        assert_eq!(zones, ["eu-west-1a", "eu-west-1b", "eu-west-1c", "eu-west-1a"]);
    }

    #[test]
    fn instances_belong_to_providers_one_after_the_other() {
        let names: ProviderNames = "a, b".parse().unwrap();
        assert_eq!(names.to_string(), "a,b");
        let of = |number| names.of(number).unwrap().to_string();
        assert_eq!([of(0), of(1), of(2)], ["a", "b", "a"]);
        assert!("a,,b".parse::<ProviderNames>().is_err());
    }

    #[test]
    fn reserved_attributes_are_refused() {
        let check = |text: &str, expected: &str| {
            let error = text.parse::<Attribute>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("ecs.instance-type=t2.micro", "use --instance-type");
        check("longshore.capacity-provider=a", "use --capacity-provider");
        check("ecs.capability.x=1", "names in ecs. are set by ECS");
        check("com.amazonaws.x=1", "reserved");
        check("rack", "KEY=VALUE");
        check("a b=1", "no attribute's name");
        check("a= 1", "no attribute's value");
        let attribute = "rack=a=b".parse::<Attribute>().unwrap();
        assert_eq!((attribute.name.as_str(), attribute.value.as_str()), ("rack", "a=b"));
    }

    #[test]
    fn this_machine_is_known() {
        assert!(is_here("http://127.0.0.1:4566") && is_here("http://localhost:1/"));
        assert!(!is_here("http://192.0.2.1:4566"));
        assert_eq!(address_towards("http://127.0.0.1:1"), Some([127, 0, 0, 1].into()));
    }
}
