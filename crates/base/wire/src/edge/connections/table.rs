//! Which connections there are, what each waits for, and which goes first when room is needed.
//!
//! Pure: sequence numbers take the place of time, tokens tell a connection to end.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use tokio_util::sync::CancellationToken;

/// What a connection is known by.
pub(crate) type ConnectionId = u64;

/// How dispensable a connection is. The least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Rank {
    /// Whether a request that came over it was authenticated: those of strangers go before.
    is_known: bool,
    waits_for: Wait,
}

/// Why a connection could be closed without harm to a client that behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Wait {
    /// No request is under way: none was sent, or its head has not come as a whole.
    Request,
    /// All that is under way waits for the client's body.
    Body,
    /// All that is under way waits for the client to take its answer.
    Reader,
}

/// A connection's place in the order: rank, since when, id.
type Place = (Rank, u64, ConnectionId);

/// The connections of one edge.
#[derive(Debug)]
pub(crate) struct Table {
    max: usize,
    max_per_peer: usize,
    live: usize,
    sequence: u64,
    entries: HashMap<ConnectionId, Entry>,
    peers: HashMap<IpAddr, Peer>,
    expendable: BTreeSet<Place>,
    /// Those of them that hold bytes.
    holders: BTreeSet<Place>,
}

#[derive(Debug, Default)]
struct Peer {
    connections: usize,
    expendable: BTreeSet<Place>,
}

#[derive(Debug)]
struct Entry {
    peer: IpAddr,
    end: CancellationToken,
    ending: bool,
    reading: u32,
    working: u32,
    writing: u32,
    stalled: bool,
    is_known: bool,
    bytes: usize,
    place: Option<Place>,
}

impl Entry {
    fn rank(&self) -> Option<Rank> {
        if self.ending {
            return None;
        }
        let waits_for = match (self.stalled, self.working, self.writing, self.reading) {
            (true, _, _, _) => Wait::Reader,
            (false, 1.., _, _) => return None,
            (false, 0, 1.., _) => Wait::Reader,
            (false, 0, 0, 1..) => Wait::Body,
            (false, 0, 0, 0) => Wait::Request,
        };
        Some(Rank { is_known: self.is_known, waits_for })
    }
}

/// A change of what a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A request came; its body is awaited.
    RequestBegan,
    /// The body is there: the request is worked on.
    WorkBegan,
    /// A request ended while its body was awaited.
    ReadingEnded,
    /// The answer is there: the client is to take it.
    Answered,
    /// A request ended while it was worked on.
    WorkEnded,
    /// The answer was handed over.
    WritingEnded,
    /// The client stopped (true) or went on (false) to take what is written.
    Stalled(bool),
    /// A request was authenticated.
    Known,
    /// So many bytes more are held for it.
    Holds(usize),
    /// So many fewer.
    Released(usize),
}

impl Table {
    pub(crate) fn new(max: usize, max_per_peer: usize) -> Self {
        Self {
            max,
            max_per_peer,
            live: 0,
            sequence: 0,
            entries: HashMap::new(),
            peers: HashMap::new(),
            expendable: BTreeSet::new(),
            holders: BTreeSet::new(),
        }
    }

    /// Connections now, those that were told to end not counted.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Takes a connection; if a bound is reached, an expendable one is told to end in its place.
    /// None if there is none. The second value says whether one was.
    pub(crate) fn open(
        &mut self,
        address: IpAddr,
        end: &CancellationToken,
    ) -> Option<(ConnectionId, bool)> {
        let peer = peer_of(address);
        let of_peer = self.peers.get(&peer).map_or(0, |peer| peer.connections);
        let victim = if of_peer >= self.max_per_peer {
            let peer = self.peers.get(&peer)?;
            Some(peer.expendable.first().copied()?)
        } else if self.live >= self.max {
            Some(self.expendable.first().copied()?)
        } else {
            None
        };
        if let Some((_, _, id)) = victim {
            self.end(id);
        }
        self.sequence += 1;
        let id = self.sequence;
        let entry = Entry {
            peer,
            end: end.clone(),
            ending: false,
            reading: 0,
            working: 0,
            writing: 0,
            stalled: false,
            is_known: false,
            bytes: 0,
            place: None,
        };
        self.entries.insert(id, entry);
        self.peers.entry(peer).or_default().connections += 1;
        self.live += 1;
        self.settle(id);
        Some((id, victim.is_some()))
    }

