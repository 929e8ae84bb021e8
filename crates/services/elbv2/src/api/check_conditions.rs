//! Conditions of rules: checked, and kept as they are shown (API reference, `RuleCondition`;
//! Application Load Balancer guide, "Condition types").

use shapes_elbv2 as shapes;

use super::limits;
use crate::error::Error;

/// Longest value, in characters.
const VALUE_MAX: usize = 128;
/// Longest name of a header, and longest method.
const NAME_MAX: usize = 40;
/// Fields that a rule may have once only.
const ONCE: [&str; 4] = ["host-header", "path-pattern", "http-request-method", "source-ip"];
/// The address that stands for no address.
const NOWHERE: &str = "255.255.255.255/32";

/// The values of a condition in whichever way it gives them.
enum Given<'a> {
    Patterns(&'a [String]),
    Regexes(&'a [String]),
}

/// The conditions of a request as they are stored.
pub(super) fn conditions(
    wanted: &[shapes::RuleCondition],
) -> Result<Vec<shapes::RuleCondition>, Error> {
    if wanted.is_empty() {
        return Err(Error::invalid("At least one condition must be specified"));
    }
    let mut seen: Vec<&str> = Vec::new();
    let (mut values, mut wildcards) = (0, 0);
    let mut stored = Vec::new();
    for condition in wanted {
        let field = condition.field.as_deref().unwrap_or_default();
        if ONCE.contains(&field) && seen.contains(&field) {
            return Err(Error::invalid(format!("A rule can only have one '{field}' condition")));
        }
        seen.push(field);
        let checked = check(condition, field)?;
        values += checked.values;
        wildcards += checked.wildcards;
        stored.push(checked.condition);
    }
    if values > limits::VALUES {
        return Err(Error::invalid(format!(
            "A rule can only have '{}' condition values",
            limits::VALUES
        )));
    }
    if wildcards > limits::WILDCARDS {
        return Err(Error::invalid(format!(
            "A rule can only have '{}' wildcards",
            limits::WILDCARDS
        )));
    }
    Ok(stored)
}

struct Checked {
    condition: shapes::RuleCondition,
    values: usize,
    wildcards: usize,
}

fn check(wanted: &shapes::RuleCondition, field: &str) -> Result<Checked, Error> {
    let mut condition = wanted.clone();
    let counted = match field {
        "host-header" => {
            check_plain(wanted, field, wanted.host_header_config.is_some())?;
            let config = condition.host_header_config.as_ref();
            let (values, regexes) = match config {
                Some(config) => (config.values.as_deref(), config.regex_values.as_deref()),
                None => (wanted.values.as_deref(), wanted.regex_values.as_deref()),
            };
            let given = given(values, regexes)?;
            let counted = count(field, &given, is_host)?;
            let (values, regex_values) = owned(&given);
            condition.host_header_config =
                Some(shapes::HostHeaderConditionConfig { values, regex_values });
            counted
        }
        "path-pattern" => {
            check_plain(wanted, field, wanted.path_pattern_config.is_some())?;
            let config = condition.path_pattern_config.as_ref();
            let (values, regexes) = match config {
                Some(config) => (config.values.as_deref(), config.regex_values.as_deref()),
                None => (wanted.values.as_deref(), wanted.regex_values.as_deref()),
            };
            let given = given(values, regexes)?;
            let counted = count(field, &given, is_path)?;
            let (values, regex_values) = owned(&given);
            condition.path_pattern_config =
                Some(shapes::PathPatternConditionConfig { values, regex_values });
            counted
        }
        "http-header" => http_header(wanted)?,
        "http-request-method" => method(wanted)?,
        "query-string" => query(wanted)?,
        "source-ip" => source(wanted)?,
        other => {
            return Err(Error::invalid(format!(
                "Condition field '{other}' must be one of '[path-pattern, host-header, http-header, http-request-method, query-string, source-ip]'"
            )));
        }
    };
    if let (Some((values, regexes)), true) = (simple(&condition), ONCE[..2].contains(&field)) {
        (condition.values, condition.regex_values) = (values, regexes);
    }
    Ok(Checked { condition, values: counted.0, wildcards: counted.1 })
}

/// The older way to write the two simple ones is for one value (API reference, `RuleCondition`).
fn check_plain(wanted: &shapes::RuleCondition, field: &str, has_config: bool) -> Result<(), Error> {
    let count = wanted.values.as_ref().map_or(0, Vec::len);
    match count > 1 && !has_config {
        true => Err(Error::invalid(format!(
            "The '{field}' field contains too many values; the limit is '1'"
        ))),
        false => Ok(()),
    }
}

/// Simple conditions are shown in both ways.
type Shown = (Option<Vec<String>>, Option<Vec<String>>);

fn simple(condition: &shapes::RuleCondition) -> Option<Shown> {
    let host = condition.host_header_config.as_ref();
    let host = host.map(|config| (config.values.clone(), config.regex_values.clone()));
    let path = condition.path_pattern_config.as_ref();
    host.or_else(|| path.map(|config| (config.values.clone(), config.regex_values.clone())))
}

fn owned(given: &Given<'_>) -> Shown {
    match given {
        Given::Patterns(values) => (Some(values.to_vec()), None),
        Given::Regexes(values) => (None, Some(values.to_vec())),
    }
}

fn given<'a>(
    values: Option<&'a [String]>,
    regexes: Option<&'a [String]>,
) -> Result<Given<'a>, Error> {
    let values = values.filter(|values| !values.is_empty());
    let regexes = regexes.filter(|values| !values.is_empty());
    match (values, regexes) {
        (Some(values), None) => Ok(Given::Patterns(values)),
        (None, Some(regexes)) => Ok(Given::Regexes(regexes)),
        (None, None) => Err(Error::invalid("A condition value must be specified")),
        (Some(_), Some(_)) => {
            Err(Error::invalid("'Values' and 'RegexValues' cannot be specified together"))
        }
    }
}

