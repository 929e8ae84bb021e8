//! The authority: makes certificates for servers, etcd and container instances.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SignatureAlgorithm,
};
use terms::Timestamp;
use wire::tls::{Certificate, Identity};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long an authority is valid: ten years. All that trust it must be told of a new one.
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3650);
/// How long the certificates that it issues are valid, unless it is told otherwise.
const ISSUED_LIFE: Duration = DAY.saturating_mul(365);
/// Certificates are valid from this long ago on, or from as long as they will be: clocks differ.
const BACKDATED: Duration = Duration::from_secs(3600);

/// Whose certificate it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A server of Longshore; also shows it when it calls others.
    Server(Vec<String>),
    /// A server of etcd, for its clients and its peers.
    Etcd(Vec<String>),
    /// A site that a load balancer serves, under these names.
    Site(Vec<String>),
    /// Longshore as a client of etcd, as the user of this name.
    EtcdClient(String),
    /// The container instance of this name.
    Node(String),
}

/// An authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    node_life: Duration,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(…)")
    }
}

impl Authority {
    /// A new authority, valid for ten years from `now`, and its key as PEM.
    ///
    /// # Errors
    /// If the kernel gives no random bytes.
    pub fn make(now: Timestamp) -> Result<(Self, String)> {
        let key = KeyPair::generate().context("making the authority's key")?;
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name.remove(DnType::CommonName);
        wanted.distinguished_name.push(DnType::CommonName, "Longshore authority");
        wanted.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid(&mut wanted, now, AUTHORITY_LIFE)?;
        let pem = wanted.self_signed(&key)?.pem();
        let key_pem = key.serialize_pem();
        Ok((Self { issuer: Issuer::new(wanted, key), pem, node_life: ISSUED_LIFE }, key_pem))
    }

    /// The authority of a PEM text and its key; `what` names the text in errors. Of several
    /// certificates the first is taken: it may be an intermediate one.
    ///
    /// # Errors
    /// If they cannot be read, or do not belong together.
    pub fn load(what: &str, pem: &str, key_pem: &str) -> Result<Self> {
        let key = KeyPair::from_pem(key_pem)
            .with_context(|| format!("{what}: the authority's key cannot be read"))?;
        let end = "-----END CERTIFICATE-----";
        let first = pem.find(end).map_or(pem, |at| &pem[..at + end.len()]);
        let certificate = Certificate::of_pem(what, pem.as_bytes())?;
        let hash = sha256(&key.subject_public_key_info());
        if hash != certificate.key_hash || !certificate.is_authority {
            bail!("{what}: the key is not of the first certificate, or that is no authority");
        }
        let issuer = Issuer::from_ca_cert_pem(first, key)?;
        Ok(Self { issuer, pem: format!("{first}\n"), node_life: ISSUED_LIFE })
    }

    /// The same, whose certificates for container instances are valid for `life`.
    pub fn with_node_life(self, life: Duration) -> Self {
        Self { node_life: life, ..self }
    }

    /// How long certificates for container instances are valid.
    pub fn node_life(&self) -> Duration {
        self.node_life
    }

    /// Its certificate as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate with a new key, both as PEM; the certificate is followed by the authority's.
    ///
    /// # Errors
    /// If a name cannot stand in a certificate.
    pub fn issue(&self, owner: &Owner, now: Timestamp) -> Result<(String, String)> {
        let key = KeyPair::generate().context("making a key")?;
        Ok((self.sign(owner, &key, now)?, key.serialize_pem()))
    }

