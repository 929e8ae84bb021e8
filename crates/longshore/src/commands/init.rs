//! `longshore init`: the certificates and the key with which servers, agents and etcd trust each
//! other.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use terms::Clock;
use wire::tls::Certificate;

use crate::clock::SystemClock;
use crate::output::{self, Format, say};
use crate::pki::{Made, Owner, TlsFolder};
use crate::settings;

/// Names that a server has on its own machine.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Flags of `longshore init`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  longshore init --server 10.0.0.1 --server plane.example\n  \
                  longshore server --listen 0.0.0.0:4566 --tls-dir /var/lib/longshore/tls")]
pub struct Init {
    /// Where the files go [default: tls in the data folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A name or address that servers are reached at; may be given several times [default: this
    /// host's name]
    #[arg(long, value_name = "NAME|IP")]
    server: Vec<String>,
    /// A name or address of an etcd server, to make certificates for etcd too
    #[arg(long, value_name = "NAME|IP")]
    etcd: Vec<String>,
    /// The user of etcd that the servers' certificate names
    #[arg(long, value_name = "NAME", default_value = "longshore")]
    etcd_user: String,
    /// Make new certificates even if the present ones are good; the authority stays
    #[arg(long)]
    renew: bool,
    /// The data folder, if --dir is not given [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Init {
    /// Makes what is missing and keeps what is there.
    ///
    /// # Errors
    /// If a file cannot be read or written, or a name cannot stand in a certificate.
    pub fn run(self, format: Format) -> Result<()> {
        let dir = match &self.dir {
            Some(dir) => std::path::absolute(dir)?,
            None => settings::data_dir(self.data_dir.clone())?.join("tls"),
        };
        let (folder, now) = (TlsFolder::at(&dir), SystemClock.now());
        folder.create()?;
        let (authority, made) = folder.authority(now)?;
        let mut all = vec![made];
        let server = Owner::Server(self.server_names(&folder)?);
        all.push(folder.certificate(&authority, "server", server, self.renew, now)?);
        let user = Owner::EtcdClient(self.etcd_user.clone());
        all.push(folder.certificate(&authority, "etcd-client", user, self.renew, now)?);
        if !self.etcd.is_empty() || folder.file("etcd-server.crt").exists() {
            let etcd = Owner::Etcd(local(&self.etcd));
            all.push(folder.certificate(&authority, "etcd-server", etcd, self.renew, now)?);
        }
        all.push(folder.secrets_key()?);
        let hash = Certificate::of_pem("ca.crt", authority.pem().as_bytes())?.key_hash;
        let hash = data_encoding::HEXLOWER.encode(&hash);
        match format {
            Format::Json => output::json(&json!({"dir": dir, "files": all, "caHash": hash}))?,
            Format::Text => tell(&folder, &all, &hash),
        }
        Ok(())
    }

    /// What was asked for; at the first time without a word, this host's name.
    fn server_names(&self, folder: &TlsFolder) -> Result<Vec<String>> {
        if self.server.is_empty() && !folder.file(crate::pki::SERVER).exists() {
            let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
            return Ok(local(&[host]));
        }
        Ok(local(&self.server))
    }
}

fn local(names: &[String]) -> Vec<String> {
    let mut all = names.to_vec();
    for name in LOCAL_NAMES {
        if !all.iter().any(|known| known == name) {
            all.push(name.to_owned());
        }
    }
    all
}

fn tell(folder: &TlsFolder, all: &[Made], hash: &str) {
    for made in all {
        let did = if made.is_new { "made" } else { "kept" };
        let until = made.until.as_ref().map_or(String::new(), |until| format!(", until {until}"));
        say!("{did}  {}  {}{until}", made.file.display(), made.what);
    }
    let dir = folder.file("");
    let dir = dir.display().to_string();
    let dir = dir.trim_end_matches('/');
    say!(
        "\nThe authority's hash is sha256:{hash}\n\n\
         Next, on each server (copy {dir} there; its *.key files are secret):\n  \
         longshore server --listen 0.0.0.0:4566 --tls-dir {dir}\n\
         on a server, for each host that is to run containers:\n  \
         longshore token create\n\
         for the aws CLI and SDKs:\n  \
         longshore profile, or AWS_CA_BUNDLE={dir}/ca.crt"
    );
    if all.iter().any(|made| made.file.ends_with("etcd-server.crt")) {
        say!(
            "for etcd:\n  etcd --client-cert-auth --trusted-ca-file {dir}/ca.crt \
             --cert-file {dir}/etcd-server.crt --key-file {dir}/etcd-server.key \\\n       \
             --peer-client-cert-auth --peer-trusted-ca-file {dir}/ca.crt \
             --peer-cert-file {dir}/etcd-server.crt --peer-key-file {dir}/etcd-server.key"
        );
    }
}
