//! Policies of parameters: what they may say, and when one ends its parameter.

use serde::Deserialize;
use terms::Timestamp;

use super::error::Error;

/// The most policies of a parameter.
const POLICIES_MAX: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    attributes: serde_json::Map<String, serde_json::Value>,
}

fn read(text: &str) -> Result<Vec<Policy>, Error> {
    serde_json::from_str(text).map_err(|_| {
        Error::PolicyAttribute(
            "The policies are no JSON list of Type, Version and Attributes.".into(),
        )
    })
}

/// Refuses what no policy can be.
pub(super) fn check(text: Option<&str>) -> Result<(), Error> {
    let Some(text) = text else { return Ok(()) };
    let policies = read(text)?;
    if policies.len() > POLICIES_MAX {
        return Err(Error::TooManyPolicies);
    }
    for policy in &policies {
        let attribute = |name: &str| policy.attributes.get(name).and_then(|value| value.as_str());
        let wrong = |name: &str| {
            Err(Error::PolicyAttribute(format!(
                "The policy attribute isn't valid: {name} of {}",
                policy.kind
            )))
        };
        match policy.kind.as_str() {
            "Expiration" => {
                if attribute("Timestamp").and_then(instant).is_none() {
                    return wrong("Timestamp");
                }
            }
            "ExpirationNotification" | "NoChangeNotification" => {
                let name = if policy.kind.starts_with('E') { "Before" } else { "After" };
                let count = attribute(name).and_then(|text| text.parse::<u32>().ok());
                if count.is_none() || !matches!(attribute("Unit"), Some("Days" | "Hours")) {
                    return wrong(name);
                }
            }
            other => return Err(Error::PolicyType(other.to_owned())),
        }
    }
    Ok(())
}

/// When a policy ends the parameter.
pub(super) fn expiration(text: Option<&str>) -> Option<Timestamp> {
    let policies = read(text?).ok()?;
    let ends = policies.iter().filter(|policy| policy.kind == "Expiration");
    ends.filter_map(|policy| instant(policy.attributes.get("Timestamp")?.as_str()?)).min()
}

/// The policies one by one, with their types.
pub(super) fn parts(text: &str) -> Vec<(String, String)> {
    let list: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    let part = |policy: &serde_json::Value| {
        let kind = policy["Type"].as_str().unwrap_or_default();
        (kind.to_owned(), policy.to_string())
    };
    list.iter().map(part).collect()
}

/// An instant in ISO 8601: `2030-12-02T21:34:33.000Z`, or with an offset.
fn instant(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T')?;
    let mut parts = date.splitn(3, '-');
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (year, month, day) = (number()?, number()?, number()?);
    let zone_at = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let mut parts = clock.splitn(3, ':');
    let mut number = || parts.next().map_or(Some(0.0), |text| text.parse::<f64>().ok());
    let (hours, minutes, seconds) = (number()?, number()?, number()?);
    let is_date = (1970..=9999).contains(&year) && (1..=12).contains(&month);
    let is_time = (0.0..24.0).contains(&hours) && (0.0..60.0).contains(&minutes);
    if !is_date || !(1..=31).contains(&day) || !is_time || !(0.0..61.0).contains(&seconds) {
        return None;
    }
    let offset_s = match zone {
        "Z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
            let number: i64 = (digits.len() == 4).then(|| digits.parse().ok())??;
            sign * (number / 100 * 3600 + number % 100 * 60)
        }
    };
    let days = days_of(year, month, day);
    let of_day_ms = ((hours * 3600.0 + minutes * 60.0 + seconds) * 1000.0).round();
    // Bounded above, so nothing is lost.
    #[allow(clippy::cast_possible_truncation)]
    let millis = days * 86_400_000 + of_day_ms as i64 - offset_s * 1000;
    Some(Timestamp::from_millis(millis))
}

/// Days from 1970-01-01 in the Gregorian calendar.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(instant(text).map(|at| at.to_string()).as_deref(), expected, "{text}");
        };
        check("2030-12-02T21:34:33.000Z", Some("2030-12-02T21:34:33.000Z"));
        check("2028-02-29T00:00:00Z", Some("2028-02-29T00:00:00.000Z"));
        check("2030-01-01T01:30:00+02:00", Some("2029-12-31T23:30:00.000Z"));
        check("2030-01-01T01:30-0100", Some("2030-01-01T02:30:00.000Z"));
        check("2030-01-01", None);
        check("2030-13-01T00:00:00Z", None);
        check("soon", None);
    }

    #[test]
    fn policies_are_checked() {
        let check = |text: &str, refusal: &str| match check(Some(text)) {
            Ok(()) => assert_eq!(refusal, ""),
            Err(error) => assert!(error.to_string().contains(refusal), "{error}"),
        };
        let ends = r#"[{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2030-12-02T21:34:33.000Z"}}]"#;
        check(ends, "");
        assert_eq!(expiration(Some(ends)).unwrap().to_string(), "2030-12-02T21:34:33.000Z");
        check(r#"[{"Type":"NoChangeNotification","Attributes":{"After":"20","Unit":"Days"}}]"#, "");
        check(r#"[{"Type":"Expiration","Attributes":{}}]"#, "Timestamp of Expiration");
        check(r#"[{"Type":"Rotation"}]"#, "isn't supported: Rotation");
        check("{}", "no JSON list");
    }
}