/// How many values and wildcards there are, if all are right.
fn count(
    field: &str,
    given: &Given<'_>,
    is_right: fn(&str) -> bool,
) -> Result<(usize, usize), Error> {
    let (Given::Patterns(all) | Given::Regexes(all)) = given;
    let is_wildcard = |c: &char| matches!(c, '*' | '?');
    let mut wildcards = 0;
    for value in *all {
        check_length(field, value, VALUE_MAX)?;
        match given {
            Given::Patterns(_) if !is_right(value) => {
                return Err(Error::invalid(format!("The {field} value '{value}' is not valid")));
            }
            Given::Patterns(_) => wildcards += value.chars().filter(is_wildcard).count(),
            Given::Regexes(_) => check_regex(field, value)?,
        }
    }
    Ok((all.len(), wildcards))
}

/// The dialect has no look-around, back-references or Unicode classes.
fn check_regex(field: &str, value: &str) -> Result<(), Error> {
    let unicode = value.contains("\\p") || value.contains("\\P");
    match regex::Regex::new(value) {
        Ok(_) if !unicode => Ok(()),
        _ => Err(Error::invalid(format!("The {field} regex value '{value}' is not valid"))),
    }
}

fn check_length(field: &str, value: &str, max: usize) -> Result<(), Error> {
    match value.len() {
        0 => Err(Error::invalid("A condition value must be specified")),
        length if length > max => {
            Err(Error::invalid(format!("The '{field}' value is too long; the limit is '{max}'")))
        }
        _ => Ok(()),
    }
}

/// Names with a dot whose last label has letters alone, with wildcards.
fn is_host(value: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"-.*?".contains(&byte);
    let last = value.rsplit_once('.').map(|(_, last)| last);
    let letters =
        |last: &str| last.bytes().all(|byte| byte.is_ascii_alphabetic() || b"*?".contains(&byte));
    value.bytes().all(is_one) && last.is_some_and(letters)
}

fn is_path(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.$/~\"'@:+&*?%;=!,()#".contains(&byte))
}

fn is_visible(value: &str) -> bool {
    value.bytes().all(|byte| (b' '..0x7f).contains(&byte))
}

