//! Any bytes as a request to an open edge and to one that checks signatures: both must answer,
//! and never with a failure of their own. The request's way is the one that the tests take.
#![no_main]
#![allow(dead_code)]

#[path = "../../tests/it/raw/request.rs"]
mod request;
#[path = "../../tests/it/stage.rs"]
mod stage;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use wire::Edge;

fn edges() -> &'static [Edge; 2] {
    static EDGES: OnceLock<[Edge; 2]> = OnceLock::new();
    EDGES.get_or_init(|| {
        let open = stage::builder().service(stage::ecs_service()).service(stage::sts_service());
        [open.open(true).build(), stage::edge()]
    })
}

fuzz_target!(|raw: &[u8]| {
    for edge in edges() {
        if let Some(answer) = request::whole_request(edge, raw) {
            stage::assert_marked(&answer);
            assert_ne!(answer.status, 500, "{}", answer.text());
        }
    }
});
