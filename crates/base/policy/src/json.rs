//! JSON with places: which bytes of the text each value came from. `serde_json` keeps neither
//! places nor repeated keys, and policies need both.

/// How deep values may nest; policies need six levels.
const DEPTH_MAX: usize = 32;

/// A value and the bytes of the text that it took.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A member of an object: its name, where the name begins, its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) start: usize,
    pub(crate) node: Node,
}

/// What a value is. Numbers stay as they were written.
#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

impl Node {
    /// A scalar as text: policies may write booleans and numbers bare.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text.clone()),
            Value::Boolean(value) => Some(value.to_string()),
            Value::Null | Value::List(_) | Value::Object(_) => None,
        }
    }

    /// The members, if it is an object.
    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Object(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items of a list, or the value itself: scalar and list of one are the same.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }
}

/// Where a text stops being JSON, or has a key twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) at: usize,
    pub(crate) is_duplicate: bool,
}

/// The value of a text.
pub(crate) fn parse(text: &str) -> Result<Node, Broken> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value(0)?;
    reader.blanks();
    if reader.at < text.len() { Err(reader.broken()) } else { Ok(node) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn broken(&self) -> Broken {
        Broken { at: self.at, is_duplicate: false }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Node, Broken> {
        self.blanks();
        let start = self.at;
        if depth > DEPTH_MAX {
            return Err(self.broken());
        }
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node { value, start, end: self.at })
    }

    fn word(&mut self) -> Result<Value, Broken> {
        let words = [
            ("true", Value::Boolean(true)),
            ("false", Value::Boolean(false)),
            ("null", Value::Null),
        ];
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, value) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.broken())
    }

    fn object(&mut self, depth: usize) -> Result<Value, Broken> {
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        self.blanks();
        if self.take(b'}') {
            return Ok(Value::Object(entries));
        }
        loop {
            self.blanks();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.broken());
            }
            let key = self.string()?;
            if entries.iter().any(|entry| entry.key == key) {
                return Err(Broken { at: start, is_duplicate: true });
            }
            self.blanks();
            if !self.take(b':') {
                return Err(self.broken());
            }
            let node = self.value(depth + 1)?;
            entries.push(Entry { key, start, node });
            self.blanks();
            if self.take(b'}') {
                return Ok(Value::Object(entries));
            }
            if !self.take(b',') {
                return Err(self.broken());
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Broken> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.take(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.take(b']') {
                return Ok(Value::List(items));
            }
            if !self.take(b',') {
                return Err(self.broken());
            }
        }
    }

    fn number(&mut self) -> Result<Value, Broken> {
        let start = self.at;
        self.take(b'-');
        let whole = self.digits();
        let is_padded = whole > 1 && self.text.as_bytes()[self.at - whole] == b'0';
        let fraction = if self.take(b'.') { self.digits() } else { 1 };
        let mut exponent = 1;
        if self.take(b'e') || self.take(b'E') {
            _ = self.take(b'+') || self.take(b'-');
            exponent = self.digits();
        }
        if whole == 0 || is_padded || fraction == 0 || exponent == 0 {
            return Err(self.broken());
        }
        Ok(Value::Number(self.text[start..self.at].to_owned()))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Result<String, Broken> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(c) = rest.chars().next() else { return Err(self.broken()) };
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '\\' => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                c if c < ' ' => return Err(self.broken()),
                c => {
                    self.at += c.len_utf8();
                    out.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Broken> {
        let escaped = self.peek().ok_or_else(|| self.broken())?;
        let c = match escaped {
            b'"' | b'\\' | b'/' => char::from(escaped),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(self.broken()),
        };
        self.at += 1;
        Ok(c)
    }

    /// After the backslash, at the `u`; two of them make a character beyond the first 65,536.
    fn unicode(&mut self) -> Result<char, Broken> {
        let high = self.unit()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.broken());
        }
        if !self.take(b'\\') {
            return Err(self.broken());
        }
        let low = self.unit()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(self.broken());
        }
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        char::from_u32(code).ok_or_else(|| self.broken())
    }

    fn unit(&mut self) -> Result<u32, Broken> {
        if !self.take(b'u') {
            return Err(self.broken());
        }
        let digits = self.text.get(self.at..self.at + 4).ok_or_else(|| self.broken())?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.broken());
        }
        let unit = u32::from_str_radix(digits, 16).map_err(|_| self.broken())?;
        self.at += 4;
        Ok(unit)
    }
}
