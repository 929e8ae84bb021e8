//! kill -9 of the server during pushes: nothing that was acknowledged is lost, no half blob is seen, and
//! an upload goes on where it was.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use distribution::{Auth, Authorities, ClientError, Http, Remote};
use http::{HeaderName, HeaderValue};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Process, Up};

/// How often the server is killed; `LONGSHORE_KILLS` for more.
const KILLS: usize = 10;
/// Clients that push at the same time, each to a repository of its own.
const CALLERS: usize = 6;
/// The largest layer, in bytes: over what clients send at a time.
const LAYER_BYTES_MAX: usize = 10 * 1024 * 1024;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A client of the registry, for this caller's repository.
pub fn remote(up: &Up, caller: usize) -> Remote {
    let (username, password) = up.keys();
    let client = Arc::new(Http::new(Duration::from_secs(60), Authorities::default()));
    let auth = Auth::Basic { username, password };
    let remote = Remote::new(client, &up.endpoint(), &format!("caller-{caller}"), auth).unwrap();
    remote.pushing(HeaderName::from_static("x-pushes"), HeaderValue::from_static("yes"))
}

/// The digest of bytes.
pub fn digest(bytes: &[u8]) -> String {
    blobs::Digest::of(bytes).to_string()
}

/// The layer of an image: another one each, of another length.
pub fn layer(caller: usize, number: usize) -> Vec<u8> {
    let length = (caller * 1_310_719 + number * 2_097_143) % LAYER_BYTES_MAX + 8;
    let mut bytes = vec![u8::try_from(caller).unwrap(); length];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn manifest(layer: &[u8]) -> Vec<u8> {
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"{}"), "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(layer),
            "size": layer.len()}],
    })
    .to_string()
    .into_bytes()
}

async fn upload(remote: &Remote, bytes: Bytes) -> Result<(), ClientError> {
    let read = |from: u64, count: u64| {
        let from = usize::try_from(from).unwrap();
        let part = bytes.slice(from..from + usize::try_from(count).unwrap());
        async move { Ok::<_, ClientError>(part) }
    };
    remote.upload(&digest(&bytes), bytes.len() as u64, read).await
}

async fn push(remote: &Remote, caller: usize, number: usize) -> Result<(), ClientError> {
    let layer = layer(caller, number);
    let manifest = manifest(&layer);
    upload(remote, Bytes::from_static(b"{}")).await?;
    upload(remote, layer.into()).await?;
    let tags = [format!("n{number}")];
    remote.put_manifest(&digest(&manifest), &tags, MANIFEST, manifest.into()).await
}

/// Pushes until the server is gone; the numbers that were acknowledged.
pub async fn push_on(
    remote: Remote,
    (caller, mut number): (usize, usize),
    told: tokio::sync::mpsc::Sender<()>,
) -> (usize, Vec<usize>) {
    let mut acknowledged = Vec::new();
    while push(&remote, caller, number).await.is_ok() {
        acknowledged.push(number);
        number += 1;
        if told.send(()).await.is_err() {
            break;
        }
    }
    (caller, acknowledged)
}

/// What was acknowledged is there, and right.
pub async fn check(up: &Up, caller: usize, numbers: &[usize]) {
    let remote = remote(up, caller);
    for number in numbers {
        let layer = layer(caller, *number);
        let found = remote.manifest(&format!("n{number}"), 1 << 20).await.unwrap();
        let found = found.unwrap_or_else(|| panic!("caller-{caller}:n{number} is lost"));
        assert!(found.bytes == manifest(&layer), "caller-{caller}:n{number}");
        let mut blob = remote.blob(&digest(&layer), 0).await.unwrap().expect("its layer is there");
        let mut bytes = Vec::new();
        while let Some(piece) = remote.piece(&mut blob).await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert!(bytes == layer, "the layer of caller-{caller}:n{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_push_is_lost() {
    let kills = std::env::var("LONGSHORE_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().display().to_string();
    let args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    let mut server = Process::start(&args, "Longshore serves at");
    let up = Up::adopt(data);
    for caller in 0..CALLERS {
        let name = format!("caller-{caller}");
        up.aws(&["ecr", "create-repository", "--repository-name", &name]);
    }
    let mut next = [0; CALLERS];
    for kill in 0..kills {
        let (told, mut acknowledgements) = tokio::sync::mpsc::channel(1024);
        let mut callers = JoinSet::new();
        for (caller, number) in next.into_iter().enumerate() {
            callers.spawn(push_on(remote(&up, caller), (caller, number), told.clone()));
        }
        drop(told);
        // Spread the moments of death without a clock: a count that changes with each round.
        for _ in 0..=(kill * 5) % 13 {
            acknowledgements.recv().await.unwrap();
        }
        server.end(Signal::SIGKILL);
        let ended = callers.join_all().await;
        server = Process::start(&args, "Longshore serves at");
        for (caller, numbers) in ended {
            check(&up, caller, &numbers).await;
            // One that was under way may be there or not; the next begins after it.
            next[caller] += numbers.len() + 1;
        }
        no_half_blob(&up);
    }
    server.end(Signal::SIGTERM);
}

/// Each file that can be answered has the digest that it is named by.
fn no_half_blob(up: &Up) {
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(up.data().join("registry/sha256")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert_eq!(digest(&std::fs::read(entry.path()).unwrap()), format!("sha256:{name}"));
        seen.insert(name);
    }
    assert!(!seen.is_empty());
}

/// What curl is answered: status, and one header.
pub fn curl(up: &Up, args: &[&str], path: &str, header: &str) -> (String, String) {
    let (user, password) = up.keys();
    let shown = format!("\n%{{http_code}} %header{{{header}}}");
    let done = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", &shown, "--user", &format!("{user}:{password}")])
        .args(args)
        .arg(format!("{}{path}", up.endpoint()))
        .output()
        .unwrap();
    let told = String::from_utf8(done.stdout).unwrap();
    let (status, header) = told.trim().split_once(' ').unwrap_or((told.trim(), ""));
    (status.to_owned(), header.to_owned())
}

#[test]
fn an_upload_goes_on_after_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().display().to_string();
    let args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    let mut server = Process::start(&args, "Longshore serves at");
    let up = Up::adopt(data);
    up.aws(&["ecr", "create-repository", "--repository-name", "app"]);
    let (status, place) = curl(&up, &["-X", "POST"], "/v2/app/blobs/uploads/", "location");
    assert_eq!(status, "202");
    let (first, second) = (layer(1, 1), layer(2, 2));
    let file = |name: &str, bytes: &[u8]| {
        let path = up.data().join(name);
        std::fs::write(&path, bytes).unwrap();
        format!("@{}", path.display())
    };
    let part = file("first", &first);
    let sent = ["-X", "PATCH", "-H", "Expect:", "--data-binary", &part];
    assert_eq!(curl(&up, &sent, &place, "range").0, "202");
    server.end(Signal::SIGKILL);
    server = Process::start(&args, "Longshore serves at");
    let (status, range) = curl(&up, &[], &place, "range");
    assert_eq!((status, range), ("204".to_owned(), format!("0-{}", first.len() - 1)));
    let (whole, part) = (digest(&[first, second.clone()].concat()), file("second", &second));
    let sent = ["-X", "PUT", "-H", "Expect:", "--data-binary", &part];
    let (status, _) = curl(&up, &sent, &format!("{place}?digest={whole}"), "location");
    assert_eq!(status, "201");
    no_half_blob(&up);
    server.end(Signal::SIGTERM);
}
