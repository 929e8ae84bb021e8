//! Load balancers before real clients: curl with HTTP/2 and names, gRPC, WebSockets, sockets of TCP, TLS and
//! UDP; targets that die under load; shares, counted; access logs (`fronts.py`).

use crate::harness::Up;

const SCRIPT: &str = include_str!("fronts.py");

#[test]
fn real_clients_get_what_they_ask_for() {
    let up = Up::start(&[]);
    let output = up.with_profile("python3").args(["-c", SCRIPT]).output().unwrap();
    let (said, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{error}");
    assert_eq!(said.lines().count(), 8, "{said}");
}
