//! Names of certificates (ACM guide, "ARNs").

use crate::error::Error;
use crate::tables::{CertificateKey, Scope};

/// A certificate's ARN.
pub(crate) fn of(key: &CertificateKey) -> String {
    let (Scope { account, region }, id) = key;
    format!("arn:aws:acm:{region}:{account}:certificate/{id}")
}

/// The key of a certificate; what is another account's or region's is not found.
///
/// # Errors
/// [`Error::Arn`] if the text is no certificate's ARN.
pub(crate) fn read(scope: &Scope, arn: &str) -> Result<CertificateKey, Error> {
    let malformed = || Error::Arn(arn.to_owned());
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", "aws", "acm", region, account, resource] = fields[..] else {
        return Err(malformed());
    };
    let id = resource.strip_prefix("certificate/").ok_or_else(malformed)?;
    if id.parse::<terms::Uuid>().is_err() {
        return Err(malformed());
    }
    if region != scope.region.as_str() || account != scope.account.as_str() {
        return Err(Error::NotFound(arn.to_owned()));
    }
    Ok((scope.clone(), id.to_owned()))
}
