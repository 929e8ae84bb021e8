//! Certificates that are issued here, at once.

use shapes_acm as shapes;
use shapes_acm::KeyAlgorithm;
use wire::Context;

use super::{scope, tags};
use crate::error::Error;
use crate::model::{self, Certificate, KeyKind, PrivateKey, Request};
use crate::{Inner, arn};

const OPERATION: &str = "RequestCertificate";
/// Most names of a certificate (ACM guide, "Quotas").
const NAMES_MAX: usize = 100;
/// How long a token stands for the request that it came with, in milliseconds (API reference,
/// `RequestCertificate`).
const TOKEN_LIFE_MS: i64 = 3_600_000;

impl Inner {
    /// Issues a certificate. A request that comes again within an hour with its token gets the same.
    pub(super) async fn request_certificate(
        &self,
        context: Context,
        input: shapes::RequestCertificateRequest,
    ) -> Result<shapes::RequestCertificateResponse, Error> {
        let scope = scope(&context);
        let wanted_tags = tags::read(input.tags.as_deref().unwrap_or_default())?;
        let request = wanted(input)?;
        let now = self.ledger.clock().now();
        let issued = self.issuer.issue(&request.names, request.key, now).map_err(Error::Issuer)?;
        let facts = model::read(&issued.certificate)?;
        let done = self.ledger.transact("request certificate", |tx| {
            if let Some(token) = &request.token {
                let under = (scope.clone(), token.clone());
                let is_same = |row: &Certificate| {
                    tx.now().millis() - row.made_at.millis() < TOKEN_LIFE_MS
                        && row.request.as_ref() == Some(&request)
                };
                let known = tx.index(&self.tables.by_token, &under);
                if let Some((key, _)) = known.into_iter().find(|(_, row)| is_same(row)) {
                    return Ok(arn::of(&key));
                }
            }
            self.check_count(tx, &scope)?;
            let id = terms::Uuid::from_random(tx.next_id()).to_string();
            let (key, now) = ((scope.clone(), id), tx.now());
            let row = Certificate {
                facts: facts.clone(),
                pem: issued.certificate.clone(),
                chain: Some(issued.chain.clone()),
                request: Some(request.clone()),
                made_at: now,
                renewed_at: now,
                tags: wanted_tags.clone(),
            };
            let made = arn::of(&key);
            tx.put(&self.tables.certificates, key.clone(), row);
            tx.put(&self.tables.keys, key, PrivateKey { pem: issued.key.clone() });
            Ok::<_, Error>(made)
        });
        let made = done.await?.value;
        Ok(shapes::RequestCertificateResponse { certificate_arn: Some(made) })
    }
}

fn wanted(input: shapes::RequestCertificateRequest) -> Result<Request, Error> {
    if input.certificate_authority_arn.is_some() {
        return Err(Error::not_built(OPERATION, "CertificateAuthorityArn"));
    }
    if input.managed_by.is_some() {
        return Err(Error::not_built(OPERATION, "ManagedBy"));
    }
    let export = input.options.as_ref().and_then(|options| options.export);
    if export == Some(shapes::CertificateExport::Enabled) {
        return Err(Error::not_built(OPERATION, "Options.Export"));
    }
    let key = match input.key_algorithm {
        None | Some(KeyAlgorithm::EcPrime256v1) => KeyKind::P256,
        Some(KeyAlgorithm::EcSecp384r1) => KeyKind::P384,
        Some(other) => {
            return Err(Error::not_built(OPERATION, format!("KeyAlgorithm {}", other.as_str())));
        }
    };
    let mut names = vec![input.domain_name];
    for name in input.subject_alternative_names.unwrap_or_default() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > NAMES_MAX {
        return Err(Error::parameter(format!(
            "A certificate can have at most {NAMES_MAX} domain names."
        )));
    }
    if let Some(wrong) = names.iter().find(|name| !is_domain(name)) {
        return Err(Error::parameter(format!("'{wrong}' is not a valid domain name.")));
    }
    let method = input.validation_method.map_or("EMAIL", |method| method.as_str()).to_owned();
    Ok(Request { names, key, method, token: input.idempotency_token })
}

/// A DNS name, possibly with `*` as its first label.
fn is_domain(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && rest.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_have_labels() {
        for good in ["example.com", "*.example.com", "localhost", "a-b._c.example"] {
            assert!(is_domain(good), "{good}");
        }
        for wrong in ["", "*", "*.", "a..b", "-a.b", "a.*.b", "a b", &"a".repeat(64)] {
            assert!(!is_domain(wrong), "{wrong}");
        }
    }
}
