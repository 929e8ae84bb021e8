//! The two tables that headers are read from (RFC 7541, 2.3).

use std::collections::VecDeque;

/// What an entry counts beside its bytes (RFC 7541, 4.1).
const ENTRY_EXTRA: usize = 32;

/// What both sides know from the start (RFC 7541, appendix A). The first has the number 1.
pub(super) const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// What was said before, the youngest first.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Name and value together, and where the name ends.
    entries: VecDeque<(Box<[u8]>, usize)>,
    /// As RFC 7541 counts it.
    size: usize,
    size_max: usize,
}

impl Table {
    /// An empty one that may grow to this size.
    pub(super) fn new(size_max: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, size_max }
    }

    /// The field of this number, in both tables.
    pub(super) fn get(&self, number: usize) -> Option<(&[u8], &[u8])> {
        let at = number.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(at) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let (text, name) = self.entries.get(at - STATIC.len())?;
        Some(text.split_at(*name))
    }

    /// Keeps a field, in place of the oldest if there is no room. One that is larger than the table
    /// leaves nothing in it.
    pub(super) fn insert(&mut self, text: &[u8], name: usize) {
        let size = text.len() + ENTRY_EXTRA;
        self.shrink(self.size_max.saturating_sub(size));
        if size <= self.size_max {
            self.size += size;
            self.entries.push_front((text.into(), name));
        }
    }

    /// It may grow to this size from now on.
    pub(super) fn resize(&mut self, size_max: usize) {
        self.size_max = size_max;
        self.shrink(size_max);
    }

    fn shrink(&mut self, size: usize) {
        while self.size > size
            && let Some((oldest, _)) = self.entries.pop_back()
        {
            self.size -= oldest.len() + ENTRY_EXTRA;
        }
    }
}
