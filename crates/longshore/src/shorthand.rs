//! The aws CLI's shorthand for structured arguments (AWS CLI User Guide, "Using shorthand syntax").

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// How deep structures may be nested.
const DEPTH_MAX: usize = 16;

/// A list of objects in JSON or in the aws CLI's shorthand, `type=T,field=F`. The last member's
/// value may have commas: an expression often does.
///
/// # Errors
/// What is neither, by name.
pub fn list(values: &[String]) -> Result<Value> {
    let mut list = Vec::new();
    for value in values {
        if value.trim_start().starts_with(['[', '{']) {
            let value: Value =
                serde_json::from_str(value).with_context(|| format!("no JSON: {value}"))?;
            match value {
                Value::Array(items) => list.extend(items),
                item => list.push(item),
            }
            continue;
        }
        let (first, rest) = match value.split_once(',') {
            Some((first, rest)) => (first, Some(rest)),
            None => (value.as_str(), None),
        };
        let mut item = Map::new();
        for pair in [Some(first), rest].into_iter().flatten() {
            let Some((member, value)) = pair.split_once('=') else {
                bail!("'{pair}' is not MEMBER=VALUE, as in type=spread,field=instanceId");
            };
            item.insert(member.trim().to_owned(), value.into());
        }
        list.push(item.into());
    }
    Ok(list.into())
}

/// An object in JSON or in shorthand: `a=b,c=[d,e],f={g=h}`.
///
/// # Errors
/// Where the text is neither, and what was expected there.
pub fn object(text: &str) -> Result<Value> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).with_context(|| format!("no JSON: {text}"));
    }
    let mut reader = Reader { text, at: 0 };
    let members = reader.members(0)?;
    if reader.at < text.len() {
        return Err(reader.expected("',' or the end"));
    }
    Ok(members)
}

