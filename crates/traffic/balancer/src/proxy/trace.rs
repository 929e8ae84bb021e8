//! X-Amzn-Trace-Id (Application Load Balancer guide, "Request tracing").

use http::HeaderValue;

use crate::random;

/// Longer ones are begun anew, in bytes.
const LENGTH_MAX: usize = 7 * 1024;

/// The header that goes to the target, from the one that came. `seconds` are since 1970.
pub(super) fn next(came: Option<&HeaderValue>, seconds: i64) -> HeaderValue {
    let text = next_text(came.and_then(|value| value.to_str().ok()), seconds);
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The same as a text.
pub(super) fn next_text(came: Option<&str>, seconds: i64) -> String {
    let id = || {
        let mut id = format!("1-{seconds:08x}-");
        hex(&mut id, random::number(), 16);
        hex(&mut id, random::number(), 8);
        id
    };
    let came = came.filter(|text| text.len() <= LENGTH_MAX);
    match came {
        Some(text) if text.split(';').any(|field| field.trim().starts_with("Root=")) => {
            let kept = text.split(';').map(str::trim).filter(|field| !field.is_empty());
            let kept: Vec<&str> = kept.filter(|field| !field.starts_with("Self=")).collect();
            format!("Self={};{}", id(), kept.join(";"))
        }
        Some(text) if !text.trim().is_empty() => format!("Root={};{}", id(), text.trim()),
        _ => "Root=".to_owned() + &id(),
    }
}

/// So many of a number's digits, in the way that is taken with each request.
fn hex(out: &mut String, number: u64, digits: u32) {
    for at in (0..digits).rev() {
        let digit = u32::try_from(number >> (4 * at) & 0xf).unwrap_or_default();
        out.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_kept_and_self_is_new() {
        let told = |text: &'static str| {
            let value = next(Some(&HeaderValue::from_static(text)), 0x6600_0000);
            value.to_str().expect("text").to_owned()
        };
        let fresh = next(None, 0x6600_0000);
        let fresh = fresh.to_str().expect("text");
        assert!(fresh.starts_with("Root=1-66000000-"), "{fresh}");
        assert_eq!(fresh.len(), "Root=1-66000000-".len() + 24);
        let kept = told("Self=1-0-0;Root=1-5-6;calls=2");
        assert!(kept.starts_with("Self=1-66000000-") && kept.ends_with(";Root=1-5-6;calls=2"));
        assert_eq!(kept.matches("Self=").count(), 1);
        assert!(told("calls=2").ends_with(";calls=2"));
    }
}
