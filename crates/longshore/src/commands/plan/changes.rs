//! Flags that change the cluster that is asked about.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

/// What would be different, and of what.
#[derive(Args, Clone, Debug, Default)]
pub struct ChangeFlags {
    /// Ask a file of 'longshore store export' in place of a server
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// As if there were so many instances more, of a type or of a size as UNITSxMIB
    #[arg(long, value_name = "N:TYPE[@ZONE]", num_args = 1..)]
    add_instances: Vec<Added>,
    /// As if this instance were not there: its name, EC2 id, id or ARN
    #[arg(long, value_name = "NAME", num_args = 1..)]
    remove_instance: Vec<String>,
    /// As if this zone were not there: its name, or its last letter
    #[arg(long, value_name = "ZONE", num_args = 1..)]
    remove_zone: Vec<String>,
    /// As if all agents were connected; those of a server at rest are not
    #[arg(long)]
    assume_connected: bool,
}

impl ChangeFlags {
    /// The changes as the question has them.
    pub fn question(&self) -> Value {
        let add = self
            .add_instances
            .iter()
            .map(|Added { count, kind, zone }| json!({"count": count, "type": kind, "zone": zone}));
        json!({
            "add": add.collect::<Vec<_>>(),
            "remove": self.remove_instance,
            "removeZones": self.remove_zone,
            "assumeConnected": self.assume_connected,
        })
    }
}

/// Some instances of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Added {
    count: u32,
    kind: String,
    zone: Option<String>,
}

impl FromStr for Added {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("'{text}' is not of the form N:TYPE[@ZONE], such as 2:m5.large@b");
        let (count, rest) = text.split_once(':').ok_or_else(form)?;
        let (kind, zone) = match rest.split_once('@') {
            Some((kind, zone)) => (kind, Some(zone)),
            None => (rest, None),
        };
        let count = count.parse().map_err(|_| form())?;
        if kind.is_empty() || zone.is_some_and(str::is_empty) {
            return Err(form());
        }
        Ok(Self { count, kind: kind.to_owned(), zone: zone.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_added_by_number_type_and_zone() {
        let check = |text: &str, expected: Option<(u32, &str, Option<&str>)>| {
            let read = text.parse::<Added>().ok();
            let expected = expected.map(|(count, kind, zone)| Added {
                count,
                kind: kind.to_owned(),
                zone: zone.map(str::to_owned),
            });
            assert_eq!(read, expected, "{text}");
        };
        check("2:m5.large", Some((2, "m5.large", None)));
        check("1:4096x8192@b", Some((1, "4096x8192", Some("b"))));
        check("m5.large", None);
        check("x:m5.large", None);
        check("1:", None);
        check("1:m5.large@", None);
    }
}