    /// A connection does something else now.
    pub(crate) fn change(&mut self, id: ConnectionId, change: Change) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match change {
            Change::RequestBegan => entry.reading += 1,
            Change::WorkBegan => {
                entry.reading -= 1;
                entry.working += 1;
            }
            Change::ReadingEnded => entry.reading -= 1,
            Change::Answered => {
                entry.working -= 1;
                entry.writing += 1;
            }
            Change::WorkEnded => entry.working -= 1,
            Change::WritingEnded => entry.writing -= 1,
            Change::Stalled(stalled) => entry.stalled = stalled,
            Change::Known => entry.is_known = true,
            Change::Holds(bytes) => entry.bytes += bytes,
            Change::Released(bytes) => entry.bytes -= bytes,
        }
        self.settle(id);
    }

    /// A connection is over.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        self.end(id);
        self.entries.remove(&id);
    }

    /// Tells up to `count` expendable connections to end; how many there were.
    pub(crate) fn end_some(&mut self, count: usize) -> usize {
        let mut ended = 0;
        while ended < count {
            let Some((_, _, id)) = self.expendable.first().copied() else { break };
            self.end(id);
            ended += 1;
        }
        ended
    }

    /// Tells expendable connections to end that hold at least so many bytes together, but not
    /// `spared`; how many there were.
    pub(crate) fn end_holders(&mut self, bytes: usize, spared: Option<ConnectionId>) -> usize {
        let (mut freed, mut ended) = (0, 0);
        while freed < bytes {
            let mut holders = self.holders.iter();
            let Some(&(_, _, id)) = holders.find(|(_, _, id)| Some(*id) != spared) else { break };
            freed += self.entries.get(&id).map_or(0, |entry| entry.bytes);
            self.end(id);
            ended += 1;
        }
        ended
    }

    /// Tells a connection to end. From here on it counts no more against the bounds: its task
    /// ends as soon as it runs.
    fn end(&mut self, id: ConnectionId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.ending {
            return;
        }
        entry.ending = true;
        self.live -= 1;
        entry.end.cancel();
        let key = entry.peer;
        self.settle(id);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.connections -= 1;
            if peer.connections == 0 {
                self.peers.remove(&key);
            }
        }
    }

    /// Puts a connection where it belongs in the orders. One whose rank stays keeps its place, so
    /// that trickling bytes does not make it look young.
    fn settle(&mut self, id: ConnectionId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let rank = entry.rank();
        let old = entry.place;
        if old.map(|(rank, _, _)| rank) != rank {
            self.sequence += 1;
            entry.place = rank.map(|rank| (rank, self.sequence, id));
            let peer = self.peers.entry(entry.peer).or_default();
            if let Some(old) = old {
                self.expendable.remove(&old);
                peer.expendable.remove(&old);
                self.holders.remove(&old);
            }
            if let Some(new) = entry.place {
                self.expendable.insert(new);
                peer.expendable.insert(new);
            }
        }
        if let Some(place) = entry.place {
            match entry.bytes {
                0 => self.holders.remove(&place),
                _ => self.holders.insert(place),
            };
        }
    }
}

