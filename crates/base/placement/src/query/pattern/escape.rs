//! What begins with a backslash.

use super::Translation;
use crate::query::QueryError;

/// `\h`: horizontal white space.
const HORIZONTAL: &str = r" \t\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}";
/// `\v`: vertical white space.
const VERTICAL: &str = r"\n\x0B\f\r\x{85}\x{2028}\x{2029}";
/// The POSIX classes of Java (`\p{Lower}`), with the names that the `regex` crate gives them.
const POSIX: [(&str, &str); 13] = [
    ("Lower", "lower"),
    ("Upper", "upper"),
    ("ASCII", "ascii"),
    ("Alpha", "alpha"),
    ("Digit", "digit"),
    ("Alnum", "alnum"),
    ("Punct", "punct"),
    ("Graph", "graph"),
    ("Print", "print"),
    ("Blank", "blank"),
    ("Cntrl", "cntrl"),
    ("XDigit", "xdigit"),
    ("Space", "space"),
];

impl Translation<'_> {
    /// An escape outside of classes.
    pub(super) fn escape(&mut self) -> Result<(), QueryError> {
        let refusal = match self.rest().chars().nth(1) {
            Some('1'..='9') => self.refused("a back-reference (\\1)"),
            Some('k') => self.refused("a named back-reference (\\k<name>)"),
            Some('G') => self.unsupported("the anchor \\G"),
            Some('X') => self.unsupported("the grapheme cluster \\X"),
            Some('b') if self.rest().starts_with("\\b{") => {
                self.unsupported("the grapheme boundary \\b{g}")
            }
            Some('b' | 'B' | 'A' | 'z') => {
                self.plain();
                return Ok(());
            }
            // A value has no line terminator to end before.
            Some('Z') => {
                self.write(r"\z");
                return Ok(());
            }
            Some('R') => {
                self.write(&format!(r"(?:\r\n|[{VERTICAL}])"));
                return Ok(());
            }
            _ => return self.escape_in_class(),
        };
        Err(refusal)
    }

    /// An escape that means the same inside of classes and outside.
    pub(super) fn escape_in_class(&mut self) -> Result<(), QueryError> {
        let Some(after) = self.rest().chars().nth(1) else {
            return Err(self.error("the regular expression ends with a backslash"));
        };
        match after {
            // Java's are of ASCII alone.
            'd' => self.write("[0-9]"),
            'D' => self.write("[^0-9]"),
            'w' => self.write("[a-zA-Z0-9_]"),
            'W' => self.write("[^a-zA-Z0-9_]"),
            's' => self.write(r"[ \t\n\x0B\f\r]"),
            'S' => self.write(r"[^ \t\n\x0B\f\r]"),
            'h' => self.write(&format!("[{HORIZONTAL}]")),
            'H' => self.write(&format!("[^{HORIZONTAL}]")),
            'v' => self.write(&format!("[{VERTICAL}]")),
            'V' => self.write(&format!("[^{VERTICAL}]")),
            'a' | 'f' | 'n' | 'r' | 't' => self.plain(),
            'e' => self.write(r"\x1B"),
            'c' => return self.control(),
            '0' => return self.octal(),
            'x' | 'u' => return self.hexadecimal(),
            'p' | 'P' => return self.property(),
            'Q' => self.quotation(),
            _ if after.is_ascii_alphanumeric() => {
                return Err(self.unsupported(&format!("the escape \\{after}")));
            }
            _ => {
                self.next();
                self.next();
                self.literal(after);
            }
        }
        Ok(())
    }

    /// Takes the backslash and the letter after it, and copies them.
    fn plain(&mut self) {
        for letter in self.rest().chars().take(2) {
            self.copy(letter);
        }
    }

    /// Takes the backslash and the letter after it, and writes something else.
    fn write(&mut self, text: &str) {
        self.next();
        self.next();
        self.out.push_str(text);
    }

    /// `\cX`: the control character of a letter.
    fn control(&mut self) -> Result<(), QueryError> {
        let Some(letter) = self.rest().chars().nth(2).filter(char::is_ascii) else {
            return Err(self.error("\\c must be followed by a letter"));
        };
        self.write("");
        self.next();
        self.code(u32::from(letter) ^ 64);
        Ok(())
    }

    /// `\0n`, `\0nn` or, up to 0377, `\0nnn`.
    fn octal(&mut self) -> Result<(), QueryError> {
        let begin = self.at;
        self.write("");
        let (mut code, mut digits) = (0, 0);
        while let Some(digit) = self.peek().and_then(|next| next.to_digit(8)) {
            if digits == 3 || code * 8 + digit > 0o377 {
                break;
            }
            code = code * 8 + digit;
            digits += 1;
            self.next();
        }
        if digits == 0 {
            return Err(QueryError::new(begin, "\\0 must be followed by octal digits"));
        }
        self.code(code);
        Ok(())
    }

    /// `\xhh`, `\x{h…h}` or `\uhhhh`.
    fn hexadecimal(&mut self) -> Result<(), QueryError> {
        let begin = self.at;
        let braced = self.rest().starts_with("\\x{");
        let width = if self.rest().starts_with("\\x") { 2 } else { 4 };
        self.write("");
        let digits = match braced {
            true => self.rest().trim_start_matches('{').split('}').next(),
            false => self.rest().get(..width),
        };
        let is_hex = |text: &&str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = digits.filter(is_hex).and_then(|text| u32::from_str_radix(text, 16).ok());
        let Some(code) = code.filter(|&code| char::from_u32(code).is_some()) else {
            return Err(QueryError::new(begin, "\\x or \\u does not name a character"));
        };
        let braces = if braced { 2 } else { 0 };
        self.at += digits.map_or(0, str::len) + braces;
        self.code(code);
        Ok(())
    }

    fn code(&mut self, code: u32) {
        self.out.push_str(&format!("\\x{{{code:X}}}"));
    }

    /// `\p{Name}`, `\pN` and their opposites.
    fn property(&mut self) -> Result<(), QueryError> {
        let begin = *self.rest().as_bytes().get(1).unwrap_or(&b'p');
        let refuse = |name: &str| {
            self.unsupported(&format!("the property \\{}{{{name}}}", char::from(begin)))
        };
        let after = self.rest().get(2..).unwrap_or_default();
        let (name, length) = match after.strip_prefix('{') {
            Some(inside) => match inside.split_once('}') {
                Some((name, _)) => (name, name.len() + 2),
                None => return Err(self.error("the name of a property has no '}'")),
            },
            None => {
                let length = after.chars().next().map_or(0, char::len_utf8);
                (after.get(..length).unwrap_or_default(), length)
            }
        };
        let negated = begin == b'P';
        let text = match POSIX.iter().find(|(java, _)| *java == name) {
            Some((_, posix)) => format!("[[:{}{posix}:]]", if negated { "^" } else { "" }),
            None => {
                let category = name.strip_prefix("Is").unwrap_or(name);
                let mut letters = category.chars();
                let known = letters.next().is_some_and(|letter| "LMNPSZC".contains(letter))
                    && letters.next().is_none_or(|letter| letter.is_ascii_lowercase())
                    && letters.next().is_none();
                if !known {
                    return Err(refuse(name));
                }
                format!("\\{}{{{category}}}", char::from(begin))
            }
        };
        self.write(&text);
        self.at += length;
        Ok(())
    }

    /// `\Q…\E`: all that is between stands for itself.
    fn quotation(&mut self) {
        self.write("");
        let quoted = self.rest().split("\\E").next().unwrap_or_default();
        quoted.chars().for_each(|letter| self.literal(letter));
        self.at += quoted.len();
        self.take("\\E");
    }
}
