//! What the disk itself allows: fdatasync after each small append.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

/// What each caller appends before it syncs: about one stored task definition.
const RECORD_BYTES: usize = 1024;

/// Appends with fdatasync a second of `callers` threads, each with a file of its own in `folder`,
/// all together, over `time`.
pub fn sync_rate(folder: &Path, callers: usize, time: Duration) -> Result<f64> {
    let folder = tempfile::tempdir_in(folder)?;
    let done = AtomicU64::new(0);
    let start = Instant::now();
    let append = |number: usize| -> Result<()> {
        let mut file = File::create(folder.path().join(number.to_string()))?;
        while start.elapsed() < time {
            file.write_all(&[b'x'; RECORD_BYTES])?;
            file.sync_data()?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let append = &append;
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> =
            (0..callers).map(|number| scope.spawn(move || append(number))).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread of the disk test failed"))??;
        }
        Ok(())
    })?;
    Ok(done.into_inner() as f64 / start.elapsed().as_secs_f64())
}
