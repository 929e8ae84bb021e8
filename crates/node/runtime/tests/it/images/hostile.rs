//! Files that mean harm, or are broken: a clear error, and nothing left of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use blobs::Digest;
use runtime::images::Images;
use serde_json::json;

use super::made::{Holdings, Made, archive, holdings, layer, store};

/// Loads `bytes` as a file; it must fail with `part` in the error and leave nothing.
async fn refused(name: &str, bytes: &[u8], part: &str) {
    let (folder, store) = store();
    let file = folder.path().join(name);
    fs::write(&file, bytes).unwrap();
    refused_file(&store, folder.path(), &file, part).await;
}

async fn refused_file(store: &impl Images, folder: &Path, file: &Path, part: &str) {
    let error = store.load(file, None).await.unwrap_err().to_string();
    assert!(error.contains(part), "{error}");
    assert!(error.contains(&file.display().to_string()), "the file is named: {error}");
    assert_eq!(holdings(folder), Holdings::default(), "{error}");
    assert_eq!(store.list().await.unwrap(), []);
}

fn made() -> Made {
    Made::new(&[layer(&[("a", "one")])])
}

/// A layer whose one entry has this name, whatever it is.
fn raw_layer(kind: u8, name: &str, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(0);
    header.set_cksum();
    [header.as_bytes().as_slice(), &[0; 1024]].concat()
}

#[tokio::test]
async fn what_is_no_image_is_refused() {
    refused("empty.tar", b"", "it is empty").await;
    refused("zeros.tar", &[0; 10240], "it is empty").await;
    refused("text.tar", &b"this is no tar at all ".repeat(100), "no tar").await;
    refused("bad.tar.gz", b"\x1f\x8b\x08\0garbage", "no tar").await;
    refused("packed.tar.xz", b"\xfd7zXZ\0\0\0", "compressed with xz").await;
    let (folder, store) = store();
    let missing = folder.path().join("missing.tar");
    refused_file(&store, folder.path(), &missing, "No such file").await;
    let hollow = folder.path().join("hollow");
    fs::create_dir(&hollow).unwrap();
    refused_file(&store, folder.path(), &hollow, "without index.json").await;
    refused_file(&store, folder.path(), Path::new("/dev/null"), "neither a file nor").await;
}

#[tokio::test]
async fn layers_that_lead_out_are_refused_in_every_form() {
    let cases = [
        (raw_layer(b'0', "../../etc/evil", ""), "has '..' in its name"),
        (raw_layer(b'0', "a/../../evil", ""), "has '..' in its name"),
        (raw_layer(b'1', "passwd", "/etc/passwd"), "not in the layer"),
        (raw_layer(b'1', "passwd", "../../../../etc/passwd"), "hard link out of the layer"),
    ];
    for (bad, part) in cases {
        refused("rootfs.tar", &bad, part).await;
        let made = Made::new(&[layer(&[("fine", "x")]), bad]);
        let named = json!({ "io.containerd.image.name": "x" });
        refused("oci.tar", &archive(&made.layout(named)), part).await;
        refused("docker.tar", &archive(&made.docker(&["x"])), part).await;
    }
}

#[tokio::test]
async fn broken_archives_are_refused() {
    let named = json!({ "io.containerd.image.name": "x:1" });
    let layout = made().layout(named);
    let whole = archive(&layout);
    refused("cut.tar", &whole[..whole.len() / 2], "it ends in the middle").await;
    let without = |name: &str| -> Vec<u8> {
        let files: BTreeMap<_, _> =
            layout.clone().into_iter().filter(|(key, _)| key != name).collect();
        archive(&files)
    };
    let with = |name: &str, bytes: &[u8]| -> Vec<u8> {
        let mut files = layout.clone();
        files.insert(name.to_owned(), bytes.to_vec());
        archive(&files)
    };
    let layer_name = format!("blobs/sha256/{}", Digest::of(&made().layers[0]).hex());
    refused("a.tar", &without(&layer_name), "is missing").await;
    refused("b.tar", &with(&layer_name, b"other"), "have digest sha256:").await;
    refused("c.tar", &with("index.json", b"{"), "malformed").await;
    refused("d.tar", &with("index.json", b"{\"manifests\":[]}"), "it holds no image").await;
    refused("e.tar", &without("index.json"), "neither index.json nor manifest.json").await;
    let bad_name = made().layout(json!({ "io.containerd.image.name": "Bad Name" }));
    refused("f.tar", &archive(&bad_name), "invalid reference format").await;
}

#[tokio::test]
async fn broken_docker_tars_are_refused() {
    let docker = made().docker(&["x:1"]);
    let with = |manifest: serde_json::Value| -> Vec<u8> {
        let mut files = docker.clone();
        files.insert("manifest.json".to_owned(), serde_json::to_vec(&manifest).unwrap());
        archive(&files)
    };
    let config = format!("{}.json", Digest::of(&made().config).hex());
    let layer = format!("{:064}/layer.tar", 0);
    let item = |config: &str, layers: &[&str], tag: &str| {
        with(json!([{ "Config": config, "RepoTags": [tag], "Layers": layers }]))
    };
    refused("a.tar", &with(json!({ "no": "list" })), "manifest.json is malformed").await;
    refused("b.tar", &item("gone.json", &[&layer], "x"), "names 'gone.json'").await;
    refused("c.tar", &item(&config, &["gone"], "x"), "names 'gone'").await;
    refused("d.tar", &item(&config, &[], "x"), "names 1 layers, the manifest has 0").await;
    refused("e.tar", &item(&config, &[&layer], "X Y"), "invalid reference format").await;
    refused("f.tar", &item(&config, &["../../etc/passwd"], "x"), "which is not there").await;
    let other = item(&config, &["repositories"], "x");
    refused("g.tar", &other, "not a readable tar").await;
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing() {
    let (folder, _) = store();
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let Some(_mount) = Mounted::tmpfs(&small, "size=2m") else {
        panic!("tests of a full disk need root");
    };
    let store = super::made::open(&small, runtime::images::PullBehavior::PreferCached);
    let big: String = (0..400_000).map(|number| format!("{number:08}")).collect();
    let file = folder.path().join("big.tar");
    fs::write(&file, layer(&[("big", &big)])).unwrap();
    let error = store.load(&file, None).await.unwrap_err().to_string();
    assert!(error.contains("no space left for images in"), "{error}");
    assert_eq!(holdings(&small), Holdings::default());
    // The blob fits, unpacked it does not.
    fs::write(&file, layer(&[("big", &big[..1_300_000])])).unwrap();
    let error = store.load(&file, None).await.unwrap_err().to_string();
    assert!(error.contains("no space left for images in"), "{error}");
    assert_eq!(holdings(&small), Holdings::default());
}

/// A file system that goes away with the test.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn tmpfs(path: &Path, options: &str) -> Option<Self> {
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .status();
        done.ok()?.success().then(|| Self(path.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
