//! A list of headers as it was read: one text, and where each name and value ends.

/// What is counted for each field beside its bytes (RFC 9113, 6.5.2), in bytes.
const FIELD_EXTRA: usize = 32;
/// What is kept of a list that is used again, in bytes.
const KEPT_MAX: usize = 2 * 1024;

/// A list of headers. It is used again for the next one, so that none needs room of its own.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    text: Vec<u8>,
    /// Ends of names and of values.
    ends: Vec<(u32, u32)>,
    /// As limits count it, in bytes; also of what was dropped.
    size: usize,
    limit: usize,
}

impl Fields {
    /// An empty list that keeps no more than so many bytes, each field counted with 32 more.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.min(u32::MAX as usize), ..Self::default() }
    }

    /// Forgets what there is.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.size = 0;
        if self.text.capacity() > KEPT_MAX {
            self.text = Vec::new();
            self.ends = Vec::new();
        }
    }

    /// Whether some did not fit.
    pub fn is_over(&self) -> bool {
        self.size > self.limit
    }

    /// Names and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let mut begin = 0;
        self.ends.iter().map(move |(name, value)| {
            let (name, value) = (*name as usize, *value as usize);
            let field = (&self.text[begin..name], &self.text[name..value]);
            begin = value;
            field
        })
    }

    /// Whether a field with a name and a value of these lengths fits; it counts in any case.
    pub(super) fn fits(&mut self, lengths: usize) -> bool {
        self.size = self.size.saturating_add(lengths).saturating_add(FIELD_EXTRA);
        !self.is_over()
    }

    /// The text, for one that writes a name and a value behind it and then says so.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// What is behind the last field is one more, with a name up to here. It fits.
    pub(super) fn push(&mut self, name_end: usize) {
        // The limit is smaller than what fits into these.
        self.ends.push((name_end as u32, self.text.len() as u32));
    }

    /// Where the next field begins.
    pub(super) fn end(&self) -> usize {
        self.ends.last().map_or(0, |(_, value)| *value as usize)
    }
}