/// The items of a capacity provider strategy in JSON or in shorthand: their bases and weights are
/// numbers.
///
/// # Errors
/// As [`object`], and where a number is none.
pub fn capacity_strategy(values: &[String]) -> Result<Value> {
    let mut items = Vec::new();
    for value in values {
        if value.trim_start().starts_with('[') {
            let list: Vec<Value> =
                serde_json::from_str(value).with_context(|| format!("no JSON: {value}"))?;
            items.extend(list);
            continue;
        }
        let mut item = object(value)?;
        for member in ["base", "weight"] {
            let Some(text) = item[member].as_str() else { continue };
            let number: u32 =
                text.parse().with_context(|| format!("{member} '{text}' is no number"))?;
            item[member] = number.into();
        }
        items.push(item);
    }
    Ok(items.into())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn expected(&self, what: &str) -> anyhow::Error {
        anyhow::anyhow!("at byte {} of '{}': expected {what}", self.at, self.text)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Whether `mark` comes next; it is read then.
    fn takes(&mut self, mark: char) -> bool {
        self.skip_spaces();
        let is_next = self.rest().starts_with(mark);
        self.at += if is_next { mark.len_utf8() } else { 0 };
        is_next
    }

    /// Text up to one of `ends`.
    fn word(&mut self, ends: &[char]) -> String {
        let length = self.rest().find(ends).unwrap_or(self.rest().len());
        let word = self.rest()[..length].trim().to_owned();
        self.at += length;
        word
    }

    fn members(&mut self, depth: usize) -> Result<Value> {
        let mut members = Map::new();
        loop {
            let name = self.word(&['=', ',', '}', ']']);
            if name.is_empty() || !self.takes('=') {
                return Err(self.expected("'='"));
            }
            members.insert(name, self.value(depth)?);
            if !self.takes(',') {
                return Ok(members.into());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth == DEPTH_MAX {
            bail!("'{}' is nested more than {DEPTH_MAX} deep", self.text);
        }
        if self.takes('{') {
            let members = self.members(depth + 1)?;
            return if self.takes('}') { Ok(members) } else { Err(self.expected("',' or '}'")) };
        }
        if self.takes('[') {
            let mut items = Vec::new();
            while !self.takes(']') {
                items.push(self.value(depth + 1)?);
                if !self.takes(',') && !self.rest().starts_with(']') {
                    return Err(self.expected("',' or ']'"));
                }
            }
            return Ok(items.into());
        }
        for quote in ['\'', '"'] {
            if self.takes(quote) {
                let word = self.rest().find(quote).map(|length| self.rest()[..length].to_owned());
                let Some(word) = word else {
                    self.at = self.text.len();
                    return Err(self.expected("a closing quote"));
                };
                self.at += word.len() + quote.len_utf8();
                return Ok(word.into());
            }
        }
        Ok(self.word(&[',', ']', '}']).into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(values: &[&str], expected: &Value) {
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        let got = list(&values).unwrap_or_else(|error| json!(error.to_string()));
        assert_eq!(got, *expected, "{values:?}");
    }

    #[test]
    fn lists_are_read_as_the_aws_cli_reads_them() {
        let spread = json!({"type": "spread", "field": "attribute:ecs.availability-zone"});
        let text = "type=spread,field=attribute:ecs.availability-zone";
        check(&[text], &json!([spread]));
        check(&[text, "type=random"], &json!([spread, {"type": "random"}]));
        check(&[r#"[{"type": "random"}]"#, text], &json!([{"type": "random"}, spread]));
        check(&[r#"{"type": "random"}"#], &json!([{"type": "random"}]));
        let expression = "attribute:zone in [a, b] and task:group != x";
        check(
            &[&format!("type=memberOf,expression={expression}")],
            &json!([{"type": "memberOf", "expression": expression}]),
        );
        check(
            &["spread"],
            &json!("'spread' is not MEMBER=VALUE, as in type=spread,field=instanceId"),
        );
    }

    #[test]
    fn objects_are_read_as_the_aws_cli_reads_them() {
        let check = |text: &str, expected: Value| {
            let got = object(text).unwrap_or_else(|error| json!(format!("{error:#}")));
            assert_eq!(got, expected, "{text}");
        };
        let network = |subnets: &[&str]| json!({"awsvpcConfiguration": {"subnets": subnets}});
        check("awsvpcConfiguration={subnets=[a]}", network(&["a"]));
        check("awsvpcConfiguration={subnets=[a, b]}", network(&["a", "b"]));
        check("awsvpcConfiguration={subnets=[]}", network(&[]));
        check("awsvpcConfiguration={subnets=['a,b']}", network(&["a,b"]));
        check(
            "awsvpcConfiguration={subnets=[a],securityGroups=[g],assignPublicIp=DISABLED}",
            json!({"awsvpcConfiguration": {
                "subnets": ["a"], "securityGroups": ["g"], "assignPublicIp": "DISABLED",
            }}),
        );
        check(r#"{"awsvpcConfiguration": {"subnets": ["a"]}}"#, network(&["a"]));
        check("x", json!("at byte 1 of 'x': expected '='"));
        check("a=[b", json!("at byte 4 of 'a=[b': expected ',' or ']'"));
        check("a={b=c", json!("at byte 6 of 'a={b=c': expected ',' or '}'"));
        check("a=b}", json!("at byte 3 of 'a=b}': expected ',' or the end"));
        check("a='b", json!("at byte 4 of 'a='b': expected a closing quote"));
        let deep = format!("a={}", "[".repeat(100));
        check(&deep, json!(format!("'{deep}' is nested more than 16 deep")));
    }

    #[test]
    fn strategies_have_numbers() {
        let check = |values: &[&str], expected: &Value| {
            let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
            let got = capacity_strategy(&values).unwrap_or_else(|error| json!(error.to_string()));
            assert_eq!(got, *expected, "{values:?}");
        };
        let own = json!({"capacityProvider": "own", "base": 2, "weight": 1});
        let spot = json!({"capacityProvider": "spot"});
        let text = "capacityProvider=own,base=2,weight=1";
        check(&[text, "capacityProvider=spot"], &json!([own, spot]));
        check(&[&json!([own, spot]).to_string()], &json!([own, spot]));
        check(&[&own.to_string()], &json!([own]));
        check(&["capacityProvider=own,weight=x"], &json!("weight 'x' is no number"));
    }
}
