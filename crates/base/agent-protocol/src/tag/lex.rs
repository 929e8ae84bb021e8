//! The words of a template.

/// A part of a template as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Action(Vec<Word>),
}

/// A word between braces.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// `.A.B`; just `.` has none.
    Fields(Vec<String>),
    /// `.A.B` right behind a parenthesis or a variable.
    Behind(Vec<String>),
    Name(String),
    Variable(String),
    Text(String),
    Number(i64),
    Pipe,
    Open,
    Close,
    Declare,
    Assign,
    Comma,
}

/// Splits a template into text and actions, trimmed as asked; comments are gone.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut rest, mut trims) = (Vec::new(), text, false);
    loop {
        let (mut before, action) = match rest.split_once("{{") {
            Some((before, after)) => (before, Some(after)),
            None => (rest, None),
        };
        if trims {
            before = before.trim_start();
        }
        let Some(mut inside) = action else {
            push_text(&mut pieces, before);
            return Ok(pieces);
        };
        if let Some(trimmed) = inside.strip_prefix('-').filter(|rest| rest.starts_with(is_space)) {
            (before, inside) = (before.trim_end(), trimmed);
        }
        push_text(&mut pieces, before);
        if let Some(comment) = inside.trim_start().strip_prefix("/*") {
            let (_, after) = comment.split_once("*/").ok_or("a comment does not end")?;
            (trims, rest) = end(after.trim_start_matches(is_space), after)
                .ok_or("a comment must end right before '}}'")?;
            continue;
        }
        let mut words = Vec::new();
        loop {
            let bare = inside.trim_start_matches(is_space);
            if let Some((is_trimming, after)) = end(bare, inside) {
                (trims, rest) = (is_trimming, after);
                break;
            }
            if bare.is_empty() {
                return Err("it has '{{' without '}}'".to_owned());
            }
            let sticks = bare.len() == inside.len();
            let holds = matches!(words.last(), Some(Word::Close | Word::Variable(_)));
            let (word, after) = word(bare, sticks && holds)?;
            words.push(word);
            inside = after;
        }
        pieces.push(Piece::Action(words));
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// What follows the end of an action, and whether the end trims it; `whole` is `bare` with the
/// space before it, which `-}}` needs.
fn end<'a>(bare: &'a str, whole: &str) -> Option<(bool, &'a str)> {
    if let Some(after) = bare.strip_prefix("}}") {
        return Some((false, after));
    }
    let after = bare.strip_prefix("-}}").filter(|_| bare.len() < whole.len())?;
    Some((true, after))
}

/// One word, and what follows; `sticks` says that it is right behind something that may have fields.
fn word(text: &str, sticks: bool) -> Result<(Word, &str), String> {
    let signs = [
        ("|", Word::Pipe),
        ("(", Word::Open),
        (")", Word::Close),
        (":=", Word::Declare),
        ("=", Word::Assign),
        (",", Word::Comma),
    ];
    for (sign, word) in signs {
        if let Some(after) = text.strip_prefix(sign) {
            return Ok((word, after));
        }
    }
    let name =
        |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let first = text.chars().next().unwrap_or_default();
    match first {
        '.' => {
            let (mut fields, mut rest) = (Vec::new(), text);
            while let Some(after) = rest.strip_prefix('.') {
                let (field, behind) = after.split_at(name(after));
                if field.is_empty() && !fields.is_empty() {
                    return Err("a field has no name".to_owned());
                }
                rest = behind;
                if field.is_empty() {
                    break;
                }
                fields.push(field.to_owned());
            }
            let is_behind = sticks && !fields.is_empty();
            Ok((if is_behind { Word::Behind(fields) } else { Word::Fields(fields) }, rest))
        }
        '$' => {
            let (name, rest) = text[1..].split_at(name(&text[1..]));
            Ok((Word::Variable(name.to_owned()), rest))
        }
        '"' => quoted(text),
        '`' => {
            let end = text[1..].find('`').ok_or("a text does not end")?;
            Ok((Word::Text(text[1..=end].to_owned()), &text[end + 2..]))
        }
        '0'..='9' | '-' | '+' => {
            let digits =
                text[1..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |at| at + 1);
            let (number, rest) = text.split_at(digits);
            let number = number.parse().map_err(|_| format!("'{number}' is no whole number"))?;
            Ok((Word::Number(number), rest))
        }
        _ if first.is_alphabetic() || first == '_' => {
            let (name, rest) = text.split_at(name(text));
            Ok((Word::Name(name.to_owned()), rest))
        }
        _ => Err(format!("'{first}' means nothing between braces")),
    }
}

/// A text in quotes, with Go's escapes but for those by number.
fn quoted(text: &str) -> Result<(Word, &str), String> {
    let mut value = String::new();
    let mut rest = text.char_indices().skip(1);
    while let Some((at, c)) = rest.next() {
        match c {
            '"' => return Ok((Word::Text(value), &text[at + 1..])),
            '\n' => break,
            '\\' => match rest.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(c @ ('"' | '\\')) => value.push(c),
                _ => return Err("a text has an escape that is not known".to_owned()),
            },
            c => value.push(c),
        }
    }
    Err("a text does not end".to_owned())
}
