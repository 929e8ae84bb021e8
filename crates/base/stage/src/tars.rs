//! Tars for tests, also such as no tool would write.

/// A tar being made.
#[derive(Clone, Debug)]
pub struct Sample(Vec<u8>);

impl Sample {
    /// One without entries.
    #[expect(clippy::new_without_default, reason = "tests name what they make")]
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// Any entry; the name and link may be anything that fits the header.
    pub fn entry(mut self, kind: u8, name: &str, link: &str, data: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(data.len() as u64);
        self.push_header(header);
        self.push_data(data);
        self
    }

    /// An entry of the caller's making.
    pub fn header(mut self, header: tar::Header, data: &[u8]) -> Self {
        self.push_header(header);
        self.push_data(data);
        self
    }

    /// A file.
    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(b'0', name, "", data)
    }

    /// A folder.
    pub fn folder(self, name: &str) -> Self {
        self.entry(b'5', name, "", b"")
    }

    /// A symbolic link.
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, target, b"")
    }

    /// A hard link.
    pub fn hardlink(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, target, b"")
    }

    /// PAX records before the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3; // Blank, '=', line feed.
            let mut length = body + 1;
            while length != body + length.to_string().len() {
                length = body + length.to_string().len();
            }
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.entry(b'x', "pax", "", &data)
    }

    /// The bytes, with the end mark.
    pub fn done(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    fn push_header(&mut self, mut header: tar::Header) {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
    }

    fn push_data(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }
}
