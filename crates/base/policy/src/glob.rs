//! Patterns with `*` and `?`, and with variables of the request.

use std::borrow::Cow;

use crate::Context;

/// A variable in a pattern, such as `${aws:username}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// In lower case.
    key: String,
    default: Option<String>,
}

impl Variable {
    /// From what stands between the braces: a key, and after a comma a text in single quotes.
    fn parse(inner: &str) -> Option<Self> {
        let (key, default) = match inner.split_once(',') {
            None => (inner, None),
            Some((key, rest)) => {
                let quoted = rest.trim().strip_prefix('\'')?.strip_suffix('\'')?;
                (key, Some(quoted.to_owned()))
            }
        };
        let key = key.trim();
        key.contains(':').then(|| Self { key: key.to_ascii_lowercase(), default })
    }

    fn resolve<'a>(&'a self, context: &'a Context) -> Option<&'a str> {
        context.single(&self.key).or(self.default.as_deref())
    }
}

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// Characters that stand for themselves.
    Text(String),
    /// `?`: one character.
    One,
    /// `*`: any run of characters.
    Run,
    Variable(Variable),
}

/// A step whose variable has its value.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Text(&'a str),
    One,
    Run,
    /// A variable without one.
    Missing,
}

impl Token {
    fn step<'a>(&'a self, context: &'a Context) -> Step<'a> {
        match self {
            Self::Text(text) => Step::Text(text),
            Self::One => Step::One,
            Self::Run => Step::Run,
            Self::Variable(variable) => variable.resolve(context).map_or(Step::Missing, Step::Text),
        }
    }
}

/// How a pattern's text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Whether `*` and `?` stand for others.
    pub(crate) wildcards: bool,
    /// Whether `${…}` is a variable.
    pub(crate) variables: bool,
}

/// A pattern, in the cheapest form that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Glob {
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
    General(Box<[Token]>),
    /// With variables: resolved for each request.
    Template(Box<[Token]>),
}

impl Glob {
    pub(crate) fn new(text: &str, reading: Reading) -> Self {
        Self::of(tokens(text, reading))
    }

    fn of(mut tokens: Vec<Token>) -> Self {
        if tokens.iter().any(|token| matches!(token, Token::Variable(_))) {
            return Self::Template(tokens.into());
        }
        match &mut tokens[..] {
            [] => Self::Exact("".into()),
            [Token::Text(text)] => Self::Exact(std::mem::take(text).into()),
            [Token::Run] => Self::Any,
            [Token::Text(text), Token::Run] => Self::Prefix(std::mem::take(text).into()),
            _ => Self::General(tokens.into()),
        }
    }

    /// Whether the text is of this form. A variable that has no value matches nothing.
    pub(crate) fn matches(&self, text: &str, context: &Context) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::General(tokens) | Self::Template(tokens) => {
                run(|at| tokens.get(at).map(|token| token.step(context)), text)
            }
        }
    }

    /// The text that all begin with which it matches, before any wildcard and variable.
    pub(crate) fn beginning(&self) -> &str {
        match self {
            Self::Any => "",
            Self::Exact(text) | Self::Prefix(text) => text,
            Self::General(tokens) | Self::Template(tokens) => match tokens.first() {
                Some(Token::Text(text)) => text,
                Some(Token::One | Token::Run | Token::Variable(_)) | None => "",
            },
        }
    }

    /// The text that this stands for, if it has no wildcards and its variables have values.
    pub(crate) fn literal(&self, context: &Context) -> Option<Cow<'_, str>> {
        match self {
            Self::Exact(exact) => Some(Cow::Borrowed(exact)),
            Self::Any | Self::Prefix(_) | Self::General(_) => None,
            Self::Template(tokens) => {
                let mut text = String::new();
                for token in tokens {
                    match token.step(context) {
                        Step::Text(part) => text.push_str(part),
                        Step::One | Step::Run | Step::Missing => return None,
                    }
                }
                Some(Cow::Owned(text))
            }
        }
    }

    /// The keys of its variables.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let tokens: &[Token] = match self {
            Self::Template(tokens) => tokens,
            Self::Any | Self::Exact(_) | Self::Prefix(_) | Self::General(_) => &[],
        };
        tokens.iter().filter_map(|token| match token {
            Token::Variable(variable) => Some(variable.key.as_str()),
            Token::Text(_) | Token::One | Token::Run => None,
        })
    }
}

