//! kill -9 of the server at random moments under load: no acknowledged write is lost.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::ContainerDefinition;
use nix::sys::signal::Signal;
use tokio::task::JoinSet;

use crate::harness::{Process, Up};
use crate::sdk::client;

/// How often the server is killed; `LONGSHORE_KILLS` for more.
const KILLS: u32 = 200;

/// Callers that register at the same time, each in a family of its own.
const CALLERS: usize = 8;

/// Acknowledgements after which the server is killed: 1 to this many, another number each time.
const ACKNOWLEDGED_MAX: u32 = 40;

/// Registers revisions until the server is gone; the last one that was acknowledged.
async fn register(ecs: Client, family: String, told: tokio::sync::mpsc::Sender<()>) -> i32 {
    let container = ContainerDefinition::builder().name("main").image("busybox").memory(64).build();
    let mut last = 0;
    loop {
        let call =
            ecs.register_task_definition().family(&family).container_definitions(container.clone());
        let Ok(answer) = call.send().await else { return last };
        last = answer.task_definition().unwrap().revision();
        if told.send(()).await.is_err() {
            return last;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_registration_is_lost() {
    let kills = std::env::var("LONGSHORE_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().display().to_string();
    let args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    let mut server = Process::start(&args, "Longshore serves at");
    let up = Up::adopt(data);
    let mut acknowledged = [0; CALLERS];
    for kill in 0..kills {
        let ecs = client(&up);
        let (told, mut acknowledgements) = tokio::sync::mpsc::channel(1024);
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (ecs, told) = (ecs.clone(), told.clone());
            callers.spawn(async move {
                (caller, register(ecs, format!("caller-{caller}"), told).await)
            });
        }
        drop(told);
        // Spread the moments of death without a clock: a count that changes with each round.
        for _ in 0..=(kill * 7) % ACKNOWLEDGED_MAX {
            acknowledgements.recv().await.unwrap();
        }
        server.end(Signal::SIGKILL);
        drop(acknowledgements);
        while let Some(ended) = callers.join_next().await {
            let (caller, last) = ended.unwrap();
            acknowledged[caller] = acknowledged[caller].max(last);
        }
        server = Process::start(&args, "Longshore serves at");
        let ecs = client(&up);
        for (caller, last) in acknowledged.iter().enumerate().filter(|(_, last)| **last > 0) {
            let definition = format!("caller-{caller}:{last}");
            let answer = ecs.describe_task_definition().task_definition(&definition).send().await;
            assert!(answer.is_ok(), "{definition} was acknowledged and is gone: {answer:?}");
        }
    }
    assert!(acknowledged.iter().sum::<i32>() > 0);
    server.end(Signal::SIGTERM);
}
