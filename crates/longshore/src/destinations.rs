//! Where images can be replicated to: a TOML file that names other registries and our keys there.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use ecr::Destination;
use serde::Deserialize;
use terms::{AccountId, Region};
use wire::Secret;

/// What others may not do to the file: it has secrets.
const OF_OTHERS: u32 = 0o077;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    destination: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    registry: String,
    region: String,
    url: String,
    access_key_id: String,
    secret_access_key: String,
}

/// The destinations in a file, if one is named.
///
/// # Errors
/// If it cannot be read, others can, or an entry is wrong; no secret is in the text.
pub fn read(file: Option<&Path>) -> Result<Vec<Destination>> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let text = read_private(file)?;
    parse(&text).with_context(|| format!("in {}", file.display()))
}

/// The text of a file with keys in it.
///
/// # Errors
/// If it cannot be read, or others than its owner can.
pub fn read_private(file: &Path) -> Result<String> {
    let shown = file.display();
    let mode = std::fs::metadata(file).with_context(|| format!("reading {shown}"))?.permissions();
    if mode.mode() & OF_OTHERS != 0 {
        bail!("{shown} has keys in it, and others can read it: chmod 600 {shown}");
    }
    std::fs::read_to_string(file).with_context(|| format!("reading {shown}"))
}

fn parse(text: &str) -> Result<Vec<Destination>> {
    let document = toml::from_str::<Document>(text);
    // The whole error shows the line that it is about, which may be the one with the key.
    let document =
        document.map_err(|error: toml::de::Error| anyhow::anyhow!("{}", error.message()))?;
    let mut known = Vec::<Destination>::new();
    for entry in document.destination {
        let registry: AccountId = entry.registry.parse().context("registry")?;
        let region: Region = entry.region.parse().context("region")?;
        let is_url = ["http://", "https://"].iter().any(|scheme| entry.url.starts_with(scheme));
        if !is_url {
            bail!("url = \"{}\" does not begin with https:// or http://", entry.url);
        }
        if known.iter().any(|known| known.registry == registry && known.region == region) {
            bail!("registry {registry} in {region} is there twice");
        }
        known.push(Destination {
            registry,
            region,
            url: entry.url,
            username: entry.access_key_id,
            password: Secret::new(entry.secret_access_key),
        });
    }
    Ok(known)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ENTRY: &str = "[[destination]]\nregistry = \"111111111111\"\nregion = \"eu-west-1\"\n\
                         url = \"https://other.test:4566\"\naccess_key_id = \"AKIA\"\n\
                         secret_access_key = \"hidden\"\n";

    #[test]
    fn destinations_are_read() {
        let known = parse(ENTRY).unwrap();
        assert_eq!((known.len(), known[0].region.as_str()), (1, "eu-west-1"));
        assert_eq!(known[0].password.expose(), "hidden");
        assert!(!format!("{known:?}").contains("hidden"));
        assert!(parse("").unwrap().is_empty() && read(None).unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_named_without_secrets() {
        let check = |text: &str, expected: &str| {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(expected) && !error.contains("hidden"), "{error}");
        };
        check(&ENTRY.replace("111111111111", "1"), "twelve digits");
        check(&ENTRY.replace("https://", ""), "does not begin with https://");
        check(&format!("{ENTRY}{ENTRY}"), "twice");
        check(&ENTRY.replace("region", "regoin"), "regoin");
        check(&ENTRY.replace("\"hidden\"", "hidden"), "");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), ENTRY).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(Some(file.path())).unwrap().len(), 1);
    }
}
