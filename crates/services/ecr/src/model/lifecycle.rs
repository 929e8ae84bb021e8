//! Lifecycle policies as they are put (ECR guide, "Lifecycle policies"; texts of refusals as seen).

use serde_json::{Map, Value};

use super::matches_glob;

/// Rules of one policy.
const RULES_MAX: usize = 50;
/// Stars of one pattern.
const STARS_MAX: usize = 4;
/// The fewest days that an archived image stays.
const ARCHIVED_DAYS_MIN: u64 = 90;

/// Which tags a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All images.
    Any,
    /// Those without a tag.
    Untagged,
    /// Those that for each of these have a tag that begins so.
    Prefixes(Vec<String>),
    /// Those that for each of these have a tag that fits.
    Patterns(Vec<String>),
}

/// When an image is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// So many newer ones are there.
    MoreThan(u64),
    /// So many days after it was pushed.
    SincePushed(u64),
    /// So many days after it was pulled.
    SincePulled(u64),
    /// So many days after it was archived.
    SinceArchived(u64),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Lower ones come first.
    pub(crate) priority: u32,
    /// About which images.
    pub(crate) selection: Selection,
    /// Whether about archived ones, instead of those that can be pulled.
    pub(crate) is_of_archive: bool,
    /// When it takes them.
    pub(crate) count: Count,
    /// Whether it archives them, instead of deleting.
    pub(crate) archives: bool,
}

impl Rule {
    /// Whether an image with these tags is one of the rule's.
    pub(crate) fn selects(&self, tags: &[String]) -> bool {
        let all = |wanted: &[String], fits: &dyn Fn(&str, &str) -> bool| {
            wanted.iter().all(|wanted| tags.iter().any(|tag| fits(wanted, tag)))
        };
        match &self.selection {
            Selection::Any => true,
            Selection::Untagged => tags.is_empty(),
            Selection::Prefixes(wanted) => all(wanted, &|prefix, tag| tag.starts_with(prefix)),
            Selection::Patterns(wanted) => all(wanted, &|pattern, tag| matches_glob(pattern, tag)),
        }
    }
}

type Read<T> = Result<T, String>;

/// Reads a policy; its rules by priority.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn parse(text: &str) -> Read<Vec<Rule>> {
    let unreadable = || "Could not map policyString into LifecyclePolicy.".to_owned();
    let document: Value = serde_json::from_str(text).map_err(|_| unreadable())?;
    let document = document.as_object().ok_or_else(unreadable)?;
    allow_only(document, &["rules"])?;
    let rules = require(document, "rules")?.as_array().ok_or_else(unreadable)?;
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(format!("a policy has 1 to {RULES_MAX} rules"));
    }
    let mut rules = rules.iter().map(rule).collect::<Read<Vec<_>>>()?;
    rules.sort_by_key(|rule| rule.priority);
    check_together(&rules)?;
    Ok(rules)
}

fn rule(value: &Value) -> Read<Rule> {
    let unreadable = "Could not map policyString into LifecyclePolicy.";
    let rule = value.as_object().ok_or(unreadable)?;
    allow_only(rule, &["rulePriority", "description", "selection", "action"])?;
    let priority = number(rule, "rulePriority", 1)?;
    let priority = u32::try_from(priority).map_err(|_| "rulePriority is too large".to_owned())?;
    let chosen = require(rule, "selection")?.as_object().ok_or(unreadable)?;
    allow_only(
        chosen,
        &[
            "tagStatus",
            "tagPatternList",
            "tagPrefixList",
            "storageClass",
            "countType",
            "countUnit",
            "countNumber",
        ],
    )?;
    let is_of_archive = match chosen.get("storageClass").and_then(Value::as_str) {
        None | Some("standard") => false,
        Some("archive") => true,
        Some(other) => {
            return Err(format!("storageClass '{other}' is neither standard nor archive"));
        }
    };
    let count = count(chosen)?;
    let action = require(rule, "action")?.as_object().ok_or(unreadable)?;
    allow_only(action, &["type", "targetStorageClass"])?;
    let archives = match (text(action, "type")?, action.get("targetStorageClass")) {
        ("expire", None) => false,
        ("expire", Some(_)) => {
            return Err("targetStorageClass goes with transition alone".to_owned());
        }
        ("transition", Some(Value::String(class))) if class == "archive" => true,
        ("transition", _) => return Err("transition needs targetStorageClass archive".to_owned()),
        (other, _) => {
            return Err(format!("action type '{other}' is neither expire nor transition"));
        }
    };
    match (count, archives, is_of_archive) {
        (Count::SincePulled(_), false, _) => {
            return Err("sinceImagePulled goes with transition alone".to_owned());
        }
        (Count::SinceArchived(days), false, true) if days >= ARCHIVED_DAYS_MIN => {}
        (Count::SinceArchived(_), false, true) => {
            return Err(format!(
                "countNumber of sinceImageTransitioned is {ARCHIVED_DAYS_MIN} at least"
            ));
        }
        (Count::SinceArchived(_), ..) => {
            return Err("sinceImageTransitioned needs storageClass archive and expire".to_owned());
        }
        (_, _, true) => return Err("storageClass archive needs sinceImageTransitioned".to_owned()),
        _ => {}
    }
    Ok(Rule { priority, selection: selection(chosen)?, is_of_archive, count, archives })
}

