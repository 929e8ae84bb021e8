//! Questions over sockets.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};

use dns::{Data, Server, Zone, Zones};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;

const WEB: &str = "web-1.us-east-1.elb.internal.";

fn zones(addresses: u8) -> Zones {
    let mut zone = Zone::new("elb.internal", 60, 1);
    for last in 1..=addresses {
        zone.add(WEB, Data::A(Ipv4Addr::new(127, 64, 0, last)));
    }
    let zones = Zones::default();
    zones.set(Some(vec![zone]));
    zones
}

fn question() -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(WEB).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

async fn over_udp(server: SocketAddr) -> Message {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.send_to(&question(), server).await.unwrap();
    let mut told = vec![0; 2048];
    let length = socket.recv(&mut told).await.unwrap();
    Message::from_vec(&told[..length]).unwrap()
}

async fn over_tcp(stream: &mut TcpStream) -> Message {
    let question = question();
    stream.write_u16(u16::try_from(question.len()).unwrap()).await.unwrap();
    stream.write_all(&question).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut told = vec![0; usize::from(length)];
    stream.read_exact(&mut told).await.unwrap();
    Message::from_vec(&told).unwrap()
}

#[tokio::test]
async fn one_address_answers_over_both_and_as_the_zones_are_now() {
    let zones = zones(100);
    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), zones.clone()).await.unwrap();
    let (address, stop) = (server.address(), CancellationToken::new());
    let running = tokio::spawn(server.run(stop.clone()));
    assert!(over_udp(address).await.metadata.truncation);
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(over_tcp(&mut stream).await.answers.len(), 100);
    let mut other = Zone::new("elb.internal", 60, 2);
    other.add(WEB, Data::A(Ipv4Addr::new(10, 0, 0, 1)));
    zones.set(Some(vec![other]));
    let told = over_udp(address).await;
    let RData::A(first) = &told.answers[0].data else { panic!("{told}") };
    assert_eq!(first.0, Ipv4Addr::new(10, 0, 0, 1));
    // The same connection answers again.
    assert_eq!(over_tcp(&mut stream).await.answers.len(), 1);
    zones.set(None);
    assert_eq!(over_udp(address).await.metadata.response_code, ResponseCode::ServFail);
    stop.cancel();
    running.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
