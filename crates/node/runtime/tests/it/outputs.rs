//! What is kept of containers' output: nothing, or as much as may wait for who sends it on.

use std::fs;
use std::path::Path;

use runtime::containers::{Keep, LogOptions, SENT_FILE, Unsent, WhenFull};
use runtime::{ContainerState, Containers};

use crate::ground::Ground;

const BYTES_MAX: u64 = 64 * 1024;
/// A line `y` as JSON, in bytes, or a little less.
const LINE_BYTES_MAX: u64 = 96;
/// What may be added beyond that at once: when the container has ended, the 64 KiB that its pipe holds.
const READ_BYTES_MAX: u64 = 64 * 1024 / 2 * LINE_BYTES_MAX;

fn unsent(when_full: WhenFull) -> LogOptions {
    LogOptions::unsent(Unsent { bytes_max: BYTES_MAX, when_full })
}

/// The place behind the last line: the file's own, and its length.
fn end(log: &Path) -> u64 {
    let Ok(text) = fs::read_to_string(log) else { return 0 };
    let line: serde_json::Value =
        serde_json::from_str(text.lines().next().unwrap_or("{}")).unwrap_or_default();
    line["n"].as_u64().unwrap_or(0) + text.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_waits_for_who_sends_its_output() {
    let ground = Ground::new().await;
    let mut spec = ground.shell("yes | head -n 200000; echo end");
    spec.logs = unsent(WhenFull::Wait);
    let id = spec.id.clone();
    ground.containers.create(spec).await.unwrap();
    ground.containers.start(&id).await.unwrap();
    let log = ground.containers.log_path(&id);
    let (mut sent, mut moves) = (0, 0);
    loop {
        // Looked at first: when it has ended, all is there.
        let state = ground.containers.status(&id).await.unwrap().state;
        let now = end(&log);
        assert!(now.saturating_sub(sent) <= BYTES_MAX + READ_BYTES_MAX, "{now} beyond {sent}");
        if let ContainerState::Exited(exit) = state {
            assert_eq!(exit.code, 0);
            break;
        }
        if now.saturating_sub(sent) < BYTES_MAX {
            tokio::task::yield_now().await;
            continue;
        }
        (sent, moves) = (now, moves + 1);
        let temporary = log.with_file_name("sent.new");
        fs::write(&temporary, sent.to_string()).unwrap();
        fs::rename(temporary, log.with_file_name(SENT_FILE)).unwrap();
    }
    assert!(moves > 3, "it never waited");
    assert!(fs::read_to_string(&log).unwrap().contains("\"log\":\"end\\n\""));
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_nobody_sends_is_dropped_or_never_kept() {
    let ground = Ground::new().await;
    for (logs, least, most) in [
        (unsent(WhenFull::Drop), BYTES_MAX / 2, BYTES_MAX + LINE_BYTES_MAX),
        (LogOptions { keep: Keep::Nothing, ..LogOptions::default() }, 0, 0),
    ] {
        let mut spec = ground.shell("yes | head -n 40000; exit 3");
        spec.logs = logs;
        let id = spec.id.clone();
        let mut events = ground.containers.events();
        ground.containers.create(spec).await.unwrap();
        ground.containers.start(&id).await.unwrap();
        let runtime::ContainerEvent::Exited { exit, .. } = events.recv().await.unwrap();
        assert_eq!(exit.code, 3);
        let kept = end(&ground.containers.log_path(&id));
        assert!((least..=most).contains(&kept), "{kept}");
    }
    ground.end().await;
}