fn count(chosen: &Map<String, Value>) -> Read<Count> {
    let kind = text(chosen, "countType")?;
    let number = number(chosen, "countNumber", 1)?;
    let count = match kind {
        "imageCountMoreThan" => Count::MoreThan(number),
        "sinceImagePushed" => Count::SincePushed(number),
        "sinceImagePulled" => Count::SincePulled(number),
        "sinceImageTransitioned" => Count::SinceArchived(number),
        other => return Err(format!("countType '{other}' is not known")),
    };
    match (count, chosen.get("countUnit").and_then(Value::as_str), chosen.get("countUnit")) {
        (Count::MoreThan(_), _, None) => Ok(count),
        (Count::MoreThan(_), _, Some(_)) => {
            Err("countUnit does not go with imageCountMoreThan".to_owned())
        }
        (_, Some("days"), _) => Ok(count),
        _ => Err(format!("{kind} needs countUnit days")),
    }
}

fn selection(chosen: &Map<String, Value>) -> Read<Selection> {
    let list = |name: &str| -> Read<Option<Vec<String>>> {
        let Some(value) = chosen.get(name) else { return Ok(None) };
        let items = value.as_array().ok_or_else(|| format!("{name} is not a list"))?;
        let texts: Option<Vec<String>> =
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        let texts = texts.filter(|texts| texts.iter().all(|text| !text.is_empty()));
        Ok(Some(texts.ok_or_else(|| format!("{name} has a member that is no text"))?))
            .map(|texts| texts.filter(|texts| !texts.is_empty()))
    };
    let (prefixes, patterns) = (list("tagPrefixList")?, list("tagPatternList")?);
    match (text(chosen, "tagStatus")?, prefixes, patterns) {
        ("any", None, None) => Ok(Selection::Any),
        ("untagged", None, None) => Ok(Selection::Untagged),
        (status @ ("any" | "untagged"), ..) => {
            Err(format!("tagPrefixList and tagPatternList do not go with tagStatus {status}"))
        }
        ("tagged", Some(prefixes), None) => Ok(Selection::Prefixes(prefixes)),
        ("tagged", None, Some(patterns)) => {
            let stars = |text: &String| text.bytes().filter(|b| *b == b'*').count();
            match patterns.iter().find(|text| stars(text) > STARS_MAX) {
                Some(wrong) => Err(format!("'{wrong}' has over {STARS_MAX} wildcards")),
                None => Ok(Selection::Patterns(patterns)),
            }
        }
        ("tagged", ..) => {
            Err("tagStatus tagged needs one of tagPrefixList and tagPatternList".to_owned())
        }
        (other, ..) => Err(format!("tagStatus '{other}' is not known")),
    }
}

