//! Whether a history of concurrent calls is linearizable.
//!
//! The search tries the calls one by one in every order that the times allow (Wing and Gong 1993),
//! and does not go on from a set of calls and a state that it has been at before (Lowe 2017). A
//! call whose outcome nobody knows may take effect at any time after it began, or never.

use std::collections::HashSet;
use std::hash::Hash;

/// An object as one thread would use it.
pub trait Model {
    /// What it holds.
    type State: Clone + Eq + Hash;
    /// What a client asks, with what it was answered.
    type Call: PartialEq;
    /// Before the first call.
    fn start() -> Self::State;
    /// The state after the call, if the answer is right in this state. `is_known` is false for a
    /// call whose answer nobody saw: then it is the effect alone that counts.
    fn apply(state: &Self::State, call: &Self::Call, is_known: bool) -> Option<Self::State>;
}

/// A call with the times of its client's clock, in any unit.
#[derive(Clone, Debug)]
pub struct Entry<C> {
    /// When it was sent.
    pub called: u64,
    /// When its answer came; none if nobody knows whether it was carried out.
    pub returned: Option<u64>,
    /// The call.
    pub call: C,
}

/// A set of calls, by their numbers.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Set(Box<[u64]>);

impl Set {
    fn with_room(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)].into())
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    /// The first that is not in it.
    fn first_absent(&self) -> usize {
        let full = self.0.iter().take_while(|word| **word == u64::MAX).count();
        let ones = self.0.get(full).map_or(0, |word| word.trailing_ones());
        full * 64 + ones as usize
    }

    fn flip(&mut self, index: usize) {
        self.0[index / 64] ^= 1 << (index % 64);
    }
}

/// A step of the search: a call that was taken as the next one.
struct Step<S> {
    /// Which.
    taken: usize,
    /// The state before it.
    before: S,
    /// What could be taken instead, the best last.
    others: Vec<usize>,
}

/// Whether the history could have happened one call at a time.
pub fn is_linearizable<M: Model>(history: &[Entry<M::Call>]) -> bool {
    let mut order: Vec<&Entry<M::Call>> = history.iter().collect();
    order.sort_by_key(|entry| entry.called);
    let is_known = |index: usize| order[index].returned.is_some();
    let known = (0..order.len()).filter(|index| is_known(*index)).count();
    let mut done = Set::with_room(order.len());
    let (mut done_known, mut state) = (0, M::start());
    let mut seen = HashSet::new();
    let mut steps: Vec<Step<M::State>> = Vec::new();
    let mut others = choices::<M>(&order, &done, &state);
    loop {
        if done_known == known {
            return true;
        }
        let found = std::iter::from_fn(|| others.pop()).find_map(|index| {
            let after = M::apply(&state, &order[index].call, is_known(index))?;
            done.flip(index);
            let is_new = seen.insert((done.clone(), after.clone()));
            done.flip(index);
            is_new.then_some((index, after))
        });
        if let Some((taken, after)) = found {
            done.flip(taken);
            done_known += usize::from(is_known(taken));
            let before = std::mem::replace(&mut state, after);
            let next = choices::<M>(&order, &done, &state);
            steps.push(Step { taken, before, others: std::mem::replace(&mut others, next) });
        } else {
            let Some(step) = steps.pop() else { return false };
            done.flip(step.taken);
            done_known -= usize::from(is_known(step.taken));
            (state, others) = (step.before, step.others);
        }
    }
}

/// What may come next, the best last: calls whose outcome nobody knows are tried after the others,
/// as if they came late. A call that is right now and changes nothing comes at once and alone: it
/// could not be in the way of any other.
fn choices<M: Model>(order: &[&Entry<M::Call>], done: &Set, state: &M::State) -> Vec<usize> {
    let pending = || window(order, done).filter(|&index| !done.has(index));
    let is_known = |index: &usize| order[*index].returned.is_some();
    let changes_nothing = |index: &usize| {
        is_known(index) && M::apply(state, &order[*index].call, true).as_ref() == Some(state)
    };
    if let Some(index) = pending().find(changes_nothing) {
        return vec![index];
    }
    // Of like ones the first stands for all: it may come whenever another may.
    let mut choices: Vec<usize> = Vec::new();
    for index in pending().filter(|index| !is_known(index)) {
        if choices.iter().all(|other| order[*other].call != order[index].call) {
            choices.push(index);
        }
    }
    choices.reverse();
    let known = choices.len();
    choices.extend(pending().filter(is_known));
    choices[known..].reverse();
    choices
}

/// The calls that may come next: none that was sent after another had returned that is not done.
fn window<C>(order: &[&Entry<C>], done: &Set) -> std::ops::Range<usize> {
    let start = done.first_absent();
    let mut until = u64::MAX;
    for (index, entry) in order.iter().enumerate().skip(start) {
        if entry.called > until {
            return start..index;
        }
        if !done.has(index) {
            until = until.min(entry.returned.unwrap_or(u64::MAX));
        }
    }
    start..order.len()
}

