//! Nodes that fetch, fail, lie, come and go in any order.

#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SIZE_BYTES: u64 = 10 << 20;

fn layer(number: usize) -> LayerKey {
    LayerKey { repository: "r.test/app".into(), digest: format!("sha256:{number}").into() }
}

fn want(request: u64) -> Want<usize> {
    Want { request, size_bytes: SIZE_BYTES, avoid: BTreeSet::new() }
}

/// What one node is doing about one layer.
#[derive(Debug, Clone, PartialEq)]
enum Doing {
    Nothing,
    Waiting,
    At(Source<usize>),
    Has,
}

/// Nodes as they would be, and what they were told.
struct World {
    tracker: Tracker<usize>,
    now: Timestamp,
    /// By node and layer.
    doing: Vec<Vec<Doing>>,
    avoid: Vec<Vec<BTreeSet<usize>>>,
    is_here: Vec<bool>,
    /// By layer: those sent to the registry, and what was lost.
    registry: Vec<usize>,
    lost: Vec<usize>,
    request: u64,
}

impl World {
    fn new(nodes: usize, layers: usize) -> Self {
        let mut world = Self {
            tracker: Tracker::default(),
            now: Timestamp::from_millis(0),
            doing: vec![vec![Doing::Nothing; layers]; nodes],
            avoid: vec![vec![BTreeSet::new(); layers]; nodes],
            is_here: vec![true; nodes],
            registry: vec![0; layers],
            lost: vec![0; layers],
            request: 0,
        };
        (0..nodes).for_each(|node| world.tracker.joined(&node));
        world
    }

    fn hear(&mut self, answers: Vec<Answer<usize>>) {
        for answer in answers {
            let number: usize = answer.layer.digest.trim_start_matches("sha256:").parse().unwrap();
            let doing: &mut Doing = &mut self.doing[answer.node][number];
            assert_eq!(*doing, Doing::Waiting, "whoever is told something has asked");
            if let Source::Peer(peer) = answer.source {
                assert!(self.is_here[peer] && peer != answer.node);
                assert!(!self.avoid[answer.node][number].contains(&peer));
            } else {
                self.registry[number] += 1;
            }
            *doing = Doing::At(answer.source);
        }
        self.check();
    }

    /// What is true at any time.
    fn check(&self) {
        for number in 0..self.registry.len() {
            let doing = || self.doing.iter().map(|layers| &layers[number]);
            let at_registry = doing().filter(|d| **d == Doing::At(Source::Registry)).count();
            assert!(at_registry <= LEASES_MAX);
            // One more when nobody else was at work: else some would wait for ever.
            let most = LEASES_MAX + self.lost[number];
            assert!(self.registry[number] <= most, "{} > {most}", self.registry[number]);
            let waits = doing().any(|d| *d == Doing::Waiting);
            let works = self.doing.iter().flatten().any(|d| matches!(d, Doing::At(_)));
            assert!(!waits || works, "somebody waits for nobody");
        }
        for peer in 0..self.doing.len() {
            let at_peer = |d: &&Doing| **d == Doing::At(Source::Peer(peer));
            assert!(self.doing.iter().flatten().filter(at_peer).count() <= UPLOADS_MAX);
        }
    }

    fn ask(&mut self, node: usize, number: usize) {
        let again = matches!(self.doing[node][number], Doing::Nothing | Doing::Waiting);
        if !self.is_here[node] || !again {
            return;
        }
        self.doing[node][number] = Doing::Waiting;
        self.request += 1;
        let avoid = self.avoid[node][number].clone();
        let wanted = Want { avoid, ..want(self.request) };
        let told = self.tracker.wanted(&node, layer(number), wanted, self.now);
        self.hear(told);
    }

    fn end(&mut self, node: usize, number: usize, ending: Ending) {
        let Doing::At(source) = self.doing[node][number].clone() else { return };
        match (ending, &source) {
            (Ending::Here, _) => self.doing[node][number] = Doing::Has,
            (Ending::Failed(trouble), source) => {
                self.doing[node][number] = Doing::Nothing;
                self.lost[number] += 1;
                if let (Some(_), Source::Peer(peer)) = (trouble, source) {
                    self.avoid[node][number].insert(*peer);
                }
            }
        }
        let told = self.tracker.ended(&node, &layer(number), ending, self.now);
        self.hear(told);
    }

    fn leave(&mut self, node: usize) {
        if !std::mem::replace(&mut self.is_here[node], false) {
            return;
        }
        for number in 0..self.registry.len() {
            self.lost[number] += 1;
            self.doing[node][number] = Doing::Nothing;
            // Whoever was at it finds out.
            for other in 0..self.doing.len() {
                if self.doing[other][number] == Doing::At(Source::Peer(node)) {
                    self.lost[number] += 1;
                }
            }
        }
        let told = self.tracker.gone(&node, self.now);
        self.hear(told);
        for other in 0..self.doing.len() {
            for number in 0..self.registry.len() {
                if self.doing[other][number] == Doing::At(Source::Peer(node)) {
                    self.end(other, number, Ending::Failed(Some(Trouble::Unreachable)));
                }
            }
        }
    }

    fn come(&mut self, node: usize) {
        if !std::mem::replace(&mut self.is_here[node], true) {
            self.tracker.joined(&node);
        }
    }

