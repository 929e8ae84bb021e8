//! Go: `go.sum`, and what `go build` writes into programs (debug/buildinfo).

use std::io::{self, Read};

use crate::{Ecosystem, Package, ReadError, malformed, text};

/// How what `go build` writes begins.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// It lies at such a place.
const ALIGNMENT: usize = 16;
/// Where its texts begin, behind the magic, a length and flags.
const TEXTS_AT: usize = 32;
/// The flag that the texts stand here (Go 1.18 and later) instead of behind pointers.
const INLINE: u8 = 2;
/// What stands before and behind the modules.
const SENTINEL_BYTES: usize = 16;
/// What is searched at a time: a multiple of the alignment, so that no magic is cut in two.
const WINDOW_BYTES: usize = 64 * 1024;
/// What is kept behind the magic, in bytes: modules of the largest programs are told in some 100 KiB.
const INFO_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Modules whose content is known by its hash; those of which `go.mod` alone is known are not in the
/// program.
pub(crate) fn read_sum(bytes: &[u8]) -> Result<Vec<Package>, ReadError> {
    let mut packages = Vec::new();
    for line in text(bytes, "go.sum")?.lines().filter(|line| !line.trim().is_empty()) {
        let mut parts = line.split_whitespace();
        let (Some(name), Some(version), Some(_)) = (parts.next(), parts.next(), parts.next())
        else {
            return malformed("a line of go.sum has not three parts");
        };
        if !version.ends_with("/go.mod") {
            packages.push(module(name, version));
        }
    }
    Ok(packages)
}

fn module(name: &str, version: &str) -> Package {
    Package::new(Ecosystem::Go, name, version.strip_prefix('v').unwrap_or(version))
}

/// The modules that a program was built of, its language's own library among them; none if it was not
/// made by Go.
pub(crate) fn read_program(bytes: &[u8]) -> Result<Vec<Package>, ReadError> {
    let Some(at) = find(bytes) else { return Ok(Vec::new()) };
    let info = &bytes[at..];
    let Some(flags) = info.get(MAGIC.len() + 1) else {
        return malformed("the build information of a Go program breaks off");
    };
    if flags & INLINE == 0 {
        let text = "the build information of Go before 1.18 is not read";
        return Err(ReadError::Unsupported(text.to_owned()));
    }
    let rest = info.get(TEXTS_AT..).unwrap_or_default();
    let Some((version, rest)) = take_text(rest) else {
        return malformed("a Go program does not say its version");
    };
    let Some((modules, _)) = take_text(rest) else {
        return malformed("a Go program does not say its modules");
    };
    let version = String::from_utf8_lossy(version);
    let mut packages = Vec::new();
    if let Some(version) = version.split(' ').next().and_then(|text| text.strip_prefix("go")) {
        packages.push(Package::new(Ecosystem::Go, "stdlib", version));
    }
    let inner = modules.len().checked_sub(2 * SENTINEL_BYTES);
    let inner = inner.map_or(&[][..], |length| &modules[SENTINEL_BYTES..SENTINEL_BYTES + length]);
    for line in text(inner, "what a Go program says of its modules")?.lines() {
        let mut parts = line.split('\t');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("dep"), Some(name), Some(version)) => packages.push(module(name, version)),
            // In place of the one before.
            (Some("=>"), Some(name), Some(version)) => {
                packages.pop();
                packages.push(module(name, version));
            }
            _ => {}
        }
    }
    Ok(packages)
}

/// What `go build` wrote into a program, from its magic on, and perhaps more; none if there is none.
pub(crate) fn find_info(program: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut window = Vec::with_capacity(WINDOW_BYTES);
    loop {
        window.clear();
        program.by_ref().take(WINDOW_BYTES as u64).read_to_end(&mut window)?;
        if let Some(at) = find(&window) {
            let mut info = window.split_off(at);
            program.by_ref().take(INFO_BYTES_MAX).read_to_end(&mut info)?;
            return Ok(Some(info));
        }
        if window.len() < WINDOW_BYTES {
            return Ok(None);
        }
    }
}

