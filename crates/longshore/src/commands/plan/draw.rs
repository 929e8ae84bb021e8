//! Zones and instances before and after, as bars.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use crate::api::text;
use crate::output::{self, say};

/// Instances that are drawn one by one; of more, only their zones are.
const INSTANCES_DRAWN: usize = 40;
/// Characters of a bar.
const BAR_CELLS: u64 = 10;

/// What is there and what of it is in use.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    there: u64,
    used: u64,
}

/// CPU and memory of an instance or a zone; nothing when it is not there.
type Levels = Option<(Level, Level)>;

/// Draws the instances of an answer, if there are few, and their zones.
pub fn instances(answer: &Value) -> Result<()> {
    let all = answer["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return Ok(());
    }
    let headings =
        |what| [what, "zone", "cpu before", "cpu after", "memory before", "memory after"];
    say!();
    if all.len() <= INSTANCES_DRAWN {
        let row = |one: &Value| {
            let (name, zone) = (text(one, "name"), text(one, "availabilityZone"));
            line(name, zone, levels(one, "before"), levels(one, "after"))
        };
        output::table(&headings("instance"), all.iter().map(row).collect())?;
        say!();
    }
    let mut zones: BTreeMap<&str, (Levels, Levels)> = BTreeMap::new();
    for one in all {
        let (before, after) = zones.entry(text(one, "availabilityZone")).or_default();
        add(before, levels(one, "before"));
        add(after, levels(one, "after"));
    }
    let row = |(zone, (before, after)): (&&str, &(Levels, Levels))| {
        let here = all.iter().filter(|one| text(one, "availabilityZone") == *zone).count();
        let what = if here == 1 { "1 instance".to_owned() } else { format!("{here} instances") };
        line(&what, zone, *before, *after)
    };
    Ok(output::table(&headings("together"), zones.iter().map(row).collect())?)
}

fn line(what: &str, zone: &str, before: Levels, after: Levels) -> Vec<String> {
    let gone = |levels: Levels| match levels {
        Some((cpu, memory)) => (bar(cpu), bar(memory)),
        None => ("—".to_owned(), "—".to_owned()),
    };
    let ((cpu_before, memory_before), (cpu_after, memory_after)) = (gone(before), gone(after));
    vec![what.to_owned(), zone.to_owned(), cpu_before, cpu_after, memory_before, memory_after]
}

fn levels(instance: &Value, when: &str) -> Levels {
    let used = instance[when].as_object()?;
    let level = |name: &str| Level {
        there: instance[name].as_u64().unwrap_or_default(),
        used: used.get(name).and_then(Value::as_u64).unwrap_or_default(),
    };
    Some((level("cpu"), level("memory")))
}

fn add(sum: &mut Levels, more: Levels) {
    let Some((cpu, memory)) = more else { return };
    let (sum_cpu, sum_memory) = sum.get_or_insert_default();
    for (sum, more) in [(sum_cpu, cpu), (sum_memory, memory)] {
        sum.there += more.there;
        sum.used += more.used;
    }
}

/// As in `████░░░░░░  41 %`: a cell is full when all of it is used, and something used is never
/// drawn as nothing.
fn bar(Level { there, used }: Level) -> String {
    let there = there.max(1);
    let filled = (used * BAR_CELLS / there).max(u64::from(used > 0)).min(BAR_CELLS);
    let cells: String = (0..BAR_CELLS).map(|at| if at < filled { '█' } else { '░' }).collect();
    format!("{cells} {:3} %", used * 100 / there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_is_used() {
        let check = |used, there, expected: &str| assert_eq!(bar(Level { there, used }), expected);
        check(0, 100, "░░░░░░░░░░   0 %");
        check(1, 100, "█░░░░░░░░░   1 %");
        check(59, 100, "█████░░░░░  59 %");
        check(100, 100, "██████████ 100 %");
        check(0, 0, "░░░░░░░░░░   0 %");
    }
}
