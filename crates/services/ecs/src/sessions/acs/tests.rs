//! The decisions of one ACS connection, step by step.

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::acs::{
    Ack, AgentMessage, HeartbeatAck, Nack, Payload, RoleCredentials, RoleCredentialsAck, RoleType,
    ServerMessage, TaskIdentifier, TaskManifest, TaskStopVerification,
};
use agent_protocol::task::{Credentials, PayloadTask};
use terms::Timestamp;

use super::super::mailbox::Dirty;
use super::super::sequence::{Sequence, SessionEpoch};
use super::super::testing::{
    CountedIds, PlainView, instance_arn, pending, stopping, task, task_arn, task_id, with_role,
};
use super::super::view::Standing;
use super::credentials::{CredentialsDesk, CredentialsRequest, Minted};
use super::machine::{Acs, AcsStart, Step};
use crate::model::{AgentUpdate, DesiredStatus, TaskStatus, UpdateEvent, UpdateStatus};

const START: Timestamp = Timestamp::from_millis(1_795_226_828_000);
const SIX_HOURS: Duration = Duration::from_secs(6 * 3600);
const BEAT: Duration = Duration::from_secs(30);

/// A connection and the time.
struct Scene {
    acs: Acs,
    sequence: Arc<Sequence>,
    view: PlainView,
    now: Timestamp,
}

impl Scene {
    fn new(view: PlainView) -> Self {
        let sequence = Arc::new(Sequence::of_epoch(&SessionEpoch::default()));
        let acs = begin(&sequence, CredentialsDesk::default(), true, START);
        Self { acs, sequence, view, now: START }
    }

    fn connect(&mut self) -> Step {
        self.acs.connected(&self.view, self.now)
    }

    /// The connection ends and the agent comes back.
    fn reconnect(self, sends_credentials: bool) -> Self {
        let desk = self.acs.into_desk();
        let acs = begin(&self.sequence, desk, sends_credentials, self.now);
        Self { acs, ..self }
    }

    fn change(&mut self, number: u32) -> Step {
        let tasks = [task_id(number)].into();
        let dirty = Dirty { tasks, ..Dirty::default() };
        self.acs.changed(&self.view, &dirty, self.now)
    }

    fn say(&mut self, message: impl Into<AgentMessage>) -> Step {
        self.acs.received(&self.view, message.into(), self.now)
    }

    fn ack(&mut self, message_id: &str) {
        let step = self.say(Ack { message_id: message_id.to_owned(), ..Ack::default() });
        assert_eq!(step, Step::default());
    }

    /// Heartbeats pass, each answered; what was sent besides them.
    fn pass(&mut self, beats: u32) -> Vec<ServerMessage> {
        let mut sent = Vec::new();
        for _ in 0..beats {
            self.now = self.now + BEAT;
            let step = self.acs.tick(&self.view, self.now);
            self.say(HeartbeatAck::default());
            let is_no_beat = |m: &ServerMessage| !matches!(m, ServerMessage::Heartbeat(_));
            sent.extend(step.send.into_iter().filter(is_no_beat));
        }
        sent
    }
}

fn begin(
    sequence: &Arc<Sequence>,
    desk: CredentialsDesk,
    sends_credentials: bool,
    now: Timestamp,
) -> Acs {
    let start = AcsStart { instance: instance_arn(), sends_credentials, desk };
    Acs::new(start, Arc::new(CountedIds::default()), sequence.clone(), now)
}

fn manifest(message: &ServerMessage) -> &TaskManifest {
    let ServerMessage::TaskManifest(manifest) = message else { panic!("{message:?}") };
    manifest
}

fn payload(message: &ServerMessage) -> &Payload {
    let ServerMessage::Payload(payload) = message else { panic!("{message:?}") };
    payload
}

fn credentials_of(message: &ServerMessage) -> &RoleCredentials {
    let ServerMessage::RoleCredentials(credentials) = message else { panic!("{message:?}") };
    credentials
}

/// `(task, desired status)` of each task of a payload.
fn content(message: &ServerMessage) -> Vec<(String, String)> {
    let tasks = payload(message).tasks.iter().map(|task| match task {
        PayloadTask::Valid(task) => (task.arn.to_string(), format!("{:?}", task.desired_status)),
        PayloadTask::Invalid(invalid) => panic!("{invalid:?}"),
    });
    tasks.collect()
}

fn entry(number: u32, desired: &str) -> (String, String) {
    (task_arn(number).to_string(), desired.to_owned())
}

fn minted(request: &CredentialsRequest, key: &str, now: Timestamp) -> Minted {
    let credentials = Credentials {
        credentials_id: format!("id-of-{}", request.task.id),
        access_key_id: key.to_owned(),
        role_arn: request.role_arn.clone(),
        ..Credentials::default()
    };
    Minted { credentials, expires: now + SIX_HOURS }
}

