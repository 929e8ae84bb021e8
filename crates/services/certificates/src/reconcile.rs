//! Renews what was issued here before it ends: in place, under the same ARN.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Inner;
use crate::error::Error;
use crate::model::{self, Certificate, PrivateKey};
use crate::tables::CertificateKey;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(6 * 3600);
/// A certificate with less time left is issued anew (ACM guide, "Managed certificate renewal").
const RENEW_BEFORE: Duration = Duration::from_secs(60 * 24 * 3600);

impl Inner {
    /// Looks now and then until `shutdown`.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.renew().await {
                tracing::warn!(%error, "certificates are renewed later");
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn renew(&self) -> Result<(), Error> {
        let (snapshot, now) = (self.ledger.snapshot(), self.ledger.clock().now());
        let due = snapshot.index_range(&self.tables.issued_by_end, ..now + RENEW_BEFORE);
        let due: Vec<(CertificateKey, _)> = due.collect();
        for (key, row) in due {
            let Some(request) = &row.request else { continue };
            let issued = self.issuer.issue(&request.names, request.key, now);
            let issued = issued.map_err(Error::Issuer)?;
            let facts = model::read(&issued.certificate)?;
            let done = self.ledger.transact("renew certificate", |tx| {
                // What was deleted or renewed meanwhile stays as it is.
                let row = tx.get(&self.tables.certificates, &key);
                let Some(row) = row.filter(|row| row.facts.ends_at < facts.ends_at) else {
                    return Ok::<_, Error>(());
                };
                let renewed = Certificate {
                    facts: facts.clone(),
                    pem: issued.certificate.clone(),
                    chain: Some(issued.chain.clone()),
                    renewed_at: tx.now(),
                    ..Certificate::clone(&row)
                };
                tx.put(&self.tables.certificates, key.clone(), renewed);
                let secret = PrivateKey { pem: issued.key.clone() };
                tx.put(&self.tables.keys, key.clone(), secret);
                Ok(())
            });
            done.await?;
            tracing::info!(certificate = key.1, "a certificate was renewed");
        }
        Ok(())
    }
}
