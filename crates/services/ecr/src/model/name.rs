//! Names of repositories and tags (OCI distribution, "Pulling manifests"; the same in ECR's model).

/// The longest name of a repository, in bytes (ECR's model).
const REPOSITORY_BYTES_MAX: usize = 256;
/// The shortest.
const REPOSITORY_BYTES_MIN: usize = 2;
/// The longest tag, in bytes.
const TAG_BYTES_MAX: usize = 128;

/// Whether a text can name a repository: parts of lower-case letters and digits with `.`, `_`, `__`
/// or dashes between, joined by slashes; 2 to 256 bytes.
pub(crate) fn is_repository_name(text: &str) -> bool {
    (REPOSITORY_BYTES_MIN..=REPOSITORY_BYTES_MAX).contains(&text.len())
        && text.split('/').all(is_part)
}

fn is_part(part: &str) -> bool {
    let is_word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    if !bytes.first().is_some_and(is_word) || !bytes.last().is_some_and(is_word) {
        return false;
    }
    let separators = part.split(|c: char| is_word(&(c as u8)) && c.is_ascii());
    separators
        .filter(|between| !between.is_empty())
        .all(|between| matches!(between, "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

/// Whether a text can be a tag: a letter, digit or `_`, then at most 127 of these, `.` or `-`.
pub(crate) fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= TAG_BYTES_MAX
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_texts() {
        for good in ["ab", "app", "a/b", "a.b_c__d-e--f/0", "team/app-1"] {
            assert!(is_repository_name(good), "{good}");
        }
        let long = "a".repeat(257);
        for bad in [
            "",
            "a",
            "A/b",
            "a//b",
            "/ab",
            "ab/",
            "a..b",
            "a___b",
            "-ab",
            "ab-",
            "a_.b",
            "a/../b",
            "..",
            "../../etc",
            "a b",
            "a\0b",
            "é/app",
            "a-_b",
            &long,
        ] {
            assert!(!is_repository_name(bad), "{bad}");
        }
        for good in ["a", "_x", "V1.0-rc_2", &"t".repeat(128)] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", ".a", "-a", "a/b", "a:b", "a b", "../x", &"t".repeat(129)] {
            assert!(!is_tag(bad), "{bad}");
        }
    }
}
