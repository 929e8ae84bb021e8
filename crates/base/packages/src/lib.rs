//! What packages the files of an image say that it has: data bases of dpkg, apk and rpm, and what Rust, Go,
//! Python and npm leave; and which of them advisories in OSV's form are about.
//!
//! [`Form::of`] tells by its path whether a file is of interest, [`Form::read`] reads it. All is pure: bytes
//! in, packages out. [`Form::read_from`] reads no more of a file than is bounded.
//!
//! **Invariant:** no bytes make a reader panic, loop, or hold more than a few times their own length.
//! **Invariant:** what cannot be read is an error that says what is wrong; never an empty list.

mod apk;
mod cargo_lock;
mod dpkg;
mod go;
mod npm;
mod os_release;
mod osv;
mod python;
mod rpm;
mod stanzas;
mod versions;

use std::fmt;
use std::io::{self, Read};

pub use os_release::Release;
pub use osv::{Advisory, Match, Severity, base_score, is_same_ecosystem, search_name};
pub use versions::compare;

/// The largest data base of a distribution that is read, in bytes.
const DATA_BASE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The largest file of a language that is read, in bytes.
const TEXT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Packages of one file.
const PACKAGES_MAX: usize = 200_000;
/// The longest name and the longest version of a package, in bytes.
const WORD_BYTES_MAX: usize = 1024;

/// Whose numbering of versions a package follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecosystem {
    /// Debian and what is made of it: dpkg.
    Dpkg,
    /// Alpine and what is made of it: apk.
    Apk,
    /// Red Hat, SUSE and what is made of them: rpm.
    Rpm,
    /// Rust's crates.io.
    CratesIo,
    /// Go's modules.
    Go,
    /// Python's PyPI.
    PyPi,
    /// npm.
    Npm,
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // OSV's names, where it has one for all of them.
        f.write_str(match self {
            Self::Dpkg => "dpkg",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::CratesIo => "crates.io",
            Self::Go => "Go",
            Self::PyPi => "PyPI",
            Self::Npm => "npm",
        })
    }
}

/// A package that an image has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Package {
    /// Whose it is.
    pub ecosystem: Ecosystem,
    /// Its name, as the ecosystem spells it.
    pub name: String,
    /// Its version, epoch and release included, as the ecosystem writes it.
    pub version: String,
    /// What it was built from, where that has another name: advisories are about that.
    pub source: Option<Source>,
    /// The machine that it is for, if it says.
    pub arch: Option<String>,
}

/// What a package was built from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Package {
    fn new(ecosystem: Ecosystem, name: impl Into<String>, version: impl Into<String>) -> Self {
        let (name, version) = (name.into(), version.into());
        Self { ecosystem, name, version, source: None, arch: None }
    }
}

/// Why a file gives no packages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is not of its form.
    #[error("{0}")]
    Malformed(String),
    /// It is of a form that is not read here.
    #[error("{0}")]
    Unsupported(String),
    /// There is more in it than is read.
    #[error("more than {PACKAGES_MAX} packages")]
    TooMany,
    /// It is larger than what is read.
    #[error("it has {size_bytes} bytes; at most {limit_bytes} are read")]
    TooLarge {
        /// Its length.
        size_bytes: u64,
        /// What is read at most.
        limit_bytes: u64,
    },
}

fn malformed<T>(text: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Malformed(text.into()))
}

/// What a file of interest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `var/lib/dpkg/status`, and the files of `status.d` of images without dpkg.
    DpkgStatus,
    /// `lib/apk/db/installed`.
    ApkInstalled,
    /// `rpmdb.sqlite`.
    RpmSqlite,
    /// `Packages` and `Packages.db` of older rpms.
    RpmOlder,
    /// `Cargo.lock`.
    CargoLock,
    /// `go.sum`.
    GoSum,
    /// A program that may have been made of Go.
    Program,
    /// `requirements.txt`.
    Requirements,
    /// `METADATA` or `PKG-INFO` of an installed distribution.
    PythonMetadata,
    /// `package-lock.json`, also npm's hidden one.
    PackageLock,
}