/// What is bounded as one peer: an IPv4 address, or an IPv6 network of 64 bits, for one host
/// commonly has all addresses of such a one.
pub(crate) fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn open(table: &mut Table, last: u8) -> Option<(ConnectionId, CancellationToken)> {
        let end = CancellationToken::new();
        let (id, _) = table.open(address(last), &end)?;
        Some((id, end))
    }

    #[test]
    fn the_one_that_was_idle_longest_makes_room() {
        let mut table = Table::new(2, 2);
        let (first, first_end) = open(&mut table, 1).unwrap();
        let (_, second_end) = open(&mut table, 2).unwrap();
        // The first has spoken since.
        for change in [Change::RequestBegan, Change::WorkBegan, Change::WorkEnded] {
            table.change(first, change);
        }
        open(&mut table, 3).unwrap();
        assert!(second_end.is_cancelled() && !first_end.is_cancelled());
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn strangers_make_room_before_those_who_are_known() {
        let mut table = Table::new(2, 2);
        let (known, known_end) = open(&mut table, 1).unwrap();
        table.change(known, Change::Known);
        for _ in 0..3 {
            let (stranger, end) = open(&mut table, 2).unwrap();
            table.change(stranger, Change::RequestBegan);
            open(&mut table, 3).unwrap();
            assert!(end.is_cancelled() && !known_end.is_cancelled());
        }
    }

    #[test]
    fn work_is_never_interrupted() {
        let mut table = Table::new(1, 1);
        let (id, end) = open(&mut table, 1).unwrap();
        table.change(id, Change::RequestBegan);
        table.change(id, Change::WorkBegan);
        assert!(open(&mut table, 2).is_none());
        // Unless nobody takes what comes out of it.
        table.change(id, Change::Stalled(true));
        assert!(open(&mut table, 2).is_some() && end.is_cancelled());
    }

    #[test]
    fn a_peer_makes_room_for_itself_alone() {
        let mut table = Table::new(10, 2);
        let (_, other) = open(&mut table, 1).unwrap();
        let (_, first) = open(&mut table, 2).unwrap();
        open(&mut table, 2).unwrap();
        open(&mut table, 2).unwrap();
        assert!(first.is_cancelled() && !other.is_cancelled());
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn those_that_hold_bytes_go_when_memory_is_short() {
        let mut table = Table::new(10, 10);
        let (_, idle) = open(&mut table, 1).unwrap();
        let (reader, end) = open(&mut table, 2).unwrap();
        table.change(reader, Change::RequestBegan);
        table.change(reader, Change::Holds(100));
        assert_eq!(table.end_holders(1, Some(reader)), 0);
        assert_eq!(table.end_holders(1, None), 1);
        assert!(end.is_cancelled() && !idle.is_cancelled());
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let peer = |text: &str| peer_of(text.parse().unwrap());
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Open(u8),
        Close(usize),
        Request(usize),
        Stall(usize, bool),
        Hold(usize, usize),
        End(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let which = any::<usize>;
        prop_oneof![
            3 => (0..3_u8).prop_map(Step::Open),
            1 => which().prop_map(Step::Close),
            3 => which().prop_map(Step::Request),
            1 => (which(), any::<bool>()).prop_map(|(which, on)| Step::Stall(which, on)),
            1 => (which(), 0..50_usize).prop_map(|(which, bytes)| Step::Hold(which, bytes)),
            1 => (0..80_usize).prop_map(Step::End),
        ]
    }

    proptest! {
        /// Bounds hold, the orders agree with the entries, and nothing that works is ended.
        #[test]
        fn bounds_hold_and_orders_agree(steps in proptest::collection::vec(step(), 0..200)) {
            let mut table = Table::new(6, 3);
            let mut open_ones: Vec<(ConnectionId, CancellationToken)> = Vec::new();
            for step in steps {
                let id = |which: usize| (!open_ones.is_empty())
                    .then(|| open_ones[which % open_ones.len()].0);
                match step {
                    Step::Open(last) => open_ones.extend(open(&mut table, last)),
                    Step::Close(which) if !open_ones.is_empty() => {
                        let (id, _) = open_ones.swap_remove(which % open_ones.len());
                        table.close(id);
                    }
                    Step::Close(_) => {}
                    Step::Request(which) => if let Some(id) = id(which) {
                        let entry = &table.entries[&id];
                        table.change(id, match (entry.reading, entry.working, entry.writing) {
                            (0, 0, 0) => Change::RequestBegan,
                            (1.., 0, _) => Change::WorkBegan,
                            (0, 1.., _) => Change::Answered,
                            _ => Change::WritingEnded,
                        });
                    },
                    Step::Stall(which, on) => if let Some(id) = id(which) {
                        table.change(id, Change::Stalled(on));
                    },
                    Step::Hold(which, bytes) => if let Some(id) = id(which) {
                        let held = table.entries[&id].bytes;
                        table.change(id, if held > 0 { Change::Released(held) } else { Change::Holds(bytes) });
                    },
                    Step::End(bytes) => {
                        table.end_holders(bytes, None);
                        table.end_some(bytes / 40);
                    }
                }
                let live = table.entries.values().filter(|entry| !entry.ending).count();
                prop_assert_eq!(table.len(), live);
                prop_assert!(live <= 6);
                for last in 0..3 {
                    let of_peer = table.entries.values()
                        .filter(|entry| !entry.ending && entry.peer == address(last)).count();
                    prop_assert!(of_peer <= 3);
                    let counted = table.peers.get(&address(last)).map_or(0, |peer| peer.connections);
                    prop_assert_eq!(of_peer, counted);
                }
                let places: BTreeSet<_> = table.entries.values().filter_map(|e| e.place).collect();
                prop_assert_eq!(&places, &table.expendable);
                let by_peer: BTreeSet<_> =
                    table.peers.values().flat_map(|peer| peer.expendable.iter().copied()).collect();
                prop_assert_eq!(&places, &by_peer);
                let holders: BTreeSet<_> = table.entries.values()
                    .filter(|entry| entry.bytes > 0).filter_map(|entry| entry.place).collect();
                prop_assert_eq!(&holders, &table.holders);
                for entry in table.entries.values() {
                    prop_assert_eq!(entry.place.map(|(rank, _, _)| rank), entry.rank());
                    prop_assert_eq!(entry.ending, entry.end.is_cancelled());
                }
            }
        }
    }
}