/// What no rule can tell by itself.
fn check_together(rules: &[Rule]) -> Read<()> {
    for (index, rule) in rules.iter().enumerate() {
        let others = || rules.iter().skip(index + 1);
        if others().any(|other| other.priority == rule.priority) {
            return Err(format!("rulePriority {} is given twice", rule.priority));
        }
        let is_same_class = |other: &&Rule| other.is_of_archive == rule.is_of_archive;
        let of_class = || others().filter(is_same_class);
        match &rule.selection {
            Selection::Any if of_class().next().is_some() => {
                return Err(
                    "a rule with tagStatus any must have the highest rulePriority".to_owned()
                );
            }
            Selection::Untagged
                if of_class().any(|other| other.selection == Selection::Untagged) =>
            {
                return Err("only one rule may have tagStatus untagged".to_owned());
            }
            Selection::Prefixes(prefixes) => {
                let is_twice = of_class().any(|other| match &other.selection {
                    Selection::Prefixes(others) => others.iter().any(|one| prefixes.contains(one)),
                    _ => false,
                });
                if is_twice {
                    return Err("a prefix may be in one rule only".to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn allow_only(object: &Map<String, Value>, known: &[&str]) -> Read<()> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!(
            "object instance has properties which are not allowed by the schema: ([\"{key}\"])"
        )),
        None => Ok(()),
    }
}

fn require<'a>(object: &'a Map<String, Value>, name: &str) -> Read<&'a Value> {
    object.get(name).ok_or_else(|| format!("object has missing required properties ([\"{name}\"])"))
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Read<&'a str> {
    require(object, name)?.as_str().ok_or_else(|| format!("{name} is not a text"))
}

fn number(object: &Map<String, Value>, name: &str, least: u64) -> Read<u64> {
    let value = require(object, name)?;
    match value.as_i64() {
        Some(found) => match u64::try_from(found).ok().filter(|found| *found >= least) {
            Some(number) => Ok(number),
            None => Err(format!(
                "numeric instance is lower than the required minimum (minimum: {least}, found: {found})"
            )),
        },
        None => Err(format!("{name} is not a whole number")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(change: impl Fn(&mut Value)) -> Value {
        let mut value = json!({"rulePriority": 1, "selection": {"tagStatus": "untagged",
            "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14},
            "action": {"type": "expire"}});
        change(&mut value);
        value
    }

    #[test]
    fn policies_are_read() {
        let text = json!({"rules": [rule(|_| ())]}).to_string();
        let expected = Rule {
            priority: 1,
            selection: Selection::Untagged,
            is_of_archive: false,
            count: Count::SincePushed(14),
            archives: false,
        };
        assert_eq!(parse(&text).unwrap(), [expected]);
    }

    #[test]
    fn mistakes_are_told() {
        let check = |change: &dyn Fn(&mut Value), expected: &str| {
            let told = parse(&json!({"rules": [rule(change)]}).to_string()).unwrap_err();
            assert!(told.contains(expected), "{told}");
        };
        check(&|r| r["x"] = json!(1), "not allowed by the schema: ([\"x\"])");
        check(&|r| r["rulePriority"] = json!(0), "(minimum: 1, found: 0)");
        check(&|r| r["selection"]["countNumber"] = json!(0), "(minimum: 1, found: 0)");
        check(&|r| r["selection"]["tagStatus"] = json!("all"), "is not known");
        check(&|r| r["selection"]["tagStatus"] = json!("tagged"), "needs one of");
        check(&|r| r["selection"]["tagPrefixList"] = json!(["a"]), "do not go with");
        check(&|r| r["selection"]["countType"] = json!("imageCountMoreThan"), "does not go with");
        check(&|r| r["selection"]["countUnit"] = json!("hours"), "needs countUnit days");
        check(&|r| r["selection"]["countType"] = json!("sinceImagePulled"), "transition alone");
        check(
            &|r| r["selection"]["countType"] = json!("sinceImageTransitioned"),
            "needs storageClass",
        );
        check(&|r| r["action"] = json!({"type": "transition"}), "needs targetStorageClass");
        check(&|r| r["action"] = json!({}), "missing required properties ([\"type\"])");
        let five = |r: &mut Value| {
            r["selection"]["tagStatus"] = json!("tagged");
            r["selection"]["tagPatternList"] = json!(["*a*b*c*d*"]);
        };
        check(&five, "over 4 wildcards");
        let both = |a: Value, b: Value| parse(&json!({"rules": [a, b]}).to_string()).unwrap_err();
        assert!(both(rule(|_| ()), rule(|_| ())).contains("given twice"));
        let second = || rule(|r| r["rulePriority"] = json!(2));
        assert!(both(rule(|_| ()), second()).contains("only one rule may have"));
        let any = rule(|r| r["selection"]["tagStatus"] = json!("any"));
        assert!(both(any, second()).contains("highest rulePriority"));
        assert!(parse("{}").unwrap_err().contains("([\"rules\"])"));
        assert!(parse("[").unwrap_err().contains("Could not map"));
        assert!(parse(r#"{"rules":[]}"#).unwrap_err().contains("1 to 50"));
    }
}