    /// Everybody asks, nothing goes wrong any more, and all come to have all.
    fn finish(&mut self) {
        let nodes = self.doing.len();
        for round in 0.. {
            assert!(round < 10 * nodes, "it does not come to an end");
            for node in 0..nodes {
                self.come(node);
                for number in 0..self.registry.len() {
                    self.ask(node, number);
                    self.end(node, number, Ending::Here);
                }
            }
            if self.doing.iter().flatten().all(|doing| *doing == Doing::Has) {
                return;
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ask,
    Have,
    Fail(Option<Trouble>),
    Leave,
    Come,
}

fn step() -> impl Strategy<Value = Step> {
    let trouble = prop::option::of(prop::sample::select(vec![
        Trouble::Gone,
        Trouble::Unreachable,
        Trouble::Slow,
        Trouble::Corrupt,
    ]));
    prop_oneof![
        6 => Just(Step::Ask),
        4 => Just(Step::Have),
        2 => trouble.prop_map(Step::Fail),
        1 => Just(Step::Leave),
        1 => Just(Step::Come),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Few ask the registry, nobody waits for nobody, and all come to an end, whatever fails.
    #[test]
    fn few_ask_the_registry_and_nobody_waits_for_ever(
        steps in vec((0..50_usize, 0..2_usize, step()), 0..600),
    ) {
        let mut world = World::new(50, 2);
        for (node, number, step) in steps {
            match step {
                Step::Ask => world.ask(node, number),
                Step::Have => world.end(node, number, Ending::Here),
                Step::Fail(trouble) => world.end(node, number, Ending::Failed(trouble)),
                Step::Leave => world.leave(node),
                Step::Come => world.come(node),
            }
        }
        world.finish();
    }

    /// Where nothing fails, three at the registry are all.
    #[test]
    fn three_ask_the_registry_where_nothing_fails(
        steps in vec((0..50_usize, any::<bool>()), 0..400),
    ) {
        let mut world = World::new(50, 1);
        for (node, asks) in steps {
            if asks { world.ask(node, 0) } else { world.end(node, 0, Ending::Here) }
        }
        world.finish();
        prop_assert!(world.registry[0] <= LEASES_MAX);
    }
}

#[test]
fn the_late_are_taken_for_lost() {
    let mut world = World::new(5, 1);
    (0..5).for_each(|node| world.ask(node, 0));
    assert_eq!(world.registry, [3]);
    let after = world.now + allowed(SIZE_BYTES) + Duration::from_millis(1);
    assert_eq!(world.tracker.tick(world.now + allowed(SIZE_BYTES)), []);
    let told = world.tracker.tick(after);
    let told: Vec<_> = told.into_iter().map(|answer| (answer.node, answer.source)).collect();
    assert_eq!(told, [(3, Source::Registry), (4, Source::Registry)]);
    // It came after all.
    let told = world.tracker.ended(&0, &layer(0), Ending::Here, after);
    assert_eq!((told, world.tracker.holders(&layer(0))), (Vec::new(), 1));
}

#[test]
fn who_asks_again_keeps_its_place_and_who_lost_a_layer_is_asked_no_more() {
    let mut tracker = Tracker::default();
    let now = Timestamp::from_millis(0);
    (0..6).for_each(|node| tracker.joined(&node));
    assert_eq!(tracker.held(&0, [layer(0)], now), []);
    let sources = |told: Vec<Answer<usize>>| -> Vec<_> {
        told.into_iter().map(|answer| (answer.node, answer.request, answer.source)).collect()
    };
    for node in 1..=4 {
        let told = tracker.wanted(&node, layer(0), want(1), now);
        assert_eq!(sources(told), [(node, 1, Source::Peer(0))]);
    }
    // The fifth waits for a place, though nobody is at the registry.
    assert_eq!(tracker.wanted(&5, layer(0), want(1), now), []);
    assert_eq!(tracker.wanted(&5, layer(0), want(2), now), []);
    let told = tracker.ended(&1, &layer(0), Ending::Here, now);
    assert_eq!(sources(told), [(5, 2, Source::Peer(1))]);
    // One complaint is one node's affair; of two nodes, all are told.
    let told = tracker.ended(&2, &layer(0), Ending::Failed(Some(Trouble::Corrupt)), now);
    assert_eq!((told, tracker.holders(&layer(0))), (Vec::new(), 2));
    tracker.ended(&3, &layer(0), Ending::Failed(Some(Trouble::Slow)), now);
    assert_eq!(tracker.holders(&layer(0)), 1);
    let told = tracker.wanted(&1, layer(0), want(9), now);
    assert_eq!(sources(told), [(1, 9, Source::Registry)]);
}

#[test]
fn repositories_are_apart() {
    let mut tracker = Tracker::default();
    let now = Timestamp::from_millis(0);
    (0..2).for_each(|node| tracker.joined(&node));
    tracker.held(&0, [layer(0)], now);
    let other = LayerKey { repository: "r.test/other".into(), ..layer(0) };
    let told = tracker.wanted(&1, other, want(1), now);
    assert_eq!(told[0].source, Source::Registry);
    let told = tracker.wanted(&7, layer(0), want(1), now);
    assert_eq!(told[0].source, Source::Registry, "one that takes no part");
}
