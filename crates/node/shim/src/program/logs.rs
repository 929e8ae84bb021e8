//! The container's output on disk: Docker's json-file lines, turned over by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};

use shim::{Keep, LogOptions, WhenFull, file};

use super::clock::Instant;

/// The longest piece of one line in bytes: Docker cuts there too.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// How a file's first line begins if the files are read by their places.
const PLACE: &str = "{\"n\":";

/// Which of the two outputs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Writes the log. It never fails and never blocks for long: what the disk does not take is lost,
/// and said once in the shim's own log, because a container must not stop for its output.
pub(crate) struct Log {
    options: LogOptions,
    current: Option<File>,
    /// Bytes of all files before the current one.
    base: u64,
    /// Bytes of the current file.
    size: u64,
    /// Up to where all is sent on, as far as we know.
    sent: u64,
    complained: bool,
    dropped: bool,
    /// What was read of a line whose end has not come, by stream.
    partial: [Vec<u8>; 2],
    out: Vec<u8>,
}

impl Log {
    /// Goes on with what is in the folder already.
    pub(crate) fn new(options: LogOptions) -> Self {
        let mut log = Self {
            options,
            current: None,
            base: 0,
            size: 0,
            sent: 0,
            complained: false,
            dropped: false,
            partial: [Vec::new(), Vec::new()],
            out: Vec::new(),
        };
        log.size = fs::metadata(file::LOG).map_or(0, |found| found.len());
        if matches!(log.options.keep, Keep::Unsent(_)) {
            log.base = match log.size {
                0 => place_of(&older(1)).map_or(0, |(place, length)| place + length),
                _ => place_of(file::LOG).map_or(0, |(place, _)| place),
            };
        }
        log
    }

    /// Whether more output may be read now.
    pub(crate) fn has_room(&mut self) -> bool {
        match self.options.keep {
            Keep::Unsent(unsent) if unsent.when_full == WhenFull::Wait => {
                self.is_below(unsent.bytes_max)
            }
            Keep::Log | Keep::Nothing | Keep::Unsent(_) => true,
        }
    }

    /// Whether less than so many bytes wait to be sent.
    fn is_below(&mut self, most: u64) -> bool {
        let end = self.base + self.size;
        if end - self.sent.min(end) >= most {
            let sent = fs::read_to_string(file::SENT).ok();
            self.sent = sent.and_then(|text| text.trim().parse().ok()).unwrap_or(self.sent);
        }
        end - self.sent.min(end) < most
    }

    /// Takes what one stream said.
    pub(crate) fn take(&mut self, stream: Stream, mut bytes: &[u8]) {
        if self.options.keep == Keep::Nothing {
            return;
        }
        let mut partial = std::mem::take(&mut self.partial[stream as usize]);
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - partial.len();
            let end = bytes.iter().take(room).position(|b| *b == b'\n');
            let length = end.map_or(room.min(bytes.len()), |at| at + 1);
            partial.extend_from_slice(&bytes[..length]);
            bytes = &bytes[length..];
            if end.is_some() {
                self.line(stream, &partial);
                partial.clear();
            } else if partial.len() == LINE_BYTES_MAX {
                let whole = whole_characters(&partial);
                self.line(stream, &partial[..whole]);
                partial.drain(..whole);
            }
        }
        // An idle container's buffers cost nothing.
        if !partial.is_empty() {
            self.partial[stream as usize] = partial;
        }
        self.flush();
    }

    /// Writes what is left of a line without an end, and ends it as Docker does: a container that
    /// is started again begins on a line of its own.
    pub(crate) fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut rest = std::mem::take(&mut self.partial[stream as usize]);
            if !rest.is_empty() {
                rest.push(b'\n');
                self.line(stream, &rest);
            }
        }
        self.flush();
    }

    fn line(&mut self, stream: Stream, line: &[u8]) {
        if let Keep::Unsent(unsent) = self.options.keep
            && unsent.when_full == WhenFull::Drop
            && !self.is_below(unsent.bytes_max)
        {
            if !std::mem::replace(&mut self.dropped, true) {
                eprintln!("longshore-shim: output is dropped: it comes faster than it is sent on");
            }
            return;
        }
        let mut entry = Vec::with_capacity(line.len() + 96);
        entry.extend_from_slice(b"\"log\":");
        let _ = serde_json::to_writer(&mut entry, String::from_utf8_lossy(line).as_ref());
        let _ = write!(entry, ",\"stream\":\"{}\"", stream.name());
        if !self.options.attributes.is_empty() {
            entry.extend_from_slice(b",\"attrs\":");
            let _ = serde_json::to_writer(&mut entry, &self.options.attributes);
        }
        let _ = writeln!(entry, ",\"time\":\"{}\"}}", Instant::now());
        if self.size > 0 && self.size + entry.len() as u64 >= self.options.size_max_bytes {
            self.flush();
            self.turn_over();
        }
        let start = self.out.len();
        match (self.options.keep, self.size) {
            (Keep::Unsent(_), 0) => {
                let _ = write!(self.out, "{PLACE}{},", self.base);
            }
            _ => self.out.push(b'{'),
        }
        self.out.extend_from_slice(&entry);
        self.size += (self.out.len() - start) as u64;
    }

    fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let out = std::mem::take(&mut self.out);
        let written = self.file().and_then(|file| file.write_all(&out));
        let Err(error) = written else { return };
        // The places are those of the file, not of what it should have been.
        self.size = fs::metadata(file::LOG).map_or(0, |found| found.len());
        if !std::mem::replace(&mut self.complained, true) {
            eprintln!("longshore-shim: output is lost: cannot write {}: {error}", file::LOG);
        }
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.current.is_none() {
            let opened = OpenOptions::new().create(true).append(true).open(file::LOG)?;
            self.current = Some(opened);
        }
        self.current.as_mut().ok_or_else(|| io::Error::other("no log file"))
    }

    /// Makes the current file the first old one, and drops the oldest.
    fn turn_over(&mut self) {
        self.current = None;
        self.base += std::mem::take(&mut self.size);
        let oldest = self.options.files_max.saturating_sub(1);
        if oldest == 0 {
            let _ = fs::remove_file(file::LOG);
            return;
        }
        for age in (0..oldest).rev() {
            turn(age);
        }
        if self.options.compress
            && let Err(error) = compress(&older(1))
        {
            eprintln!("longshore-shim: an older file stays as it is: {error}");
        }
    }
}

