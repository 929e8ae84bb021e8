//! Registries: whom they know us as, and whom we know them by. Credentials come from a file in the
//! form of Docker's `config.json`: what `docker login` writes is what `--registry-auth` reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use data_encoding::BASE64;
use runtime::images::{Authorities, DEFAULT_REGISTRY, RegistryAuth};
use serde::Deserialize;

/// Flags about registries, of whoever runs container instances.
#[derive(Args, Clone, Debug, Default)]
pub struct RegistryFlags {
    /// Credentials for registries, in the form of Docker's config.json
    #[arg(long, value_name = "FILE", env = "LONGSHORE_REGISTRY_AUTH")]
    pub registry_auth: Option<PathBuf>,
    /// Certificates, in PEM form, of an authority that registries have theirs of, besides those that
    /// the system trusts; may be given several times
    #[arg(long, value_name = "FILE", env = "LONGSHORE_REGISTRY_CA", value_delimiter = ',')]
    pub registry_ca: Vec<PathBuf>,
}

impl RegistryFlags {
    /// Whose certificates registries may have: of whom the flags name, and of whom the node's own server
    /// has its (a file), for it has a registry too.
    ///
    /// # Errors
    /// If a file has none.
    pub fn authorities(&self, of_server: Option<&Path>) -> Result<Authorities> {
        let files: Vec<&Path> =
            self.registry_ca.iter().map(PathBuf::as_path).chain(of_server).collect();
        Authorities::read(&files).context("--registry-ca, or the server's own authority")
    }
}

/// The part of the file that is read.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

/// One registry's credentials.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
struct Entry {
    /// `user:password` in base64.
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// The credentials in a file, by the registry's host (and port).
///
/// # Errors
/// If the file cannot be read or an entry has none of the known forms; no secret is in the text.
pub fn read(file: &Path) -> Result<BTreeMap<String, RegistryAuth>> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let document: Document = serde_json::from_slice(&text)
        .with_context(|| format!("{} has not the form of Docker's config.json", file.display()))?;
    let known = document.auths.into_iter().map(|(registry, entry)| {
        let auth = credentials(entry)
            .with_context(|| format!("{}: the entry of {registry}", file.display()))?;
        Ok((host(&registry), auth))
    });
    known.collect()
}

/// `https://index.docker.io/v1/` is how Docker names its own registry.
fn host(registry: &str) -> String {
    let bare = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    match bare.split('/').next().unwrap_or(bare) {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY.to_owned(),
        host => host.to_owned(),
    }
}

fn credentials(entry: Entry) -> Result<RegistryAuth> {
    if let Some(token) = entry.identitytoken.filter(|token| !token.is_empty()) {
        return Ok(RegistryAuth::IdentityToken(token));
    }
    if let (Some(username), Some(password)) = (entry.username, entry.password) {
        return Ok(RegistryAuth::Basic { username, password });
    }
    let Some(auth) = entry.auth else {
        bail!("has neither auth, username and password, nor identitytoken (a credential helper?)")
    };
    let bytes = BASE64.decode(auth.as_bytes()).context("auth is no base64")?;
    let text = String::from_utf8(bytes).context("auth is no text")?;
    let (username, password) = text.split_once(':').context("auth is not user:password")?;
    Ok(RegistryAuth::Basic { username: username.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BTreeMap<String, RegistryAuth>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn what_docker_login_writes_is_read() {
        let found = parse(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "bWU6cGFzczp3b3Jk"},
                "localhost:5000": {"username": "a", "password": "b"},
                "quay.io": {"identitytoken": "t", "auth": ""}
            }, "credsStore": ""}"#,
        );
        let basic = |username: &str, password: &str| RegistryAuth::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        let expected = [
            (DEFAULT_REGISTRY.to_owned(), basic("me", "pass:word")),
            ("localhost:5000".to_owned(), basic("a", "b")),
            ("quay.io".to_owned(), RegistryAuth::IdentityToken("t".to_owned())),
        ];
        assert_eq!(found.unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn mistakes_are_named_without_secrets() {
        let check = |text, expected: &str| {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(expected) && !error.contains("c2VjcmV0"), "{error}");
        };
        check("[", "Docker's config.json");
        check(r#"{"auths": {"a.test": {}}}"#, "the entry of a.test");
        check(r#"{"auths": {"a.test": {"auth": "c2VjcmV0"}}}"#, "auth is not user:password");
        check(r#"{"auths": {"a.test": {"auth": "c2VjcmV0!"}}}"#, "auth is no base64");
    }
}
