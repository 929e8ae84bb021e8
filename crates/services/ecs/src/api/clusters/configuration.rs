//! Settings and configuration of clusters, as requests give them.

use std::collections::BTreeSet;

use ledger::View;
use shapes_ecs as shapes;
use shapes_ecs::{ExecuteCommandLogging, SettingName};

use super::super::account_settings;
use crate::error::Error;
use crate::model::Document;
use crate::tables::{ClusterKey, Tables};

/// Settings as given, checked: `containerInsights` is the only name.
pub(super) fn settings(
    settings: Vec<shapes::ClusterSetting>,
) -> Result<Vec<(String, String)>, Error> {
    let mut names = BTreeSet::new();
    let read = |setting: shapes::ClusterSetting| {
        let name = setting.name.ok_or_else(|| Error::invalid("Invalid setting 'name'"))?;
        let value = setting.value.unwrap_or_default();
        if !account_settings::allows(SettingName::ContainerInsights, &value) {
            // Observed on ECS.
            return Err(Error::invalid("Invalid setting 'value'"));
        }
        if !names.insert(name) {
            return Err(Error::invalid(format!(
                "The setting '{}' is given more than once.",
                name.as_str()
            )));
        }
        Ok((name.as_str().to_owned(), value))
    };
    settings.into_iter().map(read).collect()
}

/// The settings of a cluster that is made without any: those of who makes it.
pub(in crate::api) fn usual_settings(
    view: &impl View,
    tables: &Tables,
    key: &ClusterKey,
    principal: &str,
) -> Vec<(String, String)> {
    let name = SettingName::ContainerInsights;
    let found = account_settings::resolve(view, tables, &key.scope, principal, name);
    vec![(name.as_str().to_owned(), found.value)]
}

/// A configuration as given, checked, with `logging` filled in (API reference,
/// `ExecuteCommandConfiguration`).
pub(super) fn read(
    mut configuration: shapes::ClusterConfiguration,
) -> Result<Document<shapes::ClusterConfiguration>, Error> {
    if let Some(exec) = &mut configuration.execute_command_configuration {
        let logging = *exec.logging.get_or_insert(ExecuteCommandLogging::Default);
        match (&exec.log_configuration, logging) {
            (None, ExecuteCommandLogging::Override) => return Err(nowhere_to_log()),
            (Some(_), ExecuteCommandLogging::None | ExecuteCommandLogging::Default) => {
                // Observed on ECS.
                return Err(Error::invalid(
                    "You must set logging to 'OVERRIDE' when you supply a log configuration.",
                ));
            }
            (Some(log), ExecuteCommandLogging::Override) => check_log(log)?,
            (None, ExecuteCommandLogging::None | ExecuteCommandLogging::Default) => {}
        }
    }
    Ok(Document::new(configuration))
}

/// Logs go somewhere, and what they are encrypted in is named.
fn check_log(log: &shapes::ExecuteCommandLogConfiguration) -> Result<(), Error> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let (group, bucket) = (given(&log.cloud_watch_log_group_name), given(&log.s3_bucket_name));
    if !group && !bucket {
        return Err(nowhere_to_log());
    }
    if log.cloud_watch_encryption_enabled == Some(true) && !group {
        return Err(Error::invalid(
            "A CloudWatch log group name must be specified to enable CloudWatch encryption.",
        ));
    }
    if log.s3_encryption_enabled == Some(true) && !bucket {
        return Err(Error::invalid("An S3 bucket name must be specified to enable S3 encryption."));
    }
    Ok(())
}

/// Observed on ECS.
fn nowhere_to_log() -> Error {
    Error::invalid(
        "A CloudWatch log group name or S3 bucket name must be specified when overriding the \
         default log configuration.",
    )
}

/// Refuses a default namespace: there are none yet. ECS would make one for a name that it does not
/// know, and does not for an ARN; an empty name means none.
pub(super) fn refuse_namespace(
    operation: &'static str,
    defaults: Option<&shapes::ClusterServiceConnectDefaultsRequest>,
) -> Result<(), Error> {
    match defaults.map(|defaults| defaults.namespace.as_str()) {
        None | Some("") => Ok(()),
        Some(namespace) if namespace.starts_with("arn:") => Err(Error::NamespaceNotFound),
        Some(_) => Err(Error::not_built(operation, "serviceConnectDefaults")),
    }
}

#[cfg(test)]
mod tests {
    use wire::value::Enumeration;

    use super::*;

    fn check(logging: Option<&str>, log: Option<(&str, &str, bool, bool)>, good: bool) {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let log_configuration = log.map(|(group, bucket, group_encrypted, bucket_encrypted)| {
            shapes::ExecuteCommandLogConfiguration {
                cloud_watch_encryption_enabled: Some(group_encrypted),
                cloud_watch_log_group_name: text(group),
                s3_bucket_name: text(bucket),
                s3_encryption_enabled: Some(bucket_encrypted),
                s3_key_prefix: None,
            }
        });
        let exec = shapes::ExecuteCommandConfiguration {
            kms_key_id: None,
            log_configuration,
            logging: logging.and_then(ExecuteCommandLogging::parse),
        };
        let configuration = shapes::ClusterConfiguration {
            execute_command_configuration: Some(exec),
            managed_storage_configuration: None,
        };
        assert_eq!(read(configuration).is_ok(), good, "{logging:?} {log:?}");
    }

    #[test]
    fn logs_are_configured_to_override_and_only_then() {
        check(None, None, true);
        check(Some("NONE"), None, true);
        check(Some("DEFAULT"), None, true);
        check(Some("OVERRIDE"), None, false);
        check(Some("NONE"), Some(("g", "", false, false)), false);
        check(None, Some(("g", "", false, false)), false);
        check(Some("OVERRIDE"), Some(("g", "", true, false)), true);
        check(Some("OVERRIDE"), Some(("", "b", false, true)), true);
        check(Some("OVERRIDE"), Some(("", "b", true, false)), false);
        check(Some("OVERRIDE"), Some(("g", "", false, true)), false);
        check(Some("OVERRIDE"), Some(("", "", false, false)), false);
    }

    #[test]
    fn settings_have_one_name_and_three_values() {
        let setting = |value: &str| shapes::ClusterSetting {
            name: Some(shapes::ClusterSettingName::ContainerInsights),
            value: Some(value.to_owned()),
        };
        for value in ["enabled", "disabled", "enhanced"] {
            assert!(settings(vec![setting(value)]).is_ok(), "{value}");
        }
        for value in ["", "on", "ENABLED"] {
            assert!(settings(vec![setting(value)]).is_err(), "{value}");
        }
        assert!(settings(vec![setting("enabled"), setting("disabled")]).is_err());
        assert!(settings(vec![shapes::ClusterSetting::default()]).is_err());
    }
}
