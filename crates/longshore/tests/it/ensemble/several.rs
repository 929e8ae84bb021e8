//! Several servers as one: what is written by any is read by all.

use serde_json::{Value, json};

use super::stage::Ensemble;
use crate::harness::fetch;
use crate::linear::client;

/// How often something is written at one server and read at another.
const ROUNDS: usize = 150;

#[test]
fn what_one_server_acknowledged_every_other_shows() {
    let ensemble = Ensemble::start();
    let count = ensemble.servers.len();
    // The same keys everywhere.
    let keys = ensemble.servers[0].up.keys();
    assert!(ensemble.servers.iter().all(|server| server.up.keys() == keys));
    let follower = &ensemble.servers[ensemble.follower()];
    let made = follower.up.aws(&["ecs", "create-cluster", "--cluster-name", "through-the-cli"]);
    assert_eq!(made["cluster"]["status"], "ACTIVE");
    // Many rounds, so of our own client: the CLI takes a second for each call.
    let clients: Vec<_> =
        ensemble.servers.iter().map(|server| client(&server.url(), &keys)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let call = |server: usize, operation: &str, input: Value| {
        let answer = clients[server].invoke(&shapes_ecs::SERVICE, operation, &input);
        runtime.block_on(answer).unwrap()
    };
    for round in 0..ROUNDS {
        let (writer, reader) = (round % count, (round + 1 + round / count) % count);
        let name = format!("round-{round}");
        call(writer, "CreateCluster", json!({"clusterName": name}));
        let told = call(reader, "DescribeClusters", json!({"clusters": [name]}));
        assert_eq!(told["failures"], json!([]), "server {reader} misses {name} of {writer}");
    }
    // Forms are answered anywhere too, and errors have their own form.
    {
        let server = &ensemble.servers[ensemble.follower()];
        let identity = server.up.aws(&["sts", "get-caller-identity"]);
        assert_eq!(identity["Account"], "000000000000");
        let subnets = server.up.aws(&["ec2", "describe-subnets"]);
        assert_eq!(subnets["Subnets"].as_array().map(Vec::len), Some(3));
    }
    ensemble.end();
}

#[test]
fn a_server_tells_its_role_and_where_the_leader_is() {
    let ensemble = Ensemble::start();
    let leader = ensemble.leader();
    for (index, server) in ensemble.servers.iter().enumerate() {
        let told = fetch(&format!("{}/_longshore/readyz", server.url())).expect("it is ready");
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let expected = match index == leader {
            true => json!({"role": "leader", "leader": null}),
            false => json!({"role": "follower", "leader": ensemble.servers[leader].url()}),
        };
        assert_eq!(json!({"role": told["role"], "leader": told["leader"]}), expected);
    }
    ensemble.end();
}
