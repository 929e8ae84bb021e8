//! What is known of a request besides who, what and on what: the condition keys.

use std::sync::Arc;

/// The values of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// One.
    One(String),
    /// A list: only the set operators look into it.
    List(Vec<String>),
    /// One of these, whichever fits: tags whose keys differ only in case.
    Either(Vec<String>),
}

/// The condition keys of a request. Names are the same in any case, tags' keys too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// In the order of their names, which are in lower case.
    entries: Vec<(String, Values)>,
    /// The names that it takes, in lower case; none takes all.
    only: Option<Arc<[String]>>,
}

impl Context {
    /// One that takes these keys alone, in lower case, and lets all others pass: what no policy asks
    /// for ([`crate::Policy::keys`]) changes no decision.
    pub fn only(keys: Arc<[String]>) -> Self {
        Self { entries: Vec::new(), only: Some(keys) }
    }

    /// Sets a key that has one value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.put(key, Values::One(value.into()));
    }

    /// Sets a key that has a list of values.
    pub fn set_list(&mut self, key: &str, values: Vec<String>) {
        self.put(key, Values::List(values));
    }

    /// Sets a tag's key; if one that differs only in case is there, either will do.
    pub fn set_tag(&mut self, prefix: &str, tag: &str, value: impl Into<String>) {
        let key = format!("{prefix}{tag}");
        let value = value.into();
        let values = match self.get(&key.to_ascii_lowercase()) {
            Some(Values::One(other)) => Values::Either(vec![other.clone(), value]),
            Some(Values::Either(others)) => {
                Values::Either(others.iter().cloned().chain([value]).collect())
            }
            Some(Values::List(_)) | None => Values::One(value),
        };
        self.put(&key, values);
    }

    /// Sets a key to whatever it is to have.
    pub fn put(&mut self, key: &str, values: Values) {
        if !self.takes(key) {
            return;
        }
        let key = key.to_ascii_lowercase();
        match self.entries.binary_search_by(|(known, _)| known.as_str().cmp(&key)) {
            Ok(at) => self.entries[at].1 = values,
            Err(at) => self.entries.insert(at, (key, values)),
        }
    }

    /// Whether it takes the key.
    fn takes(&self, key: &str) -> bool {
        let is_it = |only: &String| only.eq_ignore_ascii_case(key);
        self.only.as_ref().is_none_or(|only| only.iter().any(is_it))
    }

    /// Takes a key away.
    pub fn remove(&mut self, key: &str) {
        let key = key.to_ascii_lowercase();
        self.entries.retain(|(known, _)| *known != key);
    }

    /// The values of a key in lower case.
    pub fn get(&self, key: &str) -> Option<&Values> {
        let found = self.entries.binary_search_by(|(known, _)| known.as_str().cmp(key));
        found.ok().map(|at| &self.entries[at].1)
    }

    /// The one value of a key in lower case; a list has none.
    pub fn single(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Values::One(value) => Some(value),
            Values::Either(values) => values.first().map(String::as_str),
            Values::List(_) => None,
        }
    }

    /// Every key, in lower case, with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Values)> {
        self.entries.iter().map(|(key, values)| (key.as_str(), values))
    }
}
