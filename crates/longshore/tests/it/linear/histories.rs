//! Histories of real servers through changes of the leader.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::checker::is_linearizable;
use super::models::{Counter, Register, without_unseen};
use super::record::{Recorder, client, cluster};
use crate::chance::{Chance, seed};
use crate::ensemble::Ensemble;
use crate::harness::eventually;

/// How long clients call in the short form; `LONGSHORE_LINEAR_SECONDS` says otherwise.
const SECONDS: u64 = 15;
/// Clients at the same time.
const CLIENTS: u64 = 6;
/// Registers and counters, each.
const OBJECTS: usize = 3;
/// A leader is left alone for so many answered calls, so that there is something to lose.
const CALM: u64 = 200;

/// A client gives a call up after this long; what becomes of it then is not known.
const CALL_MAX: Duration = Duration::from_secs(5);

/// What becomes of the leader.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Killed,
    Ended,
    Stopped,
}

#[test]
fn clients_of_three_servers_see_one_through_every_change_of_the_leader() {
    let seconds = std::env::var("LONGSHORE_LINEAR_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let mut ensemble = Ensemble::start();
    let keys = ensemble.servers[0].up.keys();
    let endpoints: Vec<_> = ensemble.servers.iter().map(|server| server.url()).collect();
    for object in 0..OBJECTS {
        let name = cluster(object);
        ensemble.servers[0].up.aws(&["ecs", "create-cluster", "--cluster-name", &name]);
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let recorder = Arc::new(Recorder::new(OBJECTS));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (recorder, keys, endpoints) = (recorder.clone(), keys.clone(), endpoints.clone());
            runtime.spawn(async move {
                let clients: Vec<_> =
                    endpoints.iter().map(|url| client(url, &keys).with_timeout(CALL_MAX)).collect();
                recorder.run(&clients, seed() ^ (number + 1), until).await;
            })
        })
        .collect();
    let mut chance = Chance::new();
    let mut changes = 0;
    while Instant::now() < until {
        let calm = recorder.counts.answered() + CALM;
        if !eventually(|| recorder.counts.answered() >= calm || Instant::now() >= until) {
            panic!("nothing is answered: {:?}", recorder.counts);
        }
        let leader = ensemble.leader();
        let fate = [Fate::Killed, Fate::Ended, Fate::Stopped][(changes + chance.below(2)) % 3];
        befall(&mut ensemble, leader, fate);
        changes += 1;
    }
    for client in clients {
        runtime.block_on(client).unwrap();
    }
    eprintln!("{changes} changes of the leader; calls: {:?}", recorder.counts);
    for object in 0..OBJECTS {
        let history = without_unseen(&recorder.registers[object].lock());
        assert!(is_linearizable::<Register>(&history), "{chance:?}: {history:?}");
        let history = recorder.counters[object].lock();
        assert!(is_linearizable::<Counter>(&history), "{chance:?}: {history:?}");
    }
    drop(runtime);
    ensemble.end();
}

/// Lets it happen to the server, and brings it back.
fn befall(ensemble: &mut Ensemble, server: usize, fate: Fate) {
    match fate {
        Fate::Killed => {
            ensemble.servers[server].end(Signal::SIGKILL);
            ensemble.servers[server].resume();
        }
        Fate::Ended => {
            ensemble.servers[server].end(Signal::SIGTERM);
            ensemble.servers[server].resume();
        }
        Fate::Stopped => {
            ensemble.servers[server].signal(Signal::SIGSTOP);
            // Another leads, and the one that is woken then does not know it.
            assert!(eventually(|| ensemble.is_led_without(server)), "no other server leads");
            ensemble.servers[server].signal(Signal::SIGCONT);
        }
    }
}
