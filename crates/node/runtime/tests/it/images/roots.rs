//! Root file systems of containers, mounted for real.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use runtime::images::{ImageError, Images, Progress, RegistryAuth, RootFs};
use serde_json::json;

use super::made::{Holdings, Made, archive, holdings, layer, store};
use super::registry::{Auth, Registry};
use crate::ground::new_id;

/// Loads an image of these layers as `name`.
async fn load(store: &impl Images, folder: &std::path::Path, layers: &[Vec<u8>]) {
    let made = Made::new(layers);
    let file = folder.join("image.tar");
    let named = json!({ "io.containerd.image.name": "image:1" });
    fs::write(&file, archive(&made.layout(named))).unwrap();
    store.load(&file, None).await.unwrap();
}

/// Runs a shell script in a mount namespace where `root` is mounted on its own upper folder's
/// neighbour, with names relative to the layers' parent, as a launcher does with many layers.
fn in_root(root: &RootFs, script: &str) -> String {
    let parent = root.lower[0].parent().unwrap();
    let names = root.lower.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
    let lower = names.collect::<Vec<_>>().join(":");
    let target = root.upper.with_file_name("target");
    fs::create_dir_all(&target).unwrap();
    let (upper, work) = (root.upper.display(), root.work.display());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    assert!(options.len() < 4096, "{} bytes of options", options.len());
    let script = format!(
        "set -e; cd '{}'; mount -t overlay -o '{options}' overlay '{}'; cd '{}'; {script}",
        parent.display(),
        target.display(),
        target.display(),
    );
    let done = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test]
async fn layers_lie_over_each_other_and_whiteouts_hide() {
    let (folder, store) = store();
    let layers = [
        layer(&[
            ("a", "1"),
            ("gone", "1"),
            ("dir/", ""),
            ("dir/old", "1"),
            ("kept/", ""),
            ("kept/x", "1"),
        ]),
        layer(&[("a", "2"), (".wh.gone", ""), ("dir/.wh..wh..opq", ""), ("dir/new", "2")]),
        layer(&[("kept/y", "3"), ("dir/newer", "3")]),
    ];
    load(&store, folder.path(), &layers).await;
    let image = store.find(&"image:1".parse().unwrap()).await.unwrap().unwrap();
    let container = new_id();
    let root = store.snapshot(&image, &container).await.unwrap();
    assert_eq!(
        in_root(&root, "cat a; ls . dir kept"),
        "2.:\na\ndir\nkept\n\ndir:\nnew\nnewer\n\nkept:\nx\ny\n"
    );
    in_root(&root, "echo mine > a; rm kept/x");
    // What was written stays, and only for this container.
    assert_eq!(store.snapshot(&image, &container).await.unwrap(), root);
    assert_eq!(in_root(&root, "cat a; ls kept"), "mine\ny\n");
    let other = store.snapshot(&image, &new_id()).await.unwrap();
    assert_eq!(in_root(&other, "cat a; ls kept"), "2x\ny\n");
    assert_eq!(store.snapshots().await.unwrap().len(), 2);
    store.release(&container).await.unwrap();
    store.release(&container).await.unwrap();
    assert_eq!(store.snapshots().await.unwrap().len(), 1);
    assert!(!root.upper.exists());
}

#[tokio::test]
async fn as_many_layers_as_allowed_can_be_mounted() {
    let (folder, store) = store();
    let mut layers: Vec<_> =
        (0..126).map(|number| layer(&[(&format!("file-{number}"), "x")])).collect();
    layers.push(layers[3].clone()); // The same twice.
    load(&store, folder.path(), &layers).await;
    let image = store.find(&"image:1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(image.layers.len(), 127);
    let root = store.snapshot(&image, &new_id()).await.unwrap();
    assert_eq!(root.lower.len(), 126);
    assert_eq!(in_root(&root, "ls | wc -l").trim(), "126");
}

#[tokio::test]
async fn an_image_without_layers_is_an_empty_root() {
    let (folder, store) = store();
    load(&store, folder.path(), &[]).await;
    let image = store.find(&"image:1".parse().unwrap()).await.unwrap().unwrap();
    let root = store.snapshot(&image, &new_id()).await.unwrap();
    assert_eq!(in_root(&root, "ls | wc -l").trim(), "0");
}

#[tokio::test]
async fn the_root_folder_takes_after_the_image() {
    let (folder, store) = store();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o1750);
    header.set_uid(12);
    header.set_size(0);
    builder.append_data(&mut header, "./", &[][..]).unwrap();
    load(&store, folder.path(), &[builder.into_inner().unwrap()]).await;
    let image = store.find(&"image:1".parse().unwrap()).await.unwrap().unwrap();
    let root = store.snapshot(&image, &new_id()).await.unwrap();
    let metadata = fs::metadata(&root.upper).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o7777, metadata.uid()), (0o1750, 12));
}

#[tokio::test]
async fn pruning_keeps_what_containers_stand_on() {
    let (folder, store) = store();
    load(&store, folder.path(), &[layer(&[("a", "1")])]).await;
    let name = "image:1".parse().unwrap();
    let image = store.find(&name).await.unwrap().unwrap();
    let container = new_id();
    store.snapshot(&image, &container).await.unwrap();
    store.remove(&name).await.unwrap();
    let pruned = store.prune().await.unwrap();
    assert_eq!((pruned.layers, pruned.blobs), (0, 3));
    store.release(&container).await.unwrap();
    assert_eq!(store.prune().await.unwrap().layers, 1);
    assert_eq!(holdings(folder.path()), Holdings::default());
}

#[tokio::test]
async fn pruning_waits_for_a_rest() {
    let registry = Registry::start(Auth::Anonymous).await;
    registry.push("app:v1", &Made::new(&[layer(&[("a", "1")])]));
    registry.close_gate();
    let (_folder, store) = store();
    let (pulling, reference) = (store.clone(), registry.reference("app:v1"));
    let pull = tokio::spawn(async move {
        pulling.pull(&reference, &RegistryAuth::Anonymous, Progress::silent()).await
    });
    while registry.count("/v2/app/manifests/v1") == 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(store.prune().await, Err(ImageError::Busy { .. })));
    registry.open_gate();
    pull.await.unwrap().unwrap();
    assert_eq!(store.prune().await.unwrap().layers, 0);
}
