//! One end of a data channel: numbers, acknowledgements, what is sent again (agent-protocol §7.4).
//! Pure: times are durations since any fixed instant, ids come with each call.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::frame::{Frame, FrameError, Kind, payload};
use super::messages::Acknowledge;

/// The most messages that wait for their acknowledgement; then the stream waits.
pub const WINDOW_MESSAGES: usize = 512;

/// The most messages that are kept because an earlier one has not come.
const EARLY_MAX: usize = 1024;

/// How often a message is sent again before more may be sent beyond the window: the plugin drops
/// what it has already without a word, and only a newer message makes it answer.
const RESENT_FOR_PROBE: u32 = 2;

/// Messages that may be sent beyond the window for that.
const PROBES: usize = 16;

/// How long the first message waits for its acknowledgement, and what no message waits longer
/// than: as in the plugin.
const TIMEOUT_FIRST: Duration = Duration::from_millis(200);
const TIMEOUT_MAX: Duration = Duration::from_secs(1);
/// The least that is added to the round trip.
const TIMEOUT_MARGIN: Duration = Duration::from_millis(10);

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Sends output, receives input.
    Agent,
    /// Sends input, receives output.
    Client,
}

/// What a new message is marked with.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Its UUID.
    pub id: [u8; 16],
}

/// A message in its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is: [`payload`].
    pub kind: u32,
    /// Its bytes.
    pub payload: Bytes,
}

/// What came in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Messages in their turn: none, one, or several that waited for it.
    Messages(Vec<Message>),
    /// The session is over; the payload says why.
    Closed(Bytes),
    /// The other side is there, perhaps anew: answer with [`DataChannel::resend_all`].
    Started,
    /// The other side has gone.
    Paused,
}

/// What a frame leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What came.
    pub received: Received,
    /// A frame to be sent back.
    pub answer: Option<Bytes>,
}

#[derive(Debug)]
struct Sent {
    sequence: i64,
    bytes: Bytes,
    at: Duration,
    /// Its place among all writes, repetitions included.
    order: u64,
    times: u32,
}

/// One end.
#[derive(Debug)]
pub struct DataChannel {
    side: Side,
    next: i64,
    sent: VecDeque<Sent>,
    writes: u64,
    expected: i64,
    early: BTreeMap<i64, Message>,
    round_trip: Option<(Duration, Duration)>,
    is_paused: bool,
}

impl DataChannel {
    /// An end of a new session.
    pub const fn new(side: Side) -> Self {
        Self {
            side,
            next: 0,
            sent: VecDeque::new(),
            writes: 0,
            expected: 0,
            early: BTreeMap::new(),
            round_trip: None,
            is_paused: false,
        }
    }

    /// Whether another message of a stream may be sent now.
    pub fn has_room(&self) -> bool {
        let probes = match self.sent.front() {
            Some(oldest) if oldest.times > RESENT_FOR_PROBE => PROBES,
            _ => 0,
        };
        !self.is_paused && self.sent.len() < WINDOW_MESSAGES + probes
    }

    /// Whether all that was sent is acknowledged.
    pub fn is_settled(&self) -> bool {
        self.sent.is_empty()
    }

    /// A new message's frame; it is kept until it is acknowledged. While the other side is away
    /// the frame is only kept.
    pub fn send(
        &mut self,
        now: Duration,
        stamp: Stamp,
        kind: u32,
        payload: Bytes,
    ) -> Option<Bytes> {
        let sequence = self.next;
        self.next += 1;
        let frame = Frame {
            kind: self.sent_kind(),
            created_ms: stamp.created_ms.max(1),
            sequence,
            flags: 0,
            id: stamp.id,
            payload_type: kind,
            payload,
        };
        let bytes = frame.encode();
        self.writes += 1;
        let order = self.writes;
        self.sent.push_back(Sent { sequence, bytes: bytes.clone(), at: now, order, times: 1 });
        (!self.is_paused).then_some(bytes)
    }

