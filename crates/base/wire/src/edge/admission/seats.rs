//! Who is served next: a bounded number of seats, shared fairly over clients.
//!
//! A free seat goes to the waiting client that holds the fewest; among equals, to the one that
//! waits longest for its turn. So a client gets its share however many requests others send, and
//! one whose requests are slow, and hold their seats long, gets fewer of them. Each client's own
//! requests are served in their order. When the line is full, a client with a shorter line pushes
//! out the last of the longest one.
//!
//! Pure: no clock, no waiting. [`super`] gives each waiter its wake-up.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::edge::SeatLimits;

/// Who a request is counted for.
pub(crate) type ClientKey = Arc<str>;

/// The seats of one class; `W` wakes a request that waits.
#[derive(Debug)]
pub(crate) struct Seats<W> {
    limits: SeatLimits,
    in_use: usize,
    waiting: usize,
    tickets: u64,
    clients: HashMap<ClientKey, Client<W>>,
    /// Clients that wait and may take a seat: by seats in use, then by turn.
    ready: BTreeSet<(usize, u64, ClientKey)>,
    /// Clients that wait, by the length of their lines.
    lines: BTreeSet<(usize, ClientKey)>,
}

#[derive(Debug)]
struct Client<W> {
    in_use: usize,
    /// When it last got a seat or began to wait; unique.
    turn: u64,
    line: VecDeque<(u64, W)>,
}

/// What becomes of a request that has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival<W> {
    /// It has a seat.
    Seated,
    /// It waits, under this ticket; `displaced` has lost its place to it.
    Waiting { ticket: u64, displaced: Option<W> },
    /// There is no room for it.
    Refused,
}

impl<W> Seats<W> {
    pub(crate) fn new(limits: SeatLimits) -> Self {
        Self {
            limits,
            in_use: 0,
            waiting: 0,
            tickets: 0,
            clients: HashMap::new(),
            ready: BTreeSet::new(),
            lines: BTreeSet::new(),
        }
    }

    /// Seats taken.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// A request of `client` comes; `waker` is asked for only if it must wait.
    pub(crate) fn arrive(&mut self, client: &ClientKey, waker: impl FnOnce() -> W) -> Arrival<W> {
        let (own_seats, own_line) =
            self.clients.get(client).map_or((0, 0), |known| (known.in_use, known.line.len()));
        let is_free = self.in_use < self.limits.seats && own_seats < self.limits.seats_per_client;
        if is_free && own_line == 0 {
            self.seat(client);
            return Arrival::Seated;
        }
        if own_line >= self.limits.waiting_per_client {
            return Arrival::Refused;
        }
        let mut displaced = None;
        if self.waiting >= self.limits.waiting {
            let longest = self.lines.last().map(|(_, key)| key.clone());
            let is_longer = |key: &ClientKey| self.clients[key].line.len() > own_line + 1;
            let Some(longest) = longest.filter(is_longer) else { return Arrival::Refused };
            displaced = self.change(&longest, |client| client.line.pop_back()).map(|(_, w)| w);
            self.waiting -= 1;
        }
        Arrival::Waiting { ticket: self.line_up(client, waker()), displaced }
    }

