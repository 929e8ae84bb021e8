//! Tickets: what a node is shown before it hands a layer to another.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use terms::Timestamp;

const KEY_BYTES: usize = 32;

/// What a node tells the control plane, and nobody else: whoever has it can write tickets for this
/// node. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey([u8; KEY_BYTES]);

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(…)")
    }
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has 64 hexadecimal digits")]
pub struct ParseKeyError;

/// Why a ticket is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It is no ticket for this layer at this node, or was changed.
    #[error("the ticket is not for this layer, or not for this node")]
    Wrong,
    /// Its time is over.
    #[error("the ticket is no longer good")]
    Over,
}

impl TicketKey {
    /// A key of these bytes, which are to be random.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The key as the control plane is told it.
    pub fn to_text(&self) -> String {
        hex(&self.0)
    }

    /// The key of such a text.
    ///
    /// # Errors
    /// [`ParseKeyError`].
    pub fn of_text(text: &str) -> Result<Self, ParseKeyError> {
        let bytes = unhex(text).ok_or(ParseKeyError)?;
        bytes.try_into().map(Self).map_err(|_| ParseKeyError)
    }

    /// A ticket for the layer of this digest, good for `bearer` until `until`:
    /// `MILLISECONDS.MAC.BEARER`.
    pub fn write(&self, digest: &str, bearer: &str, until: Timestamp) -> String {
        let mac = self.mac(digest, bearer, until.millis()).finalize().into_bytes();
        format!("{}.{}.{bearer}", until.millis(), hex(&mac))
    }

    /// Whose ticket it is, if it is one for this layer and still good.
    ///
    /// # Errors
    /// [`TicketError`].
    pub fn read<'a>(
        &self,
        ticket: &'a str,
        digest: &str,
        now: Timestamp,
    ) -> Result<&'a str, TicketError> {
        let (millis, rest) = ticket.split_once('.').ok_or(TicketError::Wrong)?;
        let (mac, bearer) = rest.split_once('.').ok_or(TicketError::Wrong)?;
        let until: i64 = millis.parse().map_err(|_| TicketError::Wrong)?;
        let mac = unhex(mac).ok_or(TicketError::Wrong)?;
        self.mac(digest, bearer, until).verify_slice(&mac).map_err(|_| TicketError::Wrong)?;
        match now.millis() <= until {
            true => Ok(bearer),
            false => Err(TicketError::Over),
        }
    }

    fn mac(&self, digest: &str, bearer: &str, until: i64) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("longshore-layer\n{digest}\n{until}\n{bearer}").as_bytes());
        mac
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_good_for_one_layer_and_a_time() {
        let key = TicketKey::new([7; 32]);
        let at = Timestamp::from_millis;
        let ticket = key.write("sha256:a", "web-1.rack.2", at(1_000));
        assert_eq!(key.read(&ticket, "sha256:a", at(1_000)), Ok("web-1.rack.2"));
        assert_eq!(key.read(&ticket, "sha256:a", at(1_001)), Err(TicketError::Over));
        assert_eq!(key.read(&ticket, "sha256:b", at(1)), Err(TicketError::Wrong));
        let other = TicketKey::new([8; 32]);
        assert_eq!(other.read(&ticket, "sha256:a", at(1)), Err(TicketError::Wrong));
        let longer = ticket.replacen("1000", "9000", 1);
        assert_eq!(key.read(&longer, "sha256:a", at(1)), Err(TicketError::Wrong));
        let stolen = ticket.replace("web-1", "web-2");
        assert_eq!(key.read(&stolen, "sha256:a", at(1)), Err(TicketError::Wrong));
        for text in ["", "1", "1.2", "x.ab.y", "1.zz.y", "1.é.y", "1.abc.y", "-1..y"] {
            assert_eq!(key.read(text, "sha256:a", at(1)), Err(TicketError::Wrong), "{text}");
        }
    }

    #[test]
    fn keys_come_back_from_their_text() {
        let key = TicketKey::new(std::array::from_fn(|n| n as u8));
        assert_eq!(TicketKey::of_text(&key.to_text()), Ok(key.clone()));
        assert!(!format!("{key:?}").contains("00"));
        for text in ["", "00", "é", &"zz".repeat(32), &"0".repeat(63), &"0".repeat(66)] {
            assert_eq!(TicketKey::of_text(text), Err(ParseKeyError), "{text}");
        }
    }
}
