//! Bridge networks: namespaces, addresses, published ports.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use runtime::containers::Network;
use runtime::networks::{LinuxNetworks, NetworkOptions};
use runtime::{Containers, Networks, PortMapping, Protocol};

use crate::ground::Ground;

async fn open(ground: &Ground) -> LinuxNetworks {
    let data = ground.data.path();
    LinuxNetworks::open(&data.join("node"), &data.join("run"), NetworkOptions::default())
        .await
        .unwrap()
}

fn tcp(container_port: u16, host_port: u16) -> PortMapping {
    PortMapping { container_port, host_port, protocol: Protocol::Tcp }
}

/// A port that nobody has, outside of those that are given out by themselves.
fn unused() -> u16 {
    let from = 10_000 + u16::try_from(std::process::id() % 15_000).unwrap();
    (from..32_000).find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()).unwrap()
}

/// What an HTTP server at this address says to a GET.
fn get(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn published_ports_are_reached_from_the_host() {
    let ground = Ground::new().await;
    let networks = open(&ground).await;
    let mut spec =
        ground.shell("mkdir /www; echo here I am > /www/index.html; exec httpd -f -p 80 -h /www");
    let reserved = unused();
    let ports = [tcp(80, 0), tcp(8080, reserved)];
    let attachment = networks.attach(&spec.id, &ports).await.unwrap();
    let port = attachment.bindings[0].host_port;
    assert!(TcpListener::bind(("0.0.0.0", reserved)).is_err(), "nobody else can have it");
    spec.network = Network::Namespace {
        path: attachment.namespace.clone(),
        address: Some(attachment.address),
    };
    let id = spec.id.clone();
    ground.containers.create(spec).await.unwrap();
    ground.containers.start(&id).await.unwrap();
    // Its own address first: a refused connection is tried again until the server listens.
    while TcpStream::connect((attachment.address, 80)).is_err() {
        tokio::task::yield_now().await;
    }
    assert!(get(SocketAddr::from((attachment.address, 80))).contains("here I am"));
    assert!(get(SocketAddr::from(([127, 0, 0, 1], port))).contains("here I am"));
    // From another container, by the bridge's address.
    let mut other =
        ground.shell(&format!("wget -q -O - http://{}:{port}/; ip addr", attachment.gateway));
    let second = networks.attach(&other.id, &[]).await.unwrap();
    other.network =
        Network::Namespace { path: second.namespace.clone(), address: Some(second.address) };
    let other_id = other.id.clone();
    let (exit, said) = ground.run(other).await;
    assert!(said.contains("here I am") && said.contains(&second.address.to_string()), "{said}");
    assert_eq!(exit.code, 0);
    networks.detach(&other_id).await.unwrap();

    ground.containers.remove(&id, false).await.unwrap();
    networks.detach(&id).await.unwrap();
    // Free again, as soon as no process that was being started has a copy of its socket.
    while TcpListener::bind(("0.0.0.0", reserved)).is_err() {
        tokio::task::yield_now().await;
    }
    networks.close().await.unwrap();
    ground.end().await;
}
