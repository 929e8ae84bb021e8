//! Whether the chain holds.

use std::fs;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::TrailError;
use super::chain::Head;
use super::files::list;

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// How many lines there are.
    pub lines: u64,
    /// The number of the first.
    pub first: u64,
    /// The number of the last; one less than `first` if there is none.
    pub last: u64,
    /// The hash of the last line, in hexadecimal digits: whoever notes it can tell later that nothing
    /// before it was changed or cut off.
    pub hash: String,
}

/// Follows the chain over all files of a folder.
///
/// # Errors
/// Where it breaks, or which file cannot be read.
pub fn verify(folder: &Path) -> Result<Verified, TrailError> {
    verify_to(folder, None).map(|(verified, _)| verified)
}

/// The same; tells besides whether a line has this hash, in hexadecimal digits.
///
/// # Errors
/// As [`verify`].
pub(super) fn verify_to(
    folder: &Path,
    noted: Option<&str>,
) -> Result<(Verified, bool), TrailError> {
    let (mut head, mut first, mut lines) = (None::<Head>, 1, 0);
    let mut has_noted = noted == Some(HEXLOWER.encode(&Head::BEGINNING.hash).as_str());
    for (number, path) in list(folder)? {
        let what = format!("reading {}", path.display());
        let text = fs::read_to_string(&path).map_err(TrailError::io(what))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let broken =
            |line: usize, what: String| TrailError::Broken { file: file.clone(), line, what };
        // A last line without an end is being written.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut rows = whole.lines().enumerate();
        let heading = rows.next().and_then(|(_, line)| Head::of_heading(line));
        let heading = heading.ok_or_else(|| broken(1, "it is no trail's first line".to_owned()))?;
        match head {
            None => first = heading.next,
            Some(before) if before == heading => {}
            Some(before) => {
                let what = format!(
                    "it goes on from line {}, and the file before ends with line {}",
                    heading.next - 1,
                    before.next - 1
                );
                return Err(broken(1, what));
            }
        }
        if heading.next != number {
            return Err(broken(1, "the file is not named by its first line".to_owned()));
        }
        let mut here = heading;
        for (index, line) in rows {
            here.follow(line).map_err(|what| broken(index + 1, what))?;
            lines += 1;
            has_noted |= noted.is_some_and(|noted| noted == HEXLOWER.encode(&here.hash));
        }
        head = Some(here);
    }
    let head = head.unwrap_or(Head::BEGINNING);
    let hash = HEXLOWER.encode(&head.hash);
    Ok((Verified { lines, first, last: head.next - 1, hash }, has_noted))
}
