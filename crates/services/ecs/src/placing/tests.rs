//! Kept fleets show what the ledger has, and plans hold what they take while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::{FEED_COMMITS, Ledger, MemoryStore, Schema, Tx};
use placement::{Demand, Fleet, Request};
use proptest::prelude::*;
use terms::{Clock, ClusterName, ContainerInstanceId, IdSource, MemoryMib, TaskId, Timestamp};
use tokio_util::sync::CancellationToken;

use super::kept::Kept;
use super::*;
use crate::error::Error;
use crate::model::sample::{MADE, instance, task};
use crate::model::{InstanceStatus, Task, TaskStatus};
use crate::tables::{Scope, instance_key, task_key};

#[derive(Default)]
struct Sources(AtomicU64);

impl Clock for Sources {
    fn now(&self) -> Timestamp {
        MADE
    }
}

impl IdSource for Sources {
    fn next(&self) -> [u8; 16] {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
    }
}

struct World {
    ledger: Ledger,
    tables: Tables,
    placer: Placer,
    cluster: ClusterKey,
}

/// What each instance has, and each task takes.
const MEMORY: u32 = 300;
const TASK: u32 = 100;

impl World {
    fn new() -> Self {
        let mut schema = Schema::new();
        let tables = Tables::declare(&mut schema);
        let (store, sources) = (Box::new(MemoryStore::new()), Arc::new(Sources::default()));
        let ledger = Ledger::open(schema, store, sources.clone(), sources).unwrap();
        let arn = task(1).arn;
        let scope = Scope { account: arn.account, region: arn.region };
        let cluster = scope.cluster(ClusterName::default());
        let placer = Placer::new(ledger.clone(), tables);
        Self { ledger, tables, placer, cluster }
    }