#[test]
fn a_connection_begins_with_heartbeat_manifest_and_what_the_agent_lacks() {
    let mut scene = Scene::new(PlainView::with([
        pending(1),
        task(2, TaskStatus::Running, DesiredStatus::Running),
        stopping(3),
        task(4, TaskStatus::Stopped, DesiredStatus::Stopped),
    ]));
    let step = scene.connect();
    let [beat, second, third] = &step.send[..] else { panic!("{step:?}") };
    assert!(matches!(beat, ServerMessage::Heartbeat(_)));
    let listed: Vec<_> = (manifest(second).tasks.iter())
        .map(|task| (task.task_arn.to_string(), task.desired_status.clone()))
        .collect();
    assert_eq!(listed, [entry(1, "RUNNING"), entry(2, "RUNNING"), entry(3, "STOPPED")]);
    assert_eq!(content(third), [entry(1, "Running"), entry(3, "Stopped")]);
    assert!(payload(third).seq_num > Some(manifest(second).timeline));
    assert_eq!(payload(third).container_instance_arn, instance_arn().to_string());
}

#[test]
fn an_acked_payload_is_not_sent_again_and_one_without_ack_is() {
    let mut scene = Scene::new(PlainView::with([]));
    let step = scene.connect();
    scene.ack(&manifest(&step.send[1]).message_id.clone());
    scene.view.put(pending(1));
    scene.view.put(pending(2));
    let first = scene.change(1);
    scene.ack(&payload(&first.send[0]).message_id.clone());
    let second = scene.change(2);
    assert_eq!(content(&second.send[0]), [entry(2, "Running")]);
    assert_eq!(scene.change(2), Step::default(), "it is on its way");
    assert_eq!(scene.pass(1), [], "it may still be acked");
    let again = scene.pass(1);
    assert_eq!(content(&again[0]), [entry(2, "Running")]);
    assert_eq!(again.len(), 1);
    scene.ack(&payload(&again[0]).message_id.clone());
    assert_eq!(scene.pass(10), []);
}

#[test]
fn a_lost_wake_up_heals() {
    let mut scene = Scene::new(PlainView::with([]));
    let step = scene.connect();
    scene.ack(&manifest(&step.send[1]).message_id.clone());
    scene.view.put(pending(1));
    let sent = scene.pass(10);
    assert_eq!(sent.len(), 1);
    assert_eq!(content(&sent[0]), [entry(1, "Running")]);
}

#[test]
fn a_stop_follows_and_a_late_ack_of_the_start_does_not_count_for_it() {
    let mut scene = Scene::new(PlainView::with([pending(1)]));
    let step = scene.connect();
    scene.ack(&manifest(&step.send[1]).message_id.clone());
    scene.view.put(stopping(1));
    let stop = scene.change(1);
    assert_eq!(content(&stop.send[0]), [entry(1, "Stopped")]);
    scene.ack(&payload(&step.send[2]).message_id.clone());
    let again = scene.pass(2);
    assert_eq!(content(&again[0]), [entry(1, "Stopped")]);
    scene.view.put(task(1, TaskStatus::Stopped, DesiredStatus::Stopped));
    assert_eq!(scene.change(1), Step::default());
    assert_eq!(scene.pass(5), []);
}

#[test]
fn many_tasks_travel_ten_by_ten_and_again_one_by_one() {
    let mut scene = Scene::new(PlainView::with((1..=25).map(pending)));
    let step = scene.connect();
    let sizes: Vec<_> = step.send[2..].iter().map(|message| content(message).len()).collect();
    assert_eq!(sizes, [10, 10, 5]);
    scene.ack(&manifest(&step.send[1]).message_id.clone());
    let again = scene.pass(2);
    assert_eq!(again.len(), 25);
    assert!(again.iter().all(|message| content(message).len() == 1));
}

#[test]
fn a_later_connection_numbers_on() {
    let mut scene = Scene::new(PlainView::with([pending(1)]));
    let step = scene.connect();
    let last = payload(&step.send[2]).seq_num;
    let mut scene = scene.reconnect(false);
    let step = scene.connect();
    assert!(Some(manifest(&step.send[1]).timeline) > last);
    assert_eq!(content(&step.send[2]), [entry(1, "Running")], "it was never acked");
}

#[test]
fn a_manifest_without_ack_is_made_anew() {
    let mut scene = Scene::new(PlainView::with([]));
    let first = scene.connect();
    let again = scene.pass(2);
    assert!(manifest(&again[0]).timeline > manifest(&first.send[1]).timeline);
    scene.ack(&manifest(&again[0]).message_id.clone());
    assert_eq!(scene.pass(5), []);
}

