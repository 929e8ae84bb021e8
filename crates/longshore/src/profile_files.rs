//! The AWS SDKs' shared files (`~/.aws/config`, `~/.aws/credentials`): read and edited by section,
//! so that comments and other profiles stay as they are.
//!
//! Form: AWS SDKs and Tools Reference Guide, "Shared config and credentials files".

use std::collections::BTreeMap;

/// The settings of one `[section]`; empty if the text has no such section.
pub fn section(text: &str, name: &str) -> BTreeMap<String, String> {
    let Some((first, end)) = lines_of(text, name) else { return BTreeMap::new() };
    let setting = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let is_comment = key.trim_start().starts_with(['#', ';']);
        (!is_comment).then(|| (key.trim().to_owned(), value.trim().to_owned()))
    };
    text.lines().skip(first + 1).take(end - first - 1).filter_map(setting).collect()
}

/// The text with the section holding exactly these settings, at its old place or at the end.
pub fn with_section(text: &str, name: &str, settings: &[(&str, &str)]) -> String {
    let mut section = vec![format!("[{name}]")];
    section.extend(settings.iter().map(|(key, value)| format!("{key} = {value}")));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match lines_of(text, name) {
        Some((first, end)) => {
            // Blank lines after the section belong to the layout, not to the section.
            let blank = lines[first..end].iter().rev().take_while(|l| l.trim().is_empty()).count();
            lines.splice(first..end - blank, section);
        }
        None => {
            if lines.last().is_some_and(|line| !line.trim().is_empty()) {
                lines.push(String::new());
            }
            lines.extend(section);
        }
    }
    lines.join("\n") + "\n"
}

/// Line numbers of a section: its heading, and the first line after it.
fn lines_of(text: &str, name: &str) -> Option<(usize, usize)> {
    let heading = |line: &str| {
        let inner = line.trim().strip_prefix('[')?.split_once(']')?.0;
        Some(inner.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let mut headings = text.lines().map(heading).enumerate().filter(|(_, found)| found.is_some());
    let (first, _) = headings.find(|(_, found)| found.as_deref() == Some(name))?;
    let end = headings.next().map_or(text.lines().count(), |(line, _)| line);
    Some((first, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\n[default]\nregion = eu-west-1\n\n[profile longshore]\nregion=x\n# old\n\n[profile z]\nregion = z\n";

    #[test]
    fn a_section_is_read_without_its_neighbours() {
        assert_eq!(section(FILE, "profile longshore"), [("region".into(), "x".into())].into());
        assert_eq!(section(FILE, "profile none"), BTreeMap::new());
    }

    #[test]
    fn a_section_is_replaced_where_it_stands() {
        let text = with_section(FILE, "profile longshore", &[("region", "us-east-1")]);
        assert_eq!(text, FILE.replace("region=x\n# old", "region = us-east-1"));
        assert_eq!(with_section(&text, "profile longshore", &[("region", "us-east-1")]), text);
    }

    #[test]
    fn a_new_section_goes_to_the_end() {
        assert_eq!(with_section("", "a", &[("k", "v")]), "[a]\nk = v\n");
        assert_eq!(with_section("[b]\nx = 1", "a", &[]), "[b]\nx = 1\n\n[a]\n");
    }
}
