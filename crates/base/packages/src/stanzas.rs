//! Texts of stanzas with an empty line between: `Name: value` lines, where a line that begins with white
//! space goes on with the one before.

/// A stanza's fields, in order; lines that go on are left out, for nothing here needs them.
pub(crate) type Stanza<'a> = Vec<(&'a str, &'a str)>;

/// The stanzas of a text. Lines without a colon are left out.
pub(crate) fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut stanza = Stanza::new();
        loop {
            let Some(line) = lines.next() else {
                return (!stanza.is_empty()).then(|| std::mem::take(&mut stanza));
            };
            if line.trim().is_empty() {
                if !stanza.is_empty() {
                    return Some(stanza);
                }
                continue;
            }
            if line.starts_with([' ', '\t']) {
                continue;
            }
            if let Some((name, value)) = line.split_once(':') {
                stanza.push((name, value.trim()));
            }
        }
    })
}

/// A field of a stanza, whatever the case of its name.
pub(crate) fn field<'a>(stanza: &Stanza<'a>, name: &str) -> Option<&'a str> {
    let found = stanza.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| *value).filter(|value| !value.is_empty())
}
