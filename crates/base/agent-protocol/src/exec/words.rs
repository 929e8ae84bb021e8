//! A command's words. Amazon's agent starts ECS Exec's command without a shell, split as a shell
//! would split it (its container mode uses `shlex`).

/// A quote has no end, or a backslash has nothing behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command has a quote without its end, or ends in a backslash")]
pub struct UnbalancedQuote;

/// The command's words: blanks part them, `'…'` holds all literally, `"…"` all but `\"` and `\\`, a
/// backslash outside of quotes what follows it.
///
/// # Errors
/// [`UnbalancedQuote`].
pub fn split(command: &str) -> Result<Vec<String>, UnbalancedQuote> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = command.chars();
    while let Some(next) = rest.next() {
        match next {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => single(&mut rest, word.get_or_insert_default())?,
            '"' => double(&mut rest, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(rest.next().ok_or(UnbalancedQuote)?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), UnbalancedQuote> {
    loop {
        match rest.next().ok_or(UnbalancedQuote)? {
            '\'' => return Ok(()),
            other => word.push(other),
        }
    }
}

fn double(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), UnbalancedQuote> {
    loop {
        match rest.next().ok_or(UnbalancedQuote)? {
            '"' => return Ok(()),
            '\\' => match rest.next().ok_or(UnbalancedQuote)? {
                escaped @ ('"' | '\\') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_as_a_shell_parts_them() {
        let check = |command: &str, expected: Result<&[&str], UnbalancedQuote>| {
            let words = expected.map(|list| list.iter().map(|&it| it.to_owned()).collect());
            assert_eq!(split(command), words, "{command}");
        };
        check("/bin/sh", Ok(&["/bin/sh"]));
        check("  ls   -la ", Ok(&["ls", "-la"]));
        check("sh -c 'echo \"a b\"; exit 3'", Ok(&["sh", "-c", "echo \"a b\"; exit 3"]));
        check(r#"a "b \"c\" \n" d\ e"#, Ok(&["a", r#"b "c" \n"#, "d e"]));
        check("a '' b", Ok(&["a", "", "b"]));
        check("", Ok(&[]));
        check("'a", Err(UnbalancedQuote));
        check("a\\", Err(UnbalancedQuote));
    }
}
