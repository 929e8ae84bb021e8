//! Which of two versions is the newer one, by the rules of whoever numbers them.

use std::cmp::Ordering;

use crate::Ecosystem;

/// Compares two versions of one package.
pub fn compare(ecosystem: Ecosystem, a: &str, b: &str) -> Ordering {
    match ecosystem {
        Ecosystem::Dpkg => with_epochs(a, b, dpkg_part),
        Ecosystem::Rpm => with_epochs(a, b, rpm_part),
        Ecosystem::Apk => apk(a, b),
        Ecosystem::CratesIo | Ecosystem::Go | Ecosystem::Npm => semantic(a, b),
        Ecosystem::PyPi => python(a).cmp(&python(b)),
    }
}

/// A number of any length, compared without reading it.
fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// `[EPOCH:]VERSION[-RELEASE]`, part by part (deb-version(7); rpm-version(7)).
fn with_epochs(a: &str, b: &str, part: fn(&str, &str) -> Ordering) -> Ordering {
    let epoch = |text: &str| match text.split_once(':') {
        Some((epoch, rest)) => (epoch.to_owned(), rest.to_owned()),
        None => ("0".to_owned(), text.to_owned()),
    };
    let ((epoch_a, a), (epoch_b, b)) = (epoch(a), epoch(b));
    let split = |text: &str| match text.rsplit_once('-') {
        Some((version, release)) => (version.to_owned(), release.to_owned()),
        None => (text.to_owned(), String::new()),
    };
    let ((version_a, release_a), (version_b, release_b)) = (split(&a), split(&b));
    numbers(&epoch_a, &epoch_b)
        .then_with(|| part(&version_a, &version_b))
        .then_with(|| part(&release_a, &release_b))
}

/// Digits at the beginning, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Where dpkg sorts what is no digit: `~` before the end, letters before all else.
fn dpkg_weight(c: Option<char>) -> i64 {
    match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i64::from(u32::from(c)),
        Some(c) => i64::from(u32::from(c)) + 0x11_0000,
    }
}

fn dpkg_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        loop {
            let first = |text: &str| text.chars().next().filter(|c| !c.is_ascii_digit());
            let (one, other) = (first(a), first(b));
            if one.is_none() && other.is_none() {
                break;
            }
            match dpkg_weight(one).cmp(&dpkg_weight(other)) {
                Ordering::Equal => {}
                decided => return decided,
            }
            a = &a[one.map_or(0, char::len_utf8)..];
            b = &b[other.map_or(0, char::len_utf8)..];
        }
        let ((number_a, rest_a), (number_b, rest_b)) = (digits(a), digits(b));
        match numbers(number_a, number_b) {
            Ordering::Equal => (a, b) = (rest_a, rest_b),
            decided => return decided,
        }
    }
    Ordering::Equal
}

/// Letters at the beginning, and the rest.
fn letters(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    text.split_at(end)
}

/// rpm's comparison: runs of digits and letters, `~` before the end, `^` behind it.
fn rpm_part(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let is_apart = |c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^';
        (a, b) = (a.trim_start_matches(is_apart), b.trim_start_matches(is_apart));
        for (mark, with, without) in
            [('~', Ordering::Less, Ordering::Greater), ('^', Ordering::Greater, Ordering::Less)]
        {
            match (a.strip_prefix(mark), b.strip_prefix(mark)) {
                (Some(rest_a), Some(rest_b)) => return rpm_part(rest_a, rest_b),
                // After `^`, more of the base is newer all the same.
                (Some(_), None) if mark == '^' && !b.is_empty() => return Ordering::Less,
                (None, Some(_)) if mark == '^' && !a.is_empty() => return Ordering::Greater,
                (Some(_), None) => return with,
                (None, Some(_)) => return without,
                (None, None) => {}
            }
        }
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let (is_number_a, is_number_b) = (
            a.starts_with(|c: char| c.is_ascii_digit()),
            b.starts_with(|c: char| c.is_ascii_digit()),
        );
        let decided = match (is_number_a, is_number_b) {
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (true, true) => {
                let ((one, rest_a), (other, rest_b)) = (digits(a), digits(b));
                (a, b) = (rest_a, rest_b);
                numbers(one, other)
            }
            (false, false) => {
                let ((one, rest_a), (other, rest_b)) = (letters(a), letters(b));
                (a, b) = (rest_a, rest_b);
                one.cmp(other)
            }
        };
        if decided != Ordering::Equal {
            return decided;
        }
    }
}