    /// Takes in a frame. With `takes` false there is no room for what is next: it is left
    /// unacknowledged, so that it comes again.
    ///
    /// # Errors
    /// [`FrameError`]: the frame is skipped.
    pub fn receive(
        &mut self,
        now: Duration,
        stamp: Stamp,
        bytes: &Bytes,
        takes: bool,
    ) -> Result<Given, FrameError> {
        let frame = Frame::decode(bytes)?;
        let only = |received| Ok(Given { received, answer: None });
        match frame.kind {
            Kind::Acknowledge => {
                if let Ok(acknowledge) = serde_json::from_slice::<Acknowledge>(&frame.payload) {
                    self.acknowledged(now, acknowledge.sequence);
                }
                only(Received::Messages(Vec::new()))
            }
            Kind::ChannelClosed => only(Received::Closed(frame.payload)),
            Kind::StartPublication => {
                self.is_paused = false;
                only(Received::Started)
            }
            Kind::PausePublication => {
                self.is_paused = true;
                only(Received::Paused)
            }
            kind if kind == self.received_kind() => Ok(self.stream(stamp, frame, takes)),
            // Our own kind, come back: of no meaning.
            Kind::Input | Kind::Output => only(Received::Messages(Vec::new())),
        }
    }

    fn stream(&mut self, stamp: Stamp, frame: Frame, takes: bool) -> Given {
        let mut messages = Vec::new();
        let answer = acknowledge(stamp, &frame);
        let message = Message { kind: frame.payload_type, payload: frame.payload };
        let is_kept = match frame.sequence.cmp(&self.expected) {
            // It is here already: the acknowledgement was lost.
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Equal if !takes => false,
            std::cmp::Ordering::Equal => {
                messages.push(message);
                self.expected += 1;
                while let Some(waited) = self.early.remove(&self.expected) {
                    messages.push(waited);
                    self.expected += 1;
                }
                true
            }
            std::cmp::Ordering::Greater => {
                let has_room = self.early.len() < EARLY_MAX;
                if has_room {
                    self.early.insert(frame.sequence, message);
                }
                has_room
            }
        };
        Given { received: Received::Messages(messages), answer: is_kept.then_some(answer) }
    }

    fn acknowledged(&mut self, now: Duration, sequence: i64) {
        let Some(found) = self.sent.iter().position(|sent| sent.sequence == sequence) else {
            return;
        };
        let Some(sent) = self.sent.remove(found) else { return };
        if sent.times == 1 {
            self.measured(now.saturating_sub(sent.at));
        }
        // The plugin says nothing to what it has already. What it acknowledges came after all that
        // was written before it on a connection that keeps order; the server lets nothing through
        // until all was written again (`Received::Started`).
        if self.side == Side::Agent {
            self.sent.retain(|earlier| earlier.order > sent.order);
        }
    }

    /// As in the plugin: 1/8 of each new round trip, 1/4 of its difference.
    fn measured(&mut self, trip: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => (trip, trip / 2),
            Some((mean, variation)) => {
                (mean * 7 / 8 + trip / 8, variation * 3 / 4 + mean.abs_diff(trip) / 4)
            }
        });
    }

    fn timeout(&self) -> Duration {
        match self.round_trip {
            None => TIMEOUT_FIRST,
            Some((mean, variation)) => {
                (mean + (variation * 4).max(TIMEOUT_MARGIN)).min(TIMEOUT_MAX)
            }
        }
    }

    /// When [`DataChannel::resend`] has something to do.
    pub fn due(&self) -> Option<Duration> {
        let oldest = self.sent.front().filter(|_| !self.is_paused)?;
        // Each further time waits longer, so that a slow reader is not flooded.
        Some(oldest.at + self.timeout().saturating_mul(oldest.times).min(TIMEOUT_MAX))
    }

    /// The oldest message again, if it waited too long.
    pub fn resend(&mut self, now: Duration) -> Option<Bytes> {
        if self.due()? > now {
            return None;
        }
        self.writes += 1;
        let order = self.writes;
        let oldest = self.sent.front_mut()?;
        (oldest.at, oldest.order, oldest.times) = (now, order, oldest.times + 1);
        Some(oldest.bytes.clone())
    }

    /// All that waits, oldest first: after a connection was made anew.
    pub fn resend_all(&mut self, now: Duration) -> Vec<Bytes> {
        let mut frames = Vec::with_capacity(self.sent.len());
        for sent in &mut self.sent {
            self.writes += 1;
            (sent.at, sent.order, sent.times) = (now, self.writes, sent.times + 1);
            frames.push(sent.bytes.clone());
        }
        frames
    }

    const fn sent_kind(&self) -> Kind {
        match self.side {
            Side::Agent => Kind::Output,
            Side::Client => Kind::Input,
        }
    }

    const fn received_kind(&self) -> Kind {
        match self.side {
            Side::Agent => Kind::Input,
            Side::Client => Kind::Output,
        }
    }
}