    /// A certificate with a new key of this kind for a site of these names, both as PEM; the
    /// certificate stands alone.
    ///
    /// # Errors
    /// If a name cannot stand in a certificate.
    pub fn issue_site(
        &self,
        names: &[String],
        kind: &'static SignatureAlgorithm,
        now: Timestamp,
    ) -> Result<(String, String)> {
        let key = KeyPair::generate_for(kind).context("making a key")?;
        let mut wanted = wanted(&Owner::Site(names.to_vec()))?;
        valid(&mut wanted, now, ISSUED_LIFE)?;
        Ok((wanted.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    /// A certificate for the key of a request (PKCS #10, PEM). Only the key is taken from it.
    ///
    /// # Errors
    /// If the request cannot be read, or its signature is not by its key.
    pub fn answer(&self, owner: &Owner, request: &str, now: Timestamp) -> Result<String> {
        let asked = CertificateSigningRequestParams::from_pem(request)
            .context("the request for a certificate cannot be read")?;
        self.sign(owner, &asked.public_key, now)
    }

    fn sign(&self, owner: &Owner, key: &impl PublicKeyData, now: Timestamp) -> Result<String> {
        let mut wanted = wanted(owner)?;
        let life = if matches!(owner, Owner::Node(_)) { self.node_life } else { ISSUED_LIFE };
        valid(&mut wanted, now, life)?;
        let leaf = wanted.signed_by(key, &self.issuer)?.pem();
        Ok(format!("{leaf}{}", self.pem))
    }
}

fn wanted(owner: &Owner) -> Result<CertificateParams> {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let mut wanted = CertificateParams::default();
    let (name, names, identity, usages) = match owner {
        Owner::Server(names) => (
            "longshore server",
            names.as_slice(),
            Some(Identity::Server),
            vec![ServerAuth, ClientAuth],
        ),
        Owner::Etcd(names) => ("etcd", names.as_slice(), None, vec![ServerAuth, ClientAuth]),
        Owner::Site(names) => {
            (names.first().map_or("", String::as_str), names.as_slice(), None, vec![ServerAuth])
        }
        Owner::EtcdClient(user) => (user.as_str(), &[][..], None, vec![ClientAuth]),
        Owner::Node(name) => {
            (name.as_str(), &[][..], Some(Identity::Node(name.clone())), vec![ClientAuth])
        }
    };
    wanted.distinguished_name.remove(DnType::CommonName);
    // X.520 allows 64 characters; a node's whole name stands in its URI.
    let common: String = name.chars().take(64).collect();
    wanted.distinguished_name.push(DnType::CommonName, common);
    for name in names {
        wanted.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(dns(name)?.try_into()?),
        });
    }
    if let Some(identity) = identity {
        wanted.subject_alt_names.push(SanType::URI(identity.uri().try_into()?));
    }
    wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    wanted.extended_key_usages = usages;
    wanted.use_authority_key_identifier_extension = true;
    Ok(wanted)
}

/// A DNS name, possibly with `*` as its first label.
fn dns(name: &str) -> Result<&str> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let rest = name.strip_prefix("*.").unwrap_or(name);
    match rest.split('.').all(label) && name.len() <= 253 {
        true => Ok(name),
        false => bail!("'{name}' is no DNS name and no IP address"),
    }
}

fn valid(wanted: &mut CertificateParams, now: Timestamp, life: Duration) -> Result<()> {
    let at = |seconds: i64| time::OffsetDateTime::from_unix_timestamp(seconds);
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    wanted.not_before = at(now.seconds() - seconds(BACKDATED.min(life)))?;
    wanted.not_after = at(now.seconds() + seconds(life))?;
    Ok(())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);

    fn read(pem: &str) -> Certificate {
        Certificate::of_pem("test", pem.as_bytes()).unwrap()
    }

    #[test]
    fn certificates_name_their_owners() {
        let (authority, key) = Authority::make(NOW).unwrap();
        assert!(read(authority.pem()).is_authority);
        let again = Authority::load("ca.crt", authority.pem(), &key).unwrap();
        let names = ["10.0.0.1", "::1", "plane.example", "*.plane.example"].map(String::from);
        let (server, _) = again.issue(&Owner::Server(names.to_vec()), NOW).unwrap();
        let server = read(&server);
        assert_eq!(server.identity, Some(Identity::Server));
        assert_eq!(server.names, names);
        for (host, fits) in [
            ("10.0.0.1", true),
            ("[::1]", true),
            ("PLANE.example", true),
            ("a.plane.example", true),
            ("a.b.plane.example", false),
            ("10.0.0.2", false),
        ] {
            assert_eq!(server.is_for(host), fits, "{host}");
        }
        assert_eq!(server.ends_at, NOW + ISSUED_LIFE);
        let asked = KeyPair::generate().unwrap();
        let mut mischief = CertificateParams::new(vec!["plane.example".to_owned()]).unwrap();
        mischief.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let uri = Identity::Server.uri().try_into().unwrap();
        mischief.subject_alt_names.push(SanType::URI(uri));
        mischief.is_ca = IsCa::NoCa;
        let request = mischief.serialize_request(&asked).unwrap().pem().unwrap();
        let node = again.answer(&Owner::Node("a_1".to_owned()), &request, NOW).unwrap();
        let node = read(&node);
        assert_eq!(node.identity, Some(Identity::Node("a_1".to_owned())));
        assert!(node.names.is_empty() && !node.is_authority);
    }

    #[test]
    fn mistakes_are_refused() {
        let (authority, key) = Authority::make(NOW).unwrap();
        let (_, other) = Authority::make(NOW).unwrap();
        let told = |result: Result<Authority>| format!("{:#}", result.unwrap_err());
        assert!(
            told(Authority::load("x", authority.pem(), &other)).contains("is not of the first")
        );
        assert!(told(Authority::load("x", "nothing", &key)).contains("no certificate"));
        let bad = Owner::Server(vec!["no name".to_owned()]);
        assert!(authority.issue(&bad, NOW).unwrap_err().to_string().contains("no DNS name"));
        assert!(authority.answer(&Owner::Node("a".to_owned()), "nonsense", NOW).is_err());
    }
}
