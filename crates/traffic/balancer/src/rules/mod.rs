//! Which rule takes a request (Application Load Balancer guide, "Listener rules").

mod pattern;

use std::net::IpAddr;

use http::HeaderMap;

use crate::config::{Condition, Texts};
use pattern::{Case, Matcher};

/// The parts of a request that rules look at.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    /// Without its port.
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) source: IpAddr,
}

/// A condition that is ready to be asked.
#[derive(Debug)]
pub(crate) enum Ready {
    Host(Vec<Matcher>),
    Path(Vec<Matcher>),
    Header(String, Vec<Matcher>),
    Method(Vec<String>),
    Query(Vec<(Option<Matcher>, Matcher)>),
    Source(Vec<crate::Cidr>),
}

impl Ready {
    /// Makes a condition ready.
    pub(crate) fn new(condition: &Condition) -> Self {
        match condition {
            Condition::Host(texts) => Self::Host(matchers(texts, Case::Ignored)),
            Condition::Path(texts) => Self::Path(matchers(texts, Case::Minded)),
            Condition::Header(name, texts) => {
                Self::Header(name.to_ascii_lowercase(), matchers(texts, Case::Ignored))
            }
            Condition::Method(methods) => Self::Method(methods.clone()),
            Condition::Query(pairs) => {
                let glob = |text: &String| Matcher::glob(text, Case::Ignored);
                let pair =
                    |(key, value): &(Option<String>, String)| (key.as_ref().map(glob), glob(value));
                Self::Query(pairs.iter().map(pair).collect())
            }
            Condition::Source(blocks) => Self::Source(blocks.clone()),
        }
    }

    /// Whether it holds.
    pub(crate) fn holds(&self, seen: &Seen<'_>) -> bool {
        let any = |matchers: &[Matcher], text: &str| {
            is_visible(text) && matchers.iter().any(|matcher| matcher.matches(text))
        };
        match self {
            Self::Host(matchers) => any(matchers, seen.host),
            Self::Path(matchers) => any(matchers, seen.path),
            Self::Header(name, matchers) => {
                let values = seen.headers.get_all(name.as_str()).into_iter();
                values.filter_map(|value| value.to_str().ok()).any(|value| any(matchers, value))
            }
            Self::Method(methods) => methods.iter().any(|method| method == seen.method),
            Self::Query(wanted) => {
                let pairs = seen.query.split('&').filter(|pair| !pair.is_empty());
                let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
                pairs.any(|(key, value)| {
                    wanted.iter().any(|(of_key, of_value)| {
                        let right_key = of_key.as_ref().is_none_or(|of| of.matches(key));
                        right_key && is_visible(value) && of_value.matches(value)
                    })
                })
            }
            Self::Source(blocks) => blocks.iter().any(|block| block.contains(seen.source)),
        }
    }
}

fn matchers(texts: &Texts, case: Case) -> Vec<Matcher> {
    match texts {
        Texts::Patterns(patterns) => {
            patterns.iter().map(|pattern| Matcher::glob(pattern, case)).collect()
        }
        Texts::Regexes(regexes) => {
            regexes.iter().filter_map(|regex| Matcher::regex(regex, case)).collect()
        }
    }
}

/// Only visible ASCII is considered (Application Load Balancer guide, "Rule condition types").
fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..0x7f).contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen<'a>(headers: &'a HeaderMap, target: &'a str) -> Seen<'a> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let source = IpAddr::from([192, 0, 2, 7]);
        Seen { method: "GET", host: "Www.Example.com", path, query, headers, source }
    }

    fn patterns(all: &[&str]) -> Texts {
        Texts::Patterns(all.iter().map(|&text| text.to_owned()).collect())
    }

    #[test]
    fn each_kind_of_condition_holds_or_not() {
        let mut headers = HeaderMap::new();
        headers.append("x-kind", "first".parse().expect("a value"));
        headers.append("x-kind", "Second one".parse().expect("a value"));
        let holds = |condition: Condition, target: &str| {
            Ready::new(&condition).holds(&seen(&headers, target))
        };
        assert!(holds(Condition::Host(patterns(&["*.example.COM"])), "/"));
        assert!(!holds(Condition::Host(patterns(&["example.com", "*.example.org"])), "/"));
        assert!(holds(Condition::Path(patterns(&["/a", "/img/*"])), "/img/x/y?z"));
        assert!(!holds(Condition::Path(patterns(&["/img/*", "/IMG*"])), "/img"));
        let regex = |text: &str| Texts::Regexes(vec![text.to_owned()]);
        assert!(holds(Condition::Path(regex("^/v[0-9]+/")), "/v12/x"));
        assert!(!holds(Condition::Path(regex("^/V[0-9]+/")), "/v12/x"));
        assert!(holds(Condition::Host(regex("^www")), "/"));
        assert!(holds(Condition::Header("X-Kind".into(), patterns(&["second*"])), "/"));
        assert!(!holds(Condition::Header("X-Other".into(), patterns(&["*"])), "/"));
        assert!(holds(Condition::Method(vec!["PUT".into(), "GET".into()]), "/"));
        assert!(!holds(Condition::Method(vec!["get".into()]), "/"));
        let query = |key: Option<&str>, value: &str| {
            Condition::Query(vec![(key.map(str::to_owned), value.to_owned())])
        };
        assert!(holds(query(Some("v"), "1*"), "/?a=b&V=12"));
        assert!(!holds(query(Some("v"), "1"), "/?v=12"));
        assert!(holds(query(None, "b"), "/?a=b"));
        assert!(holds(query(None, r"\*"), "/?a=*"));
        assert!(!holds(query(None, r"\*"), "/?a=b"));
        let block =
            |text: &str| Condition::Source(vec![crate::Cidr::parse(text).expect("a block")]);
        assert!(holds(block("192.0.2.0/24"), "/"));
        assert!(!holds(block("198.51.100.0/24"), "/"));
    }
}
