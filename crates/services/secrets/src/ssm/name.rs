//! Parameters' names: what may be one, and how requests write them (reference: Systems Manager User
//! Guide, "About requirements and constraints for parameter names").

use super::error::Error;
use crate::Scope;

/// The longest name, with what an ARN has before it.
const NAME_WITH_PREFIX_MAX: usize = 1011;
/// The most parts of a path.
const LEVELS_MAX: usize = 15;
/// Below this secrets of Secrets Manager are read as parameters.
const REFERENCE_PREFIX: &str = "/aws/reference/secretsmanager/";

/// The ARN of a parameter: one slash only before a name that begins with one.
pub(crate) fn arn(scope: &Scope, name: &str) -> String {
    let Scope { account, region } = scope;
    let slash = if name.starts_with('/') { "" } else { "/" };
    format!("arn:aws:ssm:{region}:{account}:parameter{slash}{name}")
}

/// A name that a parameter may be made under, without blanks around it.
pub(super) fn checked<'a>(scope: &Scope, name: &'a str) -> Result<&'a str, Error> {
    let name = name.trim();
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    let lower = name.trim_start_matches('/').to_ascii_lowercase();
    let is_path = name.matches('/').count() > 1;
    if name.starts_with('/') && lower.starts_with("aws") && is_path {
        return Err(Error::Reserved(name.to_owned()));
    }
    if !is_path && (lower.starts_with("aws") || lower.starts_with("ssm")) {
        let text = "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).";
        return Err(Error::invalid(text));
    }
    if lower.starts_with("ssm") || !name.chars().all(is_known) || name.contains("//") {
        return Err(Error::invalid(
            "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a \
             path, it can consist of sub-paths divided by slash symbol; each sub-path can be \
             formed as a mix of letters, numbers and the following 3 symbols .-_",
        ));
    }
    if name.is_empty() || name.ends_with('/') || (name.contains('/') && !name.starts_with('/')) {
        return Err(Error::invalid("Parameter name must be a fully qualified name."));
    }
    if name.matches('/').count() > LEVELS_MAX {
        return Err(Error::Levels);
    }
    if arn(scope, name).len() > NAME_WITH_PREFIX_MAX {
        return Err(Error::invalid(format!(
            "Parameter name: the name and its ARN's prefix must not exceed {NAME_WITH_PREFIX_MAX} \
             characters."
        )));
    }
    Ok(name)
}

/// The other name that has the same ARN: `a` for `/a`, and the other way round.
pub(super) fn twin(name: &str) -> Option<String> {
    match name.strip_prefix('/') {
        Some(bare) => (!bare.contains('/')).then(|| bare.to_owned()),
        None => Some(format!("/{name}")),
    }
}

/// Which version of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    Version(u64),
    Label(String),
}

/// What a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The name, or those that it may be.
    pub(super) names: Vec<String>,
    /// Behind a colon; the newest version if there is none.
    pub(super) selector: Option<Selector>,
    /// The selector as it was written, with its colon.
    pub(super) selector_text: Option<String>,
}

impl Reference {
    /// Reads `name`, `name:version`, `name:label`, and each behind an ARN of this scope. A
    /// parameter elsewhere is nobody's here.
    pub(super) fn parse(scope: &Scope, text: &str) -> Result<Self, Error> {
        let (written, is_arn) = match text.trim().strip_prefix("arn:") {
            None => (text.trim(), false),
            Some(arn) => {
                let mut parts = arn.splitn(5, ':');
                let [_, service, region, account, resource] =
                    std::array::from_fn(|_| parts.next().unwrap_or_default());
                let is_here = service == "ssm"
                    && region == scope.region.as_str()
                    && account == scope.account.as_str();
                let path = resource.strip_prefix("parameter").filter(|p| p.starts_with('/'));
                let path = path.ok_or_else(|| Error::invalid("Invalid parameter ARN."))?;
                (if is_here { path } else { "" }, true)
            }
        };
        let (name, selector) = match written.split_once(':') {
            Some((name, selector)) => (name, Some(selector)),
            None => (written, None),
        };
        if selector.is_some_and(|text| text.is_empty() || text.contains(':')) {
            return Err(Error::invalid(format!("Invalid parameter name and version: {text}")));
        }
        let mut names = vec![name.to_owned()];
        if is_arn {
            names.extend(twin(name));
        }
        let parsed = selector.map(|text| match text.parse() {
            Ok(number) => Selector::Version(number),
            Err(_) => Selector::Label(text.to_owned()),
        });
        let selector_text = selector.map(|text| format!(":{text}"));
        Ok(Self { names, selector: parsed, selector_text })
    }

