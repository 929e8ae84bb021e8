//! Pages of listings in the order of keys: a token holds the listing and the last key of its page,
//! so it stays good while rows come and go, and on every server.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a request wants to see of a listing.
#[derive(Debug)]
pub(crate) struct Page {
    listing: &'static str,
    limit: usize,
    after: Option<String>,
}

/// A token that no answer of this listing gave.
#[derive(Debug)]
pub(crate) struct BadToken;

impl Page {
    /// The page behind `token` with at most `limit` items; `usual` if the request does not say.
    pub(crate) fn open(
        listing: &'static str,
        limit: Option<i32>,
        usual: usize,
        token: Option<&str>,
    ) -> Result<Self, BadToken> {
        let read = |token: &str| {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
            Some(text.strip_prefix(listing)?.strip_prefix(' ')?.to_owned())
        };
        let token = token.filter(|token| !token.is_empty());
        let after = token.map(|token| read(token).ok_or(BadToken)).transpose()?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usual);
        Ok(Self { listing, limit, after })
    }

    /// Takes the page out of items whose keys ascend, and tells the next one's token.
    pub(crate) fn take<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let is_ahead = |item: &T| self.after.as_ref().is_none_or(|after| key(item) > *after);
        self.cut(items.into_iter().filter(is_ahead), &key)
    }

    /// As [`Page::take`], of items in another order: the page begins behind the item that the one
    /// before ended with, or anew if that is gone.
    pub(crate) fn take_sorted<T>(
        &self,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let after = self.after.as_ref();
        let place = after.and_then(|after| items.iter().position(|item| key(item) == *after));
        self.cut(items.into_iter().skip(place.map_or(0, |place| place + 1)), key)
    }

    fn cut<T>(
        &self,
        mut items: impl Iterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let page: Vec<T> = items.by_ref().take(self.limit).collect();
        let more = items.next().is_some();
        let last = page.last().filter(|_| more);
        let token =
            last.map(|last| URL_SAFE_NO_PAD.encode(format!("{} {}", self.listing, key(last))));
        (page, token)
    }
}
