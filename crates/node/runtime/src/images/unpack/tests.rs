#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use blobs::Digest;
use proptest::prelude::*;
use stage::Sample;
use tempfile::TempDir;

use super::{Limits, UnpackError, unpack};

/// A folder to unpack into, beside a file that must not be touched.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("layer")).unwrap();
        fs::write(folder.path().join("victim"), "untouched").unwrap();
        Self { folder }
    }

    fn layer(&self) -> PathBuf {
        self.folder.path().join("layer")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.layer().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn unpack_with(&self, tar: &[u8], limits: Limits) -> Result<Digest, UnpackError> {
        let file = self.folder.path().join("tar");
        fs::write(&file, tar).unwrap();
        let result = unpack(File::open(&file).unwrap(), &self.layer(), limits);
        fs::remove_file(file).unwrap();
        result
    }

    fn unpack(&self, tar: &[u8]) -> Result<Digest, UnpackError> {
        self.unpack_with(tar, Limits::default())
    }

    /// That nothing beside the layer changed.
    fn check_outside(&self) {
        let outside = self.folder.path();
        assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "untouched");
        assert_eq!(fs::metadata(outside.join("victim")).unwrap().nlink(), 1);
        assert_eq!(fs::read_dir(outside).unwrap().count(), 2);
    }
}

