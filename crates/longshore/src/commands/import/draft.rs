//! A container definition in the making: what Compose and Docker say, brought into ECS's bounds.

mod linux;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use shapes_ecs as shapes;
use wire::value::Enumeration as _;

use super::notes::Notes;

/// Bounds of a health check's `interval`, in seconds (API reference, `HealthCheck`).
const INTERVAL: RangeInclusive<i32> = 5..=300;
/// Bounds of its `timeout`, in seconds.
const TIMEOUT: RangeInclusive<i32> = 2..=60;
/// Bounds of its `retries`.
const RETRIES: RangeInclusive<i32> = 1..=10;
/// Bounds of its `startPeriod`, in seconds.
const START_PERIOD: RangeInclusive<i32> = 0..=300;
/// Bounds of `stopTimeout`, in seconds.
const STOP_TIMEOUT: RangeInclusive<i32> = 2..=86_400;
/// Docker's smallest memory limit, in MiB.
const MEMORY_MIN_MIB: i32 = 6;
/// CPU units of one CPU.
const UNITS_PER_CPU: f64 = 1024.0;

/// Where notes go, and what they are about.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub notes: &'a Notes,
    pub path: &'a str,
}

impl Place<'_> {
    /// Makes a note.
    pub fn note(&self, what: impl Into<String>) {
        self.notes.add(self.path, what);
    }

    /// A number inside of ECS's bounds, noted if it had to be moved.
    fn clamp(&self, what: &str, value: f64, bounds: RangeInclusive<i32>) -> i32 {
        let (least, most) = (*bounds.start(), *bounds.end());
        let whole = value.ceil().clamp(f64::from(least), f64::from(most)) as i32;
        if f64::from(whole) != value {
            self.note(format!("{what} is {whole} instead of {value}: ECS takes {least} to {most}"));
        }
        whole
    }
}

/// A published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub container: u16,
    /// Any free one if absent.
    pub host: Option<u16>,
    pub udp: bool,
}

/// When and how a container is looked after, times in seconds.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// As Docker's `Test`: `CMD` or `CMD-SHELL` first.
    pub command: Vec<String>,
    pub interval: Option<f64>,
    pub timeout: Option<f64>,
    pub start_period: Option<f64>,
    pub retries: Option<f64>,
}

/// A container definition in the making.
#[derive(Debug, Default)]
pub struct Draft {
    /// What needs no thought is set directly.
    pub out: shapes::ContainerDefinition,
    pub linux: shapes::LinuxParameters,
    pub ports: Vec<Port>,
}

impl Draft {
    /// Sets the health check, within ECS's bounds.
    pub fn health(&mut self, place: Place<'_>, health: Health) {
        let Health { command, interval, timeout, start_period, retries } = health;
        match command.first().map(String::as_str) {
            Some("CMD" | "CMD-SHELL") if command.len() > 1 => {}
            Some("NONE") => return,
            _ => {
                return place.note(
                    "left out: it has no command of its own, and ECS does not look at an image's",
                );
            }
        }
        let clamp =
            |what, value: Option<f64>, bounds| value.map(|value| place.clamp(what, value, bounds));
        self.out.health_check = Some(shapes::HealthCheck {
            command,
            interval: clamp("interval", interval, INTERVAL),
            timeout: clamp("timeout", timeout, TIMEOUT),
            start_period: clamp("startPeriod", start_period, START_PERIOD),
            retries: clamp("retries", retries, RETRIES),
        });
    }

    /// Sets how long the container may take to stop.
    pub fn stop_timeout(&mut self, place: Place<'_>, seconds: f64) {
        self.out.stop_timeout = Some(place.clamp("stopTimeout", seconds, STOP_TIMEOUT));
    }

    /// Sets memory limit and reservation, in MiB; `default` is reserved if there is neither.
    pub fn memory(
        &mut self,
        place: Place<'_>,
        limit: Option<i32>,
        reservation: Option<i32>,
        default: i32,
    ) {
        let at_least = |mib: i32| mib.max(MEMORY_MIN_MIB);
        self.out.memory = limit.map(at_least);
        self.out.memory_reservation = reservation.map(at_least);
        match (self.out.memory, self.out.memory_reservation) {
            (None, None) => {
                self.out.memory_reservation = Some(default);
                place.note(format!(
                    "no memory is given, which ECS asks for: {default} MiB are reserved \
                     (--memory changes that)"
                ));
            }
            (Some(limit), Some(reservation)) if limit <= reservation => {
                self.out.memory_reservation = None;
            }
            _ => {}
        }
    }

    /// Sets CPU units from a number of CPUs.
    pub fn cpus(&mut self, cpus: f64) {
        let units = (cpus * UNITS_PER_CPU).round().clamp(0.0, f64::from(i32::MAX));
        self.out.cpu = Some(units as i32);
    }