fn find(bytes: &[u8]) -> Option<usize> {
    let places = (0..bytes.len()).step_by(ALIGNMENT);
    places.into_iter().find(|at| bytes[*at..].starts_with(MAGIC))
}

/// A text with its length before it, in seven bits a byte.
fn take_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut shift) = (0_u64, 0);
    for (index, byte) in bytes.iter().enumerate().take(9) {
        length |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            let rest = &bytes[index + 1..];
            return rest.split_at_checked(usize::try_from(length).ok()?);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put_text(out: &mut Vec<u8>, text: &[u8]) {
        let mut length = text.len();
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(text);
    }

    /// A program as `go build` makes it, as far as it matters here.
    fn program(before: usize, version: &str, modules: &str) -> Vec<u8> {
        let mut bytes = vec![0; before * ALIGNMENT];
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[8, INLINE]);
        bytes.resize(before * ALIGNMENT + TEXTS_AT, 0);
        put_text(&mut bytes, version.as_bytes());
        let wrapped = [&[0x30; SENTINEL_BYTES][..], modules.as_bytes(), &[0x31; SENTINEL_BYTES]];
        put_text(&mut bytes, &wrapped.concat());
        bytes
    }

    #[test]
    fn programs_say_what_they_are_made_of() {
        let modules = "path\tx.test/app\nmod\tx.test/app\t(devel)\t\ndep\tgolang.org/x/net\tv0.17.0\th1:a=\n\
                       dep\tx.test/old\tv1.0.0\n=>\tx.test/new\tv1.1.0\th1:b=\nbuild\t-compiler=gc\n";
        let packages = read_program(&program(5, "go1.21.3 X:boring", modules)).unwrap();
        let told: Vec<_> =
            packages.iter().map(|one| (one.name.as_str(), one.version.as_str())).collect();
        let expected =
            [("stdlib", "1.21.3"), ("golang.org/x/net", "0.17.0"), ("x.test/new", "1.1.0")];
        assert_eq!(told, expected);
        assert_eq!(read_program(b"\x7fELF and no more").unwrap(), []);
        let mut old = program(0, "go1.17", "");
        old[MAGIC.len() + 1] = 0;
        assert!(matches!(read_program(&old), Err(ReadError::Unsupported(_))));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            modules in prop::collection::vec(("[a-z]{1,6}\\.test/[a-z0-9/]{1,10}", "[0-9]\\.[0-9]{1,2}\\.[0-9]"), 0..30),
            before in prop_oneof![0..40_usize, 4_090..4_100_usize, 9_000..9_010_usize],
        ) {
            let expected: Vec<_> =
                modules.iter().map(|(name, version)| Package::new(Ecosystem::Go, name, version)).collect();
            let sum: String = modules.iter()
                .map(|(name, version)| format!("{name} v{version} h1:x=\n{name} v{version}/go.mod h1:y=\n"))
                .collect();
            prop_assert_eq!(&read_sum(sum.as_bytes()).unwrap(), &expected);
            let lines: String = modules.iter()
                .map(|(name, version)| format!("dep\t{name}\tv{version}\th1:x=\n"))
                .collect();
            let whole = program(before, "go1.22.1", &lines);
            let found = read_program(&whole).unwrap();
            prop_assert_eq!(&found[1..], &expected[..]);
            let info = find_info(&mut &whole[..]).unwrap().unwrap();
            prop_assert_eq!(read_program(&info).unwrap(), found);
        }

        #[test]
        fn what_breaks_off_is_no_panic(length in 0..200_usize) {
            let whole = program(1, "go1.22.1", "dep\tx.test/a\tv1.0.0\n");
            let _ = read_program(&whole[..length.min(whole.len())]);
        }
    }
}
