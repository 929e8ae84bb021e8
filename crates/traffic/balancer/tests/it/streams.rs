//! Network load balancers: bytes both ways, and what targets are told of clients.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use balancer::{Kind, Speaks, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use super::world::{PATIENCE, World, group};

/// A target that sends back what it gets, behind its name.
struct Echo {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Echo {
    async fn named(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let _ = stream.write_all(name.as_bytes()).await;
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    let _ = to.shutdown().await;
                });
            }
        });
        Self { address, serving }
    }
}

fn target(address: &SocketAddr) -> balancer::Target {
    balancer::Target {
        id: address.ip().to_string(),
        port: address.port(),
        address: *address,
        registration: 1,
        draining: false,
    }
}

/// A load balancer for streams before these.
async fn before(targets: &[&Echo], change: impl FnOnce(&mut balancer::Group)) -> World {
    let mut world = World::new();
    let mut blue = group("blue", &[]);
    blue.targets = targets.iter().map(|echo| target(&echo.address)).collect();
    blue.speaks = Speaks::Bytes;
    blue.check.speaks = Speaks::Bytes;
    change(&mut blue);
    world.config.groups.push(blue);
    world.listener().kind = Kind::Streams(Duration::from_secs(350));
    world.apply();
    world.settle("blue", |health| health.state == State::Healthy).await;
    world
}

async fn all(mut stream: TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.unwrap();
    got
}

#[tokio::test]
async fn bytes_go_both_ways_until_both_ends_close() {
    let echo = Echo::named("").await;
    let world = before(&[&echo], |_| {}).await;
    let mut client = world.connect().await.stream;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let (mut from, mut to) = client.split();
    let sending = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (_, read) = tokio::join!(sending, from.read_to_end(&mut got));
    read.unwrap();
    assert!(got == sent, "{} bytes of {}", got.len(), sent.len());
}

