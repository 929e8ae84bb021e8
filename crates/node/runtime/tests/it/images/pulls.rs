//! Pulls that succeed in the end.

use runtime::images::{
    ImageReference, Images, Progress, PullBehavior, PullEvent, Pulled, RegistryAuth,
};
use serde_json::json;
use tempfile::TempDir;

use super::made::{Holdings, Made, OCI_INDEX, holdings, layer, open, store};
use super::registry::{Auth, Fault, Registry, blob_path};

fn user() -> RegistryAuth {
    RegistryAuth::Basic { username: "user".to_owned(), password: "secret".to_owned() }
}

async fn pull(store: &impl Images, reference: &ImageReference) -> Pulled {
    store.pull(reference, &RegistryAuth::Anonymous, Progress::silent()).await.unwrap()
}

fn image() -> Made {
    Made::new(&[layer(&[("a", "one")]), layer(&[("b", "two")])])
}

/// A layer of this many bytes that do not repeat.
fn big_layer(bytes: usize) -> Vec<u8> {
    let text: String = (0..bytes / 8).map(|number| format!("{number:08}")).collect();
    layer(&[("big", &text)])
}

#[tokio::test]
async fn an_image_is_pulled_once_and_found_again() {
    let registry = Registry::start(Auth::Anonymous).await;
    let made = image();
    registry.push("team/app:v1", &made);
    let (folder, store) = store();
    let reference = registry.reference("team/app:v1");
    assert_eq!(store.find(&reference).await.unwrap(), None);
    let pulled = pull(&store, &reference).await;
    assert!(!pulled.was_cached);
    assert_eq!(pulled.image.digest, made.digest());
    assert_eq!(pulled.image.layers.len(), 2);
    assert_eq!(pulled.image.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
    assert_eq!(pulled.image.config.user.as_deref(), Some("7:8"));
    let requests = registry.seen().len();
    let again = pull(&store, &reference).await;
    assert_eq!((again.image.clone(), again.was_cached), (pulled.image.clone(), true));
    assert_eq!(registry.seen().len(), requests, "nobody was asked");
    // Another process sees it, also by its digest.
    let other = open(folder.path(), PullBehavior::PreferCached);
    assert_eq!(other.find(&reference).await.unwrap(), Some(pulled.image.clone()));
    let pinned = registry.reference(&format!("team/app@{}", made.digest()));
    assert_eq!(other.find(&pinned).await.unwrap().unwrap().digest, made.digest());
    assert_eq!(
        holdings(folder.path()),
        Holdings { blobs: 4, layers: 2, references: 1, half_made: 0 }
    );
}

#[tokio::test]
async fn credentials_open_private_registries() {
    for auth in [Auth::Basic, Auth::Bearer, Auth::PrivateBearer] {
        let registry = Registry::start(auth).await;
        registry.push("app:v1", &image());
        let (_folder, store) = store();
        let reference = registry.reference("app:v1");
        store.pull(&reference, &user(), Progress::silent()).await.unwrap();
        let tokens = registry.count("/token");
        assert_eq!(tokens, usize::from(auth != Auth::Basic), "one token for all requests");
        if let Some(asked) = registry.seen().iter().find(|seen| seen.path.starts_with("/token")) {
            assert!(asked.path.contains("scope=repository:app:pull"), "{}", asked.path);
            assert!(asked.path.contains("service=me"), "{}", asked.path);
        }
    }
    let registry = Registry::start(Auth::Bearer).await;
    registry.push("app:v1", &image());
    pull(&store().1, &registry.reference("app:v1")).await;
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_stopped() {
    let registry = Registry::start(Auth::Anonymous).await;
    let big = big_layer(400_000);
    registry.push("app:v1", &Made::new(std::slice::from_ref(&big)));
    let path = blob_path("app", &big);
    registry.fail(&path, Fault::Cut(100_000));
    registry.fail(&path, Fault::Cut(200_000));
    let (_folder, store) = store();
    let (progress, mut events) = Progress::channel(1000);
    let reference = registry.reference("app:v1");
    store.pull(&reference, &RegistryAuth::Anonymous, progress).await.unwrap();
    let ranges: Vec<_> = registry
        .seen()
        .into_iter()
        .filter(|seen| seen.path == path)
        .map(|seen| seen.headers.get("range").cloned())
        .collect();
    let range = |start: usize| Some(format!("bytes={start}-"));
    assert_eq!(ranges, [None, range(100_000), range(300_000)]);
    let mut retries = 0;
    while let Some(event) = events.recv().await {
        retries += usize::from(matches!(event, PullEvent::Retrying { .. }));
    }
    assert_eq!(retries, 2);
}

#[tokio::test]
async fn a_later_process_goes_on_too_and_servers_may_begin_again() {
    let registry = Registry::start(Auth::Anonymous).await;
    let big = big_layer(400_000);
    registry.push("app:v1", &Made::new(std::slice::from_ref(&big)));
    let path = blob_path("app", &big);
    let reference = registry.reference("app:v1");
    let folder = TempDir::new().unwrap();
    registry.fail(&path, Fault::Cut(50_000));
    for _ in 0..2 {
        registry.fail(&path, Fault::Status(500, "", "broken"));
    }
    {
        let store = open(folder.path(), PullBehavior::PreferCached);
        let anonymous = RegistryAuth::Anonymous;
        let error = store.pull(&reference, &anonymous, Progress::silent()).await.unwrap_err();
        assert!(error.to_string().contains("answered 500 for blob"), "{error}");
        assert_eq!(store.find(&reference).await.unwrap(), None);
    }
    registry.fail(&path, Fault::NoRange);
    let store = open(folder.path(), PullBehavior::PreferCached);
    pull(&store, &reference).await;
    let last = registry.seen().into_iter().rfind(|seen| seen.path == path).unwrap();
    assert_eq!(last.headers["range"], "bytes=50000-");
}

#[tokio::test]
async fn passing_troubles_are_waited_out() {
    let registry = Registry::start(Auth::Anonymous).await;
    let made = image();
    registry.push("app:v1", &made);
    registry.fail("/v2/app/manifests/v1", Fault::Status(503, "", "later"));
    registry.fail("/v2/app/manifests/v1", Fault::Status(429, "Retry-After: 0\r\n", "slower"));
    registry.fail(&blob_path("app", &made.config), Fault::Corrupt);
    registry.fail(&blob_path("app", &made.layers[0]), Fault::Corrupt);
    let (_folder, store) = store();
    pull(&store, &registry.reference("app:v1")).await;
}

#[tokio::test]
async fn many_pulls_of_one_image_are_one() {
    let registry = Registry::start(Auth::Anonymous).await;
    let (one, other) = (image(), Made::new(&[layer(&[("a", "one")]), layer(&[("c", "three")])]));
    registry.push("one:v1", &one);
    registry.push("one:v2", &other);
    let (_folder, store) = store();
    registry.close_gate();
    let mut pulls = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (store, tag) = (store.clone(), 1 + number % 2);
        let reference = registry.reference(&format!("one:v{tag}"));
        pulls.spawn(async move { pull(&store, &reference).await });
    }
    // A pull that is given up does not end it for the others.
    let given_up = store.clone();
    let reference = registry.reference("one:v1");
    let given_up = tokio::spawn(async move { pull(&given_up, &reference).await });
    while registry.count("/v2/one/manifests/v1") == 0 {
        tokio::task::yield_now().await;
    }
    given_up.abort();
    registry.open_gate();
    while let Some(pulled) = pulls.join_next().await {
        pulled.unwrap();
    }
    let shared = blob_path("one", &one.layers[0]);
    assert_eq!(registry.count(&shared), 1, "the shared layer came once");
    assert_eq!(registry.count("/v2/one/manifests/v1"), 1);
    assert_eq!(registry.count(&blob_path("one", &other.layers[1])), 1);
}

#[tokio::test]
async fn an_index_gives_the_image_for_this_machine() {
    let registry = Registry::start(Auth::Anonymous).await;
    let made = image();
    registry.push("app:amd64", &made);
    let entry = |digest: &str, architecture: &str| {
        json!({ "mediaType": super::made::OCI_MANIFEST, "digest": digest, "size": 5,
            "platform": { "os": "linux", "architecture": architecture } })
    };
    let host = runtime::images::Platform::host().architecture;
    let elsewhere = blobs::Digest::of(b"elsewhere").to_string();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        entry(&elsewhere, "s390x"), entry(&made.digest().to_string(), &host),
        entry(&elsewhere, "unknown"),
    ]});
    let index = serde_json::to_vec(&index).unwrap();
    registry.put("/v2/app/manifests/all", OCI_INDEX, &index);
    let (_folder, store) = store();
    let pulled = pull(&store, &registry.reference("app:all")).await;
    assert_eq!(pulled.image.digest, blobs::Digest::of(&index), "what the tag means");
    assert_eq!(pulled.image.config_digest, blobs::Digest::of(&made.config));
}

