//! A JSON Web Token in its compact form (RFC 7519, RFC 7515).

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::keys::Algorithm;

/// It is no token that anybody could verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// A token that was read and not yet verified.
#[derive(Debug)]
pub(crate) struct Token {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// What the signature is over.
    pub(super) signed: String,
    pub(super) signature: Vec<u8>,
    claims: Map<String, Value>,
}

impl Token {
    /// Reads a token; nothing of it is true until it was verified.
    ///
    /// # Errors
    /// If it has another form, an algorithm that is not taken, or asks for what is not understood.
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        let mut parts = text.split('.');
        let (Some(head), Some(body), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Unreadable);
        };
        let bytes = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Unreadable);
        let object = |part: &str| match serde_json::from_slice(&bytes(part)?) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(Unreadable),
        };
        let header: Map<String, Value> = object(head)?;
        // What must be understood and is not makes the whole void (RFC 7515, 4.1.11).
        if header.contains_key("crit") {
            return Err(Unreadable);
        }
        let name = header.get("alg").and_then(Value::as_str).ok_or(Unreadable)?;
        Ok(Self {
            algorithm: Algorithm::named(name).ok_or(Unreadable)?,
            key_id: header.get("kid").and_then(Value::as_str).map(str::to_owned),
            signed: format!("{head}.{body}"),
            signature: bytes(signature)?,
            claims: object(body)?,
        })
    }

    /// A claim that is a text.
    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A claim that is a time, in seconds since 1970.
    pub(crate) fn seconds(&self, claim: &str) -> Option<i64> {
        let value = self.claims.get(claim)?;
        value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
    }

    /// A claim that is a text or a list of texts.
    pub(crate) fn texts(&self, claim: &str) -> Vec<&str> {
        match self.claims.get(claim) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// All claims.
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn token(header: &str, body: &str) -> String {
        let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        format!("{}.{}.{}", encode(header), encode(body), encode("signature"))
    }

    #[test]
    fn only_what_can_be_verified_is_read() {
        let claims = r#"{"sub":"me","aud":["a","b"],"exp":1700000000.5,"n":1}"#;
        let read = Token::read(&token(r#"{"alg":"RS256","kid":"1"}"#, claims)).unwrap();
        assert_eq!((read.text("sub"), read.texts("aud")), (Some("me"), vec!["a", "b"]));
        assert_eq!((read.seconds("exp"), read.text("n")), (Some(1_700_000_000), None));
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"RS256","crit":["b64"]}"#,
            r#"{}"#,
            "[]",
            "",
        ] {
            assert_eq!(Token::read(&token(header, claims)).err(), Some(Unreadable), "{header}");
        }
        for text in ["", ".", "..", "a.b.c", "a.b.c.d", "e30.e30", &token("{}", "1")] {
            assert_eq!(Token::read(text).err(), Some(Unreadable), "{text}");
        }
    }
}
