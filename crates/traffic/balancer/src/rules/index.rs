//! Which rules may take a request, without a look at the others.
//!
//! Rules are sorted by their hints: those that look at the same bytes are of one shape, and there the bytes
//! themselves lead to them. A listener's rules are of few shapes, however many they are.

use std::collections::HashMap;

use super::Seen;
use super::hint::Hint;

/// The places of a listener's rules by what they surely want.
#[derive(Debug, Default)]
pub(super) struct Index {
    shapes: Vec<Shape>,
}

/// Rules that look at the same bytes.
#[derive(Debug)]
struct Shape {
    /// The bytes of a path and a host that matter.
    masks: (u128, u128),
    /// By what they must be; each the places of rules, the first to be asked first.
    places: HashMap<(u128, u128), Vec<usize>>,
}

impl Index {
    /// Of rules with these hints, in the order in which they are asked.
    pub(super) fn of(hints: impl Iterator<Item = Hint>) -> Self {
        let mut index = Self::default();
        for (place, hint) in hints.enumerate() {
            let at = index.shapes.iter().position(|shape| shape.masks == hint.masks());
            let at = at.unwrap_or_else(|| {
                index.shapes.push(Shape { masks: hint.masks(), places: HashMap::new() });
                index.shapes.len() - 1
            });
            index.shapes[at].places.entry(hint.bytes()).or_default().push(place);
        }
        index
    }

    /// The place of the first rule that holds.
    pub(super) fn first(&self, seen: &Seen<'_>, holds: impl Fn(usize) -> bool) -> Option<usize> {
        let mut first = None;
        for Shape { masks: (path, host), places } in &self.shapes {
            let wanted = (seen.path_head & path, seen.host_head & host);
            let Some(places) = places.get(&wanted) else { continue };
            let is_sooner = |place: &&usize| first.is_none_or(|first| **place < first);
            let found = places.iter().take_while(is_sooner).find(|place| holds(**place)).copied();
            first = found.or(first);
        }
        first
    }
}
