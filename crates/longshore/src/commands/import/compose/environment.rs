//! Environment variables: `environment` over what `env_file` names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use super::Project;
use super::field::Field;
use super::interpolate::interpolate;
use crate::commands::import::draft::Draft;

/// Reads both.
pub(super) fn read(draft: &mut Draft, service: &Field<'_>, project: &Project<'_>) -> Result<()> {
    let known = &project.surroundings.variables;
    let mut variables = BTreeMap::new();
    if let Some(field) = service.get("env_file") {
        let files = if field.is_list() { field.items()? } else { vec![field] };
        for file in files {
            env_file(&file, project, &mut variables)?;
        }
    }
    if let Some(field) = service.get("environment") {
        for (name, value) in field.pairs()? {
            if name.is_empty() {
                return Err(field.wrong("a variable has no name"));
            }
            match value.or_else(|| known.get(&name).cloned()) {
                Some(value) => {
                    variables.insert(name, value);
                }
                None => {
                    variables.remove(&name);
                    field.note(format!("{name} is left out: it has no value here"));
                }
            }
        }
    }
    draft.environment(variables);
    Ok(())
}

fn env_file(
    field: &Field<'_>,
    project: &Project<'_>,
    variables: &mut BTreeMap<String, String>,
) -> Result<()> {
    let (path, required) = if field.is_map() {
        let Some(path) = field.get("path") else { return Err(field.wrong("'path' is missing")) };
        (path.text()?, field.get("required").map_or(Ok(true), |one| one.flag())?)
    } else {
        (field.text()?, true)
    };
    let file: PathBuf = project.surroundings.folder.join(&path);
    let text = match (project.surroundings.read)(&file) {
        Ok(text) => text,
        Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(field.wrong(format!("reading {}: {error}", file.display()))),
    };
    let known = &project.surroundings.variables;
    let read = parse(&text, known).map_err(|what| field.wrong(format!("{path}: {what}")))?;
    variables.extend(read);
    field.note(format!("the variables of {path} were written into the definition"));
    Ok(())
}

/// Reads the lines `NAME=value` of a file; values may be quoted, and hold variables that `known`
/// or lines before set.
///
/// # Errors
/// What is wrong, with the line.
pub fn parse(
    text: &str,
    known: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = line.trim_start().trim_start_matches("export ").trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            let name = line.trim();
            variables.extend(known.get(name).map(|value| (name.to_owned(), value.clone())));
            continue;
        };
        let wrong = |what: &str| format!("line {}: {what}", index + 1);
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong("a name must stand before '='"));
        }
        let mut value = value.trim().to_owned();
        let quote = value.chars().next().filter(|first| matches!(first, '\'' | '"'));
        let value = match quote {
            Some(quote) => loop {
                match unquoted(&value, quote) {
                    Some(inside) => break inside,
                    None => match lines.next() {
                        Some((_, more)) => value = format!("{value}\n{more}"),
                        None => return Err(wrong("a quote is not closed")),
                    },
                }
            },
            None => match value.find(" #") {
                Some(comment) => value.get(..comment).unwrap_or_default().trim_end().to_owned(),
                None => value,
            },
        };
        let lookup = |name: &str| known.get(name).or_else(|| variables.get(name)).cloned();
        let value = match quote {
            Some('\'') => value,
            _ => interpolate(&value, &lookup, &mut |_| {}).map_err(|what| wrong(&what))?,
        };
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

/// What is between the quotes, if the second one is there.
fn unquoted(text: &str, quote: char) -> Option<String> {
    let mut out = String::new();
    let mut letters = text.chars().skip(1);
    loop {
        match letters.next()? {
            '\\' if quote == '"' => match letters.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                '$' => out.push_str("$$"),
                letter @ ('"' | '\\') => out.push(letter),
                letter => out.extend(['\\', letter]),
            },
            letter if letter == quote => return Some(out),
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_of_variables_are_read_as_compose_reads_them() {
        let known = BTreeMap::from([("SHELL_SET".to_owned(), "s".to_owned())]);
        let text = "# comment\n\nA=1\nexport B = two words # not this\nC='${A} \\n #x'\n\
                    D=\"x${A}\\n\\\"y\\\" \\$A\"\nE=\nSHELL_SET\nNOT_SET\nF=$SHELL_SET-${A:-z}\n\
                    G=\"first\nsecond\"\nH=a#b\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "${A} \\n #x"),
            ("D", "x1\n\"y\" $A"),
            ("E", ""),
            ("F", "s-1"),
            ("G", "first\nsecond"),
            ("H", "a#b"),
            ("SHELL_SET", "s"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse(text, &known).unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn wrong_lines_are_named() {
        let check = |text: &str, expected: &str| {
            let error = parse(text, &BTreeMap::new()).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        };
        check("A=1\n=2", "line 2: a name");
        check("A B=2", "line 1: a name");
        check("A='x", "line 1: a quote is not closed");
        check("A=${B:?gone}", "line 1: the variable B must be set: gone");
    }
}
