//! Keys of issuers, as their key sets have them (RFC 7517, RFC 7518), and the check of a signature.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::Value;

use super::token::Token;

/// Most keys of one issuer that are looked at.
const KEYS_MAX: usize = 64;

/// How a token is signed. Not `ES512`, which AWS takes besides: what verifies has not its curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        }
    }

    fn of_rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Self::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
            Self::Es256 | Self::Es384 => None,
        }
    }

    /// The algorithm and the curve that it is for.
    fn of_curve(self) -> Option<(&'static dyn VerificationAlgorithm, &'static str)> {
        match self {
            Self::Es256 => Some((&signature::ECDSA_P256_SHA256_FIXED, "P-256")),
            Self::Es384 => Some((&signature::ECDSA_P384_SHA384_FIXED, "P-384")),
            Self::Rs256 | Self::Rs384 | Self::Rs512 => None,
        }
    }
}

#[derive(Debug, Clone)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Curve { name: String, point: Vec<u8> },
}

/// One key of an issuer.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, if the issuer says.
    algorithm: Option<String>,
    material: Material,
}

impl Key {
    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let bytes = |name: &str| BASE64URL_NOPAD.decode(text(name)?.as_bytes()).ok();
        if text("use").is_some_and(|used| used != "sig") {
            return None;
        }
        let material = match text("kty")? {
            "RSA" => Material::Rsa { n: bytes("n")?, e: bytes("e")? },
            "EC" => {
                // Uncompressed: 4, x, y.
                let point = [vec![4], bytes("x")?, bytes("y")?].concat();
                Material::Curve { name: text("crv")?.to_owned(), point }
            }
            _ => return None,
        };
        let owned = |name: &str| text(name).map(str::to_owned);
        Some(Self { id: owned("kid"), algorithm: owned("alg"), material })
    }

    fn verifies(&self, token: &Token) -> bool {
        let algorithm = token.algorithm;
        if self.algorithm.as_deref().is_some_and(|own| own != algorithm.name()) {
            return false;
        }
        let (signed, signature) = (token.signed.as_bytes(), token.signature.as_slice());
        match &self.material {
            Material::Rsa { n, e } => algorithm.of_rsa().is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature).is_ok()
            }),
            Material::Curve { name, point } => {
                algorithm.of_curve().is_some_and(|(verification, curve)| {
                    let key = UnparsedPublicKey::new(verification, point);
                    curve == name && key.verify(signed, signature).is_ok()
                })
            }
        }
    }
}

