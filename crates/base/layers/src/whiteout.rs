//! Whiteouts as AUFS wrote them and OCI layers still do.

/// What an entry's last name says about the layers below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark<'a> {
    /// Nothing: it is a file of its own.
    None,
    /// `.wh.NAME`: the file of that name below is gone.
    Gone(&'a [u8]),
    /// `.wh..wh..opq`: all that is below in this folder is gone.
    Opaque,
    /// AUFS's own book-keeping.
    Meta,
    /// A whiteout of nothing, of `.` or of `..`.
    Invalid,
}

const PREFIX: &[u8] = b".wh.";
const META_PREFIX: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

impl<'a> Mark<'a> {
    /// What `name` says, a last name without folders.
    pub fn of(name: &'a [u8]) -> Self {
        if name == OPAQUE {
            return Self::Opaque;
        }
        if name.starts_with(META_PREFIX) {
            return Self::Meta;
        }
        match name.strip_prefix(PREFIX) {
            None => Self::None,
            Some(b"" | b"." | b"..") => Self::Invalid,
            Some(hidden) => Self::Gone(hidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_they_hide() {
        let check =
            |name: &str, expected| assert_eq!(Mark::of(name.as_bytes()), expected, "{name}");
        check("a", Mark::None);
        check(".wh", Mark::None);
        check("a.wh.b", Mark::None);
        check(".wh.a", Mark::Gone(b"a"));
        check(".wh..hidden", Mark::Gone(b".hidden"));
        check(".wh..wh..opq", Mark::Opaque);
        check(".wh..wh.plnk", Mark::Meta);
        check(".wh.", Mark::Invalid);
        check(".wh..", Mark::Invalid);
        check(".wh...", Mark::Invalid);
    }
}
