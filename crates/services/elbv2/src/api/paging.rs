//! Pages of listings: a marker is the name of the last item of its page, so it stays good while
//! items come and go.

use crate::error::Error;

/// Most items of a page, and how many there are if the request does not say. The guides name the
/// first only.
const PAGE_ITEMS: usize = 400;

/// The page that a request asks for out of `items`, and the marker of the next one.
///
/// # Errors
/// If no answer gave the marker.
pub(super) fn page<T>(
    items: Vec<T>,
    name: impl Fn(&T) -> String,
    size: Option<i32>,
    marker: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(PAGE_ITEMS);
    let after = marker.filter(|marker| !marker.is_empty()).map(read).transpose()?;
    // In the listing's own order: the item may have gone, then the next page begins anew.
    let place = after.and_then(|after| items.iter().position(|item| name(item) == after));
    let begin = place.map_or(0, |place| place + 1);
    let more = items.len() > begin + size;
    let page: Vec<T> = items.into_iter().skip(begin).take(size).collect();
    let next = page.last().filter(|_| more).map(|last| hex::encode(name(last)));
    Ok((page, next))
}

fn read(marker: &str) -> Result<String, Error> {
    let bytes = hex::decode(marker).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| Error::invalid(format!("'{marker}' is not a valid marker")))
}
