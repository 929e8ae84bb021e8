//! Seeded worlds of random services, deployments and misfortunes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use terms::{TaskId, Timestamp};

use super::view::{Decision, Ended, Phase, Rules, Seen, View, Why};
use super::{Rows, decide};
use crate::model::{
    CapacityChoice, CircuitBreaker, Deployment, DeploymentConfiguration, DeploymentId,
    DeploymentStatus, Health, Progress, Revision, RevisionId, RolloutState, Service,
    ServiceDeploymentId, StopCode, Workload,
    sample::{MADE, service},
};

const SETTLE: Duration = Duration::from_secs(40);
/// Seconds that a world may take to come to rest.
const PATIENCE: u32 = 6_000;

/// Numbers that look random (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn bytes(&mut self) -> [u8; 16] {
        let half = |dice: &mut Self| dice.roll(u64::MAX).to_le_bytes();
        let (a, b) = (half(self), half(self));
        std::array::from_fn(|at| if at < 8 { a[at] } else { b[at - 8] })
    }
}

/// What the tasks of a revision do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Image {
    Good,
    NeverStarts,
    DiesYoung,
    FailsChecks,
}

struct World {
    dice: Dice,
    now: Timestamp,
    rules: Rules,
    view: View,
    images: BTreeMap<DeploymentId, Image>,
    has_checks: bool,
    /// Room of the cluster, in tasks.
    room: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let desired = dice.roll(12) as u32;
        let minimum = [0, 25, 50, 75, 100][dice.roll(5) as usize];
        let maximum = [100, 125, 150, 200][dice.roll(4) as usize];
        let configuration = DeploymentConfiguration {
            minimum_healthy_percent: minimum,
            maximum_percent: maximum,
            breaker: CircuitBreaker { enable: true, rollback: true, ..CircuitBreaker::default() },
            ..DeploymentConfiguration::replica()
        };
        let view = View::bare(service(configuration, desired));
        let rules = Rules { settle: SETTLE, ..Rules::default() };
        let has_checks = dice.one_in(2);
        let room = 2 * desired as usize + dice.roll(4) as usize;
        let images = BTreeMap::new();
        let mut world = Self { dice, now: MADE, rules, view, images, has_checks, room };
        world.deploy(Image::Good);
        world
    }

    /// A new deployment, as UpdateService makes one.
    fn deploy(&mut self, image: Image) {
        let id = DeploymentId::from_bytes(self.dice.bytes());
        let revision = RevisionId::from_digits(id.digits());
        let number = ServiceDeploymentId::from_bytes(self.dice.bytes());
        let service = &mut self.view.service;
        for one in &mut self.view.deployments {
            if Some(one.id) == service.primary {
                *one = one.replaced(self.now);
            }
        }
        let configuration = service.configuration.clone();
        let (desired, now) = (service.desired, self.now);
        let made = Deployment::new(id, number, revision, Vec::new(), configuration, desired, now);
        service.primary = Some(id);
        self.view.deployments.push(made);
        self.images.insert(id, image);
        let row = Revision {
            id: revision,
            workload: Workload {
                definition: "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1"
                    .parse()
                    .expect("an ARN"),
                capacity: CapacityChoice::LaunchType("EC2".to_owned()),
                platform_version: None,
                network: None,
                volume: None,
                balanced: Vec::new(),
            },
            images: Vec::new(),
            resolution: Default::default(),
            created_at: now,
        };
        self.view.revisions.insert(revision, row);
    }

    /// One look, and what it says is done. Gives whether anything was.
    fn look(&mut self) -> bool {
        let before = self.counts();
        let (rows, decision) = decide(&self.view, &self.rules, self.now);
        let free = self.room.saturating_sub(self.view.tasks.len());
        let wanted: u32 = decision.starts.iter().map(|start| start.count).sum();
        let primary = self.view.service.primary;
        let of_primary: u32 = (decision.starts.iter())
            .filter(|start| Some(start.of) == primary)
            .map(|start| start.count)
            .sum();
        let short = (wanted as usize).saturating_sub(free).min(of_primary as usize);
        let starts = decision.starts.clone();
        let (rows, decision) = if short > 0 {
            self.view.unplaced = short as u32;
            let again = decide(&self.view, &self.rules, self.now);
            self.view.unplaced = 0;
            again
        } else {
            (rows, decision)
        };
        let stopped = self.stop(&decision);
        self.check_stops(before, stopped, &decision);
        self.take(rows);
        let started = self.start(&starts, free);
        self.check_starts(started);
        let counted = std::mem::take(&mut self.view.ended).len();
        started + stopped + counted > 0
    }

    fn take(&mut self, rows: Rows) {
        let Rows { service, deployments, revisions, task_sets } = rows;
        (self.view.service, self.view.deployments) = (service, deployments);
        (self.view.revisions, self.view.task_sets) = (revisions, task_sets);
    }

    fn start(&mut self, starts: &[super::view::Start], mut free: usize) -> usize {
        let mut started = 0;
        for start in starts {
            for _ in 0..(start.count as usize).min(free) {
                let id = TaskId::from_bytes(self.dice.bytes());
                self.view.tasks.push(Seen {
                    check: self.has_checks.then_some(Health::Unknown),
                    ..Seen::made(id, start.of, self.now)
                });
                started += 1;
                free -= 1;
            }
        }
        started
    }

    fn stop(&mut self, decision: &Decision) -> usize {
        let mut stopped = 0;
        for stop in &decision.stops {
            for id in stop.among.iter().take(stop.count) {
                let task = self.view.tasks.iter_mut().find(|task| task.id == *id);
                let task = task.expect("a task that is there is stopped");
                assert_ne!(task.phase, Phase::Stopping, "a task is stopped once");
                task.phase = Phase::Stopping;
                stopped += 1;
            }
        }
        stopped
    }

    fn is_healthy(&self, task: &Seen) -> bool {
        super::health::verdict(task, Duration::ZERO, &self.rules, self.now)
            == super::health::Verdict::Healthy
    }

    /// Healthy tasks, and tasks that were not asked to stop.
    fn counts(&self) -> (usize, usize) {
        let healthy = self.view.tasks.iter().filter(|task| self.is_healthy(task)).count();
        let all = self.view.tasks.iter().filter(|task| task.phase != Phase::Stopping).count();
        (healthy, all)
    }

    fn bounds(&self) -> super::percent::Bounds {
        let service = &self.view.service;
        super::percent::Bounds::of(service.desired, &service.configuration)
    }

    /// Our own stops never take the service below its minimum.
    fn check_stops(&self, (healthy, _): (usize, usize), stopped: usize, decision: &Decision) {
        let now = self.counts().0;
        let lower = self.bounds().lower as usize;
        assert!(
            now == healthy || now >= lower,
            "{healthy} healthy became {now} of at least {lower} by {stopped} stops: {decision:?}",
        );
        assert!(decision.stops.iter().all(|stop| stop.why != Why::Lost));
    }

    /// Our own starts never take the service above its maximum.
    fn check_starts(&self, started: usize) {
        let all = self.counts().1;
        let bounds = self.bounds();
        let upper = bounds.upper.max(self.view.service.desired) as usize;
        assert!(started == 0 || all <= upper, "{all} tasks, {started} new, at most {upper}");
    }

    /// Agents act, and a second passes.
    fn pass(&mut self) {
        let mut ended = Vec::new();
        let (dice, now, images) = (&mut self.dice, self.now, &self.images);
        for task in &mut self.view.tasks {
            let image = images[&task.of];
            let end = |code, started_at, task: &Seen| Ended {
                id: task.id,
                of: task.of,
                code: Some(code),
                check: task.check,
                created_at: task.created_at,
                started_at,
                stopped_at: now,
            };
            match task.phase {
                Phase::Stopping if dice.one_in(3) => {
                    let code = StopCode::ServiceSchedulerInitiated;
                    ended.push(end(code, Some(task.created_at), task));
                }
                Phase::Pending if dice.one_in(3) => match image {
                    Image::NeverStarts => {
                        ended.push(end(StopCode::TaskFailedToStart, None, task));
                    }
                    Image::Good | Image::DiesYoung | Image::FailsChecks => {
                        task.phase = Phase::Running(now);
                    }
                },
                Phase::Running(started) => match image {
                    Image::DiesYoung if dice.one_in(5) => {
                        let code = StopCode::EssentialContainerExited;
                        ended.push(end(code, Some(started), task));
                    }
                    Image::FailsChecks if dice.one_in(4) => {
                        task.check = task.check.map(|_| Health::Unhealthy);
                    }
                    Image::Good if dice.one_in(3) => {
                        task.check = task.check.map(|_| Health::Healthy);
                    }
                    Image::Good | Image::DiesYoung | Image::NeverStarts | Image::FailsChecks => {}
                },
                Phase::Stopping | Phase::Pending => {}
            }
        }
        let gone: BTreeSet<TaskId> = ended.iter().map(|one| one.id).collect();
        self.view.tasks.retain(|task| !gone.contains(&task.id));
        self.view.ended.extend(ended);
        self.now = self.now + Duration::from_secs(1);
    }

    fn primary(&self) -> &Deployment {
        let id = self.view.service.primary;
        let found = self.view.deployments.iter().find(|one| Some(one.id) == id);
        found.expect("an ACTIVE service has a primary deployment")
    }

    /// Looks until nothing changes for a while; gives whether the service is as it should be.
    fn rest(&mut self) -> bool {
        for _ in 0..PATIENCE {
            while self.look() {}
            let state = self.primary().rollout;
            let is_alone = self
                .view
                .deployments
                .iter()
                .filter(|one| one.status != DeploymentStatus::Inactive)
                .count()
                == 1;
            let is_settled = self.counts()
                == (self.view.service.desired as usize, self.view.service.desired as usize);
            if is_alone && state == RolloutState::Completed && is_settled {
                return true;
            }
            self.pass();
        }
        false
    }

    /// Whether percentages leave a way at all.
    fn can_roll(&self) -> bool {
        let bounds = self.bounds();
        bounds.upper > self.view.service.desired || bounds.lower < self.view.service.desired
    }
}

