//! Raw requests against the edge. `whole_request` is what the fuzz target calls too.

use proptest::prelude::*;

use crate::stage::{ECS, assert_marked, signed};

#[path = "raw/request.rs"]
mod request;

use request::whole_request;

/// The head of a signed call; its body will mostly be another one.
fn signed_head(operation: &str) -> Vec<u8> {
    let parts = signed(crate::stage::ecs_call(operation), "{}", "ecs");
    let mut head = "POST / HTTP/1.1\n".to_owned();
    for (name, value) in &parts.headers {
        head += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    (head + "\n").into_bytes()
}

#[test]
fn a_raw_request_reaches_its_operation() {
    let edge = crate::stage::edge();
    let raw = [signed_head("ListClusters"), b"{}".to_vec()].concat();
    let answer = whole_request(&edge, &raw).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(whole_request(&edge, b"").is_none());
}

/// Pieces that steer towards the deeper parts.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::sample::select(vec![
            "POST / HTTP/1.1\n", "GET /?", "\n\n", "\n", "host: localhost\n", "{\"tasks\":[", "\"",
            "}", "]", "Action=RunTask&", "taskDefinition=", "tags.member.1.key=", "Version=2011-06-15&",
            "content-type: application/x-www-form-urlencoded\n", "X-Amz-Signature=", "X-Amz-Date=",
            "content-type: application/x-amz-json-1.1\n", "authorization: AWS4-HMAC-SHA256 ",
            "Credential=AKIDEXAMPLE/20260102/us-east-1/ecs/aws4_request, ", "SignedHeaders=host, ",
            "Signature=0000000000000000000000000000000000000000000000000000000000000000\n",
            "x-amz-date: 20260102T030405Z\n", "x-amz-security-token: a\n", "x-amz-target: ",
            "AmazonEC2ContainerServiceV20141113.RunTask\n", "%", "/..//.", "\u{1F600}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..16),
    ]
}

proptest! {
    #[test]
    fn any_request_is_answered(
        pieces in proptest::collection::vec(piece(), 0..24),
        body in any::<Vec<u8>>(),
    ) {
        let open = crate::stage::builder()
            .service(crate::stage::ecs_service())
            .service(crate::stage::sts_service())
            .open(true)
            .build();
        let edge = crate::stage::edge();
        let raw = pieces.concat();
        let target = format!("POST / HTTP/1.1\nhost: a\nx-amz-target: {ECS}.RunTask\n\n");
        let reached = [target.into_bytes(), body.clone()].concat();
        let tampered = [signed_head("RunTask"), body].concat();
        for raw in [raw, reached, tampered] {
            for edge in [&open, &edge] {
                if let Some(answer) = whole_request(edge, &raw) {
                    assert_marked(&answer);
                    prop_assert!(answer.status != 500, "{}", answer.text());
                }
            }
        }
    }
}
