//! Files of variables (`environmentFiles`): fetched, and read by the rules of Amazon's agent.

use serde_json::Value;

use super::reference::object;
use super::role::Role;

/// The most bytes of a file.
const FILE_MAX_BYTES: usize = 1024 * 1024;

/// The variables of these files, in the order in which they stand; later ones win.
pub(super) async fn fetch(
    role: &Role<'_>,
    region: &str,
    files: &[Value],
) -> Result<Vec<(String, String)>, String> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for file in files {
        let arn = file["value"].as_str().unwrap_or_default();
        let (bucket, key) = object(arn).ok_or_else(|| {
            format!("unable to parse bucket and key from s3 ARN specified in environmentFile {arn}")
        })?;
        let why = |error: String| {
            format!(
                "unable to download env file with key {key} from bucket {bucket}, error: {error}"
            )
        };
        let bytes = role.object(region, (bucket, key), FILE_MAX_BYTES).await;
        let bytes = bytes.map_err(|error| why(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| why("it is not UTF-8".to_owned()))?;
        for (name, value) in read(&text) {
            variables.retain(|(other, _)| *other != name);
            variables.push((name, value));
        }
    }
    Ok(variables)
}

/// The lines of the form `NAME=VALUE`: nothing is unquoted, trimmed or expanded. A line that begins
/// with `#`, or has no `=` or nothing before it, says nothing.
fn read(text: &str) -> impl Iterator<Item = (String, String)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (name, value) = line.split_once('=').filter(|(name, _)| !name.is_empty())?;
        // What no environment can hold.
        (!line.contains('\0')).then(|| (name.to_owned(), value.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_taken_as_they_are() {
        let text = "# said\nA=1\r\nB=\"two words\"\n=nothing\nnothing\n\nC=a=b\n D = 4 \nE=\n#F=6";
        let expected =
            [("A", "1"), ("B", "\"two words\""), ("C", "a=b"), (" D ", " 4 "), ("E", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(text).collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(variables in prop::collection::vec(("[A-Z_][A-Z0-9_]{0,8}", "[^\\r\\n\\x00]{0,20}"), 0..10)) {
            let text: String = variables.iter().map(|(n, v)| format!("{n}={v}\n")).collect();
            prop_assert_eq!(read(&text).collect::<Vec<_>>(), variables);
        }
    }
}