    /// Adds environment variables; a later value takes the place of an earlier one.
    pub fn environment(&mut self, variables: BTreeMap<String, String>) {
        let pair = |(name, value)| shapes::KeyValuePair { name: Some(name), value: Some(value) };
        self.out.environment = some(variables.into_iter().map(pair).collect());
    }

    /// Sets what happens when the container ends, by Docker's word for it.
    pub fn restart(&mut self, place: Place<'_>, word: &str, attempts: Option<&str>) {
        let ignored_exit_codes = match word {
            "" | "no" | "none" => return,
            "always" | "unless-stopped" | "any" => None,
            "on-failure" => Some(vec![0]),
            _ => return place.note(format!("'{word}' is no restart policy; there is none")),
        };
        if let Some(attempts) = attempts.filter(|&attempts| attempts != "0") {
            place.note(format!(
                "ECS restarts without a limit, and only what ran for restartAttemptPeriod (300 s) \
                 before; the limit of {attempts} is left out"
            ));
        }
        self.out.restart_policy = Some(shapes::ContainerRestartPolicy {
            enabled: true,
            ignored_exit_codes,
            ..Default::default()
        });
    }

    /// Sets where output goes.
    pub fn log(&mut self, place: Place<'_>, driver: &str, options: BTreeMap<String, String>) {
        let Some(log_driver) = shapes::LogDriver::parse(driver) else {
            return place.note(format!(
                "the log driver '{driver}' is unknown to ECS; output goes to json-file"
            ));
        };
        if log_driver != shapes::LogDriver::JsonFile {
            place.note(format!(
                "an instance must have the log driver {driver}: Longshore's own have json-file \
                 alone, and the task is placed on no other"
            ));
        }
        self.out.log_configuration = Some(shapes::LogConfiguration {
            log_driver,
            options: Some(options).filter(|options| !options.is_empty()),
            ..Default::default()
        });
    }

    /// Adds a line to the container's `/etc/hosts`.
    pub fn host_entry(&mut self, place: Place<'_>, hostname: &str, address: &str) {
        let address = address.trim().trim_start_matches('[').trim_end_matches(']');
        if address.parse::<std::net::IpAddr>().is_err() {
            return place.note(format!("left out: '{address}' is no address that ECS knows"));
        }
        let entry = shapes::HostEntry {
            hostname: hostname.trim().to_owned(),
            ip_address: address.to_owned(),
        };
        self.out.extra_hosts.get_or_insert_default().push(entry);
    }

    /// Mounts a volume of the task.
    pub fn mount(&mut self, volume: String, path: String, read_only: bool) {
        let point = shapes::MountPoint {
            source_volume: Some(volume),
            container_path: Some(path),
            read_only: read_only.then_some(true),
        };
        self.out.mount_points.get_or_insert_default().push(point);
    }

    /// Asks for GPUs.
    pub fn gpus(&mut self, count: &str) {
        let requirement = shapes::ResourceRequirement {
            type_: shapes::ResourceType::Gpu,
            value: Some(count.into()),
            ..Default::default()
        };
        self.out.resource_requirements = Some(vec![requirement]);
    }

    /// Writes what depends on the task that the container is in: ports and kernel parameters.
    pub fn finish(
        mut self,
        place: Place<'_>,
        task: &shapes::RegisterTaskDefinitionRequest,
    ) -> shapes::ContainerDefinition {
        let mode = task.network_mode.unwrap_or(shapes::NetworkMode::Bridge);
        let mut mappings: Vec<shapes::PortMapping> = Vec::new();
        for port in std::mem::take(&mut self.ports) {
            let Some(mapping) = mapping(port, place, mode) else { continue };
            if !mappings.contains(&mapping) {
                mappings.push(mapping);
            }
        }
        self.out.port_mappings = some(mappings);
        self.keep_own_controls(place, mode, task.ipc_mode);
        if self.linux != shapes::LinuxParameters::default() {
            self.out.linux_parameters = Some(self.linux);
        }
        self.out
    }
}

/// A port as the network mode has it; none at all without a network.
fn mapping(port: Port, place: Place<'_>, mode: shapes::NetworkMode) -> Option<shapes::PortMapping> {
    let Port { container, host, udp } = port;
    let host = match mode {
        shapes::NetworkMode::None => return None,
        shapes::NetworkMode::Host => {
            if host.is_some_and(|host| host != container) {
                place.note(format!(
                    "port {container} is published as itself: with network mode host there is no \
                     other"
                ));
            }
            Some(container)
        }
        shapes::NetworkMode::Bridge | shapes::NetworkMode::Awsvpc => host,
    };
    let protocol =
        if udp { shapes::TransportProtocol::Udp } else { shapes::TransportProtocol::Tcp };
    Some(shapes::PortMapping {
        container_port: Some(container.into()),
        host_port: host.map(Into::into),
        protocol: Some(protocol),
        ..Default::default()
    })
}

/// A list, unless it is empty.
pub fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}
