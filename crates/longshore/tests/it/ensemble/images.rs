//! A registry of several servers over a bucket that they share.

use std::io::Write;
use std::net::TcpStream;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::JoinSet;

use super::s3::S3;
use super::stage::{Ensemble, Server};
use crate::harness::{example_image, piped};
use crate::pushes::{check, curl, digest, layer, push_on, remote};
use crate::registry::skopeo;

/// Clients that push at the same time.
const CALLERS: usize = 3;
/// How often the leader is killed meanwhile.
const KILLS: usize = 3;

fn start(s3: &S3) -> Ensemble {
    let flags = s3.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Ensemble::start_with(&flags)
}

fn login(server: &Server) -> String {
    let (user, password) = server.up.keys();
    format!("{user}:{password}")
}

/// Copies an image from a server to a folder, and gives its manifest's digest.
fn pull(server: &Server, image: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let target = format!("dir:{}", folder.path().display());
    let source = format!("docker://{}/{image}", server.address);
    skopeo(&["copy", "--src-tls-verify=false", "--src-creds", &login(server), &source, &target]);
    digest(&std::fs::read(folder.path().join("manifest.json")).unwrap())
}

#[test]
fn what_is_pushed_to_one_server_is_pulled_from_another_when_that_is_dead() {
    let s3 = S3::start();
    let mut ensemble = start(&s3);
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    let pushed = &ensemble.servers[follower];
    pushed.up.aws(&["ecr", "create-repository", "--repository-name", "app"]);
    pushed.up.aws(&["ecr", "create-repository", "--repository-name", "other"]);
    let image = format!("oci-archive:{}", example_image("busybox"));
    let target = format!("docker://{}/app:v1", pushed.address);
    skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", &login(pushed), &image, &target]);
    let told = pushed.up.aws(&["ecr", "describe-images", "--repository-name", "app"]);
    let named = told["imageDetails"][0]["imageDigest"].as_str().unwrap().to_owned();
    for server in &ensemble.servers {
        assert_eq!(pull(server, &format!("app@{named}")), named);
    }
    let manifest = pushed.up.aws(&[
        "ecr",
        "batch-get-image",
        "--repository-name",
        "app",
        "--image-ids",
        "imageTag=v1",
    ]);
    let manifest = manifest["images"][0]["imageManifest"].as_str().unwrap();
    let manifest: serde_json::Value = serde_json::from_str(manifest).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    // Mounted by one, read in part from all.
    let mount = format!("/v2/other/blobs/uploads/?mount={layer}&from=app");
    assert_eq!(curl(&pushed.up, &["-X", "POST"], &mount, "location").0, "201");
    for server in &ensemble.servers {
        let path = format!("/v2/other/blobs/{layer}");
        let (status, range) = curl(&server.up, &["-r", "2-5"], &path, "content-range");
        let size = &manifest["layers"][0]["size"];
        assert_eq!((status, range), ("206".to_owned(), format!("bytes 2-5/{size}")));
    }
    // A node pulls it as from any registry.
    ensemble.add_agent("one", &[]);
    let definition = json!({
        "family": "pushed", "networkMode": "host",
        "containerDefinitions": [{"name": "main", "memory": 32,
            "image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/app:v1",
            "command": ["sh", "-c", "exit 7"]}],
    });
    let up = &ensemble.servers[0].up;
    let task = up.await_status(&up.run_task(&definition), "STOPPED");
    assert_eq!(task["containers"][0]["exitCode"], 7, "{task}");
    for dead in [leader, follower] {
        ensemble.servers[dead].end(Signal::SIGKILL);
    }
    let left = ensemble.leader();
    assert_eq!(pull(&ensemble.servers[left], &format!("app@{named}")), named);
    ensemble.end();
}

