//! Pulls that cannot succeed: what is said, and that nothing is left.

use runtime::images::{Images, Progress, PullError, RegistryAuth};
use serde_json::json;

use super::made::{Holdings, Made, OCI_INDEX, holdings, layer, store};
use super::registry::{Auth, Fault, Registry, blob_path};

fn image() -> Made {
    Made::new(&[layer(&[("a", "one")])])
}

/// Pulls `app:v1`, which must fail without leaving a layer or a reference.
async fn refused(registry: &Registry, auth: &RegistryAuth) -> PullError {
    let (folder, store) = store();
    let reference = registry.reference("app:v1");
    let error = store.pull(&reference, auth, Progress::silent()).await.unwrap_err();
    let left = holdings(folder.path());
    assert_eq!((left.layers, left.references), (0, 0), "{left:?}");
    assert_eq!(store.find(&reference).await.unwrap(), None);
    store.prune().await.unwrap();
    let left = Holdings { half_made: 0, ..holdings(folder.path()) };
    assert_eq!(left, Holdings::default());
    error
}

fn check(error: &PullError, name: &str, text: &str) {
    assert_eq!(error.ecs_name(), name, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let registry = Registry::start(Auth::Anonymous).await;
    let error = refused(&registry, &RegistryAuth::Anonymous).await;
    let expected = format!("manifest for {}/app:v1 not found: manifest unknown", registry.address);
    check(&error, "CannotPullImageManifestError", &expected);
    assert_eq!(registry.count("/v2/app/manifests/v1"), 1, "asking again would not help");
}

#[tokio::test]
async fn nobody_at_the_address_is_said_with_address_and_cause() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (_folder, store) = store();
    let reference = format!("{address}/app:v1").parse().unwrap();
    let anonymous = RegistryAuth::Anonymous;
    let error = store.pull(&reference, &anonymous, Progress::silent()).await.unwrap_err();
    let expected = format!("registry {address} cannot be reached: Connection refused");
    check(&error, "CannotPullContainerError", &expected);
}

#[tokio::test]
async fn a_name_that_no_server_has_is_said() {
    let (_folder, store) = store();
    let reference = "registry.invalid/app".parse().unwrap();
    let anonymous = RegistryAuth::Anonymous;
    let error = store.pull(&reference, &anonymous, Progress::silent()).await.unwrap_err();
    check(&error, "CannotPullContainerError", "registry registry.invalid cannot be reached: ");
}