/// The frame that acknowledges another.
fn acknowledge(stamp: Stamp, frame: &Frame) -> Bytes {
    let acknowledge = Acknowledge {
        kind: frame.kind.as_str().to_owned(),
        id: hyphenated(&frame.id),
        sequence: frame.sequence,
        is_sequential_message: true,
    };
    Frame {
        kind: Kind::Acknowledge,
        created_ms: stamp.created_ms.max(1),
        sequence: 0,
        flags: 3,
        id: stamp.id,
        payload_type: payload::NONE,
        payload: serde_json::to_vec(&acknowledge).unwrap_or_default().into(),
    }
    .encode()
}

fn hyphenated(id: &[u8; 16]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(36);
    for (index, byte) in id.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { created_ms: 1, id: [7; 16] };

    fn text(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn send(channel: &mut DataChannel, what: &str) -> Bytes {
        channel.send(at(0), STAMP, payload::OUTPUT, text(what)).unwrap()
    }

    fn receive(channel: &mut DataChannel, bytes: &Bytes) -> (String, Option<Bytes>) {
        let given = channel.receive(at(0), STAMP, bytes, true).unwrap();
        let Received::Messages(messages) = given.received else { panic!("{given:?}") };
        let all: Vec<u8> = messages.iter().flat_map(|it| it.payload.to_vec()).collect();
        (String::from_utf8(all).unwrap(), given.answer)
    }

    #[test]
    fn messages_come_in_their_order_once() {
        let (mut agent, mut client) =
            (DataChannel::new(Side::Agent), DataChannel::new(Side::Client));
        let (a, b, c) = (send(&mut agent, "a"), send(&mut agent, "b"), send(&mut agent, "c"));
        assert_eq!(receive(&mut client, &b).0, "");
        assert_eq!(receive(&mut client, &a).0, "ab");
        assert_eq!(receive(&mut client, &a).0, "", "a second time");
        let (last, ack) = receive(&mut client, &c);
        assert_eq!(last, "c");
        receive(&mut agent, &ack.unwrap());
        assert!(agent.is_settled(), "what was written before it has come as well");
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again() {
        let mut agent = DataChannel::new(Side::Agent);
        let frame = send(&mut agent, "a");
        assert_eq!(agent.resend(at(199)), None);
        assert_eq!(agent.resend(at(200)), Some(frame));
        assert_eq!(agent.due(), Some(at(600)));
    }

    #[test]
    fn what_has_no_room_is_left_to_come_again() {
        let (mut agent, mut client) =
            (DataChannel::new(Side::Agent), DataChannel::new(Side::Client));
        let frame = send(&mut client, "a");
        let given = agent.receive(at(0), STAMP, &frame, false).unwrap();
        assert_eq!((given.received, given.answer), (Received::Messages(Vec::new()), None));
        assert_eq!(receive(&mut agent, &frame).0, "a");
    }

    #[test]
    fn the_stream_waits_while_nobody_reads() {
        let mut agent = DataChannel::new(Side::Agent);
        for _ in 0..WINDOW_MESSAGES {
            assert!(agent.has_room());
            send(&mut agent, "a");
        }
        assert!(!agent.has_room());
        agent.resend(at(1000));
        agent.resend(at(3000));
        assert!(agent.has_room(), "a newer message makes the plugin answer");
    }

    #[test]
    fn a_pause_keeps_what_is_sent() {
        let service = |kind| {
            let payload = Bytes::new();
            let (id, payload_type) = ([1; 16], 0);
            Frame { kind, created_ms: 1, sequence: 0, flags: 3, id, payload_type, payload }.encode()
        };
        let mut agent = DataChannel::new(Side::Agent);
        let pause = service(Kind::PausePublication);
        let given = agent.receive(at(0), STAMP, &pause, true).unwrap();
        assert_eq!(given.received, Received::Paused);
        assert_eq!(agent.send(at(0), STAMP, payload::OUTPUT, text("a")), None);
        assert_eq!(agent.due(), None);
        let start = service(Kind::StartPublication);
        let given = agent.receive(at(0), STAMP, &start, true).unwrap();
        assert_eq!(given.received, Received::Started);
        assert_eq!(agent.resend_all(at(0)).len(), 1);
    }
}
