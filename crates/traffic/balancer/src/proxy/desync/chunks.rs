//! Finds the end of a chunked body (RFC 9112, 7.1), strictly: lines end with both CR and LF.

/// Longest line of a chunk's size with its extensions, or of a trailer, in bytes.
const LINE_MAX: usize = 8 * 1024;
/// Most digits of a chunk's size.
const DIGITS_MAX: u32 = 15;

/// Where in a chunked body the next byte is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Chunks {
    state: State,
    /// Length of the line so far.
    line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// In the digits: the size so far, and how many there are.
    Size(u64, u32),
    /// In an extension of a chunk of this size.
    Extension(u64),
    /// Behind a size line's CR.
    SizeEnd(u64),
    /// So many bytes are left.
    Data(u64),
    /// Before the CR behind the data.
    DataEnd,
    /// Before its LF.
    DataEndLf,
    /// In a trailer line.
    Trailer,
    /// Behind its CR.
    TrailerEnd,
    /// Whole.
    End,
}

/// What is no chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Broken;

impl Chunks {
    /// Before the first chunk.
    pub(in crate::proxy) fn new() -> Self {
        Self { state: State::Size(0, 0), line: 0 }
    }

    /// Whether the body is whole.
    pub(in crate::proxy) fn is_over(&self) -> bool {
        self.state == State::End
    }

    /// Goes over bytes; gives how many of them belong to the body.
    ///
    /// # Errors
    /// [`Broken`].
    pub(in crate::proxy) fn take(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        self.read(bytes, |_| (), |_| ())
    }

    /// The same, with the chunks' data, and all bytes behind the last chunk, the line that ends them, too.
    ///
    /// # Errors
    /// [`Broken`].
    pub(in crate::proxy) fn read(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]),
        mut behind: impl FnMut(u8),
    ) -> Result<usize, Broken> {
        let mut at = 0;
        while at < bytes.len() && !self.is_over() {
            if let State::Data(left) = &mut self.state {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                *left -= here as u64;
                data(&bytes[at..at + here]);
                at += here;
                if *left == 0 {
                    self.state = State::DataEnd;
                }
                continue;
            }
            let is_behind = matches!(self.state, State::Trailer | State::TrailerEnd);
            self.step(bytes[at])?;
            if is_behind {
                behind(bytes[at]);
            }
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<(), Broken> {
        self.line += 1;
        if self.line > LINE_MAX {
            return Err(Broken);
        }
        let next = match (&self.state, byte) {
            (State::Size(size, digits), _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                match *digits < DIGITS_MAX {
                    true => State::Size(size * 16 + digit, digits + 1),
                    false => return Err(Broken),
                }
            }
            (State::Size(_, 0), _) => return Err(Broken),
            (State::Size(size, _) | State::Extension(size), b'\r') => State::SizeEnd(*size),
            (State::Size(size, _), b';' | b' ' | b'\t') => State::Extension(*size),
            (State::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => State::Extension(*size),
            (State::SizeEnd(0), b'\n') => self.begin_line(State::Trailer),
            (State::SizeEnd(size), b'\n') => self.begin_line(State::Data(*size)),
            (State::DataEnd, b'\r') => State::DataEndLf,
            (State::DataEndLf, b'\n') => self.begin_line(State::Size(0, 0)),
            (State::Trailer, b'\r') => State::TrailerEnd,
            // An empty line: only its CR was counted, and this.
            (State::TrailerEnd, b'\n') if self.line == 2 => State::End,
            (State::TrailerEnd, b'\n') => self.begin_line(State::Trailer),
            (State::Trailer, b'\t' | b' '..=b'~' | 0x80..) => State::Trailer,
            _ => return Err(Broken),
        };
        self.state = next;
        Ok(())
    }

    fn begin_line(&mut self, state: State) -> State {
        self.line = 0;
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes of a text are the body, however it is cut; none if it is broken.
    fn ends(text: &str) -> Option<usize> {
        let whole = {
            let mut chunks = Chunks::new();
            chunks.take(text.as_bytes()).ok().map(|taken| (taken, chunks.is_over()))
        };
        let mut one_by_one = Chunks::new();
        let mut taken = 0;
        for byte in text.as_bytes() {
            match one_by_one.take(&[*byte]) {
                Ok(more) => taken += more,
                Err(Broken) => {
                    assert_eq!(whole, None, "{text:?}");
                    return None;
                }
            }
        }
        assert_eq!(whole, Some((taken, one_by_one.is_over())), "{text:?}");
        one_by_one.is_over().then_some(taken)
    }

    #[test]
    fn a_body_ends_with_its_last_chunk() {
        assert_eq!(ends("0\r\n\r\n"), Some(5));
        assert_eq!(ends("5\r\nhello\r\n0\r\n\r\nGET /"), Some(15));
        assert_eq!(ends("a;name=\"value\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"), Some(45));
        assert_eq!(ends("5\r\nhel"), None);
        for broken in [
            "\r\n",
            "g\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "-5\r\n",
            "0x5\r\nhello\r\n",
            "5;\n\r\nhello",
            "ffffffffffffffff\r\n",
            "0\r\nTrailer: x\n\r\n",
        ] {
            assert_eq!(ends(broken), None, "{broken:?}");
            let mut chunks = Chunks::new();
            assert_eq!(chunks.take(broken.as_bytes()), Err(Broken), "{broken:?}");
        }
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(LINE_MAX));
        assert_eq!(Chunks::new().take(long.as_bytes()), Err(Broken));
    }
}