#[tokio::test]
async fn wrong_credentials_are_said() {
    let wrong = RegistryAuth::Basic { username: "user".to_owned(), password: "no".to_owned() };
    for auth in [Auth::Basic, Auth::PrivateBearer] {
        for credentials in [&wrong, &RegistryAuth::Anonymous] {
            let registry = Registry::start(auth).await;
            registry.push("app:v1", &image());
            let error = refused(&registry, credentials).await;
            let expected = "pull access denied for ";
            check(&error, "CannotPullContainerError", expected);
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn bytes_that_are_not_what_they_should_be_are_refused() {
    let registry = Registry::start(Auth::Anonymous).await;
    let made = image();
    registry.push("app:v1", &made);
    let path = blob_path("app", &made.layers[0]);
    for _ in 0..3 {
        registry.fail(&path, Fault::Corrupt);
    }
    let error = refused(&registry, &RegistryAuth::Anonymous).await;
    check(&error, "CannotPullContainerError", "is not what its digest says");
    registry.fail(&path, Fault::Excess);
    let error = refused(&registry, &RegistryAuth::Anonymous).await;
    check(&error, "CannotPullContainerError", "too large");
    for _ in 0..3 {
        registry.fail(&path, Fault::Cut(10));
    }
    let error = refused(&registry, &RegistryAuth::Anonymous).await;
    check(&error, "CannotPullContainerError", "cannot be reached");
}

#[tokio::test]
async fn a_manifest_of_another_digest_is_refused() {
    let registry = Registry::start(Auth::Anonymous).await;
    let made = image();
    let path = format!("/v2/app/manifests/{}", made.digest());
    registry.put(&path, super::made::OCI_MANIFEST, b"{}");
    let (_folder, store) = store();
    let reference = registry.reference(&format!("app@{}", made.digest()));
    let anonymous = RegistryAuth::Anonymous;
    let error = store.pull(&reference, &anonymous, Progress::silent()).await.unwrap_err();
    check(&error, "CannotPullContainerError", "manifest from registry");
}

#[tokio::test]
async fn layers_that_unpack_to_something_else_are_refused() {
    let registry = Registry::start(Auth::Anonymous).await;
    let layers = [layer(&[("a", "one")])];
    let wrong = [blobs::Digest::of(b"wrong").to_string()];
    registry.push("app:v1", &Made::with_diff_ids(&layers, json!({}), &wrong));
    let error = refused(&registry, &RegistryAuth::Anonymous).await;
    check(&error, "CannotPullContainerError", "not to what the image's configuration says");
    registry.push("app:v1", &Made::with_diff_ids(&layers, json!({}), &[]));
    let error = refused(&registry, &RegistryAuth::Anonymous).await;
    check(&error, "CannotPullContainerError", "names 0 layers, the manifest has 1");
}

#[tokio::test]
async fn manifests_that_cannot_be_used_are_refused() {
    let many = json!({ "digest": blobs::Digest::of(b"x"), "size": 1 });
    let cases = [
        (json!({ "schemaVersion": "two" }), "malformed"),
        (json!({ "schemaVersion": 1, "fsLayers": [] }), "old schema 1"),
        (json!({ "schemaVersion": 2 }), "neither 'config' nor 'manifests'"),
        (json!({ "manifests": [], "config": many, "layers": [] }), "both 'layers' and"),
        (json!({ "config": many, "layers": vec![many.clone(); 128] }), "at most 127 layers"),
        (json!({ "config": { "digest": "md5:abc", "size": 1 }, "layers": [] }), "malformed"),
        (
            json!({ "config": { "mediaType": "application/vnd.cncf.helm.config.v1+json",
                "digest": blobs::Digest::of(b"x"), "size": 1 }, "layers": [] }),
            "an artifact, not a container image",
        ),
    ];
    for (manifest, text) in cases {
        let registry = Registry::start(Auth::Anonymous).await;
        let manifest = serde_json::to_vec(&manifest).unwrap();
        registry.put("/v2/app/manifests/v1", super::made::OCI_MANIFEST, &manifest);
        let error = refused(&registry, &RegistryAuth::Anonymous).await;
        check(&error, "CannotPullContainerError", text);
    }
    let registry = Registry::start(Auth::Anonymous).await;
    let huge = vec![b' '; 5 * 1024 * 1024];
    registry.put("/v2/app/manifests/v1", super::made::OCI_MANIFEST, &huge);
    check(
        &refused(&registry, &RegistryAuth::Anonymous).await,
        "CannotPullContainerError",
        "the image manifest is too large",
    );
}

#[tokio::test]
async fn an_index_without_this_machine_says_what_it_has() {
    let registry = Registry::start(Auth::Anonymous).await;
    let index = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": super::made::OCI_MANIFEST, "digest": image().digest(), "size": 1,
        "platform": { "os": "windows", "architecture": "amd64" } }] });
    registry.put("/v2/app/manifests/v1", OCI_INDEX, &serde_json::to_vec(&index).unwrap());
    let error = refused(&registry, &RegistryAuth::Anonymous).await;
    check(&error, "CannotPullContainerError", "no matching manifest for linux/");
    check(&error, "CannotPullContainerError", "windows/amd64");
}

#[tokio::test]
async fn plain_http_beyond_this_machine_is_refused() {
    let registry = Registry::start(Auth::Anonymous).await;
    registry.push("app:v1", &image());
    let elsewhere = "http://192.0.2.1/blob".to_owned();
    registry.fail("/v2/app/manifests/v1", Fault::Redirect(elsewhere));
    let error = refused(&registry, &RegistryAuth::Anonymous).await;
    check(&error, "CannotPullContainerError", "http://192.0.2.1/blob is not HTTPS");
}
