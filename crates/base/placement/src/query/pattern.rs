//! Java's regular expressions, as far as they can be matched in linear time.
//!
//! A pattern is rewritten for the `regex` crate construct by construct: what both write alike is
//! copied, what Java writes otherwise is translated, and what cannot be matched in linear time or
//! has no counterpart is refused by its name (`java.util.regex.Pattern`).

mod class;
mod escape;

use regex::{Regex, RegexBuilder};

use super::{MAX_NESTING, MAX_PATTERN_BYTES, QueryError};

/// Compiles a pattern that must match a whole text. Errors name the place in the pattern.
pub(super) fn compile(source: &str) -> Result<Regex, QueryError> {
    let translated = translate(source)?;
    RegexBuilder::new(&format!(r"\A(?:{translated})\z"))
        .size_limit(MAX_PATTERN_BYTES)
        .dfa_size_limit(MAX_PATTERN_BYTES)
        .nest_limit(MAX_NESTING * 4)
        .build()
        .map_err(|wrong| QueryError::new(0, explain(&wrong)))
}

/// The last line of what the crate says: the others draw a picture of our translation.
fn explain(error: &regex::Error) -> String {
    if matches!(error, regex::Error::CompiledTooBig(_)) {
        return format!(
            "the regular expression takes more than {MAX_PATTERN_BYTES} bytes of memory"
        );
    }
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
    format!("the regular expression is wrong: {last}")
}

fn translate(source: &str) -> Result<String, QueryError> {
    let mut translation = Translation { source, at: 0, out: String::new() };
    let mut open = Vec::new();
    while let Some(next) = translation.peek() {
        match next {
            '\\' => translation.escape()?,
            '[' => translation.class()?,
            '(' => {
                open.extend(translation.group()?);
                if open.len() > MAX_NESTING as usize {
                    let what = format!("groups are nested more than {MAX_NESTING} deep");
                    return Err(translation.error(what));
                }
            }
            ')' if open.pop().is_none() => return Err(translation.error("found ')' without '('")),
            '*' | '+' | '?' | '{' => translation.quantifier()?,
            _ => translation.copy(next),
        }
    }
    match open.pop() {
        None => Ok(translation.out),
        Some(at) => Err(QueryError::new(at, "found '(' without ')'")),
    }
}

struct Translation<'a> {
    source: &'a str,
    /// Bytes read.
    at: usize,
    out: String,
}

impl<'a> Translation<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take(&mut self, token: &str) -> bool {
        let next = self.rest().starts_with(token);
        self.at += if next { token.len() } else { 0 };
        next
    }

    fn copy(&mut self, next: char) {
        self.out.push(next);
        self.at += next.len_utf8();
    }

    /// Writes a character that stands for itself.
    fn literal(&mut self, letter: char) {
        self.out.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4])));
    }

    fn error(&self, what: impl Into<String>) -> QueryError {
        QueryError::new(self.at, what)
    }

    /// A construct that would need more than linear time.
    fn refused(&self, construct: &str) -> QueryError {
        self.error(format!(
            "{construct} is not supported: regular expressions are matched in linear time"
        ))
    }

    fn unsupported(&self, construct: &str) -> QueryError {
        self.error(format!("{construct} is not supported in regular expressions"))
    }

    /// `(` and what makes the group special. Answers with its place if it must be closed.
    fn group(&mut self) -> Result<Option<usize>, QueryError> {
        const REFUSED: [(&str, &str); 5] = [
            ("(?=", "a look-ahead (?=…)"),
            ("(?!", "a negative look-ahead (?!…)"),
            ("(?<=", "a look-behind (?<=…)"),
            ("(?<!", "a negative look-behind (?<!…)"),
            ("(?>", "an atomic group (?>…)"),
        ];
        if let Some((_, name)) = REFUSED.iter().find(|(token, _)| self.rest().starts_with(token)) {
            return Err(self.refused(name));
        }
        let at = self.at;
        if self.take("(?<") {
            self.out.push_str("(?<");
            return Ok(Some(at));
        }
        if self.take("(?") {
            return Ok(self.flags()?.then_some(at));
        }
        self.copy('(');
        Ok(Some(at))
    }

    /// What follows `(?` in `(?ims-ims)`, `(?ims-ims:` and `(?:`. Answers whether a group begins.
    fn flags(&mut self) -> Result<bool, QueryError> {
        let (mut flags, mut begins) = (String::new(), true);
        loop {
            match self.peek() {
                Some(flag @ ('i' | 'm' | 's')) => flags.push(flag),
                Some('-') if !flags.contains('-') => flags.push('-'),
                // Case is always folded as Unicode has it.
                Some('u') => {}
                Some('d') => return Err(self.unsupported("the flag d (UNIX_LINES)")),
                Some('x') => return Err(self.unsupported("the flag x (COMMENTS)")),
                Some('U') => return Err(self.unsupported("the flag U (UNICODE_CHARACTER_CLASS)")),
                Some(':') => break,
                Some(')') => {
                    begins = false;
                    break;
                }
                _ => return Err(self.unsupported("this kind of group (?…)")),
            }
            self.next();
        }
        self.next();
        let flags = flags.trim_end_matches('-');
        match (begins, flags) {
            (true, flags) => self.out.extend(["(?", flags, ":"]),
            (false, "") => {}
            (false, flags) => self.out.extend(["(?", flags, ")"]),
        }
        Ok(begins)
    }

    /// `*`, `+`, `?`, `{n}`, `{n,}` or `{n,m}`, perhaps with `?` after it.
    fn quantifier(&mut self) -> Result<(), QueryError> {
        let begin = self.at;
        if self.take("{") {
            let counts: &str = self.rest().split('}').next().unwrap_or_default();
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
            self.at += counts.len();
            if least.is_empty() || !digits(least) || !digits(most) || !self.take("}") {
                let what = "a repetition is written {n}, {n,} or {n,m}; quote a brace as \\{";
                return Err(QueryError::new(begin, what));
            }
        } else {
            self.next();
        }
        self.take("?");
        self.out.push_str(self.source.get(begin..self.at).unwrap_or_default());
        match self.peek() {
            Some('+') => {
                self.at = begin;
                Err(self.refused("a possessive quantifier (*+, ++, ?+, {n}+)"))
            }
            Some('*' | '?' | '{') => Err(self.error("a quantifier follows a quantifier")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
