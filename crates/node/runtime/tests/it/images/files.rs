//! Images from files, in every form that is read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use blobs::Digest;
use runtime::images::{Image, Images, LoadError, PullBehavior};
use serde_json::json;
use tempfile::TempDir;

use super::made::{Holdings, Made, archive, holdings, layer, open, store};

fn made() -> Made {
    let config = json!({
        "Entrypoint": ["/entry"], "Cmd": ["a", "b"], "Env": ["PATH=/bin", "X=y"], "User": "web",
        "WorkingDir": "/srv", "StopSignal": "SIGQUIT", "Labels": { "k": "v" },
        "ExposedPorts": { "80/tcp": {}, "53/udp": {} }, "Volumes": { "/data": {} },
        "Healthcheck": { "Test": ["CMD", "true"] },
    });
    Made::with_config(&[layer(&[("a", "one")]), layer(&[("b/", ""), ("b/c", "two")])], config)
}

fn full_name(name: &str) -> serde_json::Value {
    json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "latest" })
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Loads into a store of its own: names and images.
async fn load(file: &Path) -> Result<Vec<(String, Image)>, LoadError> {
    let (_folder, store) = store();
    let images = store.load(file, None).await?;
    for image in &images {
        assert_eq!(store.find(&image.reference).await.unwrap().as_ref(), Some(image));
    }
    Ok(images.into_iter().map(|image| (image.reference.familiar(), image)).collect())
}

