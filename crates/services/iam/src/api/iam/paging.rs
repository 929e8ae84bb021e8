//! Pages of lists: `Marker`, `MaxItems`, `IsTruncated`.

use data_encoding::BASE64URL_NOPAD;

use crate::refusal::Refusal;

/// How many a page has unless said otherwise.
const ITEMS_DEFAULT: usize = 100;

/// A page of a list.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) is_truncated: Option<bool>,
    /// Where the next one begins.
    pub(super) marker: Option<String>,
}

/// The page that begins after `marker`, of a list in the order of its keys.
pub(super) fn page<T>(
    items: Vec<(String, T)>,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<T>, Refusal> {
    let after = marker.map(read).transpose()?;
    let max = max_items.and_then(|max| usize::try_from(max).ok()).unwrap_or(ITEMS_DEFAULT);
    let mut rest = items
        .into_iter()
        .skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after))
        .peekable();
    let mut shown = Vec::new();
    let mut last = None;
    while shown.len() < max {
        let Some((key, item)) = rest.next() else { break };
        shown.push(item);
        last = Some(key);
    }
    let is_truncated = rest.peek().is_some();
    let marker = last.filter(|_| is_truncated).map(|key| BASE64URL_NOPAD.encode(key.as_bytes()));
    Ok(Page { items: shown, is_truncated: Some(is_truncated), marker })
}

fn read(marker: &str) -> Result<String, Refusal> {
    let bytes = BASE64URL_NOPAD.decode(marker.as_bytes()).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| Refusal::Validation(format!("Invalid Marker: {marker}")))
}
