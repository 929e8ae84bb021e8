//! Starts shims, and finds those that run.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use shim::file;

use super::records::Directory;

/// The program, as it was built with this one.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/longshore-shim"));
const PROGRAM_SHA256: &str = env!("LONGSHORE_SHIM_SHA256");

/// Puts the program into `folder` under the name of its digest, if it is not there: those of older
/// versions stay for the shims that run from them.
pub(super) fn install(folder: &Path) -> io::Result<PathBuf> {
    // Several instances of one process begin at once.
    static INSTALLING: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let _installing = INSTALLING.lock();
    let path = folder.join(format!("shim-{PROGRAM_SHA256}"));
    if fs::metadata(&path).is_ok_and(|found| found.len() == PROGRAM.len() as u64) {
        return Ok(path);
    }
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!("shim-{PROGRAM_SHA256}.{}", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o755)
        .open(&temporary)?;
    file.write_all(PROGRAM)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, &path)?;
    Ok(path)
}

/// Starts the shim of a directory that holds everything it needs, and connects to it.
///
/// The socket is made here and handed over, so that there is no moment at which the shim runs but
/// cannot be reached, and no waiting for it. With the last descriptor of it, in the shim, goes the
/// possibility to connect: who can connect knows that the shim lives.
pub(super) fn start(
    program: &Path,
    directory: &Directory,
) -> io::Result<(UnixStream, tokio::process::Child)> {
    let here = fs::File::open(directory.path())?;
    let socket = short_name(&here);
    let _ = fs::remove_file(directory.file(file::SOCKET));
    let listener = UnixListener::bind(&socket)?;
    let stream = UnixStream::connect(&socket)?;
    let log =
        fs::OpenOptions::new().create(true).append(true).open(directory.file(file::SHIM_LOG))?;
    let child = tokio::process::Command::new(program)
        .arg("hold")
        .arg(directory.path())
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .kill_on_drop(false)
        .spawn()?;
    Ok((stream, child))
}

/// Connects to the shim of a directory, if it lives.
pub(super) fn connect(directory: &Directory) -> io::Result<UnixStream> {
    let here = fs::File::open(directory.path())?;
    UnixStream::connect(short_name(&here))
}

/// A socket's name is limited to 108 bytes; this one is short wherever the data folder is.
fn short_name(directory: &fs::File) -> String {
    format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), file::SOCKET)
}
