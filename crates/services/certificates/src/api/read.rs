//! What certificates say; never their keys.

use ledger::{Row, Snapshot};
use shapes_acm as shapes;
use wire::Context;

use super::{scope, show};
use crate::error::Error;
use crate::model::Certificate;
use crate::tables::CertificateKey;
use crate::{Inner, arn};

impl Inner {
    /// Shows a certificate's facts.
    pub(super) async fn describe_certificate(
        &self,
        context: Context,
        input: shapes::DescribeCertificateRequest,
    ) -> Result<shapes::DescribeCertificateResponse, Error> {
        let snapshot = self.ledger.snapshot();
        let (key, row) = self.find(&snapshot, &context, &input.certificate_arn)?;
        let users = self.users.seen(&snapshot, &arn::of(&key));
        let shown = show::detail(&key, &row, users, context.now);
        Ok(shapes::DescribeCertificateResponse { certificate: Some(shown) })
    }

    /// Gives a certificate and those above it.
    pub(super) async fn get_certificate(
        &self,
        context: Context,
        input: shapes::GetCertificateRequest,
    ) -> Result<shapes::GetCertificateResponse, Error> {
        let snapshot = self.ledger.snapshot();
        let (_, row) = self.find(&snapshot, &context, &input.certificate_arn)?;
        Ok(shapes::GetCertificateResponse {
            certificate: Some(row.pem.clone()),
            certificate_chain: row.chain.clone(),
        })
    }

    /// The certificate that a request names.
    pub(super) fn find(
        &self,
        snapshot: &Snapshot,
        context: &Context,
        named: &str,
    ) -> Result<(CertificateKey, Row<Certificate>), Error> {
        let key = arn::read(&scope(context), named)?;
        let row = snapshot.get(&self.tables.certificates, &key);
        let row = row.ok_or_else(|| Error::NotFound(named.to_owned()))?;
        Ok((key, row))
    }
}
