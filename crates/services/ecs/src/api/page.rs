//! Pages of listings (ECS semantics §1.1).
//!
//! A token holds the operation, a mark of the filters and the last item of its page, so it stays
//! good while rows come and go. It is opaque to clients and good for no other listing.

use std::fmt::Debug;
use std::hash::Hasher;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;

/// Most items of a page, and how many there are if the request does not say.
const PAGE_ITEMS: usize = 100;

/// What a request wants to see of a listing.
pub(crate) struct Page {
    operation: &'static str,
    mark: u64,
    limit: usize,
    after: Option<String>,
}

impl Page {
    /// Reads `maxResults` and `nextToken` of a listing with these filters.
    ///
    /// # Errors
    /// When `maxResults` is not 1 to 100, or the token is of another listing.
    pub(crate) fn open(
        operation: &'static str,
        filters: &impl Debug,
        max_results: Option<i32>,
        next_token: Option<&str>,
    ) -> Result<Self, Error> {
        Self::open_up_to(PAGE_ITEMS, operation, filters, max_results, next_token)
    }

    /// The same for a listing whose pages have `usual` items if the request does not say.
    ///
    /// # Errors
    /// When `maxResults` is not 1 to 100, or the token is of another listing.
    pub(crate) fn open_usually(
        usual: i32,
        operation: &'static str,
        filters: &impl Debug,
        max_results: Option<i32>,
        next_token: Option<&str>,
    ) -> Result<Self, Error> {
        Self::open(operation, filters, Some(max_results.unwrap_or(usual)), next_token)
    }

    /// The same for a listing whose pages have at most `most` items, and that many if the request
    /// does not say.
    ///
    /// # Errors
    /// When `maxResults` is not 1 to `most`, or the token is of another listing.
    pub(crate) fn open_up_to(
        most: usize,
        operation: &'static str,
        filters: &impl Debug,
        max_results: Option<i32>,
        next_token: Option<&str>,
    ) -> Result<Self, Error> {
        let limit = max_results.map_or(Some(most), |max| usize::try_from(max).ok());
        let limit = limit.filter(|limit| (1..=most).contains(limit));
        let text = || format!("maxResults must be between 1 and {most}.");
        let limit = limit.ok_or_else(|| Error::invalid(text()))?;
        let mark = mark(filters);
        let mut page = Self { operation, mark, limit, after: None };
        if let Some(token) = next_token.filter(|token| !token.is_empty()) {
            let after = page.read(token);
            let wrong = || Error::invalid("Invalid token: the nextToken is not of this listing.");
            page.after = Some(after.ok_or_else(wrong)?);
        }
        Ok(page)
    }

    /// The last item of the page before, if there was one: the listing goes on after it.
    ///
    /// # Errors
    /// When the token was made up.
    pub(crate) fn after_as<T: std::str::FromStr>(&self) -> Result<Option<T>, Error> {
        let wrong = |_| Error::invalid("Invalid token: the nextToken is not of this listing.");
        self.after.as_deref().map(str::parse).transpose().map_err(wrong)
    }

    /// Takes a page from `items`, which begin after [`Page::after_as`]: its items and the token of
    /// the next page, if there is one. `name` tells an item so that the listing can go on after it.
    pub(crate) fn take<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let mut items = items.into_iter();
        let page: Vec<T> = items.by_ref().take(self.limit).collect();
        let more = items.next().is_some();
        let token = page.last().filter(|_| more).map(|last| self.write(&name(last)));
        (page, token)
    }

    fn write(&self, last: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{} {:016x} {last}", self.operation, self.mark))
    }

    fn read(&self, token: &str) -> Option<String> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let rest = text.strip_prefix(self.operation)?.strip_prefix(' ')?;
        let (mark, last) = rest.split_once(' ')?;
        (u64::from_str_radix(mark, 16).ok()? == self.mark).then(|| last.to_owned())
    }
}

/// A number that is the same for the same filters.
fn mark(filters: &impl Debug) -> u64 {
    /// FNV-1a, for it is the same in every build.
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for &byte in bytes {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(format!("{filters:?}").as_bytes());
    hasher.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn open(filters: &str, max: i32, token: Option<&str>) -> Result<Page, Error> {
        Page::open("ListThings", &filters, Some(max), token)
    }

    #[test]
    fn pages_follow_each_other() {
        let things = ["a", "b", "c"];
        let (first, token) = open("f", 2, None).unwrap().take(things, |t| (*t).to_owned());
        assert_eq!(first, ["a", "b"]);
        let page = open("f", 2, token.as_deref()).unwrap();
        let after: String = page.after_as().unwrap().unwrap();
        assert_eq!(after, "b");
        let rest = things.into_iter().filter(|thing| *thing > after.as_str());
        assert_eq!(page.take(rest, |t| (*t).to_owned()), (vec!["c"], None));
    }

    #[test]
    fn tokens_are_good_for_their_listing_only() {
        let (_, token) = open("f", 1, None).unwrap().take(["a", "b"], |t| (*t).to_owned());
        let token = token.unwrap();
        assert!(open("f", 1, Some(&token)).is_ok());
        assert!(open("g", 1, Some(&token)).is_err());
        assert!(Page::open("ListOthers", &"f", None, Some(&token)).is_err());
        assert!(open("f", 1, Some("nonsense")).is_err());
        assert!(open("f", 0, None).is_err());
        assert!(open("f", 101, None).is_err());
    }
}