#[test]
fn an_upload_goes_on_at_another_server_after_a_kill() {
    let s3 = S3::start();
    let mut ensemble = start(&s3);
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    let up = |server: usize| &ensemble.servers[server].up;
    up(leader).aws(&["ecr", "create-repository", "--repository-name", "app"]);
    let (first, second) = (layer(1, 5), layer(2, 3));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        format!("@{}", path.display())
    };
    let (status, place) = curl(up(follower), &["-X", "POST"], "/v2/app/blobs/uploads/", "location");
    assert_eq!(status, "202");
    let part = file("first", &first);
    let sent = ["-X", "PATCH", "-H", "Expect:", "--data-binary", &part];
    assert_eq!(curl(up(follower), &sent, &place, "range").0, "202");
    // The leader dies in the middle of the next part.
    let mut half = TcpStream::connect(&ensemble.servers[leader].address).unwrap();
    let login = piped("base64", &["-w0"], &login(&ensemble.servers[leader]));
    let head = format!(
        "PATCH {place} HTTP/1.1\r\nhost: {}\r\nauthorization: Basic {login}\r\n\
         content-length: {}\r\n\r\n",
        ensemble.servers[leader].address,
        second.len()
    );
    half.write_all(head.as_bytes()).unwrap();
    half.write_all(&second[..second.len() * 3 / 4]).unwrap();
    ensemble.servers[leader].end(Signal::SIGKILL);
    drop(half);
    let leads = ensemble.leader();
    let other = (0..3).find(|server| ![leader, leads].contains(server)).unwrap();
    let up = |server: usize| &ensemble.servers[server].up;
    assert_eq!(s3.count("blobs"), 0, "no half blob");
    let (status, range) = curl(up(other), &[], &place, "range");
    assert_eq!(status, "204");
    let last: usize = range.strip_prefix("0-").unwrap().parse().unwrap();
    assert!(last + 1 >= first.len(), "what was acknowledged is there: {range}");
    let rest = file("rest", &second[last + 1 - first.len()..]);
    let whole = [first, second].concat();
    let (named, sent) = (digest(&whole), ["-X", "PUT", "-H", "Expect:", "--data-binary", &rest]);
    let blob = format!("/v2/app/blobs/{named}");
    assert_eq!(curl(up(other), &["-I"], &blob, "etag").0, "404", "it is none before its end");
    assert_eq!(curl(up(other), &sent, &format!("{place}?digest={named}"), "location").0, "201");
    assert_eq!((s3.count("blobs"), s3.count("uploads")), (1, 0));
    for server in [leads, other] {
        let (status, length) = curl(up(server), &[], &blob, "content-length");
        assert_eq!((status, length), ("200".to_owned(), whole.len().to_string()));
    }
    ensemble.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_push_is_lost_with_its_leader() {
    let s3 = S3::start();
    let mut ensemble = start(&s3);
    for caller in 0..CALLERS {
        let name = format!("caller-{caller}");
        ensemble.servers[0].up.aws(&["ecr", "create-repository", "--repository-name", &name]);
    }
    let mut next = [0; CALLERS];
    for kill in 0..KILLS {
        let (leader, follower) = (ensemble.leader(), ensemble.follower());
        let (told, mut acknowledgements) = tokio::sync::mpsc::channel(1024);
        let mut callers = JoinSet::new();
        for (caller, number) in next.into_iter().enumerate() {
            // Some by way of another, some straight.
            let server = if caller % 2 == 0 { follower } else { leader };
            let remote = remote(&ensemble.servers[server].up, caller);
            callers.spawn(push_on(remote, (caller, number), told.clone()));
        }
        drop(told);
        for _ in 0..=kill * 2 {
            acknowledgements.recv().await.unwrap();
        }
        ensemble.servers[leader].end(Signal::SIGKILL);
        // Those that go on with the next leader end when they notice.
        drop(acknowledgements);
        let ended = callers.join_all().await;
        ensemble.leader();
        for (caller, numbers) in ended {
            check(&ensemble.servers[follower].up, caller, &numbers).await;
            next[caller] += numbers.len() + 1;
        }
        ensemble.servers[leader].resume();
    }
    ensemble.end();
}
