//! What a certificate says (RFC 5280), and whether a key is its.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use terms::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::public_key::PublicKey;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Its common name, or its first alternative name.
    pub(crate) domain: String,
    /// The DNS names that it is for.
    pub(crate) names: Vec<String>,
    /// Its serial number, as in `0a:1b`.
    pub(crate) serial: String,
    /// Whom it is for, as in `CN=example.com`.
    pub(crate) subject: String,
    /// The common name of who issued it, or all of the issuer's name.
    pub(crate) issuer: String,
    /// From when it is valid.
    pub(crate) begins_at: Timestamp,
    /// Until when it is valid.
    pub(crate) ends_at: Timestamp,
    /// Its key, in ACM's words: `RSA_2048`, `EC_prime256v1`.
    pub(crate) key_algorithm: String,
    /// How it is signed, in ACM's words: `SHA256WITHECDSA`.
    pub(crate) signature_algorithm: String,
}

/// Why certificate, chain and key cannot be used. Texts are ACM's where they are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// No certificate.
    #[error("The certificate field contains no certificate in PEM form, or one that is not valid.")]
    Certificate,
    /// Several certificates where one belongs.
    #[error(
        "The certificate field contains more than one certificate. You can specify only one \
         certificate in this field."
    )]
    Several,
    /// No chain.
    #[error("The certificate chain is not PEM-encoded or is not valid.")]
    Chain,
    /// No key.
    #[error("The private key is not PEM-encoded or is not valid.")]
    Key,
    /// Of another certificate.
    #[error("The private key does not match the public key of the certificate.")]
    OtherKey,
    /// A kind of key that nothing here can serve with.
    #[error(
        "The key algorithm of the certificate is not supported: RSA of 2048 to 4096 bits, \
         EC_prime256v1 and EC_secp384r1 are."
    )]
    Algorithm,
    /// Past its end.
    #[error("The certificate has expired, is not valid.")]
    Expired,
    /// Before its beginning.
    #[error("The certificate is not in effect yet, is not valid.")]
    NotYet,
}

/// The only certificate of a PEM text.
///
/// # Errors
/// [`Unfit`] if there is none, or there are several.
pub(crate) fn read(pem: &str) -> Result<Facts, Unfit> {
    let all = all(pem).ok_or(Unfit::Certificate)?;
    let der = match &all[..] {
        [only] => only,
        [] => return Err(Unfit::Certificate),
        _ => return Err(Unfit::Several),
    };
    let (_, parsed) = x509_parser::parse_x509_certificate(der).map_err(|_| Unfit::Certificate)?;
    let names = dns_names(&parsed);
    let common = |name: &x509_parser::x509::X509Name<'_>| {
        let first = name.iter_common_name().next()?;
        first.as_str().ok().map(str::to_owned)
    };
    let at = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
    let serial: Vec<String> =
        parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Facts {
        domain: common(parsed.subject())
            .or_else(|| names.first().cloned())
            .unwrap_or_else(|| parsed.subject().to_string()),
        names,
        serial: serial.join(":"),
        subject: parsed.subject().to_string(),
        issuer: common(parsed.issuer()).unwrap_or_else(|| parsed.issuer().to_string()),
        begins_at: at(parsed.validity().not_before.timestamp()),
        ends_at: at(parsed.validity().not_after.timestamp()),
        key_algorithm: key_algorithm(&parsed).ok_or(Unfit::Algorithm)?,
        signature_algorithm: signature_algorithm(&parsed.signature_algorithm.algorithm.to_string()),
    })
}

/// Refuses a chain that is none, and a key that is another's or that nothing can serve with.
///
/// # Errors
/// [`Unfit`].
pub(crate) fn check_pair(pem: &str, chain: Option<&str>, key: &str) -> Result<(), Unfit> {
    let certificates = all(pem).ok_or(Unfit::Certificate)?;
    if let Some(chain) = chain {
        let above = all(chain).filter(|all| !all.is_empty()).ok_or(Unfit::Chain)?;
        let is_one = |der: &CertificateDer<'_>| x509_parser::parse_x509_certificate(der).is_ok();
        if !above.iter().all(is_one) {
            return Err(Unfit::Chain);
        }
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| Unfit::Key)?;
    let provider = rustls::crypto::ring::default_provider();
    let signing = provider.key_provider.load_private_key(key).map_err(|_| Unfit::Key)?;
    // Not by rustls's own check, which refuses certificates of version 1: clients judge those.
    let [first, ..] = &certificates[..] else { return Err(Unfit::Certificate) };
    let (_, parsed) = x509_parser::parse_x509_certificate(first).map_err(|_| Unfit::Certificate)?;
    let public = signing.public_key().ok_or(Unfit::Key)?;
    if public.as_ref() == parsed.public_key().raw { Ok(()) } else { Err(Unfit::OtherKey) }
}

fn all(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()
}

fn dns_names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let extension = parsed.subject_alternative_name().ok().flatten();
    let all = extension.map(|found| found.value.general_names.as_slice()).unwrap_or_default();
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    all.iter().filter_map(name).collect()
}

/// None for what cannot be served with.
fn key_algorithm(parsed: &X509Certificate<'_>) -> Option<String> {
    let key = parsed.public_key();
    let name = match key.parsed().ok()? {
        PublicKey::RSA(rsa) => match rsa.key_size() {
            bits @ (2048 | 3072 | 4096) => return Some(format!("RSA_{bits}")),
            _ => return None,
        },
        PublicKey::EC(_) => {
            let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
            match curve.to_id_string().as_str() {
                "1.2.840.10045.3.1.7" => "EC_prime256v1",
                "1.3.132.0.34" => "EC_secp384r1",
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(name.to_owned())
}

fn signature_algorithm(oid: &str) -> String {
    let name = match oid {
        "1.2.840.113549.1.1.5" => "SHA1WITHRSA",
        "1.2.840.113549.1.1.11" => "SHA256WITHRSA",
        "1.2.840.113549.1.1.12" => "SHA384WITHRSA",
        "1.2.840.113549.1.1.13" => "SHA512WITHRSA",
        "1.2.840.10045.4.3.2" => "SHA256WITHECDSA",
        "1.2.840.10045.4.3.3" => "SHA384WITHECDSA",
        "1.2.840.10045.4.3.4" => "SHA512WITHECDSA",
        other => other,
    };
    name.to_owned()
}
