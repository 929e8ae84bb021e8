//! Which rule takes a request (Application Load Balancer guide, "Listener rules").

mod hint;
mod index;
mod pattern;

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use crate::config::{Action, Condition, Rule, Texts};
use hint::Hint;
use index::Index;
use pattern::{Case, Matcher};

/// A request's headers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fields<'a> {
    /// As the library keeps them.
    Map(&'a HeaderMap),
    /// As they came: names and values.
    Lines(&'a [(&'a str, &'a str)]),
}

impl<'a> Fields<'a> {
    /// Whether one of this name, which is in small letters, has a value of which this holds.
    fn any(self, name: &str, holds: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Map(map) => {
                let values = map.get_all(name).into_iter();
                values.filter_map(|value| value.to_str().ok()).any(holds)
            }
            Self::Lines(lines) => {
                let named = lines.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
                named.map(|(_, value)| *value).any(holds)
            }
        }
    }
}

/// The parts of a request that rules look at.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    method: &'a str,
    /// Without its port; none if it has what no rule considers.
    host: Option<&'a str>,
    path: Option<&'a str>,
    query: &'a str,
    headers: Fields<'a>,
    source: IpAddr,
    path_head: u128,
    host_head: u128,
}

impl<'a> Seen<'a> {
    /// These parts; the host is without its port.
    pub(crate) fn new(
        (method, host): (&'a str, &'a str),
        (path, query): (&'a str, &'a str),
        (headers, source): (Fields<'a>, IpAddr),
    ) -> Self {
        let visible = |text: &'a str| Some(text).filter(|text| is_visible(text));
        let (path_head, host_head) = (hint::of_path(path), hint::of_host(host));
        let (host, path) = (visible(host), visible(path));
        Self { method, host, path, query, headers, source, path_head, host_head }
    }
}

/// The conditions of a rule, with what they were made from.
#[derive(Debug)]
struct Conditions {
    told: Vec<Condition>,
    ready: Vec<Ready>,
    hint: Hint,
}

/// A rule that is ready to be asked.
pub(crate) struct Row<D> {
    /// What it is known by.
    pub(crate) priority: u32,
    /// What it does.
    pub(crate) deed: D,
    conditions: Arc<Conditions>,
}

/// The rules of a listener, the first to be asked first.
pub(crate) struct Table<D> {
    index: Index,
    rows: Vec<Row<D>>,
}

impl<D> Table<D> {
    /// These rules. Conditions that `before` had under the same priority are not made again.
    pub(crate) fn next(before: Option<&Self>, rules: &[Rule], deed: impl Fn(&Action) -> D) -> Self {
        let known = |rule: &Rule| {
            let rows = before.map_or(&[][..], |before| before.rows.as_slice());
            let at = rows.binary_search_by_key(&rule.priority, |row| row.priority).ok()?;
            let same = &rows[at].conditions;
            (same.told == rule.conditions).then(|| same.clone())
        };
        let row = |rule: &Rule| Row {
            priority: rule.priority,
            deed: deed(&rule.action),
            conditions: known(rule).unwrap_or_else(|| {
                let ready: Vec<Ready> = rule.conditions.iter().map(Ready::new).collect();
                let hint = Hint::of(&ready);
                Arc::new(Conditions { told: rule.conditions.clone(), ready, hint })
            }),
        };
        let rows: Vec<Row<D>> = rules.iter().map(row).collect();
        Self { index: Index::of(rows.iter().map(|row| row.conditions.hint)), rows }
    }