#[test]
fn only_what_nobody_wants_is_confirmed_for_stopping() {
    let mut scene = Scene::new(PlainView::with([pending(1), stopping(2)]));
    let step = scene.connect();
    let message_id = manifest(&step.send[1]).message_id.clone();
    let candidate = |number| TaskIdentifier {
        task_arn: task_arn(number),
        task_cluster_arn: "default".to_owned(),
        desired_status: "STOPPED".to_owned(),
    };
    let stop_candidates = vec![candidate(1), candidate(2), candidate(9)];
    let old = TaskStopVerification { message_id: "old".to_owned(), stop_candidates };
    assert_eq!(scene.say(old.clone()), Step::default(), "of another manifest");
    let step = scene.say(TaskStopVerification { message_id: message_id.clone(), ..old });
    let [ServerMessage::TaskStopVerificationAck(answer)] = &step.send[..] else {
        panic!("{step:?}")
    };
    assert_eq!(answer.message_id, message_id);
    assert_eq!(answer.stop_tasks, [candidate(2), candidate(9)]);
}

#[test]
fn a_payload_waits_for_credentials_and_carries_them() {
    let mut scene = Scene::new(PlainView::with([with_role(pending(1)), pending(2)]));
    let step = scene.connect();
    assert_eq!(content(&step.send[2]), [entry(2, "Running")], "it does not wait for the other");
    let [request] = &step.fetch[..] else { panic!("{step:?}") };
    assert_eq!(scene.change(1), Step::default(), "asked once");
    let failed = scene.acs.fetched(&scene.view, request, Err("no".to_owned()), scene.now);
    assert_eq!(failed, Step::default());
    scene.now = scene.now + BEAT;
    let step = scene.acs.tick(&scene.view, scene.now);
    assert_eq!(&step.fetch[..], std::slice::from_ref(request), "asked again");
    let minted = minted(request, "ASIA1", scene.now);
    let step = scene.acs.fetched(&scene.view, request, Ok(minted.clone()), scene.now);
    let [message] = &step.send[..] else { panic!("{step:?}") };
    let [PayloadTask::Valid(task)] = &payload(message).tasks[..] else { panic!("{message:?}") };
    assert_eq!(task.role_credentials.as_ref(), Some(&minted.credentials));
    assert_eq!(task.execution_role_credentials, None);
}

/// A connection whose only task runs with credentials that the agent has acked.
fn running_with_credentials() -> Scene {
    let mut scene = Scene::new(PlainView::with([with_role(pending(1))]));
    let step = scene.connect();
    scene.ack(&manifest(&step.send[1]).message_id.clone());
    let request = step.fetch[0].clone();
    let minted = minted(&request, "ASIA1", scene.now);
    let id = minted.credentials.credentials_id.clone();
    let step = scene.acs.fetched(&scene.view, &request, Ok(minted), scene.now);
    scene.ack(&payload(&step.send[0]).message_id.clone());
    scene.say(RoleCredentialsAck { credentials_id: id, ..RoleCredentialsAck::default() });
    scene.view.put(with_role(task(1, TaskStatus::Running, DesiredStatus::Running)));
    scene
}

#[test]
fn credentials_are_refreshed_at_half_their_life_under_the_same_id() {
    let mut scene = running_with_credentials();
    let mut asked = Vec::new();
    while asked.is_empty() {
        scene.now = scene.now + BEAT;
        let step = scene.acs.tick(&scene.view, scene.now);
        scene.say(HeartbeatAck::default());
        asked = step.fetch;
    }
    assert_eq!(scene.now.since(START), SIX_HOURS / 2);
    let minted = minted(&asked[0], "ASIA2", scene.now);
    let step = scene.acs.fetched(&scene.view, &asked[0], Ok(minted.clone()), scene.now);
    let message = credentials_of(&step.send[0]);
    assert_eq!(message.role_credentials, minted.credentials);
    assert_eq!(message.role_type, RoleType::TaskApplication);
    let again = scene.pass(2);
    assert_eq!(credentials_of(&again[0]).role_credentials, minted.credentials, "no ack came");
    assert!(scene.pass(100).len() < 6, "not for ever");
}

