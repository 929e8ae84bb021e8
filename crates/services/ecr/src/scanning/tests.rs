#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;

use proptest::prelude::*;
use serde_json::json;
use stage::Sample;
use tempfile::TempDir;

use super::*;

const DPKG: &str = "var/lib/dpkg/status";
const APK: &str = "lib/apk/db/installed";
const STATUS: &[u8] = b"Package: libc6\nStatus: install ok installed\nSource: glibc\n\
                        Version: 2.36-9+deb12u3\n\nPackage: tar\nStatus: install ok installed\n\
                        Version: 1.34\n";
const BOOKWORM: &[u8] = b"ID=debian\nVERSION_ID=\"12\"\n";

fn lay(layers: &[Vec<u8>]) -> Result<Contents, String> {
    let mut contents = Contents::default();
    let stop = CancellationToken::new();
    for layer in layers {
        contents.add(&layer[..], &stop).map_err(|error| error.to_string())?;
    }
    Ok(contents)
}

fn debian() -> Sample {
    Sample::new().file("etc/os-release", BOOKWORM).file(DPKG, STATUS)
}

/// A folder of advisories: id, ecosystem, package, first version without it, CVSS's vector.
fn shelf(advisories: &[(&str, &str, &str, &str, &str)]) -> (TempDir, Advisories) {
    let folder = TempDir::new().unwrap();
    for (id, ecosystem, name, fixed, vector) in advisories {
        let text = json!({
            "id": id, "summary": format!("about {name}"),
            "severity": [{"type": "CVSS_V3", "score": vector}],
            "affected": [{"package": {"ecosystem": ecosystem, "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]}],
        });
        fs::write(folder.path().join(format!("{id}.json")), text.to_string()).unwrap();
    }
    let mut advisories = Advisories::new(folder.path().to_owned());
    advisories.refresh(&CancellationToken::new()).unwrap();
    (folder, advisories)
}

const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
const LOW: &str = "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N";

#[test]
fn layers_lie_over_each_other() {
    let check = |layers: &[Sample], expected: &[&str]| {
        let layers: Vec<_> = layers.iter().map(|layer| layer.clone().done()).collect();
        let contents = lay(&layers).unwrap();
        assert_eq!(contents.files().keys().collect::<Vec<_>>(), expected);
    };
    let (new, base) = (Sample::new, debian());
    let both = ["etc/os-release", DPKG];
    check(std::slice::from_ref(&base), &both);
    check(&[base.clone(), new().file("etc/passwd", b"x").folder("var/lib/dpkg")], &both);
    check(&[base.clone(), new().file("var/lib/dpkg/.wh.status", b"")], &both[..1]);
    check(&[base.clone(), new().file("var/lib/.wh.dpkg", b"")], &both[..1]);
    check(&[base.clone(), new().file("./var/.wh..wh..opq", b"")], &both[..1]);
    check(&[base.clone(), new().file(".wh..wh..opq", b"")], &[]);
    check(&[base.clone(), new().symlink("var/lib", "elsewhere")], &both[..1]);
    check(&[base.clone(), new().folder("etc/os-release")], &both[1..]);
    // A whiteout is about what lies below, not about its own layer, in whatever order they stand.
    let replaced = new().file(DPKG, STATUS).file("var/lib/.wh.dpkg", b"");
    check(&[base.clone(), replaced], &both);
    // AUFS's own files hide nothing.
    check(&[base.clone(), new().file("var/lib/dpkg/.wh..wh.plnk", b"")], &both);
    let linked = new().hardlink("var/lib/dpkg/status.d/all", DPKG);
    check(&[base, linked], &["etc/os-release", DPKG, "var/lib/dpkg/status.d/all"]);
}

#[test]
fn packed_layers_are_read() {
    let tar = debian().done();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    for packed in [gzip.finish().unwrap(), zstd::encode_all(&tar[..], 1).unwrap()] {
        assert_eq!(lay(&[packed]).unwrap().files().len(), 2);
    }
}

#[test]
fn hostile_layers_are_refused() {
    let check = |layer: Vec<u8>, expected: &str| {
        let told = lay(&[layer]).unwrap_err();
        assert!(told.contains(expected), "{told}");
    };
    check(b"no tar at all".to_vec(), "no tar");
    check(Sample::new().file("../etc/os-release", b"").done(), "has '..' in its name");
    check(Sample::new().hardlink("a", "/../b").done(), "has '..' in its name");
    check(Sample::new().file("a/.wh...", b"").done(), "hides '.' or '..'");
    let long = "x/".repeat(3_000);
    check(Sample::new().pax(&[("path", long.as_bytes())]).file("a", b"").done(), "a name has over");
    check(b"\xfd7zXZ\0 and so on".to_vec(), "xz");
    let cut = debian().done();
    check(cut[..520].to_vec(), "it ends in the middle of an entry");
    check(cut[..1_100].to_vec(), "it ends in the middle of a header");
    let stop = CancellationToken::new();
    stop.cancel();
    let told = Contents::default().add(&debian().done()[..], &stop).unwrap_err();
    assert!(matches!(told, LayerError::Stopped));
}

#[test]
fn the_worst_is_told_first_and_each_thing_once() {
    let (_folder, advisories) = shelf(&[
        ("CVE-2024-2", "Debian:12", "tar", "1.35", LOW),
        ("CVE-2024-1", "Debian:12", "glibc", "2.36-9+deb12u4", CRITICAL),
        ("CVE-2024-3", "Debian:12", "tar", "1.30", CRITICAL),
        ("CVE-2024-4", "Debian:11", "tar", "9", CRITICAL),
    ]);
    let contents = lay(&[debian().done()]).unwrap();
    let Outcome::Complete { findings, source_at, description } =
        judge(&contents, &advisories, &CancellationToken::new()).unwrap()
    else {
        panic!("it can be judged")
    };
    let told: Vec<_> = findings
        .iter()
        .map(|one| (one.name.as_str(), one.package.as_str(), &*one.severity))
        .collect();
    assert_eq!(told, [("CVE-2024-1", "libc6", "CRITICAL"), ("CVE-2024-2", "tar", "LOW")]);
    assert_eq!(findings[0].fixed.as_deref(), Some("2.36-9+deb12u4"));
    assert_eq!((findings[0].description.as_str(), source_at.is_some()), ("about glibc", true));
    assert_eq!(description, "The scan was completed successfully.");
}

#[test]
fn what_cannot_be_said_is_not_said() {
    let outcome = |layer: Sample, advisories: &[(&str, &str, &str, &str, &str)]| {
        let (_folder, advisories) = shelf(advisories);
        judge(&lay(&[layer.done()]).unwrap(), &advisories, &CancellationToken::new()).unwrap()
    };
    let unsupported = |layer: Sample, expected: &str| {
        let told = outcome(layer, &[("CVE-1", "Alpine:v3.19", "musl", "1", LOW)]);
        let Outcome::Unsupported(why) = told else { panic!("{told:?}") };
        assert!(why.starts_with("UnsupportedImageError: ") && why.contains(expected), "{why}");
    };
    unsupported(Sample::new().file("etc/passwd", b""), "No packages");
    unsupported(debian(), "There are no advisories about Debian:12");
    unsupported(Sample::new().file(DPKG, STATUS), "no os-release");
    unsupported(Sample::new().file(DPKG, STATUS).file("etc/os-release", b"ID=void\n"), "'void'");
    unsupported(debian().file("var/lib/rpm/Packages", b"x"), "Berkeley DB");
    unsupported(Sample::new().file("requirements.txt", b"six==1.0\n"), "about PyPI");
    let broken =
        outcome(debian().file(DPKG, b"Version: 1\n"), &[("CVE-1", "Debian:12", "x", "1", LOW)]);
    assert!(matches!(broken, Outcome::Failed(why) if why.contains("no Package")));
    assert!(matches!(outcome(debian(), &[]), Outcome::Unavailable(_)));
    // What is not looked at is named.
    let partly =
        debian().file("requirements.txt", b"six==1.0\n").file("app/package-lock.json", b"[");
    let Outcome::Complete { description, .. } =
        outcome(partly, &[("CVE-1", "Debian:12", "x", "1", LOW)])
    else {
        panic!("the distribution is known")
    };
    assert!(description.contains("no advisories about: PyPI."), "{description}");
    assert!(description.contains("1 files of the image could not be read: app/package-lock.json"));
}

#[test]
fn languages_do_without_a_distribution() {
    let (_folder, advisories) = shelf(&[("PYSEC-1", "PyPI", "Six", "1.1", CRITICAL)]);
    let lock = json!({"packages": {"node_modules/six": {"version": "1.0.0"}}}).to_string();
    let layer = Sample::new().file("requirements.txt", b"six==1.0\n");
    let contents = lay(&[layer.file("package-lock.json", lock.as_bytes()).done()]).unwrap();
    let told = judge(&contents, &advisories, &CancellationToken::new()).unwrap();
    let Outcome::Complete { findings, description, .. } = told else { panic!("{told:?}") };
    assert_eq!(findings.len(), 1, "npm's is another");
    assert!(description.contains("about: npm."), "{description}");
}

#[test]
fn alpine_is_known() {
    let (_folder, advisories) =
        shelf(&[("CVE-1", "Alpine:v3.19", "busybox", "1.36.1-r6", CRITICAL)]);
    let installed = b"P:ssl_client\nV:1.36.1-r5\nA:x86_64\no:busybox\n";
    let layer = Sample::new().file("etc/os-release", b"ID=alpine\nVERSION_ID=3.19.1\n");
    let contents = lay(&[layer.file(APK, installed).done()]).unwrap();
    let told = judge(&contents, &advisories, &CancellationToken::new()).unwrap();
    let Outcome::Complete { findings, .. } = told else { panic!("{told:?}") };
    assert_eq!((findings.len(), findings[0].package.as_str()), (1, "ssl_client"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = lay(&[bytes]);
    }

    /// Real names with broken contents, cut off anywhere.
    #[test]
    fn no_layer_makes_it_panic(
        files in prop::collection::vec((
            prop::sample::select(vec![DPKG, APK, "etc/os-release", "var/lib/rpm/rpmdb.sqlite", "bin/a",
                "Cargo.lock", "go.sum", "a/package-lock.json", "requirements.txt", "a/.wh.b",
                ".wh..wh..opq", "a.dist-info/METADATA"]),
            prop::sample::select(vec![b'0', b'1', b'2', b'5', b'x', b'L', b'S']),
            prop::collection::vec(any::<u8>(), 0..300),
        ), 0..8),
        end in 0..6_000_usize,
    ) {
        let mut tar = Sample::new();
        for (name, kind, data) in files {
            tar = tar.entry(kind, name, DPKG, &data);
        }
        let mut tar = tar.done();
        tar.truncate(end);
        let (_folder, advisories) = shelf(&[("CVE-1", "Debian:12", "x", "1", LOW)]);
        if let Ok(contents) = lay(&[debian().done(), tar]) {
            judge(&contents, &advisories, &CancellationToken::new()).unwrap();
        }
    }

    /// What a package's last layer says holds, whatever came before.
    #[test]
    fn the_last_word_holds(kinds in prop::collection::vec(0..5_u8, 1..8)) {
        let mut is_there = false;
        let layers: Vec<_> = kinds.iter().map(|kind| {
            let layer = Sample::new();
            match kind {
                0 => { is_there = true; layer.file(DPKG, STATUS) }
                1 => { is_there = false; layer.file("var/lib/dpkg/.wh.status", b"") }
                2 => { is_there = false; layer.file("var/.wh..wh..opq", b"") }
                3 => { is_there = false; layer.symlink("var", "usr") }
                _ => layer.folder("var").folder("var/lib"),
            }.done()
        }).collect();
        let contents = lay(&layers).unwrap();
        prop_assert_eq!(contents.files().contains_key(DPKG), is_there);
    }
}
