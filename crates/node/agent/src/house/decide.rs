//! What is to go, and what a disk's room means. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use runtime::ImageReference;
use runtime::images::Held;
use terms::Timestamp;

use super::settings::{House, size};
use crate::folders::Room;

/// An image that was used this lately stays, even when the disk is low: a task may be between its
/// pull and its container.
const JUST_USED: Duration = Duration::from_secs(5 * 60);
/// A disk that was low or full is so until there is this much more than its floor, in percent of
/// the floor: or it would be full and not full in turns.
const MARGIN_PERCENT: u64 = 10;
/// With a smaller part of its inodes free, a disk is full too.
const INODES_PERCENT: u64 = 1;

/// How a disk stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// There is enough.
    #[default]
    Well,
    /// What nobody needs is to go.
    Low,
    /// Nothing new may begin.
    Full,
}

/// How the disk stands, given how it stood before.
pub(super) fn standing(room: &Room, house: &House, before: Standing) -> Standing {
    let is_below = |floor: u64, was_below: bool| {
        let more = if was_below { floor / 100 * MARGIN_PERCENT } else { 0 };
        room.free_bytes < floor.saturating_add(more)
    };
    let inodes = room.inodes > 0 && room.free_inodes < room.inodes / 100 * INODES_PERCENT;
    let full = house.disk_full.bytes(room.total_bytes);
    let low = house.disk_low.bytes(room.total_bytes).max(full);
    if inodes || is_below(full, before == Standing::Full) {
        Standing::Full
    } else if is_below(low, before >= Standing::Low) {
        Standing::Low
    } else {
        Standing::Well
    }
}

/// Why an instance with such a disk takes no new tasks.
pub(super) fn reason(path: &str, room: &Room, house: &House) -> String {
    let (free, total) = (size(room.free_bytes), size(room.total_bytes));
    if room.free_bytes >= house.disk_full.bytes(room.total_bytes) && room.inodes > 0 {
        let (free, all) = (room.free_inodes, room.inodes);
        return format!("DISK: {free} of {all} inodes are free at {path}");
    }
    let floor = size(house.disk_full.bytes(room.total_bytes));
    format!("DISK: {free} of {total} are free at {path}, less than {floor}")
}

/// The images to remove now, those first that were not used for longest. Only what a registry gave
/// goes, for it can be had again; never what a container or a task here needs.
pub(super) fn images(
    held: &[Held],
    needed: &BTreeSet<ImageReference>,
    house: &House,
    standing: Standing,
    now: Timestamp,
) -> Vec<ImageReference> {
    let is_low = standing >= Standing::Low;
    let (age, count) = match house.images {
        _ if is_low => (JUST_USED, usize::MAX),
        Some(cleanup) => (cleanup.age, cleanup.count),
        None => return Vec::new(),
    };
    let may_go = |image: &&Held| {
        image.was_pulled
            && !image.is_in_use
            && !needed.contains(&image.reference)
            && now.since(image.used_at) >= age
            && (is_low || now.since(image.pulled_at) >= age)
    };
    let mut going: Vec<&Held> = held.iter().filter(may_go).collect();
    going.sort_by_key(|image| (image.used_at, image.reference.clone()));
    going.into_iter().take(count).map(|image| image.reference.clone()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::settings::{Floor, ImageCleanup};
    use super::*;

    fn house() -> House {
        House {
            images: Some(ImageCleanup {
                interval: Duration::from_secs(60),
                age: Duration::from_secs(3600),
                count: 2,
            }),
            disk_low: Floor::Bytes(1000),
            disk_full: Floor::Bytes(100),
            ..House::default()
        }
    }

    fn room(free_bytes: u64) -> Room {
        Room { total_bytes: 10_000, free_bytes, inodes: 1000, free_inodes: 500 }
    }

    #[test]
    fn a_disk_is_well_low_or_full_and_does_not_flutter() {
        let check = |free, before, expected| {
            assert_eq!(standing(&room(free), &house(), before), expected, "{free} {before:?}");
        };
        check(1000, Standing::Well, Standing::Well);
        check(999, Standing::Well, Standing::Low);
        check(1050, Standing::Low, Standing::Low);
        check(1100, Standing::Low, Standing::Well);
        check(99, Standing::Well, Standing::Full);
        check(105, Standing::Full, Standing::Full);
        check(105, Standing::Low, Standing::Low);
        check(110, Standing::Full, Standing::Low);
        let no_inodes = Room { free_inodes: 9, ..room(5000) };
        assert_eq!(standing(&no_inodes, &house(), Standing::Well), Standing::Full);
        // Some file systems count none.
        let uncounted = Room { inodes: 0, free_inodes: 0, ..room(5000) };
        assert_eq!(standing(&uncounted, &house(), Standing::Well), Standing::Well);
    }

    #[test]
    fn a_full_disk_is_told_with_its_figures() {
        let told = reason("/data", &room(50), &house());
        assert_eq!(told, "DISK: 50 bytes of 9.8 KiB are free at /data, less than 100 bytes");
        let told = reason("/data", &Room { free_inodes: 9, ..room(5000) }, &house());
        assert_eq!(told, "DISK: 9 of 1000 inodes are free at /data");
    }

    fn held(name: &str, pulled: i64, used: i64) -> Held {
        Held {
            reference: name.parse().unwrap(),
            bytes: 1,
            was_pulled: true,
            is_in_use: false,
            pulled_at: Timestamp::from_millis(pulled * 60_000),
            used_at: Timestamp::from_millis(used * 60_000),
        }
    }

    fn names(going: &[ImageReference]) -> Vec<String> {
        going.iter().map(|reference| reference.familiar_name().to_owned()).collect()
    }

    #[test]
    fn the_longest_unused_go_first_and_not_too_many() {
        let all = [held("a", 0, 30), held("b", 0, 10), held("c", 0, 20)];
        let now = Timestamp::from_millis(120 * 60_000);
        let none = BTreeSet::new();
        let going = images(&all, &none, &house(), Standing::Well, now);
        assert_eq!(names(&going), ["b", "c"]);
        let going = images(&all, &none, &house(), Standing::Low, now);
        assert_eq!(names(&going), ["b", "c", "a"]);
    }

    #[test]
    fn what_is_young_needed_or_from_a_file_stays() {
        let now = Timestamp::from_millis(120 * 60_000);
        let none = BTreeSet::new();
        let check = |image: Held, needed: &BTreeSet<ImageReference>, standing, goes: bool| {
            let going = images(&[image], needed, &house(), standing, now);
            assert_eq!(!going.is_empty(), goes);
        };
        check(held("a", 0, 30), &none, Standing::Well, true);
        check(held("a", 0, 61), &none, Standing::Well, false);
        check(held("a", 61, 30), &none, Standing::Well, false);
        check(held("a", 61, 61), &none, Standing::Low, true);
        check(held("a", 0, 116), &none, Standing::Full, false);
        check(Held { is_in_use: true, ..held("a", 0, 0) }, &none, Standing::Full, false);
        check(Held { was_pulled: false, ..held("a", 0, 0) }, &none, Standing::Full, false);
        let needed = BTreeSet::from(["a".parse().unwrap()]);
        check(held("a", 0, 0), &needed, Standing::Full, false);
        let off = House { images: None, ..house() };
        assert!(images(&[held("a", 0, 0)], &none, &off, Standing::Well, now).is_empty());
    }
}
