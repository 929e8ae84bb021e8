//! Variables in values: `$X`, `${X}`, `${X:-default}`, `${X-default}`, `${X:?message}`,
//! `${X?message}`, `${X:+value}`, `${X+value}`, `$$` (Compose file reference, "Interpolation").

/// How deeply defaults may be nested in each other.
const MAX_DEPTH: u32 = 20;

/// Puts variables into a text. `lookup` knows them; `missing` is told of those that are not set
/// and have no default, and become empty.
///
/// # Errors
/// What is wrong, in words: a required variable that is not set, or a `$` that begins nothing.
pub fn interpolate(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    missing: &mut dyn FnMut(&str),
) -> Result<String, String> {
    Interpolation { lookup, missing }.put_in(text, 0)
}

struct Interpolation<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    missing: &'a mut dyn FnMut(&str),
}

impl Interpolation<'_> {
    fn put_in(&mut self, text: &str, depth: u32) -> Result<String, String> {
        if depth > MAX_DEPTH {
            return Err(format!("variables are nested more than {MAX_DEPTH} deep"));
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out += before;
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(inside) = after.strip_prefix('{') {
                let end = closing(inside).ok_or_else(|| format!("'${after}' has no '}}'"))?;
                let (inside, after) = inside.split_at(end);
                out += &self.braced(inside, depth)?;
                rest = after.get(1..).unwrap_or_default();
            } else {
                let (name, after) = after.split_at(name_length(after));
                if name.is_empty() {
                    return Err("a '$' that begins no variable must be written '$$'".into());
                }
                out += &self.plain(name);
                rest = after;
            }
        }
        Ok(out + rest)
    }

    fn plain(&mut self, name: &str) -> String {
        (self.lookup)(name).unwrap_or_else(|| {
            (self.missing)(name);
            String::new()
        })
    }

    fn braced(&mut self, inside: &str, depth: u32) -> Result<String, String> {
        let (name, rest) = inside.split_at(name_length(inside));
        if name.is_empty() {
            return Err(format!("'${{{inside}}}' names no variable"));
        }
        if rest.is_empty() {
            return Ok(self.plain(name));
        }
        let (strict, rest) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
        let value = (self.lookup)(name).filter(|value| !strict || !value.is_empty());
        let mut letters = rest.chars();
        let (operator, word) = (letters.next(), letters.as_str());
        match (operator, value) {
            (Some('-' | '?'), Some(value)) => Ok(value),
            (Some('-'), None) | (Some('+'), Some(_)) => self.put_in(word, depth + 1),
            (Some('+'), None) => Ok(String::new()),
            (Some('?'), None) => Err(format!("the variable {name} must be set: {word}")),
            _ => Err(format!("'${{{inside}}}' is none of the forms of a variable")),
        }
    }
}

/// How many bytes of a text are a variable's name.
fn name_length(text: &str) -> usize {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if first { text.find(|c| !good(c)).unwrap_or(text.len()) } else { 0 }
}

/// Where the brace closes that was opened just before this text.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut last) = (0_u32, ' ');
    for (place, letter) in text.char_indices() {
        match letter {
            '{' if last == '$' => depth += 1,
            '}' if depth == 0 => return Some(place),
            '}' => depth -= 1,
            _ => {}
        }
        last = letter;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> (Result<String, String>, Vec<String>) {
        let lookup = |name: &str| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut missing = Vec::new();
        let out = interpolate(text, &lookup, &mut |name| missing.push(name.to_owned()));
        (out, missing)
    }

    #[test]
    fn every_form_is_put_in() {
        let check = |text: &str, expected: &str| {
            assert_eq!(run(text), (Ok(expected.to_owned()), vec![]), "{text}");
        };
        check("plain", "plain");
        check("$SET/$SET.", "value/value.");
        check("a${SET}b", "avalueb");
        check("$$SET $${SET}", "$SET ${SET}");
        check("${EMPTY}", "");
        check("${SET:-x}${SET-x}", "valuevalue");
        check("${EMPTY:-x}${EMPTY-y}", "x");
        check("${NONE:-x}${NONE-y}", "xy");
        check("${NONE:-}", "");
        check("${NONE:-${NONE:-${SET}}}", "value");
        check("${NONE:-a{b}", "a{b");
        check("${SET:?needed}${EMPTY?needed}", "value");
        check("${SET:+x}${EMPTY:+x}${EMPTY+y}${NONE+z}", "xy");
        check("${NONE:-$SET}", "value");
        check("ä${SET}ö", "ävalueö");
    }

    #[test]
    fn what_is_missing_is_told_and_empty() {
        assert_eq!(run("a$NONE"), (Ok("a".into()), vec!["NONE".into()]));
        assert_eq!(run("${NONE}"), (Ok(String::new()), vec!["NONE".into()]));
    }

    #[test]
    fn wrong_forms_are_refused() {
        let check = |text: &str, expected: &str| {
            let error = run(text).0.expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("${NONE:?give me one}", "the variable NONE must be set: give me one");
        check("${EMPTY:?x}", "must be set");
        check("${", "has no '}'");
        check("${}", "names no variable");
        check("${1}", "names no variable");
        check("${SET!x}", "none of the forms");
        check("${SET:x}", "none of the forms");
        check("5$", "written '$$'");
        check("$1", "written '$$'");
        check(&format!("{}x{}", "${A:-".repeat(30), "}".repeat(30)), "nested more than 20");
    }
}