#[test]
fn a_restarted_agent_gets_all_credentials_and_one_that_was_only_away_gets_none() {
    let mut scene = running_with_credentials().reconnect(false);
    let step = scene.connect();
    assert_eq!((step.send.len(), step.fetch.len()), (2, 0), "heartbeat and manifest alone");
    let mut scene = scene.reconnect(true);
    let step = scene.connect();
    let message = credentials_of(&step.send[2]);
    assert_eq!(message.role_credentials.access_key_id, "ASIA1", "they are good for long");
    scene.now = START + SIX_HOURS - Duration::from_secs(60);
    let mut scene = scene.reconnect(true);
    let step = scene.connect();
    assert_eq!((step.send.len(), step.fetch.len()), (2, 1), "these end soon");
    let request = step.fetch[0].clone();
    let minted = minted(&request, "ASIA2", scene.now);
    let step = scene.acs.fetched(&scene.view, &request, Ok(minted), scene.now);
    assert_eq!(credentials_of(&step.send[0]).role_credentials.access_key_id, "ASIA2");
}

#[test]
fn a_deregistered_instance_is_told_so() {
    let mut scene = Scene::new(PlainView::with([pending(1)]));
    scene.connect();
    scene.view.standing = Standing::Inactive("it was deregistered".to_owned());
    let dirty = Dirty { instance: true, ..Dirty::default() };
    let step = scene.acs.changed(&scene.view, &dirty, scene.now);
    let close = step.close.expect("the end");
    assert_eq!(close.code, 1008);
    assert!(close.reason.starts_with("InactiveInstanceException: "), "{close:?}");
}

#[test]
fn an_agent_that_answers_no_heartbeat_is_given_up() {
    let mut scene = Scene::new(PlainView::with([]));
    scene.connect();
    scene.now = scene.now + BEAT;
    assert_eq!(scene.acs.tick(&scene.view, scene.now).close, None);
    scene.now = scene.now + BEAT;
    let step = scene.acs.tick(&scene.view, scene.now);
    assert_eq!(step.close.map(|close| close.code), Some(1000));
    assert_eq!(step.send, []);
}

/// A row's change wakes the session.
fn look(scene: &mut Scene) -> Step {
    let dirty = Dirty { instance: true, ..Dirty::default() };
    scene.acs.changed(&scene.view, &dirty, scene.now)
}

fn updating(status: UpdateStatus) -> Option<AgentUpdate> {
    Some(AgentUpdate { digest: "d".repeat(64), status })
}

#[test]
fn an_agents_replacement_is_staged_and_then_performed() {
    let mut scene = Scene::new(PlainView::with([]));
    scene.connect();
    scene.view.update = updating(UpdateStatus::Pending);
    let step = look(&mut scene);
    let [ServerMessage::StageUpdate(stage)] = step.send.as_slice() else { panic!("{step:?}") };
    let info = stage.update_info.clone().expect("it stages");
    assert_eq!(info.location, format!("/_longshore/agent/{}", "d".repeat(64)));
    assert_eq!((info.signature.len(), step.update), (64, Some(UpdateEvent::Told)));
    let stage = stage.message_id.clone();
    scene.view.update = updating(UpdateStatus::Staging);
    assert_eq!(look(&mut scene), Step::default(), "asked once");
    let step = scene.say(Ack { message_id: stage, ..Ack::default() });
    assert_eq!(step, Step { update: Some(UpdateEvent::Fetched), ..Step::default() });
    scene.view.update = updating(UpdateStatus::Staged);
    let step = look(&mut scene);
    let [ServerMessage::PerformUpdate(perform)] = step.send.as_slice() else { panic!("{step:?}") };
    let perform = perform.0.message_id.clone();
    let step = scene.say(Ack { message_id: perform, ..Ack::default() });
    assert_eq!(step, Step { update: Some(UpdateEvent::Begun), ..Step::default() });
    scene.view.update = updating(UpdateStatus::Updating);
    assert_eq!(look(&mut scene), Step::default(), "it is under way");
}

#[test]
fn a_replacement_that_an_agent_refuses_or_forgets_fails() {
    let mut scene = Scene::new(PlainView::with([]));
    scene.connect();
    scene.view.update = updating(UpdateStatus::Pending);
    let step = look(&mut scene);
    let [ServerMessage::StageUpdate(stage)] = step.send.as_slice() else { panic!("{step:?}") };
    let refusal = Nack { message_id: stage.message_id.clone(), ..Nack::default() };
    assert_eq!(scene.say(refusal).update, Some(UpdateEvent::Refused));
    // A new connection asks again for what is under way, and gives up after twenty minutes.
    let mut scene = scene.reconnect(false);
    scene.view.update = updating(UpdateStatus::Staging);
    let step = scene.connect();
    assert!(step.send.iter().any(|m| matches!(m, ServerMessage::StageUpdate(_))), "{step:?}");
    let mut events = Vec::new();
    for _ in 0..41 {
        scene.now = scene.now + BEAT;
        events.extend(scene.acs.tick(&scene.view, scene.now).update);
        scene.say(HeartbeatAck::default());
    }
    assert_eq!(events.first(), Some(&UpdateEvent::Refused));
}
