//! A writer that writes nothing and checks everything: responses against their model.

use terms::Timestamp;

use crate::check::{Check, Presence, Step, Violation};
use crate::schema::{Member, Schema};
use crate::value::Writer;

/// Walks a value and collects the constraints that it breaks.
#[derive(Default)]
pub(crate) struct Checker {
    check: Check,
    frames: Vec<Frame>,
}

enum Frame {
    Structure { schema: &'static Schema, present: Presence, inside: bool },
    List { next: usize },
    Map { inside: bool },
}

impl Checker {
    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.check.into_violations()
    }

    /// Leaves the entry of the innermost frame, if the walk stands in one.
    fn leave_entry(&mut self) {
        let inside = match self.frames.last_mut() {
            Some(Frame::Structure { inside, .. } | Frame::Map { inside }) => {
                std::mem::replace(inside, true)
            }
            Some(Frame::List { next }) => {
                *next += 1;
                *next > 1
            }
            None => false,
        };
        if inside {
            self.check.leave();
        }
    }

    fn close(&mut self) -> Option<Frame> {
        let frame = self.frames.pop();
        let inside = match &frame {
            Some(Frame::Structure { inside, .. } | Frame::Map { inside }) => *inside,
            Some(Frame::List { next }) => *next > 0,
            None => false,
        };
        if inside {
            self.check.leave();
        }
        frame
    }
}

impl Writer for Checker {
    fn boolean(&mut self, _: bool) {}
    fn integer(&mut self, value: i64, schema: &'static Schema) {
        self.check.number(value as f64, schema);
    }
    fn double(&mut self, value: f64, schema: &'static Schema) {
        self.check.number(value, schema);
    }
    fn string(&mut self, value: &str, schema: &'static Schema) {
        self.check.string(value, schema);
    }
    fn blob(&mut self, value: &[u8], schema: &'static Schema) {
        self.check.length(value.len(), schema);
    }
    fn timestamp(&mut self, _: Timestamp, _: &'static Schema) {}

    fn begin_structure(&mut self, schema: &'static Schema) {
        self.frames.push(Frame::Structure { schema, present: Presence::default(), inside: false });
    }
    fn member(&mut self, index: usize, member: &'static Member) {
        self.leave_entry();
        if let Some(Frame::Structure { present, .. }) = self.frames.last_mut() {
            present.insert(index);
        }
        self.check.enter(Step::Member(member.name));
    }
    fn end_structure(&mut self) {
        if let Some(Frame::Structure { schema, present, .. }) = self.close() {
            self.check.structure(schema, &present);
        }
    }

    fn begin_list(&mut self, schema: &'static Schema, length: usize) {
        self.check.length(length, schema);
        self.frames.push(Frame::List { next: 0 });
    }
    fn item(&mut self) {
        self.leave_entry();
        let number = match self.frames.last() {
            Some(Frame::List { next }) => *next,
            _ => 0,
        };
        self.check.enter(Step::Item(number));
    }
    fn end_list(&mut self) {
        self.close();
    }

    fn begin_map(&mut self, schema: &'static Schema, length: usize) {
        self.check.length(length, schema);
        self.frames.push(Frame::Map { inside: false });
    }
    fn key(&mut self, key: &str) {
        self.leave_entry();
        self.check.enter(Step::Key(key.to_owned()));
    }
    fn end_map(&mut self) {
        self.close();
    }
}
