//! X-Amzn-Trace-Id (Application Load Balancer guide, "Request tracing").

use http::HeaderValue;

use crate::random;

/// Longer ones are begun anew, in bytes.
const LENGTH_MAX: usize = 7 * 1024;

/// The header that goes to the target, from the one that came. `seconds` are since 1970.
pub(super) fn next(came: Option<&HeaderValue>, seconds: i64) -> HeaderValue {
    let mut text = Vec::new();
    write_next(&mut text, came.and_then(|value| value.to_str().ok()), seconds);
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The same behind what there is.
pub(super) fn write_next(out: &mut Vec<u8>, came: Option<&str>, seconds: i64) {
    let came = came.filter(|text| text.len() <= LENGTH_MAX).map(str::trim);
    match came {
        Some(text) if text.split(';').any(|field| field.trim().starts_with("Root=")) => {
            out.extend_from_slice(b"Self=");
            id(out, seconds);
            let kept = text.split(';').map(str::trim).filter(|field| !field.is_empty());
            for field in kept.filter(|field| !field.starts_with("Self=")) {
                out.push(b';');
                out.extend_from_slice(field.as_bytes());
            }
        }
        Some(text) if !text.is_empty() => {
            out.extend_from_slice(b"Root=");
            id(out, seconds);
            out.push(b';');
            out.extend_from_slice(text.as_bytes());
        }
        _ => {
            out.extend_from_slice(b"Root=");
            id(out, seconds);
        }
    }
}

/// A new one's, by chance.
fn id(out: &mut Vec<u8>, seconds: i64) {
    out.extend_from_slice(b"1-");
    hex(out, seconds.cast_unsigned(), 8);
    out.push(b'-');
    hex(out, random::number(), 16);
    hex(out, random::number(), 8);
}

/// So many of a number's digits, in the way that is taken with each request.
fn hex(out: &mut Vec<u8>, number: u64, digits: u32) {
    for at in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (4 * at) & 0xf) as usize]);
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