#[test]
fn good_deployments_end_within_their_bounds() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        assert!(world.rest(), "{seed}: {:#?}", world.view);
        if !world.can_roll() && world.view.service.desired > 0 {
            continue;
        }
        world.deploy(Image::Good);
        let id = world.primary().id;
        for _ in 0..world.dice.roll(60) {
            while world.look() {}
            world.pass();
            if world.dice.one_in(40) {
                world.view.service.desired = world.dice.roll(12) as u32;
                world.room = world.room.max(2 * world.view.service.desired as usize + 2);
            }
        }
        if !world.can_roll() && world.view.service.desired > 0 {
            continue;
        }
        assert!(world.rest(), "{seed}: {:#?}", world.view);
        assert_eq!(world.primary().id, id);
        assert_eq!(world.primary().progress, Progress::Successful, "{seed}");
    }
}

#[test]
fn bad_deployments_go_back_to_what_was() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        assert!(world.rest(), "{seed}");
        let service = &world.view.service;
        if service.desired == 0 || !world.can_roll() {
            continue;
        }
        let first = world.primary().id;
        let image = match world.dice.roll(3) {
            0 => Image::NeverStarts,
            1 if world.has_checks => Image::FailsChecks,
            _ => Image::DiesYoung,
        };
        world.deploy(image);
        let bad = world.primary().id;
        while world.look() {}
        assert!(world.rest(), "{seed} {image:?}: {:#?}", world.view);
        assert_eq!(world.primary().id, first, "{seed} {image:?}");
        let failed = world.view.deployments.iter().find(|one| one.id == bad);
        let failed = failed.expect("it is there");
        assert_eq!(failed.rollout, RolloutState::Failed, "{seed}");
        assert_eq!(failed.progress, Progress::RollbackSuccessful, "{seed}");
        assert!(
            world.view.tasks.iter().all(|task| task.of == first || task.phase == Phase::Stopping)
        );
    }
}

