//! What is told of images on their way.

use std::sync::Arc;
use std::time::Duration;

use agent::engine::Reported;
use agent_protocol::node::{AgentMessage, PullUnderWay};
use agent_protocol::task::Container;
use runtime::images::{ImageConfig, Progress, PullEvent};
use runtime::{Image, ImageReference};

use crate::harness::{World, container, task};
use crate::server::State;

pub fn image(reference: &ImageReference) -> Image {
    let digest = |fill: u8| format!("sha256:{}", format!("{fill:02x}").repeat(32)).parse().unwrap();
    Image {
        reference: reference.clone(),
        digest: digest(0xaa),
        config_digest: digest(0xbb),
        layers: Arc::from([]),
        config: Arc::new(ImageConfig::default()),
    }
}

/// Images whose name ends with `large` come in two layers, ten seconds each.
pub async fn tell(reference: &ImageReference, progress: &Progress) {
    if !reference.repository().ends_with("large") {
        return;
    }
    let Image { digest, config_digest: other, .. } = image(reference);
    let fetching = |layer, bytes| PullEvent::Fetching { layer, bytes, total_bytes: 100 };
    progress.tell(PullEvent::Resolved { digest, total_bytes: 300, layers: 2 });
    progress.tell(fetching(digest, 40));
    tokio::time::sleep(Duration::from_secs(5)).await;
    progress.tell(PullEvent::Retrying { cause: "reset".to_owned(), attempt: 2 });
    tokio::time::sleep(Duration::from_secs(5)).await;
    progress.tell(fetching(digest, 100));
    progress.tell(PullEvent::Ready { layer: digest, bytes: 100 });
    progress.tell(PullEvent::Fetching { layer: other, bytes: 50, total_bytes: 200 });
    tokio::time::sleep(Duration::from_secs(10)).await;
}

fn told(state: &State) -> Vec<Vec<PullUnderWay>> {
    let of = |message: &AgentMessage| match message {
        AgentMessage::Pulls(told) => Some(told.pulls.clone()),
        _ => None,
    };
    state.on_node.iter().filter_map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn the_server_hears_how_far_pulls_are() {
    let world = World::new();
    let agent = world.start();
    let large = Container { image: "registry.test/large".to_owned(), ..container("app", "run") };
    let task = task(1, vec![large]);
    world.server.want(task.clone());
    world.server.until(|state| told(state).last().is_some_and(Vec::is_empty)).await;
    world.server.until_reported(&task.arn, Reported::Running).await;
    let heard = told(&world.server.state.lock());
    let short = |pulls: &Vec<PullUnderWay>| {
        pulls.first().map(|pull| {
            assert_eq!((&pull.task_arn, pull.container.as_str()), (&task.arn, "app"));
            assert_eq!((pull.total_bytes, pull.layers), (300, 2));
            (pull.bytes, pull.layers_ready, pull.trouble.clone())
        })
    };
    let mut heard: Vec<_> = heard.iter().map(short).collect();
    // The first event may be told alone or with those right behind it.
    heard.retain(|pull| *pull != Some((0, 0, None)));
    heard.dedup();
    let trouble = Some("attempt 2: reset".to_owned());
    let expected = [Some((40, 0, None)), Some((40, 0, trouble)), Some((150, 1, None)), None];
    assert_eq!(heard, expected);
    agent.task.abort();
}

/// Of an image that is here already nobody is told.
#[tokio::test(start_paused = true)]
async fn nothing_is_said_of_what_is_here() {
    let world = World::new();
    let agent = world.start();
    let task = task(1, vec![container("app", "run")]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(told(&world.server.state.lock()).is_empty());
    agent.task.abort();
}