/// Makes a file one turn older, compressed or not, in the place of the one that was so old. After a
/// crash both may be there: they are the same, and one stays.
fn turn(age: u32) {
    let from = [older(age), compressed(&older(age))];
    let Some((kind, from)) =
        from.iter().enumerate().find(|(_, path)| fs::exists(path).is_ok_and(|is| is))
    else {
        return;
    };
    let to = [older(age + 1), compressed(&older(age + 1))];
    let _ = fs::rename(from, &to[kind]);
    let _ = fs::remove_file(&to[1 - kind]);
}

/// Puts a compressed file in the place of a plain one. The container's output waits meanwhile: a
/// tenth of a second for the usual 10 MiB.
fn compress(path: &str) -> io::Result<()> {
    let unfinished = format!("{path}.new");
    let out = File::create(&unfinished)?;
    let mut out = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
    io::copy(&mut File::open(path)?, &mut out)?;
    out.finish()?;
    fs::rename(unfinished, compressed(path))?;
    fs::remove_file(path)
}

fn compressed(path: &str) -> String {
    format!("{path}.gz")
}

/// The name of an older file; the current one is of age 0.
fn older(age: u32) -> String {
    match age {
        0 => file::LOG.to_owned(),
        _ => format!("{}.{age}", file::LOG),
    }
}

/// The place at which a file begins, and its length.
fn place_of(name: &str) -> Option<(u64, u64)> {
    let file = File::open(name).ok()?;
    let length = file.metadata().ok()?.len();
    let mut head = Vec::new();
    file.take(32).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let digits = head.strip_prefix(PLACE)?;
    Some((digits.split(',').next()?.parse().ok()?, length))
}

/// How much of a piece of a line is whole characters: one must not be cut in two.
fn whole_characters(piece: &[u8]) -> usize {
    let length = piece.len();
    for back in 1..=length.min(3) {
        let wanted = match piece[length - back] {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            _ => 1,
        };
        return if wanted > back { length - back } else { length };
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_not_cut_in_two() {
        let check = |text: &[u8], expected: usize| assert_eq!(whole_characters(text), expected);
        check(b"abc", 3);
        check("abé".as_bytes(), 4);
        check(&"abé".as_bytes()[..3], 2);
        check(&"a€".as_bytes()[..3], 1);
        check("a€".as_bytes(), 4);
        check(&"a😀".as_bytes()[..4], 1);
        check("a😀".as_bytes(), 5);
        // What is no text stays as it is.
        check(&[0x80, 0x80, 0x80, 0x80], 4);
    }
}