    /// A request of `client` waits, under the ticket that is given, also if there is a seat:
    /// [`Self::next`] is to be asked soon.
    pub(crate) fn line_up(&mut self, client: &ClientKey, waker: W) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        self.change(client, |client| {
            if client.line.is_empty() {
                client.turn = ticket;
            }
            client.line.push_back((ticket, waker));
        });
        self.waiting += 1;
        ticket
    }

    /// A request of `client` gives its seat back: whose turn it is now, already seated.
    pub(crate) fn leave(&mut self, client: &ClientKey) -> Option<(ClientKey, W)> {
        self.in_use -= 1;
        self.change(client, |client| client.in_use -= 1);
        self.next()
    }

    /// A request that waits gives up. False if it has been seated or displaced before.
    pub(crate) fn abandon(&mut self, client: &ClientKey, ticket: u64) -> bool {
        if !self.clients.contains_key(client) {
            return false;
        }
        let gone = self.change(client, |client| {
            let place = client.line.iter().position(|(other, _)| *other == ticket)?;
            client.line.remove(place)
        });
        self.waiting -= usize::from(gone.is_some());
        gone.is_some()
    }

    /// Whose turn it is if there is a free seat, already seated.
    pub(crate) fn next(&mut self) -> Option<(ClientKey, W)> {
        if self.in_use >= self.limits.seats {
            return None;
        }
        let (_, _, key) = self.ready.first()?.clone();
        let (_, waker) = self.change(&key, |client| client.line.pop_front())?;
        self.waiting -= 1;
        self.seat(&key);
        Some((key, waker))
    }

    fn seat(&mut self, client: &ClientKey) {
        self.in_use += 1;
        self.tickets += 1;
        let turn = self.tickets;
        self.change(client, |client| {
            client.in_use += 1;
            client.turn = turn;
        });
    }

    /// Changes a client and its places in the orders; a client with nothing is forgotten.
    fn change<T>(&mut self, key: &ClientKey, change: impl FnOnce(&mut Client<W>) -> T) -> T {
        let fresh = || Client { in_use: 0, turn: 0, line: VecDeque::new() };
        let client = self.clients.entry(key.clone()).or_insert_with(fresh);
        if !client.line.is_empty() {
            self.ready.remove(&(client.in_use, client.turn, key.clone()));
            self.lines.remove(&(client.line.len(), key.clone()));
        }
        let result = change(client);
        if !client.line.is_empty() {
            self.lines.insert((client.line.len(), key.clone()));
            if client.in_use < self.limits.seats_per_client {
                self.ready.insert((client.in_use, client.turn, key.clone()));
            }
        } else if client.in_use == 0 {
            self.clients.remove(key);
        }
        result
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn limits(seats: usize, waiting: usize) -> SeatLimits {
        SeatLimits {
            seats,
            seats_per_client: seats.div_ceil(2),
            waiting,
            waiting_per_client: waiting.div_ceil(2),
            wait: Duration::from_secs(1),
        }
    }

    fn key(name: &str) -> ClientKey {
        name.into()
    }

    fn arrive(seats: &mut Seats<String>, name: &str) -> Arrival<String> {
        seats.arrive(&key(name), || name.to_owned())
    }

    #[test]
    fn one_client_leaves_room_for_others() {
        let mut seats = Seats::new(limits(4, 8));
        assert_eq!(arrive(&mut seats, "greedy"), Arrival::Seated);
        assert_eq!(arrive(&mut seats, "greedy"), Arrival::Seated);
        assert!(matches!(arrive(&mut seats, "greedy"), Arrival::Waiting { .. }));
        assert_eq!(arrive(&mut seats, "modest"), Arrival::Seated);
        assert_eq!((seats.in_use(), seats.waiting()), (3, 1));
    }

    #[test]
    fn a_free_seat_goes_to_whom_has_fewest() {
        let mut seats = Seats::new(SeatLimits { seats_per_client: 2, ..limits(2, 8) });
        arrive(&mut seats, "greedy");
        arrive(&mut seats, "greedy");
        arrive(&mut seats, "greedy");
        arrive(&mut seats, "greedy");
        arrive(&mut seats, "late");
        let (next, _) = seats.leave(&key("greedy")).unwrap();
        assert_eq!(&*next, "late");
        // Then both hold one: whose turn was longer ago.
        let (next, _) = seats.leave(&key("greedy")).unwrap();
        assert_eq!(&*next, "greedy");
    }

    #[test]
    fn a_full_line_loses_the_last_of_the_longest() {
        let mut seats =
            Seats::new(SeatLimits { seats_per_client: 1, waiting_per_client: 4, ..limits(1, 4) });
        for _ in 0..5 {
            arrive(&mut seats, "greedy");
        }
        assert_eq!(arrive(&mut seats, "greedy"), Arrival::Refused);
        let Arrival::Waiting { displaced, .. } = arrive(&mut seats, "modest") else {
            panic!("it waits");
        };
        assert_eq!(displaced.as_deref(), Some("greedy"));
        // The lines are 3 and 1: one more of the modest one makes it 2, and is still shorter.
        assert!(matches!(
            arrive(&mut seats, "modest"),
            Arrival::Waiting { displaced: Some(_), .. }
        ));
        assert_eq!(arrive(&mut seats, "modest"), Arrival::Refused);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Arrive(u8),
        Leave(usize),
        Abandon(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..5_u8).prop_map(Step::Arrive),
            2 => any::<usize>().prop_map(Step::Leave),
            1 => any::<usize>().prop_map(Step::Abandon),
        ]
    }

    proptest! {
        /// Never over a bound, no seat is lost or left empty, and nobody waits who could sit.
        #[test]
        fn bounds_hold_and_no_seat_is_lost(
            steps in proptest::collection::vec(step(), 0..200),
            seats in 1..6_usize,
            waiting in 0..8_usize,
        ) {
            let limits = limits(seats, waiting);
            let mut seats = Seats::new(limits);
            let (mut seated, mut line) = (Vec::<ClientKey>::new(), Vec::<(ClientKey, u64)>::new());
            for step in steps {
                match step {
                    Step::Arrive(name) => {
                        let name = key(&name.to_string());
                        let next = seats.tickets + 1;
                        match seats.arrive(&name, || next) {
                            Arrival::Seated => seated.push(name),
                            Arrival::Waiting { ticket, displaced } => {
                                line.push((name, ticket));
                                if let Some(gone) = displaced {
                                    line.retain(|(_, ticket)| *ticket != gone);
                                }
                            }
                            Arrival::Refused => {}
                        }
                    }
                    Step::Leave(which) if !seated.is_empty() => {
                        let client = seated.swap_remove(which % seated.len());
                        if let Some((next, ticket)) = seats.leave(&client) {
                            prop_assert!(line.contains(&(next.clone(), ticket)));
                            line.retain(|(_, other)| *other != ticket);
                            seated.push(next);
                        }
                    }
                    Step::Abandon(which) if !line.is_empty() => {
                        let (client, ticket) = line.swap_remove(which % line.len());
                        prop_assert!(seats.abandon(&client, ticket));
                        prop_assert!(!seats.abandon(&client, ticket));
                    }
                    Step::Leave(_) | Step::Abandon(_) => {}
                }
                prop_assert_eq!((seats.in_use(), seats.waiting()), (seated.len(), line.len()));
                prop_assert!(seated.len() <= limits.seats && line.len() <= limits.waiting);
                let of = |client: &ClientKey| seated.iter().filter(|other| *other == client).count();
                for client in &seated {
                    prop_assert!(of(client) <= limits.seats_per_client);
                }
                let is_full = seated.len() == limits.seats;
                for (client, _) in &line {
                    prop_assert!(is_full || of(client) == limits.seats_per_client);
                }
            }
            for client in seated {
                let mut next = Some(client);
                while let Some(client) = next {
                    next = seats.leave(&client).map(|(client, _)| client);
                }
            }
            prop_assert_eq!((seats.in_use(), seats.waiting()), (0, 0));
            prop_assert!(seats.clients.is_empty() && seats.ready.is_empty());
        }
    }
}