#[tokio::test]
async fn behaviours_say_when_a_registry_is_asked() {
    let registry = Registry::start(Auth::Anonymous).await;
    registry.push("app:v1", &image());
    let reference = registry.reference("app:v1");
    let manifest = "/v2/app/manifests/v1";
    let folder = TempDir::new().unwrap();
    let once = open(folder.path(), PullBehavior::Once);
    pull(&once, &reference).await;
    assert!(pull(&once, &reference).await.was_cached);
    assert_eq!(registry.count(manifest), 1);
    let asking = open(folder.path(), PullBehavior::Default);
    assert!(!pull(&asking, &reference).await.was_cached);
    assert_eq!(registry.count(manifest), 2);
    let moved = Made::new(&[layer(&[("new", "x")])]);
    registry.push("app:v1", &moved);
    assert_eq!(pull(&asking, &reference).await.image.digest, moved.digest());
    for _ in 0..6 {
        registry.fail(manifest, Fault::Status(500, "", "broken"));
    }
    assert_eq!(pull(&asking, &reference).await.image.digest, moved.digest(), "the one at hand");
    let always = open(folder.path(), PullBehavior::Always);
    let anonymous = RegistryAuth::Anonymous;
    assert!(always.pull(&reference, &anonymous, Progress::silent()).await.is_err());
}

