//! Settings of TLS and of secrets at rest, and what they come to.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use ledger::SecretsKeys;
use wire::tls::{ClientCertificates, ServerFiles, TlsServer};

use crate::data_dir::DataDir;
use crate::pki::{self, Authority, TlsFolder};
use crate::retention::Life;
use crate::settings::Resolver;

/// Holds keys for secrets, in place of a file.
pub const SECRETS_KEY_VARIABLE: &str = "LONGSHORE_SECRETS_KEY";

/// Whether container instances need their certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientPolicy {
    /// A key alone is enough, as Amazon's agent has it; a certificate must be the key's owner's.
    Optional,
    /// A container instance's key works only with the certificate that it got when it joined.
    Required,
}

impl FromStr for ClientPolicy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false)
    }
}

impl Display for ClientPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Optional => "optional",
            Self::Required => "required",
        })
    }
}

/// Flags of servers.
#[derive(Args, Clone, Debug, Default)]
pub struct SecurityFlags {
    /// A folder made by `longshore init`: serve with TLS
    #[arg(long, value_name = "DIR")]
    pub tls_dir: Option<PathBuf>,
    /// The certificate to serve with, and those up to its authority (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The authority of servers and agents (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// The authority's key: agents that join get certificates (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_ca_key: Option<PathBuf>,
    /// Whether container instances need their certificates [default: optional]
    #[arg(long, value_name = "POLICY")]
    pub tls_client: Option<ClientPolicy>,
    /// How long container instances' certificates are valid, ten seconds at least, as in `12h` or
    /// `30d`; agents renew theirs when a third is left [default: 365d]
    #[arg(long, value_name = "TIME")]
    pub agent_certificate_life: Option<Life>,
    /// Listen beyond this machine without TLS: keys stay secret, all else can be read and changed
    #[arg(long)]
    pub insecure_http: bool,
    /// The keys that secrets are sealed with, one a line, the newest first [default: secrets.key
    /// in --tls-dir, else one made in the data folder]
    #[arg(long, value_name = "FILE")]
    pub secrets_key_file: Option<PathBuf>,
}

/// What servers are told.
#[derive(Clone, Debug)]
pub struct SecuritySettings {
    /// The folder of certificates, if one was named.
    pub(crate) folder: Option<TlsFolder>,
    files: Option<ServerFiles>,
    authority_key: Option<PathBuf>,
    policy: ClientPolicy,
    node_life: Life,
    insecure_http: bool,
    secrets_key_file: Option<PathBuf>,
}

/// TLS as a server has it.
#[derive(Clone, Debug)]
pub struct Tls {
    /// What it shows, and whom it trusts.
    pub server: TlsServer,
    /// The file of the authority that clients are to trust.
    pub authority_file: Option<PathBuf>,
    /// The authority with its key, if the server holds it.
    pub authority: Option<Arc<Authority>>,
}