fn http_header(wanted: &shapes::RuleCondition) -> Result<(usize, usize), Error> {
    let field = "http-header";
    no_plain(wanted, field)?;
    let config = wanted.http_header_config.as_ref();
    let missing = || Error::invalid("A 'HttpHeaderConfig' must be specified with 'http-header'");
    let config = config.ok_or_else(missing)?;
    let name = config.http_header_name.as_deref().unwrap_or_default();
    check_length("HttpHeaderName", name, NAME_MAX)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+.^_`|~-".contains(&byte);
    if !name.bytes().all(is_token) || name.eq_ignore_ascii_case("host") {
        return Err(Error::invalid(format!("The header name '{name}' is not valid")));
    }
    let given = given(config.values.as_deref(), config.regex_values.as_deref())?;
    count(field, &given, is_visible)
}

fn method(wanted: &shapes::RuleCondition) -> Result<(usize, usize), Error> {
    let field = "http-request-method";
    no_plain(wanted, field)?;
    let config = wanted.http_request_method_config.as_ref();
    let values = config.and_then(|config| config.values.as_deref()).unwrap_or_default();
    if values.is_empty() {
        return Err(Error::invalid(
            "A 'HttpRequestMethodConfig' must be specified with 'http-request-method'",
        ));
    }
    for value in values {
        check_length(field, value, NAME_MAX)?;
        let is_one = |byte: u8| byte.is_ascii_uppercase() || b"-_".contains(&byte);
        if !value.bytes().all(is_one) {
            return Err(Error::invalid(format!(
                "The '{field}' value is invalid; the allowed characters are A-Z, hyphen and underscore"
            )));
        }
    }
    Ok((values.len(), 0))
}

fn query(wanted: &shapes::RuleCondition) -> Result<(usize, usize), Error> {
    let field = "query-string";
    no_plain(wanted, field)?;
    let config = wanted.query_string_config.as_ref();
    let pairs = config.and_then(|config| config.values.as_deref()).unwrap_or_default();
    if pairs.is_empty() {
        return Err(Error::invalid("A 'QueryStringConfig' must be specified with 'query-string'"));
    }
    let mut wildcards = 0;
    for pair in pairs {
        let value = pair.value.as_deref().unwrap_or_default();
        if value.is_empty() {
            return Err(Error::invalid("A 'Value' must be specified in 'QueryStringKeyValuePair'"));
        }
        let key = pair.key.as_deref().unwrap_or_default();
        if !key.is_empty() {
            check_length("Key", key, VALUE_MAX)?;
        }
        check_length("Value", value, VALUE_MAX)?;
        if !is_visible(key) || !is_visible(value) {
            return Err(Error::invalid(format!("The {field} value '{key}={value}' is not valid")));
        }
        wildcards += key.chars().chain(value.chars()).filter(|c| matches!(c, '*' | '?')).count();
    }
    Ok((pairs.len(), wildcards))
}

fn source(wanted: &shapes::RuleCondition) -> Result<(usize, usize), Error> {
    let field = "source-ip";
    no_plain(wanted, field)?;
    let config = wanted.source_ip_config.as_ref();
    if config.is_some_and(|config| config.ip_address_type.is_some()) {
        return Err(Error::not_built("CreateRule", "IpAddressType in SourceIpConfig"));
    }
    let values = config.and_then(|config| config.values.as_deref()).unwrap_or_default();
    if config.is_none() {
        return Err(Error::invalid("A 'SourceIpConfig' must be specified with 'source-ip'"));
    }
    if values.is_empty() {
        return Err(Error::invalid("A 'source-ip' value must be specified"));
    }
    for value in values {
        if value == NOWHERE || balancer::Cidr::parse(value).is_none() {
            return Err(Error::invalid(format!(
                "The {field} value '{value}' must be in CIDR format"
            )));
        }
    }
    Ok((values.len(), 0))
}

/// Only the two simple fields take plain values.
fn no_plain(wanted: &shapes::RuleCondition, field: &str) -> Result<(), Error> {
    let has = |values: &Option<Vec<String>>| values.as_ref().is_some_and(|all| !all.is_empty());
    if has(&wanted.values) {
        return Err(Error::invalid(format!("The 'Values' field is not compatible with '{field}'")));
    }
    match has(&wanted.regex_values) {
        true => {
            Err(Error::invalid(format!("The 'RegexValues' field is not compatible with '{field}'")))
        }
        false => Ok(()),
    }
}