    /// The secret of Secrets Manager that is meant, if it is one.
    pub(super) fn secret(&self) -> Option<&str> {
        self.names.first()?.strip_prefix(REFERENCE_PREFIX)
    }
}

/// Whether a name lies below a path: anywhere, or right there.
pub(super) fn is_below(name: &str, path: &str, anywhere: bool) -> bool {
    let path = path.trim_end_matches('/');
    let rest = match name.strip_prefix('/') {
        // One without a slash lies at the root.
        None => return path.is_empty(),
        Some(_) => name.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')),
    };
    rest.is_some_and(|rest| !rest.is_empty() && (anywhere || !rest.contains('/')))
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
        let check = |name: &str, refusal: &str| match checked(&scope(), name) {
            Ok(_) => assert_eq!(refusal, "", "{name}"),
            Err(error) => {
                let told = error.to_string();
                assert!(!refusal.is_empty() && told.contains(refusal), "{name}: {told}");
            }
        };
        check("a", "");
        check(" /a/b.c-d_e ", "");
        check("/a", "");
        check("a/b", "fully qualified");
        check("/a/", "fully qualified");
        check("", "fully qualified");
        check("/a b", "mix of letters");
        check("/a//b", "mix of letters");
        check("/a:1", "mix of letters");
        check("AwsThing", "\"aws\" or \"ssm\"");
        check("/ssm", "\"aws\" or \"ssm\"");
        check("/aws/service/x", "reserved parameter name: /aws/service/x.");
        check(&"/x".repeat(15), "");
        check(&"/x".repeat(16), "15 levels");
        check(&"x".repeat(970), "1011");
    }

    #[test]
    fn how_requests_write_names() {
        let check = |text: &str, names: &[&str], selector: Option<Selector>| {
            let read = Reference::parse(&scope(), text).unwrap();
            assert_eq!(
                (read.names, read.selector),
                (names.iter().map(|n| (*n).to_owned()).collect(), selector)
            );
        };
        let arn = |rest: &str| format!("arn:aws:ssm:us-east-1:123456789012:parameter/{rest}");
        check("a", &["a"], None);
        check("/a/b:3", &["/a/b"], Some(Selector::Version(3)));
        check("a:prod", &["a"], Some(Selector::Label("prod".to_owned())));
        check(&arn("a"), &["/a", "a"], None);
        check(&arn("a/b:2"), &["/a/b"], Some(Selector::Version(2)));
        check("arn:aws:ssm:eu-west-1:123456789012:parameter/a", &["", "/"], None);
        for wrong in ["a:", "a:1:2", "arn:aws:ssm:us-east-1:123456789012:document/a"] {
            assert!(Reference::parse(&scope(), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_lies_below_a_path() {
        let check = |name, path, anywhere, expected| {
            assert_eq!(is_below(name, path, anywhere), expected, "{name} below {path}");
        };
        check("/a/b", "/a", false, true);
        check("/a/b", "/a/", false, true);
        check("/a/b/c", "/a", false, false);
        check("/a/b/c", "/a", true, true);
        check("/ab", "/a", true, false);
        check("/a", "/a", true, false);
        check("/a", "/", false, true);
        check("a", "/", false, true);
        check("a", "/a", true, false);
    }

    proptest! {
        #[test]
        fn a_name_is_found_by_itself_and_by_its_arn(name in "(/[a-z0-9_.-]{1,8}){1,4}|[b-r][a-z0-9_.-]{0,8}") {
            if let Ok(checked) = checked(&scope(), &name) {
                prop_assert_eq!(checked, name.as_str());
                let plain = Reference::parse(&scope(), &name).unwrap();
                prop_assert_eq!(&plain.names, std::slice::from_ref(&name));
                let by_arn = Reference::parse(&scope(), &arn(&scope(), &name)).unwrap();
                prop_assert!(by_arn.names.contains(&name), "{:?}", by_arn);
            }
        }

        #[test]
        fn reading_never_fails_badly(text in "\\PC{0,60}") {
            let _ = Reference::parse(&scope(), &text);
            let _ = checked(&scope(), &text);
        }
    }
}