    /// Commits at once: the store is in memory.
    fn write(&self, body: impl Fn(&mut Tx<'_>)) {
        let done = self.ledger.transact("write", |tx| {
            body(tx);
            Ok::<_, Error>(())
        });
        run(done).unwrap();
    }

    fn put_instance(&self, number: u8, status: InstanceStatus, memory: u32) {
        let mut row = instance(number);
        row.status = status;
        row.capacity.memory = MemoryMib::new(memory);
        self.write(|tx| tx.put(&self.tables.instances, instance_key(&row.arn), row.clone()));
    }

    fn put_task(&self, number: u8, on: u8, status: TaskStatus) {
        let row = sized(number, on, status);
        self.write(|tx| tx.put(&self.tables.tasks, task_key(&row.arn), row.clone()));
    }

    fn delete_task(&self, number: u8) {
        self.write(|tx| tx.delete(&self.tables.tasks, &task_key(&task(number).arn)));
    }

    fn plan(&self, tasks: impl IntoIterator<Item = u8>) -> Plan {
        let tasks: Vec<_> = tasks.into_iter().map(task_id).collect();
        let request = request(tasks.len());
        let facts = self.ledger.snapshot();
        self.placer.plan(&facts.facts(), &self.cluster, &request, &tasks, 7)
    }

    /// What a fleet that is made now shows of each instance.
    fn fresh(&self) -> Vec<Shown> {
        let mut kept = Kept::new(&self.ledger, self.tables, self.cluster.clone());
        kept.catch_up();
        shown(kept.fleet())
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn task_id(number: u8) -> TaskId {
    TaskId::from_bytes([number; 16])
}

fn instance_id(number: u8) -> ContainerInstanceId {
    ContainerInstanceId::from_bytes([number; 16])
}

fn sized(number: u8, on: u8, status: TaskStatus) -> Task {
    let mut row = task(number);
    row.instance = instance_id(on);
    row.status = status;
    row.demand.memory = MemoryMib::new(TASK);
    row
}

fn request(count: usize) -> Request {
    let demand = Demand { memory: MemoryMib::new(TASK), ..Demand::default() };
    let count = u32::try_from(count).unwrap();
    Request { count, group: "family:web".into(), demand, ..Request::default() }
}

/// Instance, whether it takes tasks, free memory, tasks of the group.
type Shown = (u8, bool, u32, u32);

const NUMBERS: std::ops::RangeInclusive<u8> = 1..=4;

fn shown(fleet: &Fleet) -> Vec<Shown> {
    let nothing = Request { group: "other".into(), ..Request::default() };
    let show = |number: u8| {
        let instance = fleet.get(instance_id(number))?;
        let takes = instance.check(&nothing).is_ok();
        Some((number, takes, instance.free_memory().get(), instance.tasks_of("family:web")))
    };
    NUMBERS.filter_map(show).collect()
}

#[test]
fn plans_at_the_same_time_choose_different_places() {
    let world = World::new();
    NUMBERS.for_each(|number| world.put_instance(number, InstanceStatus::Active, TASK));
    let plans: Vec<Plan> = (1..=4).map(|number| world.plan([number])).collect();
    let mut chosen: Vec<_> = plans.iter().map(|plan| plan.placed[0].1).collect();
    chosen.sort_unstable();
    assert_eq!(chosen, NUMBERS.map(instance_id).collect::<Vec<_>>());
}

#[test]
fn a_plan_that_comes_to_nothing_gives_back_what_it_held() {
    let world = World::new();
    world.put_instance(1, InstanceStatus::Active, MEMORY);
    let empty = world.fresh();
    let plan = world.plan([1, 2, 3]);
    assert_eq!(plan.placed.len(), 3);
    let fleet = world.placer.fleet(&world.cluster);
    assert_eq!(shown(fleet.lock().fleet()), [(1, true, 0, 3)]);
    drop(plan);
    assert_eq!(shown(fleet.lock().fleet()), empty);
}

#[test]
fn what_was_committed_stays_held_until_it_stops() {
    let world = World::new();
    world.put_instance(1, InstanceStatus::Active, MEMORY);
    let plan = world.plan([1, 2]);
    // The second run of a transaction may write other tasks: this one wrote the first alone.
    world.put_task(1, 1, TaskStatus::Pending);
    world.placer.committed(plan, &request(2));
    world.put_task(2, 1, TaskStatus::Pending);
    let fleet = world.placer.fleet(&world.cluster);
    fleet.lock().catch_up();
    assert_eq!(shown(fleet.lock().fleet()), [(1, true, 100, 2)]);
    world.put_task(1, 1, TaskStatus::Stopped);
    world.delete_task(2);
    fleet.lock().catch_up();
    assert_eq!(shown(fleet.lock().fleet()), [(1, true, 300, 0)]);
    let counts = PlacementCounts { placed: 2, refused: 0, placed_again: 0 };
    assert_eq!(world.placer.counts(), counts);
}

#[test]
fn a_place_that_a_running_plan_holds_is_taken_before_a_task_is_refused() {
    let world = World::new();
    world.put_instance(1, InstanceStatus::Active, TASK);
    let first = world.plan([1]);
    let second = world.plan([2]);
    assert_eq!(second.placed.len(), 1, "whoever commits first has it");
    drop(second);
    // Once it is in the ledger it is taken.
    world.put_task(1, 1, TaskStatus::Pending);
    let third = world.plan([3]);
    assert_eq!((third.placed.len(), third.shortage.len()), (0, 1));
    drop(first);
    assert_eq!(world.plan([4]).placed.len(), 0);
}

#[test]
fn two_plans_of_one_transaction_share_the_room() {
    let world = World::new();
    world.put_instance(1, InstanceStatus::Active, 2 * TASK);
    let facts = world.ledger.snapshot();
    let beside = |number: u8, planned: &[TaskId], count: usize| {
        let ids: Vec<TaskId> = (0..count).map(|at| task_id(number + at as u8)).collect();
        let request = request(count);
        world.placer.plan_beside(planned, &facts.facts(), &world.cluster, &request, &ids, 7)
    };
    let first = beside(1, &[], 1);
    assert_eq!(first.placed.len(), 1);
    // Another transaction may count on its coming to nothing; the same one must not.
    let second = beside(10, &first.tasks(), 2);
    assert_eq!((second.placed.len(), second.shortage.len()), (1, 1));
    drop(second);
    assert_eq!(beside(20, &[], 2).placed.len(), 2);
}

#[test]
fn what_fits_by_itself_need_not_fit_beside_others() {
    let world = World::new();
    world.put_instance(1, InstanceStatus::Active, MEMORY);
    let facts = world.ledger.snapshot();
    let load = |count: usize| (request(count), [(instance_id(1), count)].into());
    let fit = |loads: &[placing::Load]| {
        placing::fit(&facts.facts(), &world.tables, &world.cluster, loads)
    };
    assert!(fit(&[load(3)]) && fit(&[load(1), load(2)]));
    assert!(!fit(&[load(4)]) && !fit(&[load(2), load(2)]));
}

#[test]
fn what_the_feed_has_not_told_is_learnt_where_it_matters() {
    let world = World::new();
    world.put_instance(1, InstanceStatus::Active, MEMORY);
    world.put_instance(2, InstanceStatus::Active, TASK);
    let mut kept = Kept::new(&world.ledger, world.tables, world.cluster.clone());
    kept.catch_up();
    // Behind its back: the first is full, then gone; the second is full.
    (11..=13).for_each(|number| world.put_task(number, 1, TaskStatus::Pending));
    let facts = world.ledger.snapshot();
    let found = kept.find(&facts.facts(), &request(1), (&[task_id(1)], &[]), 7);
    assert_eq!(found.placed, [(task_id(1), instance_id(2))]);
    // Whether the first was tried before is a matter of chance; if so, it is known to be full.
    let learnt = usize::try_from(found.retries).unwrap();
    kept.give_back(&[task_id(1)]);
    world.put_instance(1, InstanceStatus::Inactive, MEMORY);
    world.put_task(14, 2, TaskStatus::Pending);
    let facts = world.ledger.snapshot();
    let found = kept.find(&facts.facts(), &request(1), (&[task_id(1)], &[]), 7);
    assert_eq!((found.placed.len(), found.shortage.len()), (0, 1 + learnt));
    kept.catch_up();
    assert_eq!(shown(kept.fleet()), world.fresh());
}

#[test]
fn a_fleet_that_lagged_starts_again_and_keeps_running_plans() {
    let world = World::new();
    world.put_instance(1, InstanceStatus::Active, MEMORY);
    let plan = world.plan([1]);
    for _ in 0..=FEED_COMMITS / 2 {
        world.put_task(2, 1, TaskStatus::Pending);
        world.delete_task(2);
    }
    world.put_task(3, 1, TaskStatus::Pending);
    let fleet = world.placer.fleet(&world.cluster);
    fleet.lock().catch_up();
    assert_eq!(shown(fleet.lock().fleet()), [(1, true, 100, 2)]);
    drop(plan);
    assert_eq!(shown(fleet.lock().fleet()), [(1, true, 200, 1)]);
}

/// More commits than the feed holds.
fn flood(world: &World) {
    for _ in 0..=FEED_COMMITS / 2 {
        world.put_task(2, 1, TaskStatus::Pending);
        world.delete_task(2);
    }
}

#[test]
fn a_followed_fleet_that_lost_the_feed_is_loaded_beside_running_plans() {
    let world = World::new();
    world.put_instance(1, InstanceStatus::Active, MEMORY);
    let plan = world.plan([1]);
    flood(&world);
    world.put_task(3, 1, TaskStatus::Pending);
    let (fleet, shutdown) = (world.placer.fleet(&world.cluster), CancellationToken::new());
    run(async {
        let others = async {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = world.placer.follow(&shutdown) => {}
            () = others => {}
        }
    });
    assert_eq!(shown(fleet.lock().fleet()), [(1, true, 100, 2)]);
    drop(plan);
    assert_eq!(shown(fleet.lock().fleet()), [(1, true, 200, 1)]);
    assert!(!world.placer.is_followed.load(Ordering::Relaxed));
}

#[test]
fn a_plan_on_a_followed_fleet_that_is_behind_refuses_nothing_that_fits() {
    let world = World::new();
    world.put_instance(1, InstanceStatus::Active, TASK);
    drop(world.plan([1]));
    world.placer.is_followed.store(true, Ordering::Relaxed);
    flood(&world);
    // Behind its back the one it knows is full, and another has come.
    world.put_task(3, 1, TaskStatus::Pending);
    world.put_instance(2, InstanceStatus::Active, TASK);
    assert_eq!(world.plan([4]).placed, [(task_id(4), instance_id(2))]);
}

#[test]
fn fleets_that_were_not_used_lately_go_first() {
    let world = World::new();
    for number in 0..=MAX_FLEETS {
        let name = format!("c{number}").parse().unwrap();
        world.placer.fleet(&world.cluster.scope.cluster(name));
        world.placer.fleet(&world.cluster);
    }
    let fleets = world.placer.fleets.lock();
    assert_eq!(fleets.by_cluster.len(), MAX_FLEETS);
    assert!(fleets.by_cluster.contains_key(&world.cluster));
}

#[derive(Clone, Debug)]
enum Step {
    Instance(u8, InstanceStatus, u32),
    Task(u8, u8, TaskStatus),
    Delete(u8),
    Plan(Vec<u8>),
    Drop,
    CatchUp,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop::sample::select(vec![
        InstanceStatus::Active,
        InstanceStatus::Draining,
        InstanceStatus::Inactive,
    ]);
    let number = || prop::sample::select(NUMBERS.collect::<Vec<_>>());
    let task_status =
        prop::sample::select(vec![TaskStatus::Pending, TaskStatus::Running, TaskStatus::Stopped]);
    prop_oneof![
        2 => (number(), status, prop::sample::select(vec![200_u32, 300, 500]))
            .prop_map(|(number, status, memory)| Step::Instance(number, status, memory)),
        4 => (1..12_u8, number(), task_status)
            .prop_map(|(number, on, status)| Step::Task(number, on, status)),
        1 => (1..12_u8).prop_map(Step::Delete),
        2 => prop::collection::vec(20..200_u8, 1..3).prop_map(Step::Plan),
        1 => Just(Step::Drop),
        1 => Just(Step::CatchUp),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, in whatever order it is told: once the feed is read and no plan runs, a
    /// kept fleet is the one that would be made anew.
    #[test]
    fn a_kept_fleet_is_a_fresh_one(steps in prop::collection::vec(step(), 1..40)) {
        let world = World::new();
        let fleet = world.placer.fleet(&world.cluster);
        let mut plans = Vec::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Instance(number, status, memory) => {
                    world.put_instance(number, status, memory);
                }
                Step::Task(number, on, status) => world.put_task(number, on, status),
                Step::Delete(number) => world.delete_task(number),
                Step::Plan(tasks) => {
                    next += 1;
                    let ids = (0..tasks.len()).map(|task| {
                        TaskId::from_bytes((1_000_000_u128 + next * 100 + task as u128).to_be_bytes())
                    });
                    let (ids, snapshot) = (Vec::from_iter(ids), world.ledger.snapshot());
                    let request = request(ids.len());
                    // Not through the placer, so that the fleet is behind.
                    let mut kept = fleet.lock();
                    let found = kept.find(&snapshot.facts(), &request, (&ids, &[]), next as u64);
                    prop_assert!(found.placed.len() == ids.len()
                            || found.shortage.len() >= found.considered);
                    for &(_, id) in &found.placed {
                        let known = placing::look(&snapshot.facts(), &world.tables, &world.cluster, id);
                        let (_, mut instance) = known.unwrap();
                        let count = found.placed.iter().filter(|(_, other)| *other == id).count();
                        prop_assert!(placing::takes(&mut instance, &request, count));
                    }
                    plans.push(ids);
                }
                Step::Drop => drop(plans.pop().map(|ids| fleet.lock().give_back(&ids))),
                Step::CatchUp => fleet.lock().catch_up(),
            }
        }
        plans.into_iter().for_each(|ids| fleet.lock().give_back(&ids));
        fleet.lock().catch_up();
        prop_assert_eq!(shown(fleet.lock().fleet()), world.fresh());
    }
}

#[test]
fn what_is_reserved_is_nobody_elses() {
    let world = World::new();
    (1..=2).for_each(|number| world.put_instance(number, InstanceStatus::Active, MEMORY));
    let service = (world.cluster.clone(), "agent".parse().unwrap());
    let demand = request(1).demand;
    let reserve = |on: &[u8]| {
        let on: BTreeSet<_> = on.iter().map(|&number| instance_id(number)).collect();
        world.placer.reserve(&service, &demand, &on);
    };
    // Room for six, and for the daemon's two on as many instances.
    reserve(&[1, 2]);
    assert_eq!(world.plan(1..=6).placed.len(), 4);
    reserve(&[2]);
    assert_eq!(world.plan(1..=6).placed.len(), 5);
    // It outlives the instance's row that changes, and a fleet that is loaded anew.
    world.put_instance(2, InstanceStatus::Active, 2 * MEMORY);
    assert_eq!(world.plan(1..=9).placed.len(), 8);
    for _ in 0..=FEED_COMMITS {
        world.put_task(9, 1, TaskStatus::Stopped);
    }
    assert_eq!(world.plan(1..=9).placed.len(), 8);
    reserve(&[]);
    assert_eq!(world.plan(1..=9).placed.len(), 9);
}
