//! Secrets' names and ARNs.

use super::error::Error;
use crate::Scope;
use crate::random::Random;

/// Characters of an ARN's suffix.
const SUFFIX_CHARACTERS: usize = 6;

/// A name that a secret may be made under.
pub(super) fn check(name: &str) -> Result<(), Error> {
    let is_known = |c: char| c.is_ascii_alphanumeric() || "-/_+=.@!".contains(c);
    match !name.is_empty() && name.chars().all(is_known) {
        true => Ok(()),
        false => Err(Error::Name),
    }
}

/// A fresh suffix.
pub(super) fn suffix(random: &mut Random<'_>) -> String {
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    (0..SUFFIX_CHARACTERS).map(|_| random.one_of(&letters)).collect()
}

/// The ARN of a secret.
pub(super) fn arn(scope: &Scope, name: &str, suffix: &str) -> String {
    let Scope { account, region } = scope;
    format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-{suffix}")
}

/// What an ARN of this scope has behind `secret:`.
pub(super) fn of_arn<'a>(scope: &Scope, id: &'a str) -> Option<&'a str> {
    let mut parts = id.strip_prefix("arn:")?.splitn(6, ':');
    let [_, service, region, account, kind, name] =
        std::array::from_fn(|_| parts.next().unwrap_or_default());
    let is_here = region == scope.region.as_str() && account == scope.account.as_str();
    (service == "secretsmanager" && is_here && kind == "secret").then_some(name)
}

/// Name and suffix, if the tail of an ARN may end with one.
pub(super) fn parts(tail: &str) -> Option<(&str, &str)> {
    let (name, suffix) = tail.rsplit_once('-')?;
    let is_suffix = suffix.len() == SUFFIX_CHARACTERS
        && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_suffix && !name.is_empty()).then_some((name, suffix))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope() -> Scope {
        let account = "123456789012".parse().unwrap();
        Scope { account, region: "us-east-1".parse().unwrap() }
    }

    #[test]
    fn what_may_be_a_name() {
        for good in ["a", "prod/db-1", "a_b+c=d.e@f!g"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:b", "ä", "a\nb"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_arn_gives_back_what_it_was_made_of(name in "[a-zA-Z0-9/_+=.@!-]{1,40}", suffix in "[a-zA-Z0-9]{6}") {
            let arn = arn(&scope(), &name, &suffix);
            let tail = of_arn(&scope(), &arn).unwrap();
            prop_assert_eq!(parts(tail), Some((name.as_str(), suffix.as_str())));
        }

        #[test]
        fn reading_never_fails_badly(text in "\\PC{0,60}") {
            let _ = of_arn(&scope(), &text).and_then(parts);
            let _ = check(&text);
        }
    }
}
