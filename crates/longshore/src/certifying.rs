//! Certificates of sites, joined to the rest of the server: who issues them.

use std::sync::{Arc, OnceLock};

use anyhow::Result;
use certificates::{Certificates, Hidden, Issued, Issuer, KeyKind, Tables};
use elbv2::Elb;
use ledger::Ledger;
use terms::Timestamp;

use crate::data_dir::DataDir;
use crate::pki::{Authority, TlsFolder};
use crate::security::Tls;

/// The authority of the server's own certificate, if it holds that one's key; else one in the data
/// folder, made when the first certificate is asked for.
struct LocalAuthority {
    known: OnceLock<Arc<Authority>>,
    folder: TlsFolder,
}

impl LocalAuthority {
    fn authority(&self, now: Timestamp) -> Result<Arc<Authority>> {
        if let Some(authority) = self.known.get() {
            return Ok(Arc::clone(authority));
        }
        self.folder.create()?;
        let (authority, _) = self.folder.authority(now)?;
        Ok(Arc::clone(self.known.get_or_init(|| Arc::new(authority))))
    }
}

impl Issuer for LocalAuthority {
    fn issue(&self, names: &[String], key: KeyKind, now: Timestamp) -> Result<Issued, String> {
        let kind = match key {
            KeyKind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        };
        let issue = || -> Result<Issued> {
            let authority = self.authority(now)?;
            let (certificate, key) = authority.issue_site(names, kind, now)?;
            let chain = authority.pem().to_owned();
            Ok(Issued { certificate, chain, key: Hidden::new(key) })
        };
        issue().map_err(|error| format!("{error:#}"))
    }
}

/// The service over its tables; `elb` tells who serves with a certificate.
pub fn join(
    tables: Tables,
    ledger: &Ledger,
    (tls, data): (Option<&Tls>, &DataDir),
    elb: &Elb,
) -> Certificates {
    let known = tls.and_then(|tls| tls.authority.clone());
    let folder = TlsFolder::at(data.path().join("tls"));
    let issuer = LocalAuthority { known: known.map(OnceLock::from).unwrap_or_default(), folder };
    Certificates::new(tables, ledger.clone(), Arc::new(issuer), Arc::new(elb.clone()))
}