#[tokio::test]
async fn targets_are_told_who_connects() {
    let echo = Echo::named("").await;
    let world = before(&[&echo], |group| group.greets = true).await;
    let mut client = world.connect().await.stream;
    let own = client.local_addr().unwrap();
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let got = all(client).await;
    assert_eq!(&got[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    let (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) = (own.ip(), world.address.ip())
    else {
        panic!("loopback addresses of IPv4");
    };
    let mut told = [from.octets(), to.octets()].concat();
    told.extend_from_slice(&own.port().to_be_bytes());
    told.extend_from_slice(&world.address.port().to_be_bytes());
    assert_eq!(&got[16..28], &told[..]);
    assert_eq!(&got[28..], b"hello");
}

#[tokio::test]
async fn a_client_s_connections_stay_with_a_target_by_its_address() {
    let (one, two) = (Echo::named("one").await, Echo::named("two").await);
    let ask = async |world: &World| {
        let mut client = world.connect().await.stream;
        client.shutdown().await.unwrap();
        String::from_utf8(all(client).await).unwrap()
    };
    let world = before(&[&one, &two], |group| group.by_source = true).await;
    let first = ask(&world).await;
    for _ in 0..20 {
        assert_eq!(ask(&world).await, first);
    }
    let world = before(&[&one, &two], |_| {}).await;
    // By chance both are met sooner or later.
    let (mut seen_one, mut seen_two) = (false, false);
    while !(seen_one && seen_two) {
        match ask(&world).await.as_str() {
            "one" => seen_one = true,
            "two" => seen_two = true,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn connections_that_are_idle_or_whose_target_turns_unhealthy_are_reset() {
    let echo = Echo::named("hi").await;
    let mut world = before(&[&echo], |_| {}).await;
    world.listener().kind = Kind::Streams(Duration::from_millis(100));
    world.apply();
    let mut client = world.connect().await.stream;
    let mut got = Vec::new();
    let ended = client.read_to_end(&mut got).await;
    assert!(ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert_eq!(got, b"hi");

    let echo = Echo::named("hi").await;
    let checked = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = checked.local_addr().unwrap().port();
    let world = before(&[&echo], |group| {
        group.check.port = Some(port);
        group.cuts_unhealthy = true;
    })
    .await;
    let mut client = world.connect().await.stream;
    client.read_exact(&mut [0; 2]).await.unwrap();
    drop(checked);
    let ended = client.read_to_end(&mut Vec::new()).await;
    assert!(ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_target_that_refuses_is_passed_over_and_nobody_resets() {
    let (stays, goes) = (Echo::named("stays").await, Echo::named("goes").await);
    let world =
        before(&[&stays, &goes], |group| group.check.port = Some(stays.address.port())).await;
    let gone = goes.address;
    drop(goes);
    // Its listener is gone once nothing can connect.
    while TcpStream::connect(gone).await.is_ok() {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        let mut client = world.connect().await.stream;
        client.shutdown().await.unwrap();
        assert_eq!(all(client).await, b"stays");
    }
    let nobody = before(&[], |_| {}).await;
    let ended = nobody.connect().await.stream.read_to_end(&mut Vec::new()).await;
    assert!(ended.is_err());
}

#[tokio::test]
async fn connections_to_a_target_that_is_gone_end_if_they_are_to() {
    let (stays, goes) = (Echo::named("stays").await, Echo::named("goes").await);
    for cuts_gone in [false, true] {
        let mut world = before(&[&stays, &goes], |group| group.cuts_gone = cuts_gone).await;
        let mut clients = Vec::new();
        while clients.len() < 2 {
            let mut client = world.connect().await.stream;
            let mut name = [0; 4];
            client.read_exact(&mut name).await.unwrap();
            if name == *b"goes" {
                clients.push(client);
            }
        }
        world.config.groups[0].targets[1].draining = true;
        world.apply();
        for client in &mut clients {
            echoes(client).await;
        }
        world.config.groups[0].targets.pop();
        world.apply();
        for client in &mut clients {
            match cuts_gone {
                false => echoes(client).await,
                true => {
                    let ended = client.read_to_end(&mut Vec::new()).await;
                    assert!(ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
                }
            }
        }
    }
}

/// Takes that a connection is open both ways.
async fn echoes(client: &mut TcpStream) {
    client.write_all(b"still").await.unwrap();
    let mut got = [0; 5];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(got, *b"still");
}

#[tokio::test]
async fn each_datagram_tells_who_sent_it() {
    let (socket, checked) = both_of_a_port().await;
    let address = socket.local_addr().unwrap();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move { while checked.accept().await.is_ok() {} });
    let mut world = before(&[], |group| {
        group.targets = vec![target(&address)];
        group.greets = true;
    })
    .await;
    world.listener().kind = Kind::Datagrams;
    world.apply();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(world.address).await.unwrap();
    let mut part = [0; 2048];
    for text in ["one", "two"] {
        client.send(text.as_bytes()).await.unwrap();
        let came = tokio::time::timeout(PATIENCE, socket.recv_from(&mut part)).await;
        let (length, from) = came.expect("it comes").unwrap();
        let (header, datagram) = part[..length].split_at(28);
        assert_eq!(header[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c");
        let ends = [client.local_addr().unwrap(), world.address];
        let octets = ends.map(|end| match end.ip() {
            IpAddr::V4(ip) => ip.octets(),
            IpAddr::V6(_) => panic!("all is over IPv4"),
        });
        assert_eq!(header[16..24], octets.concat());
        assert_eq!(header[24..], ends.map(|end| end.port().to_be_bytes()).concat());
        assert_eq!(datagram, text.as_bytes());
        // What goes back is the target's alone.
        socket.send_to(b"back", from).await.unwrap();
        let came = tokio::time::timeout(PATIENCE, client.recv(&mut part)).await;
        assert_eq!(&part[..came.expect("it comes").unwrap()], b"back");
    }
}

#[tokio::test]
async fn datagrams_of_a_client_go_to_one_target_and_back() {
    let mut targets = Vec::new();
    let mut serving = tokio::task::JoinSet::new();
    for name in ["one", "two"] {
        let (socket, checked) = both_of_a_port().await;
        let address = socket.local_addr().unwrap();
        serving.spawn(async move { while checked.accept().await.is_ok() {} });
        serving.spawn(async move {
            let mut part = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut part).await {
                let answer = [name.as_bytes(), &part[..length]].concat();
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        targets.push(address);
    }
    let mut world = before(&[], |group| {
        group.targets = targets.iter().map(target).collect();
    })
    .await;
    // Connections and datagrams may share a port.
    let datagrams = balancer::Listener { kind: Kind::Datagrams, ..world.listener().clone() };
    world.config.load_balancers[0].listeners.push(datagrams);
    world.apply();
    let mut names = std::collections::BTreeMap::new();
    // Each of the targets gets flows, sooner or later.
    while names.len() < 2 {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(world.address).await.unwrap();
        let mut flow = std::collections::BTreeSet::new();
        for _ in 0..3 {
            flow.insert(asked(&client).await);
        }
        assert_eq!(flow.len(), 1, "a flow has one target");
        names.insert(flow.pop_first().unwrap(), client);
    }
    assert_eq!(names.keys().collect::<Vec<_>>(), ["onehello", "twohello"]);
    // What goes to a target that leaves goes to another.
    world.config.groups[0].targets[0].draining = true;
    world.apply();
    assert_eq!(asked(&names["onehello"]).await, "twohello");
}

/// A port for datagrams whose connections, which are checks, are taken too.
async fn both_of_a_port() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // Somebody else may connect from a port of this number just now.
        if let Ok(checked) = TcpListener::bind(socket.local_addr().unwrap()).await {
            return (socket, checked);
        }
    }
}

/// What a client is answered; over loopback nothing is lost.
async fn asked(client: &UdpSocket) -> String {
    let mut part = [0; 2048];
    client.send(b"hello").await.unwrap();
    let read = tokio::time::timeout(PATIENCE, client.recv(&mut part)).await;
    let length = read.expect("an answer comes").unwrap();
    String::from_utf8_lossy(&part[..length]).into_owned()
}
