//! Where the time goes; run by hand with `--ignored --nocapture`.

use std::time::Instant;

use runtime::containers::{Network, Seccomp};
use runtime::networks::{LinuxNetworks, NetworkOptions};
use runtime::{Containers, Networks};

use crate::ground::Ground;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn time_of_each_step() {
    let ground = Ground::new().await;
    let data = ground.data.path();
    let networks =
        LinuxNetworks::open(&data.join("node"), &data.join("run"), NetworkOptions::default())
            .await
            .unwrap();
    let mut steps: Vec<[f64; 5]> = Vec::new();
    for _ in 0..40 {
        let mut spec = ground.spec(&["/bin/sleep", "1000"]);
        let id = spec.id.clone();
        let mut laps = vec![Instant::now()];
        let attachment = networks.attach(&id, &[]).await.unwrap();
        spec.network =
            Network::Namespace { path: attachment.namespace, address: Some(attachment.address) };
        laps.push(Instant::now());
        ground.containers.create(spec).await.unwrap();
        laps.push(Instant::now());
        ground.containers.start(&id).await.unwrap();
        laps.push(Instant::now());
        ground.containers.remove(&id, false).await.unwrap();
        laps.push(Instant::now());
        networks.detach(&id).await.unwrap();
        laps.push(Instant::now());
        let lap = |at: usize| (laps[at + 1] - laps[at]).as_secs_f64() * 1e3;
        steps.push([lap(0), lap(1), lap(2), lap(3), lap(4)]);
    }
    for (at, name) in ["attach", "create", "start", "remove", "detach"].iter().enumerate() {
        let mut times: Vec<f64> = steps.iter().map(|step| step[at]).collect();
        times.sort_by(f64::total_cmp);
        println!("{name:8} min {:6.2} median {:6.2} max {:6.2} ms", times[0], times[20], times[39]);
    }
    networks.close().await.unwrap();
    ground.end().await;
}

/// Which parts of a container's creation cost what.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn time_of_each_part() {
    let ground = Ground::new().await;
    for variant in ["whole", "no seccomp", "privileged", "host network"] {
        let mut times = Vec::new();
        for _ in 0..40 {
            let mut spec = ground.spec(&["/bin/sleep", "1000"]);
            match variant {
                "no seccomp" => spec.seccomp = Seccomp::Unconfined,
                "privileged" => spec.privileged = true,
                "host network" => spec.network = Network::Host,
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
    ground.end().await;
}
