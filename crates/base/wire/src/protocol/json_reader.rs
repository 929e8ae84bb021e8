//! Values from AWS JSON, read straight from the body's bytes.
//!
//! Type errors say what AWS's do (`STRING_VALUE cannot be converted to Integer`, seen from ECS in
//! aws/aws-cdk-cli#973) and then name the member, which AWS leaves out.

mod values;

use std::borrow::Cow;

use crate::check::Check;
use crate::value::{Malformed, Reader};

/// Deeper nesting is refused: no shape needs it, and the walk uses the stack.
pub(crate) const MAX_DEPTH: usize = 64;

/// Receives an object's entries: the reader before the value, and the name.
type OnField<'a, 'f> =
    &'f mut dyn FnMut(&mut JsonReader<'a>, Cow<'a, str>) -> Result<(), Malformed>;

/// Reads values from a JSON text.
#[derive(Debug)]
pub struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    check: &'a mut Check,
}

impl<'a> JsonReader<'a> {
    /// Walks the one value of a JSON document with `read`. An empty body counts as `{}`, as it
    /// does on AWS.
    pub fn read_document(
        body: &'a [u8],
        check: &'a mut Check,
        read: &mut dyn FnMut(&mut dyn Reader) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let text = std::str::from_utf8(body).map_err(|error| Malformed {
            message: format!(
                "The request body is not valid UTF-8 at byte {}.",
                error.valid_up_to()
            ),
        })?;
        let text = if text.trim_ascii().is_empty() { "{}" } else { text };
        let mut reader = JsonReader { text, at: 0, depth: 0, check };
        read(&mut reader)?;
        match reader.peek() {
            None => Ok(()),
            Some(_) => Err(reader.invalid("the end of the document")),
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space; stands before it.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(self.invalid(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// The text is no JSON here.
    fn invalid(&self, expected: &str) -> Malformed {
        let place = self.place();
        let message = format!(
            "The request body is not valid JSON: expected {expected} at byte {}{place}.",
            self.at
        );
        Malformed { message }
    }

    /// The value is JSON, but not of the type that the member has.
    fn mismatch(&mut self, wanted: Wanted) -> Malformed {
        let found = self.peek();
        let message = match (found, wanted) {
            (Some(b'[' | b'{' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f'), Wanted::List) => {
                "Expected list or null".to_owned()
            }
            (Some(b'[' | b'{' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f'), Wanted::Structure) => {
                "Expected structure or map or null".to_owned()
            }
            (Some(b'['), _) => "Start of list found where not expected".to_owned(),
            (Some(b'{'), _) => "Start of structure or map found where not expected".to_owned(),
            (Some(first), Wanted::Scalar(name)) => {
                let token = match first {
                    b'"' => "STRING_VALUE",
                    b'-' | b'0'..=b'9' => "NUMBER_VALUE",
                    b't' => "TRUE_VALUE",
                    b'f' => "FALSE_VALUE",
                    _ => return self.invalid("a value"),
                };
                format!("{token} cannot be converted to {name}")
            }
            _ => return self.invalid("a value"),
        };
        Malformed { message: message + &self.place() }
    }

    fn place(&self) -> String {
        let path = self.check.path();
        if path.is_empty() { path } else { format!(" (member '{path}')") }
    }

    /// Consumes `null` if it comes next.
    fn null(&mut self) -> Result<bool, Malformed> {
        Ok(self.peek() == Some(b'n') && {
            self.literal("null")?;
            true
        })
    }

    fn literal(&mut self, word: &'static str) -> Result<(), Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.invalid("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// A string, standing at its quotation mark; borrowed unless it has escapes.
    fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.expect(b'"', "a string")?;
        let text: &'a str = self.text;
        let start = self.at;
        let rest = &text.as_bytes()[start..];
        let end = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
        match end.map(|end| (start + end, rest[end])) {
            Some((end, b'"')) => {
                self.at = end + 1;
                Ok(Cow::Borrowed(&text[start..end]))
            }
            Some((end, b'\\')) => {
                self.at = end;
                self.escaped(text[start..end].to_owned()).map(Cow::Owned)
            }
            Some((end, _)) => {
                self.at = end;
                Err(self.invalid("no bare control character in a string"))
            }
            None => {
                self.at = text.len();
                Err(self.invalid("the end of the string"))
            }
        }
    }

    /// The rest of a string whose beginning is `out`, standing at a backslash.
    fn escaped(&mut self, mut out: String) -> Result<String, Malformed> {
        loop {
            let start = self.at;
            while self.byte().is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20) {
                self.at += 1;
            }
            out.push_str(&self.text[start..self.at]);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(_) => return Err(self.invalid("no bare control character in a string")),
                None => return Err(self.invalid("the end of the string")),
            }
        }
    }

    /// One escape, standing after its backslash.
    fn escape(&mut self) -> Result<char, Malformed> {
        let byte = self.byte();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => {
                self.at -= 1;
                return Err(self.invalid("an escape"));
            }
        })
    }

    /// `XXXX` or a pair of surrogates, standing after `\u`.
    fn unicode_escape(&mut self) -> Result<char, Malformed> {
        let first = self.four_digits()?;
        let code = match first {
            0xd800..=0xdbff => {
                self.literal("\\u").map_err(|_| self.invalid("a low surrogate"))?;
                let second = self.four_digits()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return Err(self.invalid("a low surrogate"));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.invalid("a character"))
    }

    fn four_digits(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let code = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.invalid("four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }

    /// The text of a number, standing at its first byte.
    fn number(&mut self) -> Result<&'a str, Malformed> {
        let text: &'a str = self.text;
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.byte() == Some(b'0');
        let whole = self.digits()?;
        if leading_zero && whole > 1 {
            return Err(self.invalid("no leading zero"));
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&text[start..self.at])
    }

    fn digits(&mut self) -> Result<usize, Malformed> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.invalid("a digit")) } else { Ok(self.at - start) }
    }

    fn descend(&mut self) -> Result<(), Malformed> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("The request body is nested more than {MAX_DEPTH} levels deep.");
            return Err(Malformed { message });
        }
        Ok(())
    }

    /// Consumes the next value, whatever it is.
    fn skip(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.text().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'[') => self.elements(&mut |reader| reader.skip()),
            Some(b'{') => self.entries(&mut |reader, _| reader.skip()),
            _ => Err(self.invalid("a value")),
        }
    }

    /// The elements of an array, standing at its bracket.
    fn elements(
        &mut self,
        each: &mut dyn FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.descend()?;
        self.expect(b'[', "'['")?;
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                each(self)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break self.at += 1,
                    _ => return Err(self.invalid("',' or ']'")),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// The entries of an object, standing at its brace; `each` stands before the value.
    fn entries(&mut self, each: OnField<'a, '_>) -> Result<(), Malformed> {
        self.descend()?;
        self.expect(b'{', "'{'")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.peek();
                let key = self.text()?;
                self.expect(b':', "':'")?;
                each(self, key)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break self.at += 1,
                    _ => return Err(self.invalid("',' or '}'")),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }
}

/// What a member's type asks for, as errors name it.
#[derive(Clone, Copy)]
enum Wanted {
    List,
    Structure,
    Scalar(&'static str),
}