fn is_whiteout(path: &Path) -> bool {
    let metadata = fs::symlink_metadata(path).unwrap();
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn is_opaque(path: &Path) -> bool {
    xattr(path, "trusted.overlay.opaque").as_deref() == Some(b"y")
}

#[test]
fn files_keep_what_the_tar_says_of_them() {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..3].copy_from_slice(b"a/b");
    header.set_mode(0o4755);
    header.set_uid(1234);
    header.set_gid(56);
    header.set_mtime(1_600_000_000);
    header.set_size(5);
    let tar = Sample::new()
        .folder("a/")
        .pax(&[("SCHILY.xattr.user.note", b"kept"), ("mtime", b"1600000000.25")])
        .header(header, b"hello")
        .hardlink("c", "a/b")
        .symlink("d", "/etc/absolute")
        .entry(b'6', "pipe", "", b"")
        .done();
    let place = Place::new();
    assert_eq!(place.unpack(&tar).unwrap(), Digest::of(&tar));
    let metadata = fs::metadata(place.path("a/b")).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o4755);
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 56));
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1_600_000_000, 250_000_000));
    assert_eq!(metadata.nlink(), 2);
    assert_eq!(xattr(&place.path("c"), "user.note").unwrap(), b"kept");
    assert_eq!(place.text("c"), "hello");
    assert_eq!(fs::read_link(place.path("d")).unwrap(), Path::new("/etc/absolute"));
    assert!(fs::metadata(place.path("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(fs::metadata(place.path("a")).unwrap().mtime(), 1_700_000_000);
}

#[test]
fn compressed_layers_are_told_by_their_bytes() {
    let tar = Sample::new().file("a", b"hello").done();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    for packed in [gzip.finish().unwrap(), zstd::encode_all(&tar[..], 1).unwrap()] {
        let place = Place::new();
        assert_eq!(place.unpack(&packed).unwrap(), Digest::of(&tar));
        assert_eq!(place.text("a"), "hello");
        let error = Place::new().unpack(&packed[..packed.len() - 9]).unwrap_err();
        assert!(matches!(error, UnpackError::Compression(_) | UnpackError::Tar(_)), "{error}");
    }
    let error = Place::new().unpack(b"\xfd7zXZ\0 and more").unwrap_err();
    assert!(error.to_string().contains("compressed with xz"), "{error}");
}

#[test]
fn names_that_lead_out_are_refused() {
    let check = |tar: Sample, part: &str| {
        let place = Place::new();
        let error = place.unpack(&tar.done()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        place.check_outside();
    };
    check(Sample::new().file("../victim", b"x"), "has '..' in its name");
    check(Sample::new().file("a/../../victim", b"x"), "has '..' in its name");
    check(Sample::new().folder(".."), "has '..' in its name");
    check(Sample::new().pax(&[("path", b"a/../../victim")]).file("a", b""), "has '..'");
    check(Sample::new().pax(&[("path", b"a\0b")]).file("a", b""), "zero byte");
    check(Sample::new().hardlink("a", "../victim"), "hard link out of the layer");
    check(Sample::new().hardlink("a", "/etc/passwd"), "not in the layer");
    check(Sample::new().hardlink("a", "b"), "not in the layer");
    check(Sample::new().hardlink("a", "/"), "hard link to the root");
    check(Sample::new().symlink("out", "..").hardlink("a", "out/victim"), "not in the layer");
    check(Sample::new().symlink("a", ""), "without a usable target");
    check(Sample::new().file("a/.wh...", b""), "hides '.' or '..'");
    check(Sample::new().file("a", b"").file("a/b", b""), "no folder");
    let long = "x".repeat(300);
    check(Sample::new().pax(&[("path", long.as_bytes())]).file("a", b""), "over 255 bytes");
    let long = "x/".repeat(3000);
    check(Sample::new().pax(&[("path", long.as_bytes())]).file("a", b""), "over 4095 bytes");
}

#[test]
fn links_in_the_way_stay_in_the_layer() {
    let place = Place::new();
    let victim = place.folder.path().join("victim");
    let tar = Sample::new()
        .folder("etc")
        .symlink("up", "../..")
        .file("up/victim", b"inside")
        .symlink("absolute", "/etc")
        .file("absolute/passwd", b"inside")
        .symlink("lib", "usr/lib")
        .folder("usr/lib")
        .file("lib/so", b"inside")
        // Replaced, not written through.
        .symlink("file", victim.to_str().unwrap())
        .file("file", b"inside")
        .symlink("gone", victim.to_str().unwrap())
        .folder("gone")
        .done();
    place.unpack(&tar).unwrap();
    place.check_outside();
    for name in ["victim", "etc/passwd", "usr/lib/so", "file"] {
        assert_eq!(place.text(name), "inside", "{name}");
    }
    assert!(fs::symlink_metadata(place.path("gone")).unwrap().is_dir());
}

#[test]
fn absolute_names_are_taken_as_relative() {
    let place = Place::new();
    let tar = Sample::new().file("/a/b", b"1").file("./c", b"2").hardlink("d", "/c").done();
    place.unpack(&tar).unwrap();
    assert_eq!(place.text("a/b"), "1");
    assert_eq!(place.text("d"), "2");
    assert_eq!(fs::metadata(place.path("a")).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let place = Place::new();
    let tar = Sample::new()
        .file("a", b"old")
        .file("a", b"new")
        .folder("b")
        .file("b/inside", b"")
        .file("b", b"a file now")
        .file("c", b"")
        .folder("c")
        .folder("d")
        .file("d/kept", b"")
        .folder("d")
        .done();
    place.unpack(&tar).unwrap();
    assert_eq!(place.text("a"), "new");
    assert_eq!(place.text("b"), "a file now");
    assert!(place.path("c").is_dir() && place.path("d/kept").exists());
}

#[test]
fn whiteouts_become_those_of_overlayfs() {
    let place = Place::new();
    let tar = Sample::new()
        .file("dir/.wh.gone", b"")
        .file("fresh/.wh..wh..opq", b"")
        .file("fresh/new", b"")
        .file(".wh..wh.plnk/123", b"")
        .file(".wh..wh.aufs", b"")
        // A folder made anew hides what is below, in whichever order it is said.
        .file(".wh.anew", b"")
        .folder("anew")
        .folder("anew2")
        .file(".wh.anew2", b"")
        // A file of the same layer stays.
        .file("both", b"stays")
        .file(".wh.both", b"")
        .done();
    place.unpack(&tar).unwrap();
    assert!(is_whiteout(&place.path("dir/gone")));
    assert!(is_opaque(&place.path("fresh")) && place.path("fresh/new").exists());
    assert!(is_opaque(&place.path("anew")) && is_opaque(&place.path("anew2")));
    assert_eq!(place.text("both"), "stays");
    let names = fs::read_dir(place.layer()).unwrap().count();
    assert_eq!(names, 5, "nothing of AUFS's own is left");
}

#[test]
fn neither_devices_nor_overlay_attributes_are_made() {
    let place = Place::new();
    let tar = Sample::new()
        .entry(b'3', "dev/null", "", b"")
        .entry(b'4', "dev/sda", "", b"")
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.selinux", b"label"),
        ])
        .folder("a")
        .done();
    place.unpack(&tar).unwrap();
    assert!(!place.path("dev").exists());
    for name in ["trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.opaque"] {
        assert_eq!(xattr(&place.path("a"), name), None, "{name}");
    }
}

#[test]
fn limits_hold() {
    let limits = Limits { bytes: 100_000, entries: 3 };
    let check = |tar: &[u8], part: &str| {
        let error = Place::new().unpack_with(tar, limits).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let mut many = Sample::new();
    for number in 0..4 {
        many = many.file(&number.to_string(), b"");
    }
    check(&many.done(), "more than 3 entries");
    let bomb = Sample::new().file("a", &vec![0; 200_000]).done();
    check(&bomb, "more than 100000 bytes");
    let small = Sample::new().file("a", &vec![0; 90_000]).file("b", &vec![0; 90_000]).done();
    check(&zstd::encode_all(&small[..], 1).unwrap(), "more than 100000 bytes");
    let holes = Sample::new()
        .pax(&[("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"9000000000000000000")])
        .file("a", b"x")
        .done();
    check(&holes, "more than 100000 bytes in a file");
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[0] = b'a';
    header.set_size(1 << 60);
    check(&Sample::new().header(header, b"").done(), "more than 100000 bytes in a file");
}

#[test]
fn sparse_files_have_their_holes() {
    let place = Place::new();
    let tar = Sample::new()
        .pax(&[("GNU.sparse.map", b"0,3,1000000,3"), ("GNU.sparse.size", b"2000000")])
        .file("a", b"onetwo")
        .done();
    place.unpack(&tar).unwrap();
    let bytes = fs::read(place.path("a")).unwrap();
    assert_eq!(bytes.len(), 2_000_000);
    assert_eq!((&bytes[..3], &bytes[1_000_000..1_000_003]), (&b"one"[..], &b"two"[..]));
}

fn step() -> impl Strategy<Value = (u8, String, String)> {
    let part = prop::sample::select(vec!["a", "b", "..", ".", "", ".wh.a", ".wh..wh..opq", "/"]);
    let path = prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"));
    (prop::sample::select(b"01256".to_vec()), path.clone(), path)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However files, links and folders are mixed, nothing outside is touched.
    #[test]
    fn nothing_leads_out(steps in prop::collection::vec(step(), 1..12)) {
        let place = Place::new();
        let mut tar = Sample::new();
        for (kind, name, link) in &steps {
            tar = tar.entry(*kind, name, link, if *kind == b'0' { b"data" } else { b"" });
        }
        let _ = place.unpack(&tar.done());
        place.check_outside();
    }
}
