//! Tokens of an expression. What a token is depends on what is expected, so the parser asks.

use std::borrow::Cow;

use super::QueryError;

/// How much of a wrong token an error shows, in characters.
const MAX_SHOWN_CHARS: usize = 40;

/// A place in the text.
#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes from the beginning of the text.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes `token` if it is next, even if more letters follow.
    pub(super) fn take(&mut self, token: &str) -> bool {
        let next = self.rest().starts_with(token);
        self.at += if next { token.len() } else { 0 };
        next
    }

    /// Takes all characters up to the first one that `ends` the token.
    pub(super) fn take_until(&mut self, ends: impl FnMut(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(ends).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Takes a bare word, which may be empty.
    pub(super) fn word(&mut self) -> &'a str {
        self.take_until(ends_word)
    }

    /// Takes `word` if it is the whole next word.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let mut ahead = *self;
        let next = ahead.word() == word;
        if next {
            *self = ahead;
        }
        next
    }

    /// Takes a text in single or double quotes, without them, if one is next. There are no
    /// escapes: a backslash is one.
    pub(super) fn quoted(&mut self) -> Result<Option<&'a str>, QueryError> {
        let Some(quote @ ('\'' | '"')) = self.peek() else { return Ok(None) };
        let inside = self.rest().get(1..).unwrap_or_default();
        let Some(end) = inside.find(quote) else {
            return Err(self.error(format!("the text that begins with {quote} has no end")));
        };
        self.at += end + 2;
        Ok(inside.get(..end))
    }

    /// Takes a bare regular expression, which may be empty: up to a space, a parenthesis, or `&&`
    /// or `||` outside of brackets.
    pub(super) fn pattern(&mut self) -> &'a str {
        let rest = self.rest();
        let (mut brackets, mut escaped) = (0_u32, false);
        let ends = |(place, next): (usize, char)| {
            let ahead = rest.get(place..).unwrap_or_default();
            let joins = brackets == 0 && (ahead.starts_with("&&") || ahead.starts_with("||"));
            match next {
                _ if joins || next.is_whitespace() || matches!(next, '(' | ')') => return true,
                '[' if !escaped => brackets += 1,
                ']' if !escaped => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            escaped = next == '\\' && !escaped;
            false
        };
        let end = rest.char_indices().find_map({
            let mut ends = ends;
            move |found| ends(found).then_some(found.0)
        });
        let end = end.unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// An error about the token that is next here: `allowed` says what should be in its place.
    pub(super) fn unexpected(&self, allowed: &str) -> QueryError {
        self.error(format!("found {}; expected {allowed}", self.shown()))
    }

    /// An error about this place.
    pub(super) fn error(&self, what: impl Into<String>) -> QueryError {
        QueryError::new(self.at, what)
    }

    /// The next token, for people.
    fn shown(&self) -> Cow<'static, str> {
        let mut ahead = *self;
        let Some(first) = ahead.peek() else { return "the end of the expression".into() };
        let token = match ahead.word() {
            "" => ahead.take_until(|next| !is_operator(next)),
            word => word,
        };
        let shown: String = token.chars().take(MAX_SHOWN_CHARS).collect();
        match shown.is_empty() {
            true => format!("'{first}'").into(),
            false if shown.len() < token.len() => format!("'{shown}…'").into(),
            false => format!("'{shown}'").into(),
        }
    }
}

fn is_operator(next: char) -> bool {
    matches!(next, '=' | '!' | '<' | '>' | '&' | '|' | '~')
}

fn ends_word(next: char) -> bool {
    let punctuation = matches!(next, '(' | ')' | '[' | ']' | ',' | '\'' | '"');
    next.is_whitespace() || punctuation || (is_operator(next) && next != '~')
}