impl SecuritySettings {
    /// Puts flags, environment and file together.
    pub(crate) fn resolve(flags: &SecurityFlags, resolver: &mut Resolver) -> Result<Self> {
        let SecurityFlags { tls_dir, tls_cert, tls_key, tls_ca, tls_ca_key, .. } = flags.clone();
        let mut file =
            |name, flag: Option<PathBuf>| -> Result<Option<PathBuf>> { resolver.file(name, flag) };
        let folder = file("tls_dir", tls_dir)?.map(TlsFolder::at);
        let within = |name: &str| folder.as_ref().map(|folder| folder.file(name));
        let there = |name: &str| folder.as_ref().and_then(|folder| folder.there(name));
        let certificate = file("tls_cert", tls_cert)?.or_else(|| within(pki::SERVER));
        let key = file("tls_key", tls_key)?.or_else(|| within(pki::SERVER_KEY));
        let authority = file("tls_ca", tls_ca)?.or_else(|| there(pki::AUTHORITY));
        let authority_key = file("tls_ca_key", tls_ca_key)?.or_else(|| there(pki::AUTHORITY_KEY));
        let secrets_key_file = file("secrets_key_file", flags.secrets_key_file.clone())?
            .or_else(|| there(pki::SECRETS_KEY));
        let files = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(ServerFiles { certificate, key, authority }),
            (None, None) if authority.is_none() && authority_key.is_none() => None,
            _ => {
                bail!("TLS takes a certificate and its key: --tls-cert and --tls-key, or --tls-dir")
            }
        };
        Ok(Self {
            folder,
            files,
            authority_key,
            policy: resolver.value("tls_client", flags.tls_client, || ClientPolicy::Optional)?,
            node_life: resolver.value(
                "agent_certificate_life",
                flags.agent_certificate_life,
                Life::default,
            )?,
            insecure_http: resolver.value(
                "insecure_http",
                flags.insecure_http.then_some(true),
                || false,
            )?,
            secrets_key_file,
        })
    }

    /// Refuses what would be seen by others.
    pub(crate) fn check(&self, listen: SocketAddr) -> Result<()> {
        if self.files.is_none() && !listen.ip().is_loopback() && !self.insecure_http {
            bail!(
                "{} can be reached from other machines, and nothing protects what goes over the \
                 wire: run 'longshore init' and use --tls-dir, or say --insecure-http",
                listen.ip()
            );
        }
        let has_authority = self.files.as_ref().is_some_and(|files| files.authority.is_some());
        if self.policy == ClientPolicy::Required && !has_authority {
            bail!("--tls-client required needs the agents' authority: --tls-ca or --tls-dir");
        }
        Ok(())
    }

    /// What the edge asks of container instances.
    pub fn client_certificates(&self) -> ClientCertificates {
        match self.policy {
            ClientPolicy::Optional => ClientCertificates::Optional,
            ClientPolicy::Required => ClientCertificates::Required,
        }
    }

    /// Reads certificate, key and authority.
    ///
    /// # Errors
    /// If a file cannot be read, or they do not go together.
    pub fn tls(&self) -> Result<Option<Tls>> {
        let Some(files) = &self.files else { return Ok(None) };
        let server = TlsServer::load(files.clone())?;
        let authority = match (&files.authority, &self.authority_key) {
            (Some(file), Some(key)) => {
                let read = |path: &Path| {
                    std::fs::read_to_string(path)
                        .with_context(|| format!("reading {}", path.display()))
                };
                let what = file.display().to_string();
                let authority = Authority::load(&what, &read(file)?, &read(key)?)?;
                Some(Arc::new(authority.with_node_life(self.node_life.duration())))
            }
            _ => None,
        };
        Ok(Some(Tls { server, authority_file: files.authority.clone(), authority }))
    }

    /// The keys for secrets: of the environment or the file, and the data folder's own, which is
    /// made if there is no other and `makes` says so.
    ///
    /// # Errors
    /// If they cannot be read, or there is none.
    pub fn secrets(&self, data: &DataDir, makes: bool) -> Result<SecretsKeys> {
        let own = data.path().join(pki::SECRETS_KEY);
        let mut texts = Vec::new();
        if let Ok(text) = std::env::var(SECRETS_KEY_VARIABLE) {
            texts.push((SECRETS_KEY_VARIABLE.to_owned(), text));
        } else if let Some(file) = &self.secrets_key_file {
            texts.push((file.display().to_string(), read_key(file)?));
        }
        if texts.is_empty() && !own.exists() {
            if !makes {
                bail!(
                    "servers that share a store seal its secrets with one key: give all of them \
                     the same --secrets-key-file ('longshore init' makes one), or \
                     {SECRETS_KEY_VARIABLE}"
                );
            }
            pki::write_secrets_key(&own)?;
        }
        if own.exists() {
            texts.push((own.display().to_string(), read_key(&own)?));
        }
        let mut keys: Vec<Vec<u8>> = Vec::new();
        for (what, text) in &texts {
            keys.extend(parse_keys(what, text)?);
        }
        Ok(SecretsKeys::new(&keys)?)
    }
}

fn read_key(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// Keys of 32 bytes in base64 or hexadecimal digits, one a line or between commas. What begins
/// with `#` is a remark.
fn parse_keys(what: &str, text: &str) -> Result<Vec<Vec<u8>>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let words = lines.flat_map(|line| line.split(',')).map(str::trim);
    let keys = words.filter(|word| !word.is_empty()).map(|word| {
        let bytes = match word.len() {
            64 => HEXLOWER_PERMISSIVE.decode(word.as_bytes()).ok(),
            _ => BASE64.decode(word.as_bytes()).ok(),
        };
        // The word itself is not told: it may be a key with a slip.
        bytes.filter(|bytes| bytes.len() == ledger::SECRETS_KEY_BYTES).with_context(|| {
            format!("{what}: a key has 32 bytes, in base64 or as 64 hexadecimal digits")
        })
    });
    let keys: Vec<_> = keys.collect::<Result<_>>()?;
    if keys.is_empty() {
        bail!("{what} holds no key");
    }
    Ok(keys)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_both_forms() {
        let (one, two) = (BASE64.encode(&[1; 32]), "02".repeat(32));
        let keys = parse_keys("x", &format!("# newest first\n{one}\n{two}\n")).unwrap();
        assert_eq!(keys, [vec![1; 32], vec![2; 32]]);
        assert_eq!(parse_keys("x", &format!("{one},{two}")).unwrap().len(), 2);
        for wrong in ["", "# none", "c2VjcmV0", "zz"] {
            let told = parse_keys("the file", wrong).unwrap_err().to_string();
            assert!(told.starts_with("the file") && !told.contains("c2VjcmV0"), "{told}");
        }
    }
}
