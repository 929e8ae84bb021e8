//! Tasks that hold more of the disk than they may.

use agent::engine::Reported;
use agent_protocol::STORAGE_ATTACHMENT;
use agent_protocol::task::{Attachment, AttachmentProperty, Task};

use crate::harness::{World, container, task};

#[tokio::test(start_paused = true)]
async fn a_task_that_outgrows_its_storage_is_stopped() {
    let world = World::new();
    let agent = world.start();
    let size = AttachmentProperty { name: "sizeGib".to_owned(), value: "21".to_owned() };
    let storage = Attachment {
        attachment_type: STORAGE_ATTACHMENT.to_owned(),
        attachment_properties: vec![size],
        ..Attachment::default()
    };
    let limited = Task {
        attachments: vec![storage],
        ..task(1, vec![container("app", "run"), container("side", "run")])
    };
    let free = task(2, vec![container("app", "run")]);
    for task in [&limited, &free] {
        world.server.want(task.clone());
        world.server.until_reported(&task.arn, Reported::Running).await;
    }
    world.host.state.lock().written = 21 << 29;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(world.server.statuses(&limited.arn), [Reported::Running], "just as much");
    world.host.state.lock().written = 11 << 30;
    world.server.until_reported(&limited.arn, Reported::Stopped).await;
    assert_eq!(world.server.statuses(&free.arn), [Reported::Running]);
    let state = world.server.state.lock();
    let stopped = state.submits.iter().find(|s| s.status == Reported::Stopped).unwrap();
    let told = "EphemeralStorageExceeded: the task holds 22 GiB, more than its ephemeral storage of \
                21 GiB";
    assert_eq!(stopped.reason, told);
    drop(state);
    agent.task.abort();
}
