//! Whether the machine was started anew since the last time: then what ran has ended with it, and
//! nobody put down how.

use std::fs;
use std::path::Path;

/// Where the kernel tells its start's own id.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Whether the machine was started anew since the last call with this file, which keeps the id of
/// the start. Not known of the first call, and where the kernel does not tell.
pub(super) fn is_new(kept: &Path) -> bool {
    let Ok(now) = fs::read_to_string(BOOT_ID) else { return false };
    let before = fs::read_to_string(kept).ok();
    if before.as_ref() == Some(&now) {
        return false;
    }
    if let Err(error) = fs::write(kept, &now) {
        tracing::warn!(file = %kept.display(), %error, "this start's id is not kept");
    }
    before.is_some()
}
