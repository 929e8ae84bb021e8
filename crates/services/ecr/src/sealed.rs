//! Texts that only this registry can have made: tokens and links that are stored nowhere.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use ledger::{Ledger, LedgerError, TransactError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

use crate::Tables;
use crate::tables::SealSecret;

/// The length of the seal at the end of a text, in bytes.
const SEAL_BYTES: usize = 32;
/// The longest text that is looked at: one with the token of a session that has as many policies and
/// tags as it may. One of a task has some 2 KiB.
const TEXT_BYTES_MAX: usize = 24 * 1024;

/// Seals claims and opens them. Cheap to clone.
#[derive(Clone)]
pub struct Seal(Arc<[u8]>);

impl Seal {
    /// The seal of this ledger; the first call makes its secret.
    ///
    /// # Errors
    /// As the ledger's, if there is no secret yet and it cannot be made: on a server that does not
    /// lead the leader makes it.
    pub async fn open(ledger: &Ledger, tables: &Tables) -> Result<Self, LedgerError> {
        // Before the transaction: a server that does not lead can read.
        if let Some(row) = ledger.snapshot().get(&tables.seal, &()) {
            return Ok(Self(row.0.clone().into()));
        }
        let done = ledger.transact("ecr: seal", |tx| {
            if let Some(row) = tx.get(&tables.seal, &()) {
                return Ok::<_, std::convert::Infallible>(row.0.clone());
            }
            let secret = [tx.next_id(), tx.next_id()].concat();
            tx.put(&tables.seal, (), SealSecret(secret.clone()));
            Ok(secret)
        });
        match done.await {
            Ok(done) => Ok(Self(done.value.into())),
            Err(TransactError::Ledger(error)) => Err(error),
            Err(TransactError::Rejected(never)) => match never {},
        }
    }

    /// The claims as a text that fits into URLs and passwords; good for this purpose alone.
    pub(crate) fn seal(&self, purpose: &str, claims: &impl Serialize) -> String {
        let mut bytes = serde_json::to_vec(claims).expect("claims are texts and numbers");
        let seal = self.mac(purpose, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&seal);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// The claims of a text that [`Seal::seal`] made for this purpose.
    pub(crate) fn unseal<T: DeserializeOwned>(&self, purpose: &str, text: &str) -> Option<T> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (claims, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL_BYTES)?)?;
        self.mac(purpose, claims).verify_slice(seal).ok()?;
        serde_json::from_slice(claims).ok()
    }

    fn mac(&self, purpose: &str, claims: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(claims);
        mac
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_made_is_not_opened() {
        let seal = Seal([7_u8; 32].as_slice().into());
        let text = seal.seal("login", &("me", 7));
        let open =
            |seal: &Seal, purpose: &str, text: &str| seal.unseal::<(String, u32)>(purpose, text);
        assert_eq!(open(&seal, "login", &text), Some(("me".to_owned(), 7)));
        assert_eq!(open(&seal, "download", &text), None);
        assert_eq!(open(&Seal([8_u8; 32].as_slice().into()), "login", &text), None);
        for wrong in ["", "AAAA", &text[1..], &format!("{text}A"), &"A".repeat(TEXT_BYTES_MAX + 1)]
        {
            assert_eq!(open(&seal, "login", wrong), None, "{wrong}");
        }
    }
}