/// The steps of a text. `${*}`, `${?}` and `${$}` are those characters; what opens as a variable
/// and is none is literal.
fn tokens(text: &str, reading: Reading) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let special =
            (reading.variables && rest.starts_with("${")).then(|| special(rest)).flatten();
        if let Some((token, length)) = special {
            match token {
                Token::Text(text) => push(&mut tokens, &text),
                token => tokens.push(token),
            }
            rest = &rest[length..];
            continue;
        }
        match c {
            // Two runs are one: so that matching stays fast.
            '*' if reading.wildcards && tokens.last() == Some(&Token::Run) => {}
            '*' if reading.wildcards => tokens.push(Token::Run),
            '?' if reading.wildcards => tokens.push(Token::One),
            c => push(&mut tokens, c.encode_utf8(&mut [0; 4])),
        }
        rest = &rest[c.len_utf8()..];
    }
    tokens
}

/// Adds characters that stand for themselves.
fn push(tokens: &mut Vec<Token>, more: &str) {
    match tokens.last_mut() {
        Some(Token::Text(text)) => text.push_str(more),
        _ => tokens.push(Token::Text(more.to_owned())),
    }
}

/// The step at the head of a text that begins with `${`, and its length in bytes.
fn special(text: &str) -> Option<(Token, usize)> {
    let end = text.find('}')?;
    let token = match &text[2..end] {
        "*" => Token::Text("*".to_owned()),
        "?" => Token::Text("?".to_owned()),
        "$" => Token::Text("$".to_owned()),
        inner => Token::Variable(Variable::parse(inner)?),
    };
    Some((token, end + 1))
}

/// Matches without recursion: after a mismatch only the last run grows, so that the work is at most
/// the product of both lengths.
fn run<'a>(steps: impl Fn(usize) -> Option<Step<'a>>, text: &str) -> bool {
    let (mut at, mut step) = (0, 0);
    // The step after the last run, and the byte that it begins at.
    let mut last: Option<(usize, usize)> = None;
    loop {
        match steps(step) {
            Some(Step::Run) => {
                step += 1;
                last = Some((step, at));
                continue;
            }
            Some(Step::One) => {
                if let Some(c) = text[at..].chars().next() {
                    (at, step) = (at + c.len_utf8(), step + 1);
                    continue;
                }
            }
            Some(Step::Text(wanted)) if text[at..].starts_with(wanted) => {
                (at, step) = (at + wanted.len(), step + 1);
                continue;
            }
            // A match would have to come by here.
            Some(Step::Missing) => return false,
            None if at == text.len() => return true,
            Some(Step::Text(_)) | None => {}
        }
        let Some((after, from)) = last else { return false };
        let Some(skipped) = text[from..].chars().next() else { return false };
        at = from + skipped.len_utf8();
        step = after;
        last = Some((after, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WILD: Reading = Reading { wildcards: true, variables: true };

    #[test]
    fn patterns_match_whole_texts() {
        let mut context = Context::default();
        context.set("aws:PrincipalTag/team", "a*b");
        let check = |pattern: &str, text: &str, expected: bool| {
            let glob = Glob::new(pattern, WILD);
            assert_eq!(glob.matches(text, &context), expected, "{pattern} {text} {glob:?}");
        };
        check("*", "", true);
        check("", "", true);
        check("", "a", false);
        check("a*", "abc", true);
        check("a*", "ba", false);
        check("*c", "abc", true);
        check("a?c", "aéc", true);
        check("a?c", "ac", false);
        check("a*b*c", "aXbYbZc", true);
        check("a**c", "ac", true);
        check("${*}", "*", true);
        check("${*}", "a", false);
        check("a${?}", "a?", true);
        check("a${$}{x}", "a${x}", true);
        check("${no variable}", "${no variable}", true);
        check("${aws:principaltag/TEAM}", "a*b", true);
        check("${aws:PrincipalTag/team}", "aXb", false);
        check("${aws:none}", "", false);
        check("x-${aws:none, 'd'}", "x-d", true);
        let slow = "*a".repeat(200);
        check(&slow, &"a".repeat(4000), true);
        check(&slow, &"b".repeat(4000), false);
    }
}
