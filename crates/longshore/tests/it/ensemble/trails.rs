//! Who did what at any of several servers, and a new key for who is locked out of all of them.

use std::fs;
use std::process::Output;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::stage::{Ensemble, Server};
use crate::harness::{eventually, fetch};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The clusters that somebody asked for, as one server's `audit` tells it.
fn asked(server: &Server) -> Vec<String> {
    let show = ["audit", "--action", "ecs:DescribeClusters", "--output", "json"];
    let told: Value = serde_json::from_str(&server.up.cli(&show)).unwrap();
    let records = told["Records"].as_array().unwrap().iter();
    let mut names: Vec<String> =
        records.map(|one| one["requestParameters"]["clusters"][0].to_string()).collect();
    names.sort();
    names
}

/// Whether the leading server has noted so many servers.
fn has_noted(server: &Server, count: usize) -> bool {
    let (key, secret) = server.up.keys();
    let keys = json!({ "accessKeyId": key, "secretAccessKey": secret });
    let told = crate::security::curl(&server.up, "/_longshore/metrics", Some(&keys), &[]).1;
    told.contains(&format!("longshore_ledger_rows{{table=\"longshore.servers\"}} {count}\n"))
}

#[test]
fn every_server_tells_what_all_of_them_were_asked() {
    let mut ensemble = Ensemble::start();
    for (at, server) in ensemble.servers.iter().enumerate() {
        // What reads is answered where it arrives, and remembered there.
        let name = format!("of-{at}");
        server.up.aws(&["ecs", "describe-clusters", "--clusters", &name]);
    }
    let all = ["\"of-0\"", "\"of-1\"", "\"of-2\""];
    for server in &ensemble.servers {
        let mut found = Vec::new();
        assert!(
            eventually(|| {
                found = asked(server);
                found == all
            }),
            "{found:?}"
        );
        // Pages go on at all of them.
        let look = ["cloudtrail", "lookup-events", "--page-size", "1", "--lookup-attributes"];
        let by = "AttributeKey=EventName,AttributeValue=DescribeClusters";
        let told = server.up.aws(&[&look[..], &[by]].concat());
        let events = told["Events"].as_array().unwrap().iter();
        let mut found: Vec<String> = events
            .map(|one| {
                let text = one["CloudTrailEvent"].as_str().unwrap();
                let event: Value = serde_json::from_str(text).unwrap();
                event["requestParameters"]["clusters"][0].to_string()
            })
            .collect();
        found.sort();
        assert_eq!(found, all);
    }
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    let holds = ensemble.servers[leader].up.cli(&["audit", "verify"]);
    for server in &ensemble.servers {
        let line = format!("The chain of {} holds", server.url());
        assert!(holds.contains(&line), "{holds}");
    }

    // A server that does not run is missed, and named.
    assert!(eventually(|| has_noted(&ensemble.servers[leader], 3)), "they are noted");
    ensemble.servers[follower].end(Signal::SIGKILL);
    let (lost, other) = (ensemble.servers[follower].url(), &ensemble.servers[leader]);
    let shown = said(&other.up.try_cli(&["audit", "--limit", "1"]));
    assert!(shown.contains(&format!("The trail of {lost} is not in this")), "{shown}");
    let verified = other.up.try_cli(&["audit", "verify"]);
    assert!(!verified.status.success(), "{}", said(&verified));
    assert!(said(&verified).contains(&lost), "{}", said(&verified));

    // A line that is changed on one of them shows at all of them.
    let folder = ensemble.servers[follower].up.data().join("audit");
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replacen(&format!("of-{follower}"), "of-no", 1);
    assert_ne!(changed, text);
    fs::write(&file, changed).unwrap();
    ensemble.servers[follower].resume();
    ensemble.leader();
    let leader = ensemble.leader();
    let verified = ensemble.servers[leader].up.try_cli(&["audit", "verify"]);
    let said = said(&verified);
    assert!(!verified.status.success(), "{said}");
    assert!(said.contains("the chain is broken") && said.contains(&lost), "{said}");
    ensemble.end();
}

#[test]
fn a_server_that_will_not_come_back_is_forgotten() {
    let mut ensemble = Ensemble::start();
    let (leader, follower) = (ensemble.leader(), ensemble.follower());
    assert!(eventually(|| has_noted(&ensemble.servers[leader], 3)), "they are noted");
    let lost = ensemble.servers[follower].url();
    let forget = |server: &Server, url: &str| server.up.try_cli(&["audit", "forget", url]);
    let refused = forget(&ensemble.servers[leader], &lost);
    assert!(said(&refused).contains("runs: stop it for good first"), "{}", said(&refused));
    let refused = forget(&ensemble.servers[leader], "http://10.9.8.7:1");
    assert!(said(&refused).contains("no server '10.9.8.7:1' is missed"), "{}", said(&refused));

    ensemble.servers[follower].end(Signal::SIGKILL);
    let other = ensemble.servers.iter().enumerate();
    let other = other.map(|(at, _)| at).find(|at| *at != leader && *at != follower).unwrap();
    let verified = ensemble.servers[leader].up.try_cli(&["audit", "verify"]);
    assert!(!verified.status.success() && said(&verified).contains(&lost), "{}", said(&verified));
    // Until its lease is over, it counts as running. Asked of one that follows, the leader does it.
    let mut told = String::new();
    assert!(
        eventually(|| {
            let forgotten = forget(&ensemble.servers[other], &lost);
            told = said(&forgotten);
            forgotten.status.success()
        }),
        "{told}"
    );
    assert_eq!(told, format!("{lost} is missed no more.\n"));
    let mut told = String::new();
    assert!(
        eventually(|| {
            let verified = ensemble.servers[other].up.try_cli(&["audit", "verify"]);
            told = said(&verified);
            verified.status.success()
        }),
        "{told}"
    );
    assert!(!told.contains(&lost), "{told}");
    let show = ["audit", "--who", "administrator", "--output", "json"];
    let bare = lost.trim_start_matches("http://");
    let mut told = String::new();
    assert!(
        eventually(|| {
            told = ensemble.servers[other].up.cli(&show);
            told.contains(&format!("/_longshore/audit/forget/{bare}"))
        }),
        "{told}"
    );
    ensemble.end();
}

