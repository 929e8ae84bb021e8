//! Making parameters, and giving them new versions.

use std::collections::BTreeMap;

use ledger::Tx;
use regex::Regex;
use shapes_ssm as shapes;
use wire::Context;

use super::error::Error;
use super::model::{Kind, Parameter, ParameterVersion, Tier};
use super::{name, policies, tags};
use crate::hidden::Hidden;
use crate::tables::NameKey;
use crate::{Scope, Secrets, Tables};

/// The most parameters of an account in a region: those of both tiers.
const PARAMETERS_MAX: usize = 110_000;
/// The most versions of a parameter; the oldest goes.
const VERSIONS_MAX: usize = 100;
/// The key of a SecureString that names none.
const KEY_DEFAULT: &str = "alias/aws/ssm";
/// The largest regular expression, compiled, in bytes.
const PATTERN_MAX_BYTES: usize = 1 << 20;

impl Secrets {
    /// Makes a parameter, or a new version of one.
    pub(super) async fn put_parameter(
        &self,
        context: Context,
        input: shapes::PutParameterRequest,
    ) -> Result<shapes::PutParameterResult, Error> {
        let scope = Scope::of(&context);
        let name = name::checked(&scope, &input.name)?.to_owned();
        check(&input)?;
        let new_tags = tags::of(input.tags.as_deref().unwrap_or_default())?;
        let wish = Wish { input, tags: new_tags, by: context.caller.arn.clone() };
        let twin = name::twin(&name).map(|twin| (scope.clone(), twin));
        let key = (scope, name);
        let tables = self.tables;
        let is_crowded = self.ledger.snapshot().len(&tables.parameters) >= PARAMETERS_MAX;
        let done = self.ledger.transact("put parameter", |tx| {
            let now = tx.now();
            let is_there = |key: &NameKey| {
                tx.get(&tables.parameters, key).filter(|parameter| !parameter.is_over(now))
            };
            let there = is_there(&key);
            if there.is_none() && twin.as_ref().is_some_and(|twin| is_there(twin).is_some()) {
                return Err(Error::Exists);
            }
            match there {
                Some(row) => wish.overwrite(tx, &tables, &key, Parameter::clone(&row)),
                None if is_crowded && is_full(tx, &tables, &key.0) => Err(Error::TooMany),
                None => {
                    // One that has expired may not have been taken away yet.
                    super::remove(tx, &tables, &key);
                    wish.create(tx, &tables, &key)
                }
            }
        });
        let (number, tier) = done.await?.value;
        Ok(shapes::PutParameterResult {
            tier: Some(tier.shape()),
            version: i64::try_from(number).ok(),
        })
    }
}

fn is_full(tx: &Tx<'_>, tables: &Tables, scope: &Scope) -> bool {
    tx.prefix(&tables.parameters, scope).count() >= PARAMETERS_MAX
}

/// What can be said without knowing what is there.
fn check(input: &shapes::PutParameterRequest) -> Result<(), Error> {
    if input.overwrite == Some(true) && input.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        return Err(Error::invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter \
             with tags, please remove overwrite flag. To update tags for an existing parameter, \
             please use AddTagsToResource or RemoveTagsFromResource.",
        ));
    }
    match input.data_type.as_deref() {
        None | Some("text") => {}
        Some("aws:ec2:image" | "aws:ssm:integration") => {
            return Err(Error::NotBuilt { operation: "PutParameter", what: "other data types" });
        }
        Some(other) => {
            return Err(Error::invalid(format!(
                "The following data type is not supported: {other} (Data type names are all \
                 lowercase.)"
            )));
        }
    }
    if input.value.is_empty() {
        return Err(Error::invalid(
            "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member \
             must have length greater than or equal to 1.",
        ));
    }
    if input.value.contains("{{") && input.value.contains("}}") {
        return Err(Error::invalid(
            "Parameter value can't nest another parameter. Do not use \"{{}}\" in the value.",
        ));
    }
    let is_secure = input.type_ == Some(shapes::ParameterType::SecureString);
    if input.key_id.is_some() && input.type_.is_some() && !is_secure {
        return Err(Error::invalid("KeyId is required for SecureString type parameter only."));
    }
    policies::check(input.policies.as_deref())?;
    let Some(pattern) = input.allowed_pattern.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let built = regex::RegexBuilder::new(pattern).size_limit(PATTERN_MAX_BYTES).build();
    let regex: Regex = built.map_err(|_| Error::BadPattern(pattern.to_owned()))?;
    match regex.is_match(&input.value) {
        true => Ok(()),
        false => Err(Error::PatternMismatch(pattern.to_owned())),
    }
}

/// What is asked for.
struct Wish {
    input: shapes::PutParameterRequest,
    tags: BTreeMap<String, String>,
    by: String,
}

impl Wish {
    fn create(
        &self,
        tx: &mut Tx<'_>,
        tables: &Tables,
        key: &NameKey,
    ) -> Result<(u64, Tier), Error> {
        let kind = self.input.type_.map(Kind::from).ok_or_else(|| {
            Error::invalid("A parameter type is required when you create a parameter.")
        })?;
        let tier = self.tier(None)?;
        let expires_at = policies::expiration(self.input.policies.as_deref());
        let parameter =
            Parameter { newest: 1, labels: BTreeMap::new(), tags: self.tags.clone(), expires_at };
        self.write(tx, tables, key, (parameter, kind, tier), None)
    }