#[test]
fn many_deployments_one_after_the_other_end_with_the_last_good_one() {
    for seed in 0..150 {
        let mut world = World::new(seed);
        assert!(world.rest(), "{seed}");
        if world.view.service.desired == 0 || !world.can_roll() {
            continue;
        }
        for _ in 0..4 {
            let image = if world.dice.one_in(3) { Image::NeverStarts } else { Image::Good };
            world.deploy(image);
            for _ in 0..world.dice.roll(120) {
                while world.look() {}
                world.pass();
            }
        }
        if !world.rest() {
            // ECS stalls when what it went back to had not completed again (ECS semantics §8.1).
            let stalled = world.primary();
            assert_eq!(stalled.progress, Progress::RollbackFailed, "{seed}: {:#?}", world.view);
            continue;
        }
        assert_eq!(world.images[&world.primary().id], Image::Good, "{seed}");
        for one in &world.view.deployments {
            let is_primary = one.id == world.primary().id;
            assert!(is_primary || one.progress.is_over(), "{seed}: {one:#?}");
        }
    }
}

#[test]
fn without_a_way_the_service_says_so() {
    let configuration = DeploymentConfiguration {
        minimum_healthy_percent: 100,
        maximum_percent: 100,
        ..DeploymentConfiguration::replica()
    };
    let mut world = World::new(7);
    world.view.service =
        Service { primary: world.view.service.primary, ..service(configuration, 2) };
    world.room = 10;
    assert!(world.rest());
    world.deploy(Image::Good);
    let (rows, _) = decide(&world.view, &world.rules, world.now);
    world.take(rows);
    let mut said = Vec::new();
    for _ in 0..50 {
        let (rows, decision) = decide(&world.view, &world.rules, world.now);
        assert!(decision.starts.is_empty() && decision.stops.is_empty());
        said.extend(decision.events);
        world.take(rows);
        world.pass();
    }
    let stuck: Vec<_> = said.iter().filter(|(_, text)| text.contains("unable to stop")).collect();
    assert!(stuck.len() <= 1, "{said:?}");
    assert!(world.view.service.course.said.iter().any(|(text, _)| text.contains("unable to stop")));
}
