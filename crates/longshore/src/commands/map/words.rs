//! Conditions and actions of rules in a few words. Pure.

use serde_json::Value;

use crate::api::text;

/// What a request must be for the rule to take it.
pub fn condition(condition: &Value) -> String {
    let config = |name: &str| &condition[name];
    match text(condition, "Field") {
        "host-header" => format!("host {}", values(condition, config("HostHeaderConfig"))),
        "path-pattern" => format!("path {}", values(condition, config("PathPatternConfig"))),
        "http-request-method" => values(condition, config("HttpRequestMethodConfig")),
        "source-ip" => format!("from {}", values(condition, config("SourceIpConfig"))),
        "http-header" => {
            let header = config("HttpHeaderConfig");
            format!("{}: {}", text(header, "HttpHeaderName"), values(condition, header))
        }
        "query-string" => {
            let pairs = config("QueryStringConfig")["Values"].as_array().into_iter().flatten();
            let pair = |pair: &Value| match text(pair, "Key") {
                "" => text(pair, "Value").to_owned(),
                key => format!("{key}={}", text(pair, "Value")),
            };
            format!("query {}", pairs.map(pair).collect::<Vec<_>>().join(" or "))
        }
        other => other.to_owned(),
    }
}

/// The values of a condition, those of its own form first, with regular expressions marked so.
fn values(condition: &Value, config: &Value) -> String {
    let texts = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let mut all = texts(&config["Values"]);
    if all.is_empty() {
        all = texts(&condition["Values"]);
    }
    all.extend(texts(&config["RegexValues"]).into_iter().map(|one| format!("/{one}/")));
    all.join(" or ")
}

/// What an action other than forwarding does.
pub fn answer(action: &Value) -> String {
    match text(action, "Type") {
        "redirect" => {
            let to = &action["RedirectConfig"];
            let part = |member: &str, default: &str| match text(to, member) {
                "" => default.to_owned(),
                said => said.to_owned(),
            };
            let (protocol, host) = (part("Protocol", "#{protocol}"), part("Host", "#{host}"));
            let url = format!(
                "{protocol}://{host}:{}{}",
                part("Port", "#{port}"),
                part("Path", "/#{path}")
            );
            format!(
                "redirect to {} ({})",
                url.to_lowercase(),
                text(to, "StatusCode").trim_start_matches("HTTP_")
            )
        }
        "fixed-response" => {
            format!("answer {}", text(&action["FixedResponseConfig"], "StatusCode"))
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_told_in_a_few_words() {
        let check = |told: Value, expected: &str| assert_eq!(condition(&told), expected);
        check(json!({"Field": "path-pattern", "Values": ["/api/*"]}), "path /api/*");
        let hosts = json!({"Field": "host-header", "HostHeaderConfig": {"Values": ["a", "b"]}});
        check(hosts, "host a or b");
        let path = json!({"RegexValues": ["^/v[0-9]"]});
        check(json!({"Field": "path-pattern", "PathPatternConfig": path}), "path /^/v[0-9]/");
        let header = json!({"HttpHeaderName": "X-Beta", "Values": ["1"]});
        check(json!({"Field": "http-header", "HttpHeaderConfig": header}), "X-Beta: 1");
        let pairs = json!({"Values": [{"Key": "a", "Value": "1"}, {"Value": "b*"}]});
        check(json!({"Field": "query-string", "QueryStringConfig": pairs}), "query a=1 or b*");
        let methods = json!({"Field": "http-request-method",
            "HttpRequestMethodConfig": {"Values": ["GET"]}});
        check(methods, "GET");
    }

    #[test]
    fn answers_are_told_in_a_few_words() {
        let check = |told: Value, expected: &str| assert_eq!(answer(&told), expected);
        let redirect = json!({"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"});
        check(
            json!({"Type": "redirect", "RedirectConfig": redirect}),
            "redirect to https://#{host}:443/#{path} (301)",
        );
        let fixed = json!({"StatusCode": "410"});
        check(json!({"Type": "fixed-response", "FixedResponseConfig": fixed}), "answer 410");
    }
}
