//! Pages: a token is the key of the last item of its page, so it stays good while items come and go.

use data_encoding::BASE64URL_NOPAD;

use crate::error::Error;

/// The page out of `items` (sorted by what `name` tells), and the token of the next one.
///
/// # Errors
/// If no answer gave the token.
pub(super) fn page<T>(
    items: impl Iterator<Item = T>,
    name: impl Fn(&T) -> String,
    size: Option<i32>,
    default: usize,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(default);
    let after = token.map(read).transpose()?;
    let items = items.filter(|item| after.as_ref().is_none_or(|after| name(item) > *after));
    let mut page: Vec<T> = items.take(size + 1).collect();
    let has_more = page.len() > size;
    page.truncate(size);
    let next = page.last().filter(|_| has_more);
    let next = next.map(|last| BASE64URL_NOPAD.encode(name(last).as_bytes()));
    Ok((page, next))
}

fn read(token: &str) -> Result<String, Error> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| Error::parameter("nextToken", "is not a token that an answer gave"))
}
