//! Pure: what `valueFrom` names, and what a key of a JSON secret holds.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A value of Secrets Manager: which secret, version, and key of a JSON object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SecretReference {
    /// The secret's ARN.
    pub(super) secret: String,
    /// The label of the version.
    pub(super) stage: Option<String>,
    /// The version's id.
    pub(super) version: Option<String>,
    /// A key at the top of the value.
    pub(super) key: Option<String>,
}

impl SecretReference {
    /// Reads `arn:…:secret:NAME` or `arn:…:secret:NAME:KEY:STAGE:VERSION`, where each of the three
    /// may be empty. The texts are those of Amazon's agent.
    pub(super) fn parse(value_from: &str) -> Result<Self, String> {
        let parts: Vec<&str> = value_from.split(':').collect();
        let wrong = || {
            format!(
                "trying to retrieve secret with value {value_from} resulted in error: an invalid \
                 ARN format for the AWS Secrets Manager secret was specified. Specify a valid ARN \
                 and try again."
            )
        };
        if parts.len() < 7 || parts[0] != "arn" || parts[5] != "secret" || parts[6].is_empty() {
            return Err(wrong());
        }
        let secret = parts[..7].join(":");
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        match parts[7..] {
            [] => Ok(Self { secret, stage: None, version: None, key: None }),
            [key, stage, version] => {
                Ok(Self { secret, stage: some(stage), version: some(version), key: some(key) })
            }
            _ => Err(wrong()),
        }
    }

    /// The same value as a whole.
    pub(super) fn whole(&self) -> Self {
        Self { key: None, ..self.clone() }
    }
}

/// What a key at the top of a JSON object holds: a text as it is, all else as it is written.
pub(super) fn json_key(text: &str, key: &str) -> Result<String, String> {
    // What a parser says of the text may quote it.
    let object: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|_| {
        format!("retrieved secret from Secrets Manager is no JSON object, so it has no key {key}")
    })?;
    let value = object.get(key).ok_or_else(|| {
        format!("retrieved secret from Secrets Manager did not contain json key {key}")
    })?;
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) => Ok(text),
        Err(_) => Ok(value.get().to_owned()),
    }
}

/// A parameter's name, without and with the version behind it.
pub(super) fn parameter(value_from: &str) -> (&str, Option<&str>) {
    match value_from.split_once(':') {
        Some((name, _)) => (name, Some(&value_from[name.len()..])),
        None => (value_from, None),
    }
}

/// Bucket and key of an object's ARN.
pub(super) fn object(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (scheme, _, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (bucket, key) = parts.nth(2)?.split_once('/')?;
    let is_object = scheme == "arn" && service == "s3" && !bucket.is_empty() && !key.is_empty();
    is_object.then_some((bucket, key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/db-AbCdEf";

    #[test]
    fn secrets_have_two_parts_or_five() {
        let check = |rest: &str, expected: Option<[&str; 3]>| {
            let read = SecretReference::parse(&format!("{ARN}{rest}"));
            let Some(expected) = expected else {
                let told = read.unwrap_err();
                assert!(told.contains("an invalid ARN format"), "{told}");
                return;
            };
            let read = read.unwrap();
            let shown = [&read.key, &read.stage, &read.version];
            let shown = shown.map(|part| part.as_deref().unwrap_or_default());
            assert_eq!((read.secret.as_str(), shown), (ARN, expected));
        };
        check("", Some(["", "", ""]));
        check(":k::", Some(["k", "", ""]));
        check("::AWSPREVIOUS:", Some(["", "AWSPREVIOUS", ""]));
        check(":::9d4c", Some(["", "", "9d4c"]));
        check(":k:s:v", Some(["k", "s", "v"]));
        check(":k", None);
        check(":k:", None);
        check(":k:s:v:x", None);
        assert!(SecretReference::parse("shop/db").is_err());
        assert!(SecretReference::parse("arn:aws:ssm:us-east-1:123456789012:parameter/a").is_err());
    }

    #[test]
    fn keys_give_text_or_json() {
        let text = r#"{"a":"x\ny","n":1234567,"d":1.10,"o":{"k":[1, 2]},"t":true,"z":null,"":"e"}"#;
        let check = |key, expected: &str| assert_eq!(json_key(text, key).unwrap(), expected);
        check("a", "x\ny");
        check("n", "1234567");
        check("d", "1.10");
        check("o", r#"{"k":[1, 2]}"#);
        check("t", "true");
        check("z", "null");
        check("", "e");
        let told = json_key(text, "b").unwrap_err();
        assert_eq!(told, "retrieved secret from Secrets Manager did not contain json key b");
        let told = json_key("sesame", "b").unwrap_err();
        assert!(told.contains("no JSON object") && !told.contains("sesame"), "{told}");
    }

    #[test]
    fn objects_have_a_bucket_and_a_key() {
        assert_eq!(object("arn:aws:s3:::b/dir/app.env"), Some(("b", "dir/app.env")));
        for wrong in [
            "arn:aws:s3:::b",
            "arn:aws:s3:::/k",
            "s3://b/k",
            "arn:aws:sqs:::b/k",
            "arn:aws:s3:::b/",
        ] {
            assert_eq!(object(wrong), None, "{wrong}");
        }
        assert_eq!(parameter("/a/b"), ("/a/b", None));
        assert_eq!(parameter("/a/b:3"), ("/a/b", Some(":3")));
    }

    proptest! {
        #[test]
        fn what_was_put_together_is_taken_apart(
            name in "[a-zA-Z0-9/_+=.@-]{1,20}", key in "[^:]{0,8}", stage in "[A-Z]{0,6}", version in "[0-9a-f]{0,8}",
        ) {
            let arn = format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}");
            let read = SecretReference::parse(&format!("{arn}:{key}:{stage}:{version}")).unwrap();
            prop_assert_eq!(read.key.unwrap_or_default(), key);
            prop_assert_eq!(read.stage.unwrap_or_default(), stage);
            prop_assert_eq!(read.version.unwrap_or_default(), version);
            prop_assert_eq!(read.secret, arn);
        }

        #[test]
        fn reading_never_fails_badly(text in "\\PC{0,80}") {
            let _ = SecretReference::parse(&text);
            let _ = SecretReference::parse(&format!("{ARN}:{text}"));
            let _ = object(&text);
            let _ = parameter(&text);
            let _ = json_key(&text, "k");
        }

        /// Whatever JSON a key holds is given as it was, and texts as they are.
        #[test]
        fn a_key_gives_its_value(key in "[a-z]{1,6}", text in "\\PC{0,20}", number in any::<i64>()) {
            let object = serde_json::json!({ key.as_str(): text, "N": number }).to_string();
            prop_assert_eq!(json_key(&object, &key).unwrap(), text);
            prop_assert_eq!(json_key(&object, "N").unwrap(), number.to_string());
        }
    }
}
