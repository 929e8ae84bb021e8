//! Values of drivers' options, read as Docker reads them.

use std::collections::BTreeMap;
use std::time::Duration;

/// Options by their names.
pub type Options = BTreeMap<String, String>;

/// A boolean, as Go's `strconv.ParseBool` reads it.
///
/// # Errors
/// If it is none.
pub fn boolean(options: &Options, name: &str) -> Result<Option<bool>, String> {
    match options.get(name).map(String::as_str) {
        None | Some("") => Ok(None),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
        Some(other) => {
            Err(format!("must specify valid value for log opt '{name}': '{other}' is no boolean"))
        }
    }
}

/// A whole number.
///
/// # Errors
/// If it is none.
pub fn number(options: &Options, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = options.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed = text.parse().map(Some);
    parsed.map_err(|_| format!("must specify valid value for log opt '{name}': '{text}'"))
}

/// A duration as Go writes it; none if it is nothing or zero, which stands for what is usual.
///
/// # Errors
/// If it is none.
pub fn duration(options: &Options, name: &str) -> Result<Option<Duration>, String> {
    let Some(text) = options.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed = go_duration(text).ok_or_else(|| {
        format!("invalid value for {name}: value must be a duration that is non-negative: '{text}'")
    })?;
    Ok(Some(parsed).filter(|parsed| !parsed.is_zero()))
}

/// `1.5s`, `1m30s`, `0`: Go's `time.ParseDuration`, but for signs.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = behind;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

/// A limit that counts lines; Docker takes units there too, as of bytes.
///
/// # Errors
/// If it is none.
pub fn lines(options: &Options, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = options.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let lines = size(text);
    lines
        .map(Some)
        .ok_or_else(|| format!("must specify valid value for log opt '{name}': '{text}'"))
}

/// `65536k`, `1.5 GB`, `10MiB` or bytes: go-units' `RAMInBytes`.
pub fn size(text: &str) -> Option<u64> {
    const KIB: f64 = 1024.0;
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match text[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let number = digits.trim_end();
    let is_plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number: f64 = number.parse().ok().filter(|_| is_plain)?;
    Some((number * KIB.powi(power)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        let check = |text: &str, bytes: Option<u64>| assert_eq!(size(text), bytes, "{text}");
        check("10", Some(10));
        check("65536k", Some(64 << 20));
        check("1.5 GB", Some(3 << 29));
        check("10MiB", Some(10 << 20));
        check("m", None);
        check("-1", None);
        check("1e3", None);
        check("10x", None);
    }
}