fn names(images: &[(String, Image)]) -> Vec<&str> {
    images.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn every_form_gives_the_same_image() {
    let (folder, made) = (TempDir::new().unwrap(), made());
    let layout = made.layout(full_name("docker.io/library/web:1"));
    let docker = made.docker(&["web:1"]);
    let both: BTreeMap<_, _> = layout.clone().into_iter().chain(docker.clone()).collect();
    let (oci, docker) = (archive(&layout), archive(&docker));
    let layout_folder = folder.path().join("layout");
    for (name, bytes) in &layout {
        let path = layout_folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let files = [
        layout_folder,
        write(&folder, "oci.tar", &oci),
        write(&folder, "oci.tar.gz", &gzip(&oci)),
        write(&folder, "oci.tar.zst", &zstd::encode_all(&oci[..], 1).unwrap()),
        write(&folder, "docker.tar", &docker),
        write(&folder, "docker.tar.gz", &gzip(&docker)),
        write(&folder, "both.tar", &archive(&both)),
    ];
    for file in files {
        let images = load(&file).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(names(&images), ["web:1"], "{}", file.display());
        let image = &images[0].1;
        assert_eq!(image.config_digest, Digest::of(&made.config));
        let diff_ids: Vec<_> = image.layers.iter().map(|layer| layer.diff_id).collect();
        assert_eq!(diff_ids, made.layers.iter().map(|l| Digest::of(l)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn the_configuration_is_read_whole() {
    let folder = TempDir::new().unwrap();
    let file = write(&folder, "web.tar", &archive(&made().layout(json!({}))));
    let images = load(&file).await.unwrap();
    assert_eq!(names(&images), ["web:latest"], "named by the file");
    let config = &images[0].1.config;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(config.entrypoint, Some(words(&["/entry"])));
    assert_eq!(config.cmd, Some(words(&["a", "b"])));
    assert_eq!(config.env, words(&["PATH=/bin", "X=y"]));
    assert_eq!(config.user.as_deref(), Some("web"));
    assert_eq!(config.workdir.as_deref(), Some("/srv"));
    assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(config.exposed_ports, words(&["53/udp", "80/tcp"]));
    assert_eq!(config.volumes, words(&["/data"]));
    assert_eq!(config.labels.get("k").map(String::as_str), Some("v"));
    assert_eq!(config.health_check, Some(words(&["CMD", "true"])));
}

#[tokio::test]
async fn a_root_file_system_is_an_image_of_one_layer() {
    let folder = TempDir::new().unwrap();
    let tar = layer(&[("bin/", ""), ("bin/sh", "#!"), ("etc/", ""), ("etc/passwd", "root")]);
    for (name, bytes) in [("alpine.tar", tar.clone()), ("alpine.tar.gz", gzip(&tar))] {
        let images = load(&write(&folder, name, &bytes)).await.unwrap();
        assert_eq!(names(&images), ["alpine:latest"]);
        let image = &images[0].1;
        assert_eq!(image.layers.len(), 1);
        assert_eq!(image.layers[0].diff_id, Digest::of(&tar));
        assert_eq!(*image.config, runtime::ImageConfig::default());
    }
    let odd = write(&folder, "Not A Name!.tar", &tar);
    let error = load(&odd).await.unwrap_err().to_string();
    assert!(error.contains("--name"), "{error}");
    let (_folder, store) = store();
    let name = "me/base:3".parse().unwrap();
    let images = store.load(&odd, Some(&name)).await.unwrap();
    assert_eq!(images[0].reference, name);
}

#[tokio::test]
async fn several_names_and_images_come_out_of_one_file() {
    let (folder, one) = (TempDir::new().unwrap(), made());
    let other = Made::new(&[layer(&[("other", "x")])]);
    let mut files = one.docker(&["web:1", "web:latest", "127.0.0.1:5000/web:1"]);
    let config = format!("{}.json", Digest::of(&other.config).hex());
    let mut items: Vec<serde_json::Value> =
        serde_json::from_slice(&files["manifest.json"]).unwrap();
    let item = json!({ "Config": config, "RepoTags": ["other"], "Layers": ["o/layer.tar"] });
    items.push(item);
    files.insert(config, other.config.clone());
    files.insert("o/layer.tar".to_owned(), other.layers[0].clone());
    files.insert("manifest.json".to_owned(), serde_json::to_vec(&items).unwrap());
    let file = write(&folder, "all.tar", &archive(&files));
    let images = load(&file).await.unwrap();
    let expected = ["web:1", "web:latest", "127.0.0.1:5000/web:1", "other:latest"];
    assert_eq!(names(&images), expected);
    let (_folder, store) = store();
    let name = "x".parse().unwrap();
    let error = store.load(&file, Some(&name)).await.unwrap_err().to_string();
    assert!(error.contains("holds 2 images"), "{error}");
}

#[tokio::test]
async fn links_between_saved_layers_are_followed() {
    let (folder, made) = (TempDir::new().unwrap(), made());
    let mut files = made.docker(&["web:1"]);
    let shared = made.layers[0].clone();
    let twice = Made::new(&[shared.clone(), shared]);
    files.insert(format!("{}.json", Digest::of(&twice.config).hex()), twice.config.clone());
    let manifest = json!([{ "Config": format!("{}.json", Digest::of(&twice.config).hex()),
        "RepoTags": null, "Layers": [format!("{:064}/layer.tar", 0), "copy/layer.tar"] }]);
    files.insert("manifest.json".to_owned(), serde_json::to_vec(&manifest).unwrap());
    let mut builder = tar::Builder::new(archive(&files));
    let bytes = builder.get_mut();
    bytes.truncate(bytes.len() - 1024);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    let target = format!("../{:064}/layer.tar", 0);
    builder.append_link(&mut header, "copy/layer.tar", target).unwrap();
    let file = write(&folder, "linked.tar", &builder.into_inner().unwrap());
    let images = load(&file).await.unwrap();
    assert_eq!(names(&images), ["linked:latest"]);
    assert_eq!(images[0].1.layers[0].diff_id, images[0].1.layers[1].diff_id);
}

#[tokio::test]
async fn what_is_loaded_is_seen_at_once_by_others() {
    let (folder, running) = store();
    let name = "web:1".parse().unwrap();
    assert_eq!(running.find(&name).await.unwrap(), None);
    let file = write(&folder, "web.tar", &archive(&made().layout(full_name("web:1"))));
    let beside = open(folder.path(), PullBehavior::PreferCached);
    beside.load_blocking(&file, None, &|_, _| {}).unwrap();
    assert!(running.find(&name).await.unwrap().is_some());
    assert_eq!(running.list().await.unwrap().len(), 1);
    assert!(running.remove(&name).await.unwrap());
    assert_eq!(beside.find(&name).await.unwrap(), None);
    running.prune().await.unwrap();
    assert_eq!(holdings(folder.path()), Holdings::default());
}

/// A service that has pinned a digest starts more tasks after a new version was loaded under the tag.
#[tokio::test]
async fn what_a_tag_has_left_is_found_by_its_digest() {
    let (folder, store) = store();
    let version = |number: usize| {
        let made = Made::new(&[layer(&[("version", &number.to_string())])]);
        write(&folder, "web.tar", &archive(&made.layout(full_name("web:1"))))
    };
    let mut digests = Vec::new();
    for number in 0..12 {
        let loaded = store.load(&version(number), None).await.unwrap();
        digests.push(loaded[0].digest);
    }
    let find = async |digest: &Digest| {
        let pinned = format!("web@{digest}").parse().unwrap();
        store.find(&pinned).await.unwrap().map(|image| image.digest)
    };
    assert_eq!(find(&digests[11]).await, Some(digests[11]), "the newest, by its tag's record");
    assert_eq!(find(&digests[10]).await, Some(digests[10]), "what it meant before");
    let mut kept = 0;
    for digest in &digests[..11] {
        kept += usize::from(find(digest).await.is_some());
    }
    assert_eq!(kept, 8);
    store.prune().await.unwrap();
    assert_eq!(find(&digests[10]).await, Some(digests[10]), "what is kept is whole");
}

/// skopeo is what people convert images with: what it writes must come out as what we wrote.
#[tokio::test]
async fn what_skopeo_writes_is_the_same_image() {
    let (folder, made) = (TempDir::new().unwrap(), made());
    let file = write(&folder, "web.tar", &archive(&made.layout(full_name("docker.io/me/web:2"))));
    let ours = load(&file).await.unwrap().remove(0).1;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let targets = [
        ("docker.tar", format!("docker-archive:{}:docker.io/me/web:2", at("docker.tar"))),
        ("oci.tar", format!("oci-archive:{}:me/web:2", at("oci.tar"))),
        ("oci", format!("oci:{}:me/web:2", at("oci"))),
    ];
    for (name, target) in targets {
        let source = format!("oci-archive:{}", file.display());
        let done = Command::new("skopeo").args(["copy", "-q", &source, &target]).output();
        let done = done.expect("skopeo must be installed (Debian package skopeo)");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let images = load(&folder.path().join(name)).await.unwrap();
        assert_eq!(names(&images), ["me/web:2"], "{name}");
        assert_eq!(images[0].1.config, ours.config);
        let diff_ids =
            |image: &Image| -> Vec<_> { image.layers.iter().map(|layer| layer.diff_id).collect() };
        assert_eq!(diff_ids(&images[0].1), diff_ids(&ours));
    }
}
