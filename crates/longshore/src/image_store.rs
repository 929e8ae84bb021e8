//! The bucket that the registry's images are in, and the keys for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bucket::{Address, Bucket, Keys};
use distribution::Authorities;
use ecr::{Depot, InBucket, Tables};
use ledger::Ledger;
use terms::IdSource;

use crate::destinations::read_private;
use crate::profile_files;
use crate::settings::Resolver;

/// The section of a file of credentials that is read.
const SECTION: &str = "default";

/// A bucket for images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStore {
    address: Address,
    /// None if nobody said any.
    keys: Option<Keys>,
}

impl ImageStore {
    /// Puts flags, environment and file together; none if no bucket is named.
    ///
    /// # Errors
    /// If a value or the file cannot be read; no secret is in the text.
    pub fn read(
        resolver: &mut Resolver,
        address: Option<String>,
        credentials: Option<PathBuf>,
    ) -> Result<Option<Self>> {
        let address: Option<String> = resolver.optional("registry_store", address)?;
        let file = resolver.file("registry_store_credentials", credentials)?;
        let Some(address) = address.filter(|text| !text.is_empty()) else { return Ok(None) };
        // The text is not told: somebody may have put keys into it.
        let address: Address = address.parse().context("--registry-store")?;
        let keys = match file {
            Some(file) => Some(of_file(&file)?),
            None => of_environment(),
        };
        Ok(Some(Self { address, keys }))
    }

    /// The depot in the bucket, which must be the installation's, or nobody's until now. One that does
    /// not answer at the moment is taken to be.
    ///
    /// # Errors
    /// If there are no keys, they do not do, or the bucket is not there or another's.
    pub async fn open(
        &self,
        authorities: Authorities,
        installation: &str,
        (ledger, tables, ids): (&Ledger, Tables, Arc<dyn IdSource>),
        spool: PathBuf,
    ) -> Result<Depot> {
        let Some(keys) = self.keys.clone() else {
            bail!(
                "--registry-store needs keys: --registry-store-credentials FILE, or \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            );
        };
        let address = self.address.clone();
        let connect = move || Bucket::connect(&address, &keys, &authorities);
        let bucket = tokio::task::spawn_blocking(connect).await??;
        if let Err(error) = bucket.own(installation).await {
            if !error.is_transient() {
                return Err(error).context("--registry-store");
            }
            tracing::warn!(%error, "the registry waits for its bucket");
        }
        Ok(Depot::in_bucket(InBucket {
            bucket,
            owner: installation.to_owned(),
            ledger: ledger.clone(),
            tables,
            ids,
            spool: spool.join("spool"),
        }))
    }
}

fn of_file(file: &Path) -> Result<Keys> {
    let settings = profile_files::section(&read_private(file)?, SECTION);
    let setting = |name: &str| settings.get(name).filter(|value| !value.is_empty()).cloned();
    let (Some(id), Some(secret)) = (setting("aws_access_key_id"), setting("aws_secret_access_key"))
    else {
        bail!(
            "{} has no aws_access_key_id and aws_secret_access_key in its section [{SECTION}]",
            file.display()
        );
    };
    Ok(Keys::new(id, secret, setting("aws_session_token")))
}

fn of_environment() -> Option<Keys> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (id, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
    Some(Keys::new(id, secret, variable("AWS_SESSION_TOKEN")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    fn read(address: &str, credentials: Option<&Path>) -> Result<Option<ImageStore>> {
        let config = file("", 0o600);
        let mut resolver = Resolver::open(Some(config.path()))?;
        let credentials = credentials.map(Path::to_path_buf);
        ImageStore::read(&mut resolver, Some(address.to_owned()), credentials)
    }

    const KEYS: &str = "[other]\naws_access_key_id = no\n[default]\naws_access_key_id = AKIA\n\
                        aws_secret_access_key = hidden\n";

    #[test]
    fn a_bucket_and_its_keys_are_read() {
        let keys = file(KEYS, 0o600);
        let store = read("s3://images/a?endpoint=http://h:1", Some(keys.path())).unwrap().unwrap();
        assert_eq!(store.address.to_string(), "s3://images/a?endpoint=http://h:1");
        assert_eq!(store.keys, Some(Keys::new("AKIA", "hidden", None)));
        assert!(!format!("{store:?}").contains("hidden"));
        assert_eq!(read("", None).unwrap(), None);
    }

    #[test]
    fn mistakes_are_named_without_secrets() {
        let check = |address: &str, keys: &tempfile::NamedTempFile, expected: &str| {
            let error = format!("{:#}", read(address, Some(keys.path())).unwrap_err());
            assert!(error.contains(expected) && !error.contains("hidden"), "{error}");
        };
        let keys = file(KEYS, 0o600);
        check("s3://AKIA:hidden@images", &keys, "--registry-store: keys have no place");
        check("file:///images", &keys, "s3://BUCKET");
        check("s3://images", &file(KEYS, 0o644), "chmod 600");
        check("s3://images", &file("[default]\n", 0o600), "no aws_access_key_id");
    }
}