#[test]
fn servers_alone_ask_what_servers_ask() {
    let ensemble = Ensemble::start();
    let server = &ensemble.servers[0];
    assert!(fetch(&format!("{}/_longshore/servers/audit", server.url())).is_none());
    let (key, secret) = server.up.keys();
    let keys = json!({ "accessKeyId": key, "secretAccessKey": secret });
    let paths = ["audit", "history", "recover"].map(|name| format!("/_longshore/servers/{name}"));
    for path in &paths {
        let (status, told) = crate::security::curl(&server.up, path, Some(&keys), &[]);
        assert_eq!(status, 403, "{told}");
    }
    assert_eq!(server.up.keys().0, key);
    ensemble.end();
}

#[test]
fn what_was_done_for_whom_is_known_after_its_leader_has_gone() {
    let mut ensemble = Ensemble::start();
    let first = ensemble.leader();
    let up = &ensemble.servers[ensemble.follower()].up;
    up.aws(&["ecs", "create-cluster", "--cluster-name", "told"]);
    let history = |server: &Server| said(&server.up.try_cli(&["history", "told"]));
    let is_told = |told: &str| told.contains("CreateCluster by administrator");
    let mut told = String::new();
    assert!(
        eventually(|| {
            told = history(&ensemble.servers[first]);
            is_told(&told)
        }),
        "{told}"
    );

    assert!(eventually(|| has_noted(&ensemble.servers[first], 3)), "they are noted");
    ensemble.servers[first].end(Signal::SIGKILL);
    let second = ensemble.leader();
    assert!(
        eventually(|| {
            told = history(&ensemble.servers[second]);
            told.contains("replicated")
        }),
        "who followed knows that it was made: {told}"
    );
    let lost = ensemble.servers[first].url();
    assert!(told.contains(&format!("What {lost} saw while it led is not in this")), "{told}");

    ensemble.servers[first].resume();
    ensemble.leader();
    for server in &ensemble.servers {
        assert!(
            eventually(|| {
                told = history(server);
                is_told(&told)
            }),
            "{told}"
        );
        assert!(!told.contains("replicated"), "once each: {told}");
    }
    ensemble.end();
}

/// Whether a server knows this key.
fn knows(server: &Server, (id, secret): &(String, String)) -> bool {
    let mut command = server.up.with_profile("aws");
    command.env_remove("AWS_PROFILE").env("AWS_ACCESS_KEY_ID", id);
    command.env("AWS_SECRET_ACCESS_KEY", secret).args(["sts", "get-caller-identity"]);
    command.output().unwrap().status.success()
}

#[test]
fn whoever_has_the_machine_of_any_server_gets_in_again() {
    let mut ensemble = Ensemble::start();
    let first = ensemble.servers[0].up.keys();
    let delete = ["iam", "delete-access-key", "--access-key-id", &first.0];
    assert!(ensemble.servers[0].up.try_aws(&delete).status.success());
    assert!(!knows(&ensemble.servers[1], &first), "the key is gone");

    // A server that follows, while the others serve.
    let follower = ensemble.follower();
    ensemble.servers[follower].up.cli(&["recover"]);
    ensemble.servers[follower].end(Signal::SIGTERM);
    ensemble.servers[follower].resume();
    let second = ensemble.servers[follower].up.keys();
    assert_ne!(second.0, first.0);
    ensemble.leader();
    for server in &ensemble.servers {
        assert!(knows(server, &second), "{}", server.url());
    }

    // All of them stopped: the first that comes grants the wish, and the others learn the key.
    for server in &mut ensemble.servers {
        server.end(Signal::SIGTERM);
    }
    ensemble.servers[0].up.cli(&["recover"]);
    for server in &mut ensemble.servers {
        server.resume();
    }
    let third = ensemble.servers[0].up.keys();
    assert!(third.0 != second.0 && third.0 != first.0, "{} {}", third.0, second.0);
    ensemble.leader();
    for server in &ensemble.servers {
        assert_eq!(server.up.keys(), third);
        assert!(knows(server, &third) && !knows(server, &second));
    }
    ensemble.end();
}