mod tests {
    use super::super::models::{Counter, CounterCall, Register, RegisterCall};
    use super::*;

    fn entry<C>(called: u64, returned: u64, call: C) -> Entry<C> {
        Entry { called, returned: Some(returned), call }
    }

    fn unsure<C>(called: u64, call: C) -> Entry<C> {
        Entry { called, returned: None, call }
    }

    fn write(value: u64) -> RegisterCall {
        RegisterCall::Write(value)
    }

    fn read(value: u64) -> RegisterCall {
        RegisterCall::Read(Some(value))
    }

    const EMPTY: RegisterCall = RegisterCall::Read(None);

    #[track_caller]
    fn check(history: &[Entry<RegisterCall>], expected: bool) {
        assert_eq!(is_linearizable::<Register>(history), expected, "{history:?}");
    }

    #[test]
    fn what_happens_one_by_one_is_as_it_is_told() {
        check(&[], true);
        check(&[entry(0, 1, EMPTY), entry(2, 3, write(1)), entry(4, 5, read(1))], true);
        check(&[entry(0, 1, write(1)), entry(2, 3, EMPTY)], false);
        check(&[entry(0, 1, write(1)), entry(2, 3, write(2)), entry(4, 5, read(1))], false);
    }

    #[test]
    fn calls_at_the_same_time_have_any_order_but_one_for_all() {
        let two = [entry(0, 9, write(1)), entry(0, 9, write(2))];
        let with = |reads: &[Entry<RegisterCall>]| [two.as_slice(), reads].concat();
        check(&with(&[entry(10, 11, read(1))]), true);
        check(&with(&[entry(10, 11, read(2))]), true);
        check(&with(&[entry(1, 2, read(1)), entry(3, 4, read(2))]), true);
        check(&with(&[entry(1, 2, read(1)), entry(3, 4, read(2)), entry(5, 6, read(1))]), false);
        // Two readers that saw the two writes in different orders.
        check(&with(&[entry(10, 11, read(1)), entry(12, 13, read(2))]), false);
    }

    #[test]
    fn an_old_value_after_a_new_one_was_seen_is_stale() {
        let history = [
            entry(0, 1, write(1)),
            entry(2, 9, write(2)),
            entry(3, 4, read(2)),
            entry(5, 6, read(1)),
        ];
        check(&history, false);
    }

    #[test]
    fn an_unsure_call_may_have_happened_at_any_later_time_or_never() {
        let history = |reads: &[Entry<RegisterCall>]| {
            [[entry(0, 1, write(1)), unsure(2, write(2))].as_slice(), reads].concat()
        };
        check(&history(&[entry(3, 4, read(1)), entry(5, 6, read(1))]), true);
        check(&history(&[entry(3, 4, read(1)), entry(5, 6, read(2))]), true);
        check(&history(&[entry(3, 4, read(2)), entry(5, 6, read(1))]), false);
        // Not before it was sent.
        check(&[entry(0, 1, read(2)), unsure(2, write(2))], false);
    }

    #[test]
    fn a_number_is_given_out_once_and_none_is_left_out() {
        let made =
            |called, returned, number| entry(called, returned, CounterCall::Next(Some(number)));
        let newest = |called, returned, number| entry(called, returned, CounterCall::Last(number));
        let check = |history: &[Entry<CounterCall>], expected| {
            assert_eq!(is_linearizable::<Counter>(history), expected, "{history:?}");
        };
        check(&[made(0, 5, 2), made(0, 5, 1), newest(6, 7, 2)], true);
        check(&[made(0, 5, 1), made(0, 5, 1)], false);
        check(&[made(0, 5, 1), made(6, 7, 3)], false);
        check(&[made(0, 5, 1), newest(6, 7, 0)], false);
        // One that nobody heard of fills the gap.
        check(&[made(0, 5, 1), unsure(1, CounterCall::Next(None)), made(6, 7, 3)], true);
    }

    #[test]
    fn many_unsure_calls_do_not_stall_the_search() {
        let mut history = Vec::new();
        for round in 0..200u64 {
            let at = round * 10;
            history.push(entry(at, at + 3, write(round)));
            history.push(entry(at + 4, at + 5, read(round)));
            if round % 10 == 0 {
                history.push(unsure(at, write(100_000 + round)));
            }
        }
        // One of them was carried out long after it was sent.
        history.push(entry(3_000, 3_001, read(100_020)));
        check(&history, true);
    }

    #[test]
    fn long_histories_of_many_clients_are_decided() {
        // Eight clients that write and read at the same time, all in order of their returns.
        let mut history = Vec::new();
        for round in 0..60u64 {
            let at = round * 10;
            for client in 0..7 {
                history.push(entry(at, at + 8, write(round * 8 + client)));
            }
            history.push(entry(at + 9, at + 9, read(round * 8 + 3)));
        }
        check(&history, true);
        history.push(entry(900, 901, read(7)));
        check(&history, false);
    }
}
