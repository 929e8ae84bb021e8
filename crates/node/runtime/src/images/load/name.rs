//! What an image of a file is called.

use std::path::Path;

use crate::images::manifest::Descriptor;
use crate::images::{ImageError, ImageReference, LoadError};

/// The whole name, as containerd and newer Dockers write it.
const FULL_NAME: &str = "io.containerd.image.name";
/// A name, or only a tag: tools differ.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What is cut off a file's name, again and again.
const SUFFIXES: [&str; 8] = [".gz", ".tgz", ".zst", ".tar", ".oci", ".docker", ".rootfs", ".img"];

fn annotation<'a>(entry: &'a Descriptor, key: &str) -> Option<&'a str> {
    entry.annotations.as_ref()?.get(key).map(String::as_str).filter(|text| !text.is_empty())
}

/// Whether an index's entry says what it is called.
pub(super) fn is_named(entry: &Descriptor) -> bool {
    annotation(entry, FULL_NAME).or_else(|| annotation(entry, REF_NAME)).is_some()
}

/// The names of an index's entry. A bare tag names nothing.
pub(super) fn of_descriptor(entry: &Descriptor) -> Result<Vec<ImageReference>, ImageError> {
    let malformed = |error| ImageError::malformed("index.json", error);
    if let Some(name) = annotation(entry, FULL_NAME) {
        return Ok(vec![name.parse().map_err(malformed)?]);
    }
    match annotation(entry, REF_NAME) {
        Some(name) if name.contains([':', '/']) => Ok(vec![name.parse().map_err(malformed)?]),
        _ => Ok(Vec::new()),
    }
}

/// The file's name without its suffixes, as an image's name: `nginx.tar.gz` is `nginx:latest`.
pub(super) fn of_file(file: &Path) -> Result<ImageReference, LoadError> {
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let mut stem = name.unwrap_or_default();
    while let Some(cut) = SUFFIXES.iter().find_map(|suffix| stem.strip_suffix(suffix)) {
        stem = cut.to_owned();
    }
    stem.parse().map_err(|_| LoadError::Name {
        file: file.to_owned(),
        problem: format!("and '{stem}' cannot be an image's name"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_name_images() {
        let check = |file: &str, expected: &str| {
            assert_eq!(of_file(Path::new(file)).unwrap().familiar(), expected, "{file}");
        };
        check("/tmp/nginx.tar", "nginx:latest");
        check("Alpine-3.20.rootfs.tar.gz", "alpine-3.20:latest");
        check("app.oci.tar.zst", "app:latest");
        check("layout", "layout:latest");
        assert!(of_file(Path::new("/tmp/ .tar")).is_err());
        assert!(of_file(Path::new("/")).is_err());
    }
}
