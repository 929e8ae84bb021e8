//! What targets are told first of who connects: version 2 of the PROXY protocol (haproxy's
//! `proxy-protocol.txt`, 2.2).

use std::net::SocketAddr;

/// What it begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and a connection on behalf of another.
const PROXY: u8 = 0x21;
/// TCP over IPv4, and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The header of a connection from `client` to `local`.
pub(super) fn greeting(client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.push(PROXY);
    match (client, local) {
        (SocketAddr::V4(client), SocketAddr::V4(local)) => {
            header.extend_from_slice(&[TCP4, 0, 12]);
            header.extend_from_slice(&client.ip().octets());
            header.extend_from_slice(&local.ip().octets());
        }
        (client, local) => {
            let octets = |address: SocketAddr| match address.ip() {
                std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                std::net::IpAddr::V6(ip) => ip.octets(),
            };
            header.extend_from_slice(&[TCP6, 0, 36]);
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
        let told = greeting(address("192.0.2.1:256"), address("127.64.0.1:443"));
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        expected.extend_from_slice(&[0x21, 0x11, 0, 12, 192, 0, 2, 1, 127, 64, 0, 1, 1, 0, 1, 187]);
        assert_eq!(told, expected);
        let told = greeting(address("[2001:db8::1]:1"), address("[::1]:2"));
        assert_eq!((told.len(), &told[12..16]), (16 + 36, &[0x21, 0x21, 0, 36][..]));
    }
}
