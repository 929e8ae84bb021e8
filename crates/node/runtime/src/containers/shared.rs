//! Namespaces that the containers of a task share (`pidMode` and `ipcMode` `task`).
//!
//! A process that does nothing holds them (the shim's `share`), so they are there before the first
//! container and as long as the last one. It is known by its id and the time that it began, and
//! outlives this process as containers do.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

/// Who holds a task's namespaces.
const HOLDER: &str = "holder";
/// The memory that is shared by name: mounted at `/dev/shm` in each container.
const MEMORY: &str = "shm";
/// What the holder mounts its empty root on.
const ROOT: &str = "root";
/// Where the time that a process began stands behind its name in `/proc/PID/stat`.
const BEGAN_FIELD: usize = 19;

/// Where a task's containers meet.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    /// The process namespace.
    pub(super) pid: PathBuf,
    /// The namespace of System V's and POSIX's means to share memory and messages.
    pub(super) ipc: PathBuf,
    /// The directory for `/dev/shm`.
    pub(super) memory: PathBuf,
}

/// The shared namespaces of all tasks.
pub(super) struct Shared {
    folder: PathBuf,
    program: PathBuf,
    /// Containers of a task are created at once; one of them makes the namespaces.
    making: Mutex<()>,
}

impl Shared {
    /// Those that are kept in `folder`, made by `program`, the shim.
    pub(super) fn new(folder: PathBuf, program: PathBuf) -> Self {
        Self { folder, program, making: Mutex::new(()) }
    }

    /// The namespaces of a task: made now, with so much memory, or before.
    pub(super) fn of_task(&self, task: &str, memory_bytes: u64) -> io::Result<Meeting> {
        let _making = self.making.lock();
        let folder = self.folder.join(task);
        let memory = folder.join(MEMORY);
        for inner in [&memory, &folder.join(ROOT)] {
            fs::create_dir_all(inner)?;
        }
        if !is_mounted(&folder, &memory)? {
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            let options = format!("size={memory_bytes},mode=1777");
            mount(Some("shm"), &memory, Some("tmpfs"), flags, Some(options.as_str()))?;
        }
        let pid = match holder(&folder) {
            Some(pid) => pid,
            None => self.start(&folder)?,
        };
        let namespace = |kind: &str| PathBuf::from(format!("/proc/{pid}/ns/{kind}"));
        Ok(Meeting { pid: namespace("pid"), ipc: namespace("ipc"), memory })
    }

    /// The tasks that have, or had when their maker died, namespaces here.
    pub(super) fn tasks(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn start(&self, folder: &Path) -> io::Result<i32> {
        let mut command = Command::new(&self.program);
        command.arg("share").arg(folder.join(ROOT)).env_clear().stdin(Stdio::null());
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let pid = said.trim().parse::<i32>().map_err(|_| {
            let error = String::from_utf8_lossy(&output.stderr);
            io::Error::other(format!("cannot share namespaces: {}", error.trim()))
        })?;
        let began = began(pid).ok_or_else(|| io::Error::other("the holder ended at once"))?;
        let temporary = folder.join("holder.new");
        fs::write(&temporary, format!("{pid} {began}"))?;
        fs::rename(&temporary, folder.join(HOLDER))?;
        Ok(pid)
    }

    /// Takes a task's namespaces away, and kills what is left in them. A task without any is
    /// success.
    pub(super) fn remove(&self, task: &str) -> io::Result<()> {
        let _making = self.making.lock();
        let folder = self.folder.join(task);
        if !folder.exists() {
            return Ok(());
        }
        if let Some(pid) = holder(&folder) {
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        }
        let memory = folder.join(MEMORY);
        while is_mounted(&folder, &memory)? {
            umount2(&memory, MntFlags::MNT_DETACH)?;
        }
        fs::remove_dir_all(&folder)
    }
}

/// Whether something is mounted on a directory of `folder`.
fn is_mounted(folder: &Path, inner: &Path) -> io::Result<bool> {
    match fs::metadata(inner) {
        Ok(found) => Ok(found.dev() != fs::metadata(folder)?.dev()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The process that holds a task's namespaces, if it lives.
fn holder(folder: &Path) -> Option<i32> {
    let text = fs::read_to_string(folder.join(HOLDER)).ok()?;
    let (pid, time) = text.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    (began(pid)? == time.parse::<u64>().ok()?).then_some(pid)
}

/// When a process began, in ticks since the machine did; none if there is none, or it has ended.
fn began(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, but ends with the last parenthesis.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let is_zombie = fields.next()? == "Z";
    (!is_zombie).then(|| fields.nth(BEGAN_FIELD - 1)?.parse().ok()).flatten()
}
