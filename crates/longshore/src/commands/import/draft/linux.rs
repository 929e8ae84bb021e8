//! What only Linux has: capabilities, limits, devices, kernel parameters.

use shapes_ecs as shapes;
use wire::value::Enumeration as _;

use super::{Draft, Place};
use crate::commands::import::units;

/// Every capability that ECS knows (API reference, `KernelCapabilities`).
const CAPABILITIES: &str = "ALL AUDIT_CONTROL AUDIT_WRITE BLOCK_SUSPEND CHOWN DAC_OVERRIDE \
     DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN \
     MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW SETFCAP SETGID SETPCAP \
     SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE \
     SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM";
/// Mount options of a tmpfs that ECS knows (API reference, `Tmpfs`).
const TMPFS_OPTIONS: &str = "defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync \
     remount mand nomand atime noatime diratime nodiratime bind rbind unbindable runbindable \
     private rprivate shared rshared slave rslave relatime norelatime strictatime nostrictatime \
     mode uid gid nr_inodes nr_blocks mpol";
/// Size of a tmpfs that names none, in MiB: ECS asks for one.
const TMPFS_MIB: i32 = 64;
/// Kernel parameters of an IPC namespace that ECS lets a container set.
const IPC_PARAMETERS: &str = "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall \
     kernel.shmmax kernel.shmmni kernel.shm_rmid_forced";

fn has(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|known| known == word)
}

impl Draft {
    /// Adds or drops capabilities.
    pub fn capabilities(&mut self, place: Place<'_>, names: &[String], add: bool) {
        let mut known = Vec::new();
        for name in names {
            let upper = name.trim().to_ascii_uppercase();
            let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if !has(CAPABILITIES, name) {
                place.note(format!("the capability {name} is left out: ECS does not know it"));
            } else if !known.iter().any(|known| known == name) {
                known.push(name.to_owned());
            }
        }
        if known.is_empty() {
            return;
        }
        let capabilities = self.linux.capabilities.get_or_insert_default();
        match add {
            true => capabilities.add = Some(known),
            false => capabilities.drop = Some(known),
        }
    }

    /// Sets a limit of the container's processes.
    pub fn ulimit(&mut self, place: Place<'_>, name: &str, soft: i64, hard: i64) {
        let Some(name) = shapes::UlimitName::parse(name) else {
            return place.note(format!("the limit '{name}' is left out: ECS does not know it"));
        };
        let whole = |value: i64| i32::try_from(value).unwrap_or(i32::MAX).max(-1);
        let ulimit = shapes::Ulimit { name, soft_limit: whole(soft), hard_limit: whole(hard) };
        self.out.ulimits.get_or_insert_default().push(ulimit);
    }

    /// Mounts memory at `path`; `options` are those of `mount`.
    pub fn tmpfs(&mut self, place: Place<'_>, path: &str, options: &str) {
        let mut size = None;
        let mut kept = Vec::new();
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "size" => size = units::bytes(value).map(units::mib),
                _ if has(TMPFS_OPTIONS, name) => kept.push(option.to_owned()),
                _ => place.note(format!("the mount option '{option}' is left out")),
            }
        }
        if size.is_none() {
            place.note(format!("{path} names no size, which ECS asks for: {TMPFS_MIB} MiB"));
        }
        let tmpfs = shapes::Tmpfs {
            container_path: path.to_owned(),
            size: size.unwrap_or(TMPFS_MIB).max(1),
            mount_options: super::some(kept),
        };
        self.linux.tmpfs.get_or_insert_default().push(tmpfs);
    }

    /// Hands a device of the host to the container, as `host[:container[:permissions]]`.
    pub fn device(&mut self, place: Place<'_>, text: &str) {
        let mut parts = text.split(':');
        let host = parts.next().unwrap_or_default();
        let (container, permissions) = (parts.next(), parts.next().unwrap_or("rwm"));
        if !host.starts_with('/') {
            return place.note(format!("'{text}' is left out: ECS takes devices by their paths"));
        }
        let permission = |letter| match letter {
            'r' => Some(shapes::DeviceCgroupPermission::Read),
            'w' => Some(shapes::DeviceCgroupPermission::Write),
            'm' => Some(shapes::DeviceCgroupPermission::Mknod),
            _ => None,
        };
        let device = shapes::Device {
            host_path: host.to_owned(),
            container_path: container.map(str::to_owned),
            permissions: super::some(permissions.chars().filter_map(permission).collect()),
        };
        self.linux.devices.get_or_insert_default().push(device);
    }

    /// Sets a kernel parameter.
    pub fn system_control(&mut self, place: Place<'_>, name: &str, value: &str) {
        if !name.starts_with("net.")
            && !name.starts_with("fs.mqueue.")
            && !has(IPC_PARAMETERS, name)
        {
            return place.note(format!("{name} is left out: ECS does not let a container set it"));
        }
        let control = shapes::SystemControl {
            namespace: Some(name.to_owned()),
            value: Some(value.to_owned()),
        };
        self.out.system_controls.get_or_insert_default().push(control);
    }

    /// Takes out kernel parameters of namespaces that the task shares with the host.
    pub(super) fn keep_own_controls(
        &mut self,
        place: Place<'_>,
        network: shapes::NetworkMode,
        ipc: Option<shapes::IpcMode>,
    ) {
        let Some(controls) = self.out.system_controls.take() else { return };
        let of_host = |control: &shapes::SystemControl| match control
            .namespace
            .as_deref()
            .is_some_and(|name| name.starts_with("net."))
        {
            true => network == shapes::NetworkMode::Host,
            false => ipc == Some(shapes::IpcMode::Host),
        };
        let (shared, own): (Vec<_>, Vec<_>) = controls.into_iter().partition(of_host);
        for control in shared {
            let name = control.namespace.unwrap_or_default();
            place.note(format!("{name} is left out: the namespace that it is of is the host's"));
        }
        self.out.system_controls = super::some(own);
    }

    /// Keeps a security option that ECS knows.
    pub fn security_option(&mut self, place: Place<'_>, text: &str) {
        let text = match text {
            "no-new-privileges:true" | "no-new-privileges=true" => "no-new-privileges".to_owned(),
            other => other.replacen('=', ":", 1),
        };
        let known = ["apparmor:", "label:", "credentialspec:"];
        if text != "no-new-privileges" && !known.iter().any(|kind| text.starts_with(kind)) {
            return place.note(format!("'{text}' is left out: ECS does not know it"));
        }
        self.out.docker_security_options.get_or_insert_default().push(text);
    }

    /// Allows so much swap besides `memory`, both as Docker has them, in MiB (-1: no limit).
    pub fn swap(&mut self, place: Place<'_>, total: i64, memory: Option<i32>) {
        match memory {
            Some(memory) if total >= memory.into() => {
                self.linux.max_swap = i32::try_from(total - i64::from(memory)).ok();
            }
            _ => place.note("the limit of swap is left out: ECS has none without one of memory"),
        }
    }
}
