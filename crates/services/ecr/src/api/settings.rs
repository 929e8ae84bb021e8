//! Settings of a registry that stand alone.

use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use wire::Context;

use super::paging::page;
use super::policies::{POLICY_SCOPE, fits_scope};
use crate::error::Error;
use crate::{Inner, Scope};

/// The settings of an account: name, values, the one that holds if none was put. Mounting is on, for
/// nobody here pays for what two repositories share (ECR has it off until it is asked for).
const SETTINGS: [(&str, &[&str], &str); 3] = [
    ("BASIC_SCAN_TYPE_VERSION", &["AWS_NATIVE", "CLAIR"], "AWS_NATIVE"),
    ("BLOB_MOUNTING", &["ENABLED", "DISABLED"], "ENABLED"),
    (POLICY_SCOPE, &["V1", "V2"], "V2"),
];
/// Exclusions of one registry, and of one page if the request does not say.
const EXCLUSIONS_MAX: usize = 100;

fn setting(name: &str) -> Result<(&'static [&'static str], &'static str), Error> {
    let known = SETTINGS.iter().find(|(known, ..)| *known == name);
    known.map(|(_, values, default)| (*values, *default)).ok_or_else(|| {
        let names = SETTINGS.map(|(name, ..)| name).join(", ");
        Error::parameter("name", format!("'{name}' is none of {names}"))
    })
}

impl Inner {
    /// Sets what holds for an account.
    pub(super) async fn put_account_setting(
        &self,
        context: Context,
        input: shapes::PutAccountSettingRequest,
    ) -> Result<shapes::PutAccountSettingResponse, Error> {
        let (values, _) = setting(&input.name)?;
        if !values.contains(&input.value.as_str()) {
            let why = format!("'{}' is none of {}", input.value, values.join(", "));
            return Err(Error::parameter("value", why));
        }
        self.change_registry(&Scope::of(&context), |row| {
            row.account.insert(input.name.clone(), input.value.clone());
            fits_scope(row).map_err(|_| {
                let why = "the registry's policy names actions that V1 does not know";
                Error::parameter("value", why)
            })
        })
        .await?;
        let (name, value) = (Some(input.name), Some(input.value));
        Ok(shapes::PutAccountSettingResponse { name, value })
    }

    /// Shows what holds for an account.
    pub(super) async fn get_account_setting(
        &self,
        context: Context,
        input: shapes::GetAccountSettingRequest,
    ) -> Result<shapes::GetAccountSettingResponse, Error> {
        let (_, default) = setting(&input.name)?;
        let put = self.registry(&Scope::of(&context)).account.remove(&input.name);
        let value = Some(put.unwrap_or_else(|| default.to_owned()));
        Ok(shapes::GetAccountSettingResponse { name: Some(input.name), value })
    }

    /// Lets a principal's pulls not count.
    pub(super) async fn register_pull_time_update_exclusion(
        &self,
        context: Context,
        input: shapes::RegisterPullTimeUpdateExclusionRequest,
    ) -> Result<shapes::RegisterPullTimeUpdateExclusionResponse, Error> {
        let arn = input.principal_arn;
        if !arn.starts_with("arn:aws:iam::") && !arn.starts_with("arn:aws:sts::") {
            return Err(Error::parameter("principalArn", format!("'{arn}' names no role or user")));
        }
        let now = context.now;
        self.change_registry(&Scope::of(&context), |row| {
            if row.exclusions.contains_key(&arn) {
                let text = format!("The principal '{arn}' is excluded already");
                return Err(Error::Of(codes::EXCLUSION_ALREADY_EXISTS, text));
            }
            if row.exclusions.len() >= EXCLUSIONS_MAX {
                return Err(Error::Limit(format!(
                    "A registry has at most {EXCLUSIONS_MAX} exclusions"
                )));
            }
            row.exclusions.insert(arn.clone(), now);
            Ok(())
        })
        .await?;
        Ok(shapes::RegisterPullTimeUpdateExclusionResponse {
            created_at: Some(now),
            principal_arn: Some(arn),
        })
    }

    /// Lets a principal's pulls count again.
    pub(super) async fn deregister_pull_time_update_exclusion(
        &self,
        context: Context,
        input: shapes::DeregisterPullTimeUpdateExclusionRequest,
    ) -> Result<shapes::DeregisterPullTimeUpdateExclusionResponse, Error> {
        let arn = input.principal_arn;
        self.change_registry(&Scope::of(&context), |row| {
            row.exclusions.remove(&arn).map(drop).ok_or_else(|| {
                let text = format!("The principal '{arn}' is not excluded");
                Error::Of(codes::EXCLUSION_NOT_FOUND, text)
            })
        })
        .await?;
        let principal_arn = Some(arn);
        Ok(shapes::DeregisterPullTimeUpdateExclusionResponse { principal_arn })
    }

    /// The principals whose pulls do not count.
    pub(super) async fn list_pull_time_update_exclusions(
        &self,
        context: Context,
        input: shapes::ListPullTimeUpdateExclusionsRequest,
    ) -> Result<shapes::ListPullTimeUpdateExclusionsResponse, Error> {
        let all = self.registry(&Scope::of(&context)).exclusions.into_keys();
        let token = input.next_token.as_deref();
        let (arns, next_token) =
            page(all, String::clone, input.max_results, EXCLUSIONS_MAX, token)?;
        let pull_time_update_exclusions = Some(arns);
        Ok(shapes::ListPullTimeUpdateExclusionsResponse { next_token, pull_time_update_exclusions })
    }
}
