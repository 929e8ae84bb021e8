//! Where the ledger is kept.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use ledger::{EtcdSettings, EtcdTls, Member, Secret};

use crate::pki::{self, TlsFolder};
use crate::settings::{Resolver, Source};

/// Flags of `longshore server` about its store.
#[derive(Args, Clone, Debug, Default)]
pub struct StoreFlags {
    /// Keep the ledger on an etcd, with other servers: etcd://HOST:PORT,HOST:PORT[/PREFIX], or
    /// etcds:// for TLS [default: in the data folder]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// The URL at which the other servers of the store reach this one [default: the address it
    /// listens on]
    #[arg(long, value_name = "URL")]
    pub advertise: Option<String>,
    /// The authority that signed etcd's certificates, a PEM file [default: ca.crt in --tls-dir,
    /// else this machine's]
    #[arg(long, value_name = "FILE")]
    pub etcd_ca: Option<PathBuf>,
    /// This server's certificate for etcd, a PEM file [default: etcd-client.crt in --tls-dir]
    #[arg(long, value_name = "FILE", requires = "etcd_key")]
    pub etcd_cert: Option<PathBuf>,
    /// The key of that certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "etcd_cert")]
    pub etcd_key: Option<PathBuf>,
    /// The user that etcd knows this server by
    #[arg(long, value_name = "NAME")]
    pub etcd_user: Option<String>,
    /// A file with that user's password; LONGSHORE_ETCD_PASSWORD holds the password itself
    #[arg(long, value_name = "FILE")]
    pub etcd_password_file: Option<PathBuf>,
    /// The size in MiB that etcd's database may grow to, its --quota-backend-bytes; an etcd that
    /// tells its own is believed [default: 2048]
    #[arg(long, value_name = "MIB")]
    pub etcd_quota: Option<u64>,
    /// How many seconds a leader that falls silent goes on to count as leading [default: 2]
    #[arg(long, value_name = "SECONDS")]
    pub lease: Option<u64>,
}

/// What they come to.
#[derive(Clone, Debug, Default)]
pub struct StoreSettings {
    /// Where the ledger is kept.
    pub choice: StoreChoice,
    /// The URL at which other servers reach this one, if it was said.
    pub advertise: Option<String>,
}

/// Where the ledger is kept.
#[derive(Clone, Debug, Default)]
pub enum StoreChoice {
    /// In the data folder.
    #[default]
    Embedded,
    /// On an etcd. The member is filled in when the address of this server is known.
    Etcd(Box<EtcdSettings>),
}

/// The shortest and the longest lease, in seconds. etcd grants no less than 1.5 of its election
/// time-out, 2 s with its own default settings.
const LEASE_SECONDS: std::ops::RangeInclusive<u64> = 1..=60;

impl StoreSettings {
    /// Puts flags, environment and file together, and reads the files that they name; with TLS
    /// those of `folder` that nobody named.
    ///
    /// # Errors
    /// If a value or file cannot be read.
    pub fn read(
        resolver: &mut Resolver,
        flags: &StoreFlags,
        folder: Option<&TlsFolder>,
    ) -> Result<Self> {
        let path = |flag: &Option<PathBuf>| flag.as_ref().map(|path| path.display().to_string());
        let store = resolver.optional("store", flags.store.clone())?;
        resolver.edit("store", |origin| origin.value = without_password(&origin.value));
        let advertise = resolver.optional("advertise", flags.advertise.clone())?;
        let ca: Option<String> = resolver.optional("etcd_ca", path(&flags.etcd_ca))?;
        let cert: Option<String> = resolver.optional("etcd_cert", path(&flags.etcd_cert))?;
        let key: Option<String> = resolver.optional("etcd_key", path(&flags.etcd_key))?;
        let user: Option<String> = resolver.optional("etcd_user", flags.etcd_user.clone())?;
        let password: Option<String> = resolver.optional("etcd_password", None)?;
        resolver.edit("etcd_password", hide);
        let file: Option<String> =
            resolver.optional("etcd_password_file", path(&flags.etcd_password_file))?;
        let lease = resolver.value("lease", flags.lease, || 2)?;
        let quota_mib: u64 = resolver.value("etcd_quota", flags.etcd_quota, || 2_048)?;
        let Some(store) = store else {
            return Ok(Self { choice: StoreChoice::Embedded, advertise });
        };
        let said_on_command_line = resolver.source("store") == Some(&Source::Flag);
        if said_on_command_line && without_password(&store) != store {
            bail!(
                "--store with a password in it can be read by everybody on this machine; use \
                 --etcd-user with --etcd-password-file, or LONGSHORE_ETCD_PASSWORD"
            );
        }
        if !LEASE_SECONDS.contains(&lease) {
            bail!("--lease {lease}: from {LEASE_SECONDS:?} seconds");
        }
        let nobody = Member { name: String::new(), url: String::new() };
        let mut etcd = EtcdSettings::from_address(&store, nobody)?;
        etcd.lease = std::time::Duration::from_secs(lease);
        etcd.quota_bytes = quota_mib.saturating_mul(1 << 20);
        if etcd.tls.is_some() {
            etcd.tls = Some(tls(ca, cert, key, folder)?);
        } else if ca.or(cert).or(key).is_some() {
            bail!("certificates for etcd need --store etcds://…");
        }
        let password = match (password, file) {
            (Some(password), _) => Some(password),
            (None, Some(file)) => Some(text(&file)?.trim_end().to_owned()),
            (None, None) => None,
        };
        match (user, password) {
            (Some(user), Some(password)) => etcd.user = Some((user, Secret::new(password))),
            (Some(user), None) => bail!(
                "--etcd-user {user} needs a password: --etcd-password-file, or \
                 LONGSHORE_ETCD_PASSWORD"
            ),
            (None, Some(_)) if etcd.user.is_none() => bail!("a password needs --etcd-user"),
            (None, _) => {}
        }
        Ok(Self { choice: StoreChoice::Etcd(Box::new(etcd)), advertise })
    }
}

fn tls(
    ca: Option<String>,
    mut cert: Option<String>,
    mut key: Option<String>,
    folder: Option<&TlsFolder>,
) -> Result<EtcdTls> {
    let there = |name| Some(folder?.there(name)?.display().to_string());
    let ca = ca.or_else(|| there(pki::AUTHORITY));
    if cert.is_none() && key.is_none() {
        (cert, key) = there(pki::ETCD_CLIENT).zip(there(pki::ETCD_CLIENT_KEY)).unzip();
    }
    let bytes = |file: &String| std::fs::read(file).with_context(|| format!("reading {file}"));
    let identity = match (&cert, &key) {
        (Some(cert), Some(key)) => Some((bytes(cert)?, Secret::new(text(key)?))),
        (None, None) => None,
        _ => bail!("--etcd-cert and --etcd-key belong together"),
    };
    let ca = ca.as_ref().map(bytes).transpose()?;
    Ok(EtcdTls { ca, identity })
}

fn text(file: &str) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("reading {file}"))
}

/// The address with stars in place of a password in it.
fn without_password(address: &str) -> String {
    let Some((before, after)) = address.rsplit_once('@') else { return address.to_owned() };
    let user_at = before.find("://").map_or(0, |at| at + 3);
    match before[user_at..].split_once(':') {
        Some((user, _)) => format!("{}{user}:***@{after}", &before[..user_at]),
        None => address.to_owned(),
    }
}

fn hide(origin: &mut crate::settings::Origin) {
    if !origin.value.is_empty() {
        origin.value = "(hidden)".to_owned();
    }
}
