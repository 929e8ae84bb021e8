//! Containers from creation to removal.

use crate::ground::Ground;

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_output_are_kept() {
    let ground = Ground::new().await;
    let (exit, output) = ground.run(ground.shell("echo hello; echo oops >&2; exit 7")).await;
    assert_eq!((exit.code, exit.oom, exit.reason), (7, false, None));
    assert_eq!(output, "hello\noops\n");
    ground.end().await;
}
