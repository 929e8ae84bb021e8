//! A service's tasks run the image that its first task found, though its tag means another by now
//! (ECS semantics §7.9).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Up, example_image};
use crate::watched::{Watched, well_behaved};

/// Lets the tag mean another of the example images. Each has a shell.
fn tag(up: &Up, image: &str) {
    up.cli(&["image", "load", &example_image(image), "--name", "app:1"]);
}

/// The digests that the service's tasks run, each once.
fn digests(ecs: &Watched, name: &str) -> BTreeSet<String> {
    let of = |task: &Value| task["containers"][0]["imageDigest"].as_str().map(str::to_owned);
    ecs.tasks(name, "RUNNING").iter().filter_map(of).collect()
}

/// What the revision of the service's deployment says of its image.
fn pinned(ecs: &Watched, name: &str) -> Value {
    let listed = ecs.call("ListServiceDeployments", json!({"service": name}));
    let newest = &listed["serviceDeployments"][0];
    let arn = newest["targetServiceRevisionArn"].clone();
    let told = ecs.call("DescribeServiceRevisions", json!({"serviceRevisionArns": [arn]}));
    let images = &told["serviceRevisions"][0]["containerImages"];
    assert_eq!(images.as_array().map(Vec::len), Some(1), "{told:#}");
    images[0]["imageDigest"].clone()
}

#[test]
fn a_tag_that_moves_moves_no_service_until_it_is_deployed() {
    let up = Up::start_with(&["--settle-seconds", "0", "--instances", "1"], &["busybox"]);
    let ecs = Watched::of(&up);
    tag(&up, "busybox");
    // There is no registry: what no tag of the repository means any more could not be had.
    up.cli(&["image", "load", &example_image("busybox"), "--name", "app:old"]);
    let definition = |family: &str, consistency: &str| {
        let mut definition = well_behaved(family);
        definition["containerDefinitions"][0]["image"] = "app:1".into();
        definition["containerDefinitions"][0]["versionConsistency"] = consistency.into();
        ecs.register(&definition)
    };
    let (fixed, loose) = (definition("fixed", "enabled"), definition("loose", "disabled"));
    ecs.create("fixed", &fixed, 1, None);
    ecs.create("loose", &loose, 1, None);
    let first = digests(&ecs, "fixed");
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(digests(&ecs, "loose"), first);
    assert_eq!(pinned(&ecs, "fixed").as_str(), first.first().map(String::as_str));

    tag(&up, "redis");
    for (name, definition) in [("fixed", &fixed), ("loose", &loose)] {
        ecs.call("UpdateService", json!({"service": name, "desiredCount": 3}));
        ecs.await_steady(name, definition, 3);
    }
    assert_eq!(
        digests(&ecs, "fixed"),
        first,
        "the tag is another's, and it is scaled all the same"
    );
    assert_eq!(digests(&ecs, "loose").len(), 2, "the tag is used as it is written");
    // What takes an old task's place is the same, too.
    let old = ecs.running("fixed").remove(0);
    ecs.call("StopTask", json!({"task": old}));
    ecs.until("fixed", "another task", |service| {
        service["runningCount"] == 3 && !ecs.running("fixed").contains(&old)
    });
    assert_eq!(digests(&ecs, "fixed"), first);

    ecs.call("UpdateService", json!({"service": "fixed", "forceNewDeployment": true}));
    ecs.await_steady("fixed", &fixed, 3);
    let second = digests(&ecs, "fixed");
    assert_eq!((second.len(), second.is_disjoint(&first)), (1, true), "{first:?} {second:?}");
    assert_eq!(pinned(&ecs, "fixed").as_str(), second.first().map(String::as_str));
}
