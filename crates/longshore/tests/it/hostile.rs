//! The real server beside clients that mean harm, without descriptors, and stopped under load.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::SdkError;
use aws_sdk_ecs::types::ContainerDefinition;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::{Process, Up, eventually, fetch};
use crate::sdk::client;

/// A server on a folder of its own, and the clients' side of it.
fn serve(flags: &[&str]) -> (Process, Up) {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().display().to_string();
    let mut args = vec!["server", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    args.extend(flags);
    let server = Process::start(&args, "Longshore serves at");
    (server, Up::adopt(data))
}

fn address(up: &Up) -> SocketAddr {
    up.endpoint().trim_start_matches("http://").parse().unwrap()
}

fn pid(up: &Up) -> Pid {
    let text = std::fs::read(up.data().join("server.json")).unwrap();
    let running: Value = serde_json::from_slice(&text).unwrap();
    Pid::from_raw(i32::try_from(running["pid"].as_i64().unwrap()).unwrap())
}

/// Connections that have sent this; those that the server closed meanwhile too.
fn crowd(up: &Up, count: usize, beginning: &str) -> Vec<TcpStream> {
    let open = || {
        let mut stream = TcpStream::connect(address(up)).ok()?;
        stream.write_all(beginning.as_bytes()).ok()?;
        Some(stream)
    };
    (0..count).filter_map(|_| open()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_beside_slow_clients() {
    let (mut server, up) = serve(&["--max-connections", "64"]);
    let beginnings = [
        "",
        "POST / HTTP/1.1\r\nhost: a\r\nx-slow: ",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4000000\r\n\r\nhalf",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    let ecs = client(&up);
    let mut held = Vec::new();
    for beginning in beginnings {
        held.extend(crowd(&up, 200, beginning));
        for _ in 0..5 {
            ecs.list_clusters().send().await.unwrap();
            assert!(fetch(&format!("{}/_longshore/healthz", up.endpoint())).is_some());
        }
    }
    up.aws(&["ecs", "list-clusters"]);
    drop(held);
    assert_eq!(server.end(Signal::SIGTERM), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_descriptors_goes_on() {
    let (mut server, up) = serve(&[]);
    let limit = ["--pid", &pid(&up).to_string(), "--nofile=128:128"];
    assert!(Command::new("prlimit").args(limit).status().unwrap().success());
    let ecs = client(&up);
    ecs.list_clusters().send().await.unwrap();
    let held = crowd(&up, 400, "");
    for _ in 0..5 {
        client(&up).list_clusters().send().await.unwrap();
    }
    drop(held);
    ecs.create_cluster().cluster_name("after").send().await.unwrap();
    assert_eq!(server.end(Signal::SIGTERM), Some(0));
}

/// What a caller was told until the server was gone.
#[derive(Default)]
struct Told {
    acknowledged: i32,
    refusal: Option<String>,
}

async fn register(ecs: Client, family: String, told: tokio::sync::mpsc::Sender<()>) -> Told {
    let container = ContainerDefinition::builder().name("main").image("busybox").memory(64).build();
    let mut so_far = Told::default();
    loop {
        let call =
            ecs.register_task_definition().family(&family).container_definitions(container.clone());
        match call.send().await {
            Ok(answer) => so_far.acknowledged = answer.task_definition().unwrap().revision(),
            Err(SdkError::ServiceError(error)) => {
                so_far.refusal = Some(format!("{:?}", error.into_err()));
                return so_far;
            }
            // No connection any more.
            Err(_) => return so_far,
        }
        if told.send(()).await.is_err() {
            return so_far;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_ends_well_and_loses_nothing() {
    let (mut server, up) = serve(&[]);
    let (told, mut acknowledgements) = tokio::sync::mpsc::channel(4096);
    let mut callers = JoinSet::new();
    for caller in 0..16 {
        let (ecs, told) = (client(&up), told.clone());
        let family = format!("caller-{caller}");
        callers.spawn(async move { (family.clone(), register(ecs, family, told).await) });
    }
    drop(told);
    for _ in 0..200 {
        acknowledgements.recv().await.unwrap();
    }
    let ended = tokio::task::spawn_blocking(move || server.end(Signal::SIGTERM));
    while acknowledgements.recv().await.is_some() {}
    assert_eq!(ended.await.unwrap(), Some(0));
    let folder = up.data().display().to_string();
    let args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    let mut server = Process::start(&args, "Longshore serves at");
    let ecs = client(&up);
    while let Some(ended) = callers.join_next().await {
        let (family, told) = ended.unwrap();
        assert_eq!(told.refusal, None, "{family}: what was taken on is done");
        let definition = format!("{family}:{}", told.acknowledged);
        let found = ecs.describe_task_definition().task_definition(&definition).send().await;
        assert!(found.is_ok(), "{definition} was acknowledged and is gone: {found:?}");
    }
    server.end(Signal::SIGTERM);
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let (mut server, up) = serve(&[]);
    // Half a body is waited for, once it is asked for.
    let beginning = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\
                     expect: 100-continue\r\n\r\n";
    let mut held = crowd(&up, 1, beginning);
    let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut told = vec![0; expected.len()];
    held[0].read_exact(&mut told).unwrap();
    assert_eq!(told, expected);
    held[0].write_all(b"half").unwrap();
    let (pid, address) = (pid(&up), address(&up));
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(eventually(|| TcpStream::connect(address).is_err()));
    assert_eq!(server.end(Signal::SIGTERM), Some(130));
    drop(held);
}