/// The keys of an issuer.
#[derive(Debug, Clone)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// Reads a key set; keys of other kinds are left out.
    pub(super) fn read(set: &Value) -> Option<Self> {
        let keys = set.get("keys")?.as_array()?;
        Some(Self(keys.iter().take(KEYS_MAX).filter_map(Key::read).collect()))
    }

    /// The key set has the key that the token names, or the token names none.
    pub(super) fn has_key_of(&self, token: &Token) -> bool {
        token.key_id.is_none() || self.0.iter().any(|key| key.id == token.key_id)
    }

    /// Whether one of the keys that the token may mean made its signature.
    pub(super) fn verify(&self, token: &Token) -> bool {
        let may_be = |key: &&Key| token.key_id.is_none() || key.id == token.key_id;
        self.0.iter().filter(may_be).any(|key| key.verifies(token))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Made with OpenSSL; the key was thrown away.
    const MODULUS: &str = concat!(
        "vsJagM_rol7KCFCCfH5L9JPkbvR781-jSzvPXxRiUHb81bvHUkdpmmo_7pKOw9oRJJIERNndrSU_",
        "4UxdFjt4WIkUrAv5N7RpjoQ5vVyJJsfY1SLgpsUF-r8_yV9JweldECpaAJNzDinuMLWnHTLw8HOx",
        "wJTsCwTtiWEDdtInKPJPhIAOiofQCwIqzmfd9pzn2Z-yoaKs5E9ZInqB6fqWBXhAI1IpXuhJJ_9m",
        "jjJYdefGBNruMfKtMYquz9dVP4O6beAbTxFSkaCHWYFIEhxOPSdZIWoZLPBNIYxF3dr_jf52uLlt",
        "nlV4MedB2rHdOAIYrL7wVGbXShD4TeucargUYw",
    );
    const SIGNED: [(&str, &str); 3] = [
        (
            "RS256",
            concat!(
                "eyJhbGciOiJSUzI1NiIsImtpZCI6InIifQ.eyJzdWIiOiJtZSJ9.EUNT1_H5RUYEkt5CtSJU_LOG",
                "xNqM3R09vJ7kRRTXAlYpZCCm6SRuJbG7OWvHsVmPM9XHlHDrD10KDynPC05043x2LNunOYvWa6Yo",
                "-hkCvEuQb6vHJCbIdkG_sXOQSQMQt4Pyo6ap_579R4vk7CxUyQsUNvLjDmk73cl3K5oISMAKLJbj",
                "ApYpUZWYDiiS4CYyjcNprwz8jqOJUdy95xEF-akfMq6irWfP1y7Sx_g_p4y4MRHd6PLxD8DDGOIU",
                "Wzg8quCzQkl9TkzXt6nhAelnkCBmGDOH18l0EZYMFGj4JnXHxw_4P1CY9sm_b030WiPgnirw9FUS",
                "xLTelLhhWypawQ",
            ),
        ),
        (
            "RS384",
            concat!(
                "eyJhbGciOiJSUzM4NCIsImtpZCI6InIifQ.eyJzdWIiOiJtZSJ9.jU6Fl-VR5PvT5Pq6RCEsg3xm",
                "FXfFYCu_i6q4QyjNlqWvsE3LZLfd1yJOtaY0EADSh9QDZDqVcwAb18al236-MVwjts4-z1KmOwRl",
                "cnOc0uM019EV2LzVZ3ZtX1ciR3OLV5a-4BI8VzrXaSAL1gILAzNbtVFbVXCQR1t2GZwJNQ5MqmNu",
                "OgiguAnmvAMMJpIkPbIt75VyPWeczMus7WA2g-Pw8VQ33HD5fmSrWeJkPtKPPO2SO0D8itZ2EmNH",
                "wxLEwEAoHGRb9erMuPu2Mj_snxNo0jDGwGlEZDfaQXB9L4awP-Txm5LqRI4ok6nSmRpYaYCjSXlh",
                "-e_tF5g2l7UdTA",
            ),
        ),
        (
            "RS512",
            concat!(
                "eyJhbGciOiJSUzUxMiIsImtpZCI6InIifQ.eyJzdWIiOiJtZSJ9.h929U5bYqHVm-m0BfZ1FZWG_",
                "iRrAgXaGP0aR6_xbw7nTalbb4ZhYg88nwybOvNNgu5SS8DFzACofn9LDhZVs9anHZZXIYKYnh1m-",
                "CUiOrnUxrgkbG-QymAOAcGFR1BK7CpV0XF6ydDvWzpVduE8dC5qfKy3tcJeHxtXpi7fHjKC9zjAU",
                "AlGXHlqzwpwFHzW4BE0qBCzkR9n758NqaSSyGRwCWCtgaRhgyauSk6AWwxVH8d9p429vMePboDeY",
                "VSX8PzY3YOA_cUZ4JFNTmcAdHzs6BDAb2hAt0Ep82Ttqp40018g2d_uUGXmbA65h9uVrWxEoX2Zq",
                "G4iVaxUFhUtWVw",
            ),
        ),
    ];

    fn keys(alg: Option<&str>, id: &str) -> Keys {
        let mut key = json!({ "kty": "RSA", "kid": id, "n": MODULUS, "e": "AQAB" });
        if let Some(alg) = alg {
            key["alg"] = alg.into();
        }
        Keys::read(&json!({ "keys": [{ "kty": "oct", "k": "AA" }, key] })).unwrap()
    }

    #[test]
    fn signatures_of_rsa_are_verified() {
        for (name, text) in SIGNED {
            let token = Token::read(text).unwrap();
            assert!(keys(None, "r").verify(&token), "{name}");
            assert!(keys(Some(name), "r").verify(&token), "{name}");
            assert!(!keys(Some("ES256"), "r").verify(&token), "for another algorithm");
            assert!(!keys(None, "other").verify(&token), "of another name");
            assert!(keys(None, "r").has_key_of(&token) && !keys(None, "x").has_key_of(&token));
            // Neither what it says nor how it says it can be changed.
            let (signed, signature) = text.rsplit_once('.').unwrap();
            let (header, _) = signed.split_once('.').unwrap();
            let other = BASE64URL_NOPAD.encode(br#"{"sub":"you"}"#);
            let forged = Token::read(&format!("{header}.{other}.{signature}")).unwrap();
            assert!(!keys(None, "r").verify(&forged), "{name}");
        }
        let crossed = SIGNED.map(|(_, text)| text.rsplit_once('.').unwrap());
        let crossed = format!("{}.{}", crossed[0].0, crossed[1].1);
        assert!(!keys(None, "r").verify(&Token::read(&crossed).unwrap()));
    }

    #[test]
    fn what_is_no_key_set_is_none() {
        for none in [json!({}), json!([]), json!({ "keys": 1 })] {
            assert!(Keys::read(&none).is_none(), "{none}");
        }
        let encrypts =
            json!({ "keys": [{ "kty": "RSA", "use": "enc", "n": MODULUS, "e": "AQAB" }] });
        let token = Token::read(SIGNED[0].1).unwrap();
        assert!(!Keys::read(&encrypts).unwrap().verify(&token));
    }
}
