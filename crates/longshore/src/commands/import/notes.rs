//! What an import could not carry over, or had to decide.

use std::cell::RefCell;
use std::fmt;

/// The notes of one import, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Notes(RefCell<Vec<Note>>);

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is about, as in `services.web.build`.
    place: String,
    /// What became of it.
    what: String,
}

impl Notes {
    /// Makes a note, once.
    pub fn add(&self, place: impl Into<String>, what: impl Into<String>) {
        let note = Note { place: place.into(), what: what.into() };
        let mut notes = self.0.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// One line for each.
impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.borrow().iter().try_for_each(|Note { place, what }| writeln!(f, "{place}: {what}"))
    }
}