/// apk's suffixes before and behind a version without one (apk-tools, `version.c`).
const APK_BEFORE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
const APK_BEHIND: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// `1.2.3a_rc1-r4`: numbers, a letter, suffixes, a revision.
fn apk(a: &str, b: &str) -> Ordering {
    let split = |text: &str| match text.rsplit_once("-r") {
        Some((version, revision)) => (version.to_owned(), revision.to_owned()),
        None => (text.to_owned(), String::new()),
    };
    let ((version_a, revision_a), (version_b, revision_b)) = (split(a), split(b));
    let parts = |text: &str| {
        let mut suffixes = text.split('_');
        let numbers = suffixes.next().unwrap_or_default().to_owned();
        let suffixes = suffixes.map(apk_suffix).collect::<Vec<_>>();
        (numbers, suffixes)
    };
    let ((numbers_a, suffixes_a), (numbers_b, suffixes_b)) = (parts(&version_a), parts(&version_b));
    let suffixes = || {
        for index in 0..suffixes_a.len().max(suffixes_b.len()) {
            let none = (0, String::new());
            let (one, other) =
                (suffixes_a.get(index).unwrap_or(&none), suffixes_b.get(index).unwrap_or(&none));
            let decided = one.0.cmp(&other.0).then_with(|| numbers(&one.1, &other.1));
            if decided != Ordering::Equal {
                return decided;
            }
        }
        Ordering::Equal
    };
    dotted(&numbers_a, &numbers_b)
        .then_with(suffixes)
        .then_with(|| numbers(&revision_a, &revision_b))
}

fn apk_suffix(text: &str) -> (i64, String) {
    let (word, number) = letters(text);
    let place = |words: &[&str]| words.iter().position(|known| *known == word);
    let weight = match (place(&APK_BEFORE), place(&APK_BEHIND)) {
        (Some(index), _) => index as i64 - APK_BEFORE.len() as i64,
        (None, Some(index)) => index as i64 + 1,
        (None, None) => 0,
    };
    (weight, number.to_owned())
}

/// Numbers with points between, each with a letter behind it perhaps; more of them is newer.
fn dotted(a: &str, b: &str) -> Ordering {
    let (mut one, mut other) = (a.split('.'), b.split('.'));
    loop {
        let (part_a, part_b) = match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (Some(_), None) => return Ordering::Greater,
            (None, Some(_)) => return Ordering::Less,
            (Some(part_a), Some(part_b)) => (digits(part_a), digits(part_b)),
        };
        let letters = || match (part_a.1, part_b.1) {
            // A letter is less than another number behind.
            (a, "") if !a.is_empty() && other.clone().next().is_some() => Ordering::Less,
            ("", b) if !b.is_empty() && one.clone().next().is_some() => Ordering::Greater,
            (a, b) => a.cmp(b),
        };
        let decided = numbers(part_a.0, part_b.0).then_with(letters);
        if decided != Ordering::Equal {
            return decided;
        }
    }
}

/// Semantic Versioning 2.0.0, §11. Missing numbers are 0.
fn semantic(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split('+').next().unwrap_or_default().to_owned();
        match text.split_once('-') {
            Some((core, before)) => (core.to_owned(), Some(before.to_owned())),
            None => (text, None),
        }
    };
    let ((core_a, before_a), (core_b, before_b)) = (parts(a), parts(b));
    let number = |core: &str, index: usize| core.split('.').nth(index).unwrap_or("0").to_owned();
    for index in 0..3 {
        match numbers(&number(&core_a, index), &number(&core_b, index)) {
            Ordering::Equal => {}
            decided => return decided,
        }
    }
    match (before_a, before_b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => identifiers(&a, &b),
    }
}

fn identifiers(a: &str, b: &str) -> Ordering {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mut one, mut other) = (a.split('.'), b.split('.'));
    loop {
        let decided = match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (Some(_), None) => return Ordering::Greater,
            (None, Some(_)) => return Ordering::Less,
            (Some(a), Some(b)) => match (is_number(a), is_number(b)) {
                (true, true) => numbers(a, b),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if decided != Ordering::Equal {
            return decided;
        }
    }
}

/// A version of Python's as PEP 440 orders them: epoch, release without zeros at its end, then the ranks of
/// what comes before and after it.
type Python = (u64, Vec<u64>, (i8, u64), u64, u64);

