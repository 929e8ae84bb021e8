//! Pages of listings whose items have names: a token holds the listing and the last name of its
//! page, so it stays good while rows come and go.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A token that no answer of this listing gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not of this listing")]
pub struct BadToken;

/// What a request wants to see of a listing.
#[derive(Clone, Debug)]
pub struct Page {
    listing: &'static str,
    limit: usize,
    after: Option<String>,
}

impl Page {
    /// The page of `listing` behind `token`, with at most `limit` items.
    ///
    /// # Errors
    /// If the token is of another listing.
    pub fn open(
        listing: &'static str,
        limit: usize,
        token: Option<&str>,
    ) -> Result<Self, BadToken> {
        let read = |token: &str| {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
            Some(text.strip_prefix(listing)?.strip_prefix(' ')?.to_owned())
        };
        let token = token.filter(|token| !token.is_empty());
        let after = token.map(|token| read(token).ok_or(BadToken)).transpose()?;
        Ok(Self { listing, limit, after })
    }

    /// The name that the page before ended with.
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// How many items the page may have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// As [`Page::take`], of items in another order than that of their names: the page begins
    /// behind the item that the one before ended with, or anew if that is gone.
    pub fn take_sorted<T>(
        &self,
        items: Vec<T>,
        name: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let place = self
            .after
            .as_ref()
            .and_then(|after| items.iter().position(|item| name(item) == *after));
        let begin = place.map_or(0, |place| place + 1);
        let more = items.len() > begin + self.limit;
        let page: Vec<T> = items.into_iter().skip(begin).take(self.limit).collect();
        let token = page.last().filter(|_| more).map(|last| self.token(&name(last)));
        (page, token)
    }

    fn token(&self, last: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{} {last}", self.listing))
    }

    /// Takes the page out of all items in the order of their names, and tells the next one's
    /// token.
    pub fn take<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let is_ahead = |item: &T| self.after.as_ref().is_none_or(|after| name(item) > *after);
        let mut items = items.into_iter().filter(is_ahead);
        let page: Vec<T> = items.by_ref().take(self.limit).collect();
        let more = items.next().is_some();
        let token = page.last().filter(|_| more).map(|last| self.token(&name(last)));
        (page, token)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let all = ["a", "b", "c"];
        let name = |item: &&str| (*item).to_owned();
        let (first, token) = Page::open("L", 2, None).unwrap().take(all, name);
        assert_eq!(first, ["a", "b"]);
        let token = token.unwrap();
        let (rest, end) = Page::open("L", 2, Some(&token)).unwrap().take(all, name);
        assert_eq!((rest, end), (vec!["c"], None));
        assert!(Page::open("M", 2, Some(&token)).is_err());
        assert!(Page::open("L", 2, Some("!")).is_err());
    }
}
