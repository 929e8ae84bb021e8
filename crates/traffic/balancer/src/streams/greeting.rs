//! What targets are told first of who connects, and before each datagram of who sent it: version 2 of
//! the PROXY protocol (haproxy's `proxy-protocol.txt`, 2.2).

use std::net::SocketAddr;

/// What it begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and a connection on behalf of another.
const PROXY: u8 = 0x21;
/// IPv4, and IPv6.
const INET: u8 = 0x10;
const INET6: u8 = 0x20;
/// The most bytes that a header has.
pub(super) const LONGEST: usize = 16 + 36;

/// What a header is about.
#[derive(Clone, Copy)]
pub(super) enum Over {
    /// A connection of TCP.
    Stream = 1,
    /// A datagram of UDP.
    Datagram = 2,
}

/// The header of what comes from `client` to `local`.
pub(super) fn greeting(over: Over, client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let mut header = Vec::with_capacity(LONGEST);
    header.extend_from_slice(&SIGNATURE);
    header.push(PROXY);
    match (client, local) {
        (SocketAddr::V4(client), SocketAddr::V4(local)) => {
            header.extend_from_slice(&[INET | over as u8, 0, 12]);
            header.extend_from_slice(&client.ip().octets());
            header.extend_from_slice(&local.ip().octets());
        }
        (client, local) => {
            let octets = |address: SocketAddr| match address.ip() {
                std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                std::net::IpAddr::V6(ip) => ip.octets(),
            };
            header.extend_from_slice(&[INET6 | over as u8, 0, 36]);
            header.extend_from_slice(&octets(client));
            header.extend_from_slice(&octets(local));
        }
    }
    header.extend_from_slice(&client.port().to_be_bytes());
    header.extend_from_slice(&local.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_in_the_order_of_the_protocol() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let told = greeting(Over::Stream, address("192.0.2.1:256"), address("127.64.0.1:443"));
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        expected.extend_from_slice(&[0x21, 0x11, 0, 12, 192, 0, 2, 1, 127, 64, 0, 1, 1, 0, 1, 187]);
        assert_eq!(told, expected);
        let told = greeting(Over::Stream, address("[2001:db8::1]:1"), address("[::1]:2"));
        assert_eq!((told.len(), &told[12..16]), (LONGEST, &[0x21, 0x21, 0, 36][..]));
        let told = greeting(Over::Datagram, address("[2001:db8::1]:1"), address("[::1]:2"));
        assert_eq!(&told[12..16], &[0x21, 0x22, 0, 36]);
        let told = greeting(Over::Datagram, address("192.0.2.1:256"), address("127.64.0.1:53"));
        assert_eq!(&told[12..16], &[0x21, 0x12, 0, 12]);
    }
}
