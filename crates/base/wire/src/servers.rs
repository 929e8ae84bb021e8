//! The servers of one control plane, as clients know them: a list that is tried in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// URLs that lead to the same control plane. The one that answered last is asked first; clones
/// share that knowledge.
#[derive(Clone, Debug)]
pub struct Servers {
    urls: Arc<[Arc<str>]>,
    current: Arc<AtomicUsize>,
}

impl Servers {
    /// Those of a list such as `http://a:4566,http://b:4566`; spaces and slashes at an URL's end
    /// do not count.
    pub fn of(list: &str) -> Self {
        let url = |text: &str| Arc::<str>::from(text.trim().trim_end_matches('/'));
        let mut urls: Vec<Arc<str>> = list.split(',').map(url).filter(|u| !u.is_empty()).collect();
        if urls.is_empty() {
            urls.push(url(list));
        }
        Self { urls: urls.into(), current: Arc::default() }
    }

    /// The one to ask.
    pub fn current(&self) -> &str {
        &self.urls[self.current.load(Ordering::Relaxed) % self.urls.len()]
    }

    /// The one at `url` did not answer as it should: the next is to be asked, unless that was
    /// found out already.
    pub fn failed(&self, url: &str) {
        let current = self.current.load(Ordering::Relaxed) % self.urls.len();
        if *self.urls[current] == *url {
            let next = (current + 1) % self.urls.len();
            let _ =
                self.current.compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// How many there are: one at least.
    pub fn count(&self) -> usize {
        self.urls.len()
    }

    /// All of them, in the order of the list.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.urls.iter().map(|url| &**url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_is_asked_when_one_fails() {
        let servers = Servers::of("http://a:1/, http://b:2,");
        assert_eq!(servers.all().collect::<Vec<_>>(), ["http://a:1", "http://b:2"]);
        let same = servers.clone();
        servers.failed("http://b:2");
        assert_eq!(same.current(), "http://a:1");
        servers.failed("http://a:1");
        servers.failed("http://a:1");
        assert_eq!(same.current(), "http://b:2");
        same.failed("http://b:2");
        assert_eq!(servers.current(), "http://a:1");
        assert_eq!(Servers::of("").count(), 1);
    }
}