fn python(text: &str) -> Python {
    let text = text.trim().trim_start_matches('v').to_ascii_lowercase();
    let text = text.split('+').next().unwrap_or_default().to_owned();
    let (epoch, rest) = text.split_once('!').unwrap_or(("0", &text));
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (release, mut rest) = rest.split_at(end);
    let mut release: Vec<u64> =
        release.split('.').filter(|part| !part.is_empty()).map(number).collect();
    while release.last() == Some(&0) {
        release.pop();
    }
    // None: after all that come before the release, and before all that come after it.
    let (mut before, mut post, mut dev) = ((3, 0), 0, u64::MAX);
    while !rest.is_empty() {
        rest = rest.trim_start_matches(['.', '-', '_']);
        let (word, after) = letters(rest);
        let after = after.trim_start_matches(['.', '-', '_']);
        let (count, after) = digits(after);
        let count = if count.is_empty() { 0 } else { number(count) };
        match word {
            "a" | "alpha" => before = (0, count),
            "b" | "beta" => before = (1, count),
            "c" | "rc" | "pre" | "preview" => before = (2, count),
            "post" | "rev" | "r" | "" => post = count.saturating_add(1),
            "dev" => dev = count,
            _ => return (number(epoch), release, before, post, dev),
        }
        if after.len() == rest.len() {
            break;
        }
        rest = after;
    }
    // A development version of a release comes before what comes before the release.
    if dev != u64::MAX && before.0 == 3 && post == 0 {
        before = (-1, 0);
    }
    (number(epoch), release, before, post, dev)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Ecosystem; 7] = [
        Ecosystem::Dpkg,
        Ecosystem::Apk,
        Ecosystem::Rpm,
        Ecosystem::CratesIo,
        Ecosystem::Go,
        Ecosystem::PyPi,
        Ecosystem::Npm,
    ];

    /// Each version is older than the next.
    fn check(ecosystem: Ecosystem, versions: &[&str]) {
        for (index, a) in versions.iter().enumerate() {
            for (other, b) in versions.iter().enumerate() {
                assert_eq!(compare(ecosystem, a, b), index.cmp(&other), "{ecosystem}: {a} {b}");
            }
        }
    }

    #[test]
    fn orders_are_those_of_who_numbers() {
        let dpkg = [
            "1.0~rc1-1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1.1",
            "1.0-2",
            "1.0a-1",
            "1.0+x-1",
            "1.0.1-1",
            "1.10-1",
            "1:0.1-1",
        ];
        check(Ecosystem::Dpkg, &dpkg);
        let rpm = [
            "1.0~rc1-1",
            "1.0-1",
            "1.0-1.el9",
            "1.0-10",
            "1.0^git1-1",
            "1.0.1-1",
            "1.1-1",
            "1.10-1",
            "1:0.1-1",
        ];
        check(Ecosystem::Rpm, &rpm);
        let apk = [
            "1.0_alpha1-r0",
            "1.0_rc1-r0",
            "1.0_rc2-r0",
            "1.0-r0",
            "1.0-r2",
            "1.0-r10",
            "1.0_p1-r0",
            "1.0a-r0",
            "1.0.1-r0",
            "1.2-r0",
        ];
        check(Ecosystem::Apk, &apk);
        let semantic = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.2.0",
            "1.10.0",
            "2.0.0",
        ];
        check(Ecosystem::Npm, &semantic);
        let python = [
            "1.0.dev1",
            "1.0a1.dev1",
            "1.0a1",
            "1.0a2",
            "1.0b1",
            "1.0rc1",
            "1.0",
            "1.0.post1",
            "1.0.1",
            "1.10",
            "1!0.1",
        ];
        check(Ecosystem::PyPi, &python);
        assert_eq!(compare(Ecosystem::PyPi, "1.0", "1.0.0"), Ordering::Equal);
        assert_eq!(compare(Ecosystem::Dpkg, "1.0", "0:1.0"), Ordering::Equal);
        assert_eq!(compare(Ecosystem::Go, "v1.2.3", "1.2.3+incompatible"), Ordering::Equal);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn all_are_orders(texts in prop::array::uniform3("([0-9]{1,2}:)?[0-9a-c.+~^_-]{0,8}(-r?[0-9])?")) {
            let [a, b, c] = &texts;
            for ecosystem in ALL {
                let by = |one: &str, other: &str| compare(ecosystem, one, other);
                prop_assert_eq!(by(a, a), Ordering::Equal);
                prop_assert_eq!(by(a, b), by(b, a).reverse());
                if by(a, b) == Ordering::Less && by(b, c) == Ordering::Less {
                    prop_assert_eq!(by(a, c), Ordering::Less, "{}", ecosystem);
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(a in "\\PC{0,12}", b in "\\PC{0,12}") {
            for ecosystem in ALL {
                let _ = compare(ecosystem, &a, &b);
            }
        }
    }
}