#[tokio::test]
async fn redirects_are_followed_without_the_password() {
    let registry = Registry::start(Auth::Basic).await;
    let elsewhere = Registry::start(Auth::Anonymous).await;
    let made = image();
    registry.push("app:v1", &made);
    let blob = &made.layers[0];
    elsewhere.put("/bucket/blob", "application/octet-stream", blob);
    let target = format!("http://{}/bucket/blob?signature=x", elsewhere.address);
    registry.fail(&blob_path("app", blob), Fault::Redirect(target));
    let (_folder, store) = store();
    store.pull(&registry.reference("app:v1"), &user(), Progress::silent()).await.unwrap();
    assert_eq!(elsewhere.seen().len(), 1);
    assert_eq!(elsewhere.seen()[0].headers.get("authorization"), None);
}

/// ECR's names lead to where the right to pull came from; there, what the registry's own folder on
/// this machine has is not copied.
#[tokio::test]
async fn a_registry_elsewhere_is_asked_and_its_files_are_shared() {
    use std::os::unix::fs::MetadataExt;
    let registry = Registry::start(Auth::Basic).await;
    let made = image();
    registry.push("app:v1", &made);
    let host = registry.reference("app:v1").registry().to_owned();
    let folder = TempDir::new().unwrap();
    let beside = blobs::Store::open(folder.path().join("registry")).unwrap();
    let shared = beside.put(&made.layers[0]).unwrap();
    let settings = runtime::images::Settings {
        siblings: vec![folder.path().join("registry")],
        durability: blobs::Durability::Relaxed,
        ..runtime::images::Settings::default()
    };
    let store = runtime::images::ImageStore::open(folder.path().join("images"), settings).unwrap();
    let reference: ImageReference =
        "000000000000.dkr.ecr.us-east-1.amazonaws.com/app:v1".parse().unwrap();
    let auth = RegistryAuth::At {
        url: format!("http://{host}"),
        username: "user".to_owned(),
        password: "secret".to_owned(),
    };
    let pulled = store.pull(&reference, &auth, Progress::silent()).await.unwrap();
    assert_eq!((pulled.image.reference, pulled.image.digest), (reference, made.digest()));
    let blob = pulled.image.layers[0].digest;
    assert_eq!(blob, shared, "layers are stored as they were made");
    let file = folder.path().join(format!("images/blobs/sha256/{}", blob.hex()));
    let inode = |path| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(file), inode(beside.path(&shared)));
}