    /// The first rule that takes a request.
    pub(crate) fn find(&self, seen: &Seen<'_>) -> Option<&Row<D>> {
        let holds = |row: &Row<D>| row.conditions.ready.iter().all(|one| one.holds(seen));
        let place = self.index.first(seen, |place| self.rows.get(place).is_some_and(holds))?;
        self.rows.get(place)
    }
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
        let one_of = |matchers: &[Matcher], text: Option<&str>| {
            text.is_some_and(|text| matchers.iter().any(|matcher| matcher.matches(text)))
        };
        match self {
            Self::Host(matchers) => one_of(matchers, seen.host),
            Self::Path(matchers) => one_of(matchers, seen.path),
            Self::Header(name, matchers) => {
                seen.headers.any(name, |text| is_visible(text) && one_of(matchers, Some(text)))
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
    use proptest::prelude::*;

    use super::*;

    fn seen<'a>(headers: &'a HeaderMap, target: &'a str) -> Seen<'a> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let source = IpAddr::from([192, 0, 2, 7]);
        Seen::new(("GET", "Www.Example.com"), (path, query), (Fields::Map(headers), source))
    }

    fn patterns(all: &[&str]) -> Texts {
        Texts::Patterns(all.iter().map(|&text| text.to_owned()).collect())
    }

    fn nothing() -> Action {
        Action::Forward { groups: Vec::new(), sticky: None }
    }

    proptest! {
        #[test]
        fn a_look_at_the_hint_passes_no_rule_over_that_holds(
            wanted in prop::collection::vec("/[a-b?*]{0,3}[a-c]{0,20}[*]{0,1}", 1..4),
            path in "/[a-c]{0,24}",
        ) {
            let headers = HeaderMap::new();
            let condition = Condition::Path(Texts::Patterns(wanted));
            let seen = seen(&headers, &path);
            let holds = Ready::new(&condition).holds(&seen);
            let rule = Rule { priority: 1, conditions: vec![condition], action: nothing() };
            prop_assert_eq!(Table::next(None, &[rule], |_| ()).find(&seen).is_some(), holds);
        }
    }

    proptest! {
        #[test]
        fn the_first_rule_that_holds_is_found(
            wanted in prop::collection::vec(prop::collection::vec("/[a-b?*]{0,2}[a-b]{0,2}[*]{0,1}", 1..3), 0..12),
            path in "/[a-b]{0,4}",
        ) {
            let headers = HeaderMap::new();
            let seen = seen(&headers, &path);
            let condition = |all: &Vec<String>| Condition::Path(Texts::Patterns(all.clone()));
            let conditions: Vec<Condition> = wanted.iter().map(condition).collect();
            let holds = |one: &Condition| Ready::new(one).holds(&seen);
            let first = conditions.iter().position(holds);
            let rule = |(at, one): (usize, &Condition)| Rule {
                priority: u32::try_from(at).unwrap_or_default(),
                conditions: vec![one.clone()],
                action: nothing(),
            };
            let rules: Vec<Rule> = conditions.iter().enumerate().map(rule).collect();
            let table = Table::next(None, &rules, |_| ());
            let found = table.find(&seen).map(|row| row.priority as usize);
            prop_assert_eq!(found, first);
        }
    }

    #[test]
    fn conditions_are_made_once() {
        let rule = |priority: u32, path: &str| {
            let conditions = vec![Condition::Path(patterns(&[path]))];
            Rule { priority, conditions, action: nothing() }
        };
        let first = Table::next(None, &[rule(1, "/a"), rule(5, "/b")], |_| ());
        let new = [rule(1, "/a"), rule(3, "/c"), rule(5, "/d")];
        let next = Table::next(Some(&first), &new, |_| ());
        let is_kept = |at: usize, was: usize| {
            Arc::ptr_eq(&next.rows[at].conditions, &first.rows[was].conditions)
        };
        assert!(is_kept(0, 0) && !is_kept(2, 1));
        let headers = HeaderMap::new();
        let found = |path: &str| next.find(&seen(&headers, path)).map(|row| row.priority);
        assert_eq!(
            [found("/a"), found("/b"), found("/c"), found("/d")],
            [Some(1), None, Some(3), Some(5)]
        );
    }

    #[test]
    fn each_kind_of_condition_holds_or_not() {
        let mut headers = HeaderMap::new();
        headers.append("x-kind", "first".parse().expect("a value"));
        headers.append("x-kind", "Second one".parse().expect("a value"));
        let holds = |condition: Condition, target: &str| {
            let seen = seen(&headers, target);
            let holds = Ready::new(&condition).holds(&seen);
            // The table finds what holds, and nothing else.
            let rule = Rule { priority: 1, conditions: vec![condition], action: nothing() };
            assert_eq!(Table::next(None, &[rule], |_| ()).find(&seen).is_some(), holds);
            holds
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