impl Form {
    /// What a file is by its path, without a slash before it; none if it is of no interest.
    pub fn of(path: &str) -> Option<Self> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = folder.rsplit_once('/').map_or(folder, |(_, last)| last);
        Some(match (folder, parent, name) {
            ("var/lib/dpkg", _, "status") => Self::DpkgStatus,
            ("var/lib/dpkg/status.d", _, name) if !name.ends_with(".md5sums") => Self::DpkgStatus,
            ("lib/apk/db" | "usr/lib/apk/db", _, "installed") => Self::ApkInstalled,
            (_, "rpm", "rpmdb.sqlite") if is_rpm(folder) => Self::RpmSqlite,
            (_, "rpm", "Packages" | "Packages.db") if is_rpm(folder) => Self::RpmOlder,
            (_, _, "Cargo.lock") => Self::CargoLock,
            (_, _, "go.sum") => Self::GoSum,
            (_, _, "requirements.txt") => Self::Requirements,
            (_, _, "METADATA") if parent.ends_with(".dist-info") => Self::PythonMetadata,
            (_, _, "PKG-INFO") if parent.ends_with(".egg-info") => Self::PythonMetadata,
            (_, _, "package-lock.json" | ".package-lock.json") => Self::PackageLock,
            (_, "bin" | "sbin", _) => Self::Program,
            // Where images of one program have it.
            ("" | "app" | "ko-app", _, name) if !name.contains('.') => Self::Program,
            _ => return None,
        })
    }

    /// The packages in a file of this form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(self, bytes: &[u8]) -> Result<Vec<Package>, ReadError> {
        let packages = match self {
            Self::DpkgStatus => dpkg::read(bytes),
            Self::ApkInstalled => apk::read(bytes),
            Self::RpmSqlite => rpm::read(bytes),
            Self::RpmOlder => Err(ReadError::Unsupported(
                "rpm's data base in Berkeley DB or ndb form is not read; that of rpm 4.16 and later \
                 in SQLite form is"
                    .to_owned(),
            )),
            Self::CargoLock => cargo_lock::read(bytes),
            Self::GoSum => go::read_sum(bytes),
            Self::Program => go::read_program(bytes),
            Self::Requirements => python::read_requirements(bytes),
            Self::PythonMetadata => python::read_metadata(bytes),
            Self::PackageLock => npm::read(bytes),
        }?;
        if packages.len() > PACKAGES_MAX {
            return Err(ReadError::TooMany);
        }
        let is_short = |text: &str| text.len() <= WORD_BYTES_MAX;
        match packages.iter().all(|one| is_short(&one.name) && is_short(&one.version)) {
            true => Ok(packages),
            false => malformed(format!("a name or version has over {WORD_BYTES_MAX} bytes")),
        }
    }

    /// The packages in a file of this form of so many bytes; `file` need not be read to its end. Of a
    /// program, no more is held at a time than what Go says of it.
    ///
    /// # Errors
    /// If it cannot be read; within, what is wrong with it.
    pub fn read_from(
        self,
        file: &mut impl Read,
        size_bytes: u64,
    ) -> io::Result<Result<Vec<Package>, ReadError>> {
        if self == Self::Program {
            let info = go::find_info(file)?;
            return Ok(info.map_or_else(|| Ok(Vec::new()), |info| self.read(&info)));
        }
        let limit_bytes = if self.is_of_system() { DATA_BASE_BYTES_MAX } else { TEXT_BYTES_MAX };
        if size_bytes > limit_bytes {
            return Ok(Err(ReadError::TooLarge { size_bytes, limit_bytes }));
        }
        let mut bytes = Vec::new();
        file.take(limit_bytes).read_to_end(&mut bytes)?;
        Ok(self.read(&bytes))
    }

    /// Whether it is a distribution's own data base: without it, nothing is known of its packages.
    pub fn is_of_system(self) -> bool {
        match self {
            Self::DpkgStatus | Self::ApkInstalled | Self::RpmSqlite | Self::RpmOlder => true,
            Self::CargoLock
            | Self::GoSum
            | Self::Program
            | Self::Requirements
            | Self::PythonMetadata
            | Self::PackageLock => false,
        }
    }
}

fn is_rpm(folder: &str) -> bool {
    matches!(folder, "var/lib/rpm" | "usr/lib/sysimage/rpm" | "usr/share/rpm")
}

/// A file's text.
fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, ReadError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => malformed(format!("{what} is no text")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMS: [Form; 10] = [
        Form::DpkgStatus,
        Form::ApkInstalled,
        Form::RpmSqlite,
        Form::RpmOlder,
        Form::CargoLock,
        Form::GoSum,
        Form::Program,
        Form::Requirements,
        Form::PythonMetadata,
        Form::PackageLock,
    ];

    #[test]
    fn files_are_told_by_their_paths() {
        let check = |path: &str, expected| assert_eq!(Form::of(path), expected, "{path}");
        check("var/lib/dpkg/status", Some(Form::DpkgStatus));
        check("var/lib/dpkg/status.d/base", Some(Form::DpkgStatus));
        check("var/lib/dpkg/status.d/base.md5sums", None);
        check("lib/apk/db/installed", Some(Form::ApkInstalled));
        check("var/lib/rpm/rpmdb.sqlite", Some(Form::RpmSqlite));
        check("home/rpm/rpmdb.sqlite", None);
        check("var/lib/rpm/Packages", Some(Form::RpmOlder));
        check("src/Cargo.lock", Some(Form::CargoLock));
        check("Cargo.lock", Some(Form::CargoLock));
        check(
            "usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA",
            Some(Form::PythonMetadata),
        );
        check("usr/lib/six.egg-info/PKG-INFO", Some(Form::PythonMetadata));
        check("etc/METADATA", None);
        check("app/node_modules/.package-lock.json", Some(Form::PackageLock));
        check("usr/local/bin/server", Some(Form::Program));
        check("server", Some(Form::Program));
        check("etc/passwd", None);
    }

    #[test]
    fn no_more_is_read_than_is_bounded() {
        let large = Form::CargoLock.read_from(&mut io::repeat(b'x'), TEXT_BYTES_MAX + 1).unwrap();
        assert!(matches!(large, Err(ReadError::TooLarge { .. })));
        let long = format!("Package: {}\nVersion: 1\n", "x".repeat(WORD_BYTES_MAX + 1));
        assert!(Form::DpkgStatus.read(long.as_bytes()).is_err());
        let mut text = &b"Package: a\nVersion: 1\n"[..];
        let size_bytes = text.len() as u64;
        assert_eq!(Form::DpkgStatus.read_from(&mut text, size_bytes).unwrap().unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            for form in FORMS {
                let _ = form.read(&bytes);
            }
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "([A-Za-z]{1,9}[:=] ?[^\\n]{0,20}\\n|\\n| [a-z.]+\\n){0,40}") {
            for form in FORMS {
                let _ = form.read(text.as_bytes());
            }
        }
    }
}
