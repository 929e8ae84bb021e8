//! One history from those of several servers. Each follows the same commits, but what a commit was made
//! for is known to the server alone that led when it was made.

use super::store::Entry;

/// The most transactions that reach the others as one commit: each writes a row at least, and etcd takes
/// 128 operations at once.
const PACK_MAX: u64 = 128;

/// What is known of a subject, the oldest first: each of `own` as the server tells it that knows what it
/// was made for, and what such a server alone knows of.
pub fn merged(own: Vec<Entry>, others: impl IntoIterator<Item = Vec<Entry>>) -> Vec<Entry> {
    let of_leaders = others.into_iter().flatten().filter(Entry::is_of_leader);
    let mut of_leaders: Vec<Entry> = of_leaders.collect();
    of_leaders.sort_by_key(|entry| entry.revision);
    let mut merged = Vec::with_capacity(own.len());
    for entry in own {
        let told = of_leaders.iter().rposition(|other| is_same(other, &entry));
        match told.map(|place| of_leaders.remove(place)) {
            Some(told) if !entry.is_of_leader() => merged.push(told),
            _ => merged.push(entry),
        }
    }
    merged.extend(of_leaders);
    merged.sort_by_key(|entry| (entry.at, entry.revision));
    merged
}

/// Whether both tell of the same change: what comes in a pack has the revision of the pack's last.
fn is_same(one: &Entry, other: &Entry) -> bool {
    let (first, last) = (one.revision.min(other.revision), one.revision.max(other.revision));
    last - first < PACK_MAX
        && (&one.arn, &one.what, &one.text) == (&other.arn, &other.what, &other.text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::store::Request;
    use super::*;

    fn entry(at: i64, revision: u64, text: &str, transaction: &str) -> Entry {
        let request = (transaction == "run").then(|| Request {
            id: "1".to_owned(),
            operation: "ecs:RunTask".to_owned(),
            caller: "c".to_owned(),
        });
        Entry {
            at,
            revision,
            arn: "a".to_owned(),
            what: "w".to_owned(),
            text: text.to_owned(),
            transaction: transaction.to_owned(),
            request,
        }
    }

    #[test]
    fn who_led_knows_why() {
        let own = vec![
            entry(10, 5, "made", ledger::REPLICATED),
            entry(20, 9, "runs", ledger::REPLICATED),
            entry(30, 400, "runs", "sweep"),
        ];
        let first = vec![entry(9, 4, "made", "run"), entry(19, 9, "runs", "report")];
        let second = vec![
            entry(10, 5, "made", ledger::REPLICATED),
            entry(31, 400, "runs", ledger::REPLICATED),
            entry(25, 300, "alone", "sweep"),
            entry(26, 301, "nobody's", ""),
        ];
        let all = merged(own.clone(), [first, second]);
        let told: Vec<_> =
            all.iter().map(|entry| (entry.at, &entry.text[..], &entry.transaction[..])).collect();
        let expected = [
            (9, "made", "run"),
            (19, "runs", "report"),
            (25, "alone", "sweep"),
            (30, "runs", "sweep"),
        ];
        assert_eq!(told, expected);
        assert!(all[0].request.is_some());
        assert_eq!(merged(own.clone(), []), own);
    }
}