    fn overwrite(
        &self,
        tx: &mut Tx<'_>,
        tables: &Tables,
        key: &NameKey,
        mut parameter: Parameter,
    ) -> Result<(u64, Tier), Error> {
        if self.input.overwrite != Some(true) {
            return Err(Error::Exists);
        }
        let (_, before) = super::version(tables, tx, (&key.0, &key.1, &parameter), None)?;
        if self.input.type_.is_some_and(|kind| Kind::from(kind) != before.kind) {
            return Err(Error::TypeMismatch(key.1.clone()));
        }
        let tier = self.tier(Some(before.tier))?;
        parameter.newest += 1;
        parameter.expires_at = policies::expiration(self.input.policies.as_deref());
        drop_oldest(tx, tables, key, &parameter)?;
        let kind = before.kind;
        self.write(tx, tables, key, (parameter, kind, tier), Some(&before))
    }

    /// The tier that follows from what is asked for, what is there and the value's size.
    fn tier(&self, before: Option<Tier>) -> Result<Tier, Error> {
        let needs = self.input.policies.is_some()
            || self.input.value.len() > Tier::Standard.value_max_bytes();
        let tier = match (self.input.tier, before) {
            (Some(shapes::ParameterTier::Standard), Some(Tier::Advanced)) => {
                return Err(Error::invalid(
                    "This parameter uses the advanced-parameter tier. You can't downgrade a \
                     parameter from the advanced-parameter tier to the standard-parameter tier. \
                     If necessary, you can delete the advanced parameter and recreate it as a \
                     standard parameter.",
                ));
            }
            (Some(shapes::ParameterTier::Advanced), _) | (_, Some(Tier::Advanced)) => {
                Tier::Advanced
            }
            (Some(shapes::ParameterTier::IntelligentTiering), _) if needs => Tier::Advanced,
            (_, _) => Tier::Standard,
        };
        let most = tier.value_max_bytes();
        if self.input.value.len() > most {
            return Err(Error::invalid(match tier {
                Tier::Standard => format!(
                    "Standard tier parameters support a maximum parameter value of {most} \
                     characters. To create a larger parameter value, upgrade the parameter to \
                     use the advanced-parameter tier. For more information, see \
                     https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
                ),
                Tier::Advanced => format!(
                    "Advanced tier parameters support a maximum parameter value of {most} \
                     characters."
                ),
            }));
        }
        let has_policies = self.input.policies.as_deref().is_some_and(|text| text != "[]");
        if tier == Tier::Standard && has_policies {
            return Err(Error::invalid(
                "Parameter policies are supported by the advanced-parameter tier only.",
            ));
        }
        Ok(tier)
    }

    fn write(
        &self,
        tx: &mut Tx<'_>,
        tables: &Tables,
        key: &NameKey,
        (parameter, kind, tier): (Parameter, Kind, Tier),
        before: Option<&ParameterVersion>,
    ) -> Result<(u64, Tier), Error> {
        let input = &self.input;
        let is_secure = kind == Kind::SecureString;
        if input.key_id.is_some() && !is_secure {
            return Err(Error::invalid("KeyId is required for SecureString type parameter only."));
        }
        let key_id = input.key_id.clone().or_else(|| before.and_then(|row| row.key_id.clone()));
        let key_id = is_secure.then(|| key_id.unwrap_or_else(|| KEY_DEFAULT.to_owned()));
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let version = ParameterVersion {
            value: Hidden::new(input.value.clone()),
            blind: tx.next_id(),
            kind,
            tier,
            key_id,
            description: text(&input.description)
                .or_else(|| before.and_then(|row| row.description.clone())),
            allowed_pattern: text(&input.allowed_pattern),
            policies: input.policies.clone().filter(|text| text != "[]"),
            modified_at: tx.now(),
            modified_by: self.by.clone(),
        };
        let number = parameter.newest;
        tx.put(&tables.parameters, key.clone(), parameter);
        tx.put(&tables.parameter_versions, (key.0.clone(), key.1.clone(), number), version);
        Ok((number, tier))
    }
}

/// Makes room for the newest version.
fn drop_oldest(
    tx: &mut Tx<'_>,
    tables: &Tables,
    key: &NameKey,
    parameter: &Parameter,
) -> Result<(), Error> {
    let rows = tx.prefix(&tables.parameter_versions, key);
    let numbers: Vec<u64> = rows.map(|((_, _, number), _)| number).collect();
    if numbers.len() < VERSIONS_MAX {
        return Ok(());
    }
    let oldest = numbers[0];
    if !parameter.labels_of(oldest).is_empty() {
        return Err(Error::MaxVersions { name: key.1.clone(), version: oldest });
    }
    tx.delete(&tables.parameter_versions, &(key.0.clone(), key.1.clone(), oldest));
    Ok(())
}
