//! Quantities and words as Docker and Compose write them.

/// Bytes of `512m`, `1.5g`, `64kb`, `1048576`: multiples of 1024, as Docker's.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim() {
        "" | "b" => 1_u64,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * factor as f64;
    (bytes.is_finite() && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// MiB, rounded up.
pub fn mib(bytes: u64) -> i32 {
    i32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(i32::MAX)
}

/// Seconds of `1m30s`, `500ms`, `1h`; a bare number counts seconds.
pub fn seconds(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0).then_some(seconds);
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    (!text.trim().is_empty()).then_some(sum)
}

/// Words as a shell takes them apart: quotes and backslashes count, nothing is expanded. `None` if
/// a quote is not closed.
pub fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(letter),
            (Some(_), '\\') => {
                let next = letters.next()?;
                let word = word.get_or_insert_default();
                if !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(next);
            }
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().push(letters.next()?),
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// A name as ECS wants it: other signs than letters, digits, `-` and `_` become `-`.
pub fn identifier(text: &str) -> String {
    let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let name: String = text.chars().map(|c| if good(c) { c } else { '-' }).take(255).collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_docker_reads_them() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(bytes(text), expected, "{text}");
        check("1048576", Some(1 << 20));
        check("64k", Some(64 << 10));
        check("512M", Some(512 << 20));
        check("1.5gb", Some(3 << 29));
        check("10 MiB", Some(10 << 20));
        check("1t", Some(1 << 40));
        check("", None);
        check("lots", None);
        check("-1", None);
        check("5x", None);
        assert_eq!(mib(1), 1);
        assert_eq!(mib(3 << 20), 3);
        assert_eq!(mib(u64::MAX), i32::MAX);
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let check =
            |text: &str, expected: Option<f64>| assert_eq!(seconds(text), expected, "{text}");
        check("30s", Some(30.0));
        check("1m30s", Some(90.0));
        check("1h", Some(3600.0));
        check("1.5m", Some(90.0));
        check("500ms", Some(0.5));
        check("10", Some(10.0));
        check("", None);
        check("s", None);
        check("10x", None);
        check("1m 30s", None);
    }

    #[test]
    fn words_are_those_of_a_shell() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        };
        check("nginx -g 'daemon off;'", &["nginx", "-g", "daemon off;"]);
        check(r#"sh -c "echo \"$HOME\" \n" a\ b"#, &["sh", "-c", r#"echo "$HOME" \n"#, "a b"]);
        check("  ''  ", &[""]);
        check("", &[]);
        check("a'b'\"c\"", &["abc"]);
        assert_eq!(words("a 'b"), None);
        assert_eq!(words("a\\"), None);
    }

    #[test]
    fn names_become_identifiers() {
        assert_eq!(identifier("my.web app"), "my-web-app");
        assert_eq!(identifier("/srv/www_1/"), "srv-www_1");
    }
}
