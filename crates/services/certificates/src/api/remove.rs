//! Taking certificates away.

use shapes_acm as shapes;
use wire::Context;

use super::scope;
use crate::error::Error;
use crate::{Inner, arn};

impl Inner {
    /// Deletes a certificate that nobody serves with.
    pub(super) async fn delete_certificate(
        &self,
        context: Context,
        input: shapes::DeleteCertificateRequest,
    ) -> Result<wire::Unit, Error> {
        let named = input.certificate_arn;
        let key = arn::read(&scope(&context), &named)?;
        let done = self.ledger.transact("delete certificate", |tx| {
            let row = tx.get(&self.tables.certificates, &key);
            row.ok_or_else(|| Error::NotFound(named.clone()))?;
            if !self.users.at(tx, &named).is_empty() {
                return Err(Error::InUse(named.clone()));
            }
            tx.delete(&self.tables.certificates, &key);
            tx.delete(&self.tables.keys, &key);
            Ok(())
        });
        done.await?;
        Ok(wire::Unit)
    }
}
