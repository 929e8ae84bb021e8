//! Certificates that come with their keys.

use shapes_acm as shapes;
use wire::Context;

use super::{CERTIFICATES_MAX, scope, tags};
use crate::error::Error;
use crate::model::{self, Certificate, PrivateKey, Unfit};
use crate::{Hidden, Inner, arn};

impl Inner {
    /// Imports a certificate, or puts one in the place of one that was imported.
    pub(super) async fn import_certificate(
        &self,
        context: Context,
        input: shapes::ImportCertificateRequest,
    ) -> Result<shapes::ImportCertificateResponse, Error> {
        let scope = scope(&context);
        let before = input.certificate_arn.as_deref();
        let before = before.map(|text| arn::read(&scope, text)).transpose()?;
        let has_tags = input.tags.as_ref().is_some_and(|tags| !tags.is_empty());
        if before.is_some() && has_tags {
            return Err(Error::parameter(
                "Tags cannot be specified when reimporting a certificate.",
            ));
        }
        let wanted = tags::read(input.tags.as_deref().unwrap_or_default())?;
        let text = |bytes: Vec<u8>, unfit| String::from_utf8(bytes).map_err(|_| unfit);
        let pem = text(input.certificate.0, Unfit::Certificate)?;
        let chain = input.certificate_chain.filter(|chain| !chain.0.is_empty());
        let chain = chain.map(|chain| text(chain.0, Unfit::Chain)).transpose()?;
        let key_pem = text(input.private_key.0, Unfit::Key)?;
        let facts = model::read(&pem)?;
        model::check_pair(&pem, chain.as_deref(), &key_pem)?;
        let now = self.ledger.clock().now();
        if facts.ends_at <= now {
            return Err(Unfit::Expired.into());
        }
        if facts.begins_at > now {
            return Err(Unfit::NotYet.into());
        }
        let key_pem = Hidden::new(key_pem);
        let done = self.ledger.transact("import certificate", |tx| {
            let now = tx.now();
            let fresh = Certificate {
                facts: facts.clone(),
                pem: pem.clone(),
                chain: chain.clone(),
                request: None,
                made_at: now,
                renewed_at: now,
                tags: wanted.clone(),
            };
            let (key, row) = match &before {
                Some(key) => {
                    let row = tx.get(&self.tables.certificates, key);
                    let row = row.ok_or_else(|| Error::NotFound(arn::of(key)))?;
                    if row.request.is_some() {
                        return Err(Error::parameter(
                            "The certificate was not imported, so none can be imported in its \
                             place.",
                        ));
                    }
                    let kept =
                        Certificate { made_at: row.made_at, tags: row.tags.clone(), ..fresh };
                    (key.clone(), kept)
                }
                None => {
                    self.check_count(tx, &scope)?;
                    let id = terms::Uuid::from_random(tx.next_id()).to_string();
                    ((scope.clone(), id), fresh)
                }
            };
            let secret = PrivateKey { pem: key_pem.clone() };
            let made = arn::of(&key);
            tx.put(&self.tables.certificates, key.clone(), row);
            tx.put(&self.tables.keys, key, secret);
            Ok(made)
        });
        let made = done.await?.value;
        Ok(shapes::ImportCertificateResponse { certificate_arn: Some(made) })
    }

    /// Refuses one certificate more than there may be.
    pub(super) fn check_count(
        &self,
        tx: &ledger::Tx<'_>,
        scope: &crate::Scope,
    ) -> Result<(), Error> {
        let there = tx.facts().prefix(&self.tables.certificates, scope).count();
        match there >= CERTIFICATES_MAX {
            true => Err(Error::TooMany(CERTIFICATES_MAX)),
            false => Ok(()),
        }
    }
}
