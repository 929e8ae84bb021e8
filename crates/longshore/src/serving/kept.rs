//! What a balancer was told last, in a file that only its owner can read: the keys of certificates are
//! in it.

use std::path::Path;

use anyhow::{Result, bail};
use balancer::{FORMAT, Told};

use crate::data_dir::write_private;

/// What was kept; nothing if there is none, or none that can be read.
pub fn read(file: &Path) -> Option<Told> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "what was told last cannot be read");
            return None;
        }
    };
    match parse(&text) {
        Ok(told) => Some(told),
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(file = %file.display(), error, "what was told last cannot be read");
            None
        }
    }
}

/// A line of a server's, or what a file holds.
///
/// # Errors
/// If it is no such thing, or in another form.
pub fn parse(text: &[u8]) -> Result<Told> {
    let told: Told = serde_json::from_slice(text)?;
    if told.format != FORMAT {
        bail!("it is of form {}, and this program reads form {FORMAT}", told.format);
    }
    Ok(told)
}

/// Keeps what was told.
///
/// # Errors
/// If the file cannot be written.
pub fn write(file: &Path, told: &Told) -> Result<()> {
    write_private(file, &serde_json::to_string(told)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use balancer::{Config, CookieKey};

    use super::*;

    #[test]
    fn what_is_kept_is_read_again_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("told.json");
        assert_eq!(read(&file), None);
        let told = Told::whole(&Config::default(), Some(CookieKey::random()));
        write(&file, &told).unwrap();
        assert_eq!(read(&file), Some(told.clone()));
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        write(&file, &Told { format: FORMAT + 1, ..told }).unwrap();
        assert_eq!(read(&file), None);
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(read(&file), None);
    }
}
