//! Where a container's time goes: as root, `cargo bench -p runtime --bench steps [PART]`, with PART
//! one of steps, parts, interface.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::future::Future;
use std::time::Instant;

use runtime::containers::{Network, Seccomp};
use runtime::networks::{LinuxNetworks, NetworkOptions};
use runtime::{Containers, Networks};

#[allow(dead_code)] // what only tests need
#[path = "../tests/it/ground.rs"]
mod ground;

use ground::Ground;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let run = |name: &str, part: &dyn Fn() -> Measurement| {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            println!("{name}");
            runtime.block_on(part());
        }
    };
    run("steps", &|| Box::pin(time_of_each_step()));
    run("parts", &|| Box::pin(time_of_each_part()));
    run("interface", &|| Box::pin(time_of_an_interface()));
}

type Measurement = std::pin::Pin<Box<dyn Future<Output = ()>>>;

async fn networks(ground: &Ground, options: NetworkOptions) -> LinuxNetworks {
    let data = ground.data.path();
    LinuxNetworks::open(&data.join("node"), &data.join("run"), options).await.unwrap()
}

/// What is done for a container, one thing after the other.
async fn time_of_each_step() {
    let ground = Ground::new().await;
    let networks = networks(&ground, NetworkOptions::default()).await;
    const ROUNDS: usize = 20;
    let mut laps: [Vec<f64>; 5] = Default::default();
    let mut lap = |at: usize, since: Instant| laps[at].push(since.elapsed().as_secs_f64() * 1e3);
    let mut ids = Vec::new();
    for _ in 0..ROUNDS {
        let mut spec = ground.spec(&["/bin/sleep", "1000"]);
        let id = spec.id.clone();
        let since = Instant::now();
        let attachment = networks.attach(&id, &[]).await.unwrap();
        spec.network =
            Network::Namespace { path: attachment.namespace, address: Some(attachment.address) };
        lap(0, since);
        let since = Instant::now();
        ground.containers.create(spec).await.unwrap();
        lap(1, since);
        let since = Instant::now();
        ground.containers.start(&id).await.unwrap();
        lap(2, since);
        ids.push(id);
    }
    for id in ids {
        let since = Instant::now();
        ground.containers.remove(&id, false).await.unwrap();
        lap(3, since);
        let since = Instant::now();
        networks.detach(&id).await.unwrap();
        lap(4, since);
    }
    for (times, name) in laps.iter_mut().zip(["attach", "create", "start", "remove", "detach"]) {
        times.sort_by(f64::total_cmp);
        let (least, median, most) = (times[0], times[ROUNDS / 2], times[ROUNDS - 1]);
        println!("{name:8} min {least:6.2} median {median:6.2} max {most:6.2} ms");
    }
    networks.close().await.unwrap();
    ground.end().await;
}

/// Which parts of a container's creation cost what.
async fn time_of_each_part() {
    let ground = Ground::new().await;
    let networks = networks(&ground, NetworkOptions::default()).await;
    let shared = ground.spec(&[]).id;
    let attachment = networks.attach(&shared, &[]).await.unwrap();
    for variant in ["whole", "no seccomp", "privileged", "host network", "bridge"] {
        let mut times = Vec::new();
        for _ in 0..40 {
            let mut spec = ground.spec(&["/bin/sleep", "1000"]);
            match variant {
                "no seccomp" => spec.seccomp = Seccomp::Unconfined,
                "privileged" => spec.privileged = true,
                "host network" => spec.network = Network::Host,
                "bridge" => {
                    let path = attachment.namespace.clone();
                    spec.network = Network::Namespace { path, address: None };
                }
                _ => {}
            }
            let id = spec.id.clone();
            let start = Instant::now();
            ground.containers.create(spec).await.unwrap();
            times.push(start.elapsed().as_secs_f64() * 1e3);
            ground.containers.remove(&id, false).await.unwrap();
        }
        times.sort_by(f64::total_cmp);
        println!("{variant:14} min {:6.2} median {:6.2} ms", times[0], times[20]);
    }
    networks.detach(&shared).await.unwrap();
    networks.close().await.unwrap();
    ground.end().await;
}

/// A task's namespace and interface, beside a container's.
async fn time_of_an_interface() {
    let ground = Ground::new().await;
    let vpc = Some(format!("speed-{}", ground::unique()));
    let networks = networks(&ground, NetworkOptions { vpc, ..NetworkOptions::default() }).await;
    let mut times: [Vec<f64>; 2] = Default::default();
    for round in 0..20_u8 {
        let interface = runtime::Interface {
            id: format!("eni-{round}"),
            mac: [0x0a, 0xff, 1, 0, 0, round],
            address: [172, 31, 10, round + 10].into(),
            prefix: 20,
            gateway: [172, 31, 0, 1].into(),
        };
        let task = format!("task-{round}");
        // As between two tasks: long enough for the next namespace to be made ahead.
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        let since = Instant::now();
        networks.attach_task(&task, &interface).await.unwrap();
        times[0].push(since.elapsed().as_secs_f64() * 1e3);
        let since = Instant::now();
        networks.detach_task(&task).await.unwrap();
        times[1].push(since.elapsed().as_secs_f64() * 1e3);
    }
    for (times, name) in times.iter_mut().zip(["attach task", "detach task"]) {
        times.sort_by(f64::total_cmp);
        println!("{name:12} min {:6.2} median {:6.2} ms", times[0], times[times.len() / 2]);
    }
    networks.close().await.unwrap();
    ground.end().await;
}
