//! Account settings (ECS semantics §2.3).
//!
//! The account's defaults are the settings of its root, as on AWS: whoever sets them sets the
//! root's, and a principal without a setting of its own has the root's.

mod rules;

use ledger::View;
use shapes_ecs as shapes;
use shapes_ecs::SettingName;
use wire::Context;

use super::{Api, page::Page, target};
use crate::error::Error;
use crate::model::AccountSetting;
use crate::tables::{Scope, Tables};
pub(crate) use rules::allows;

/// Most settings of a page (ECS semantics §1.1).
const PAGE_ITEMS: usize = 10;

/// A setting's value, and the principal that it was set for.
pub(crate) struct Resolved {
    /// The value.
    pub(crate) value: String,
    /// The principal itself, or the account's root.
    pub(crate) principal: String,
}

/// The principal whose settings a caller has: the role of a session, the root of a federated user.
pub(crate) fn principal(context: &Context) -> String {
    let (account, arn) = (&context.caller.account, context.caller.arn.as_str());
    let sts = format!("arn:aws:sts::{account}:");
    match arn.strip_prefix(&sts).and_then(|rest| rest.split_once('/')) {
        Some(("assumed-role", session)) => {
            let role = session.split_once('/').map_or(session, |(role, _)| role);
            format!("arn:aws:iam::{account}:role/{role}")
        }
        Some(_) => format!("arn:aws:iam::{account}:root"),
        None => arn.to_owned(),
    }
}

/// The value that a principal gets: its own, the account's, or what ECS gives to all.
pub(crate) fn resolve(
    view: &impl View,
    tables: &Tables,
    scope: &Scope,
    principal: &str,
    name: SettingName,
) -> Resolved {
    let root = root(scope);
    let set = |principal: &str| {
        let key = (scope.clone(), principal.to_owned(), name.as_str().to_owned());
        view.get(&tables.account_settings, &key)
    };
    if let Some(own) = set(principal) {
        return Resolved { value: own.value.clone(), principal: principal.to_owned() };
    }
    let value = set(&root).map_or_else(|| rules::usual(name).to_owned(), |row| row.value.clone());
    Resolved { value, principal: root }
}

impl Api {
    /// Sets a setting of the caller, or of a principal that the root names.
    pub(crate) async fn put_account_setting(
        &self,
        context: Context,
        input: shapes::PutAccountSettingRequest,
    ) -> Result<shapes::PutAccountSettingResponse, Error> {
        rules::check(input.name, &input.value)?;
        let scope = target::scope(&context);
        let principal = named(&context, &scope, input.principal_arn.as_deref())?;
        if input.name == SettingName::FargateTaskRetirementWaitPeriod
            && self::principal(&context) != root(&scope)
        {
            return Err(Error::AccessDenied(
                "You must use the root user to set fargateTaskRetirementWaitPeriod.".to_owned(),
            ));
        }
        let setting = Some(self.put_setting(&scope, principal, input.name, input.value).await?);
        Ok(shapes::PutAccountSettingResponse { setting })
    }

    /// Sets a setting for all principals of the account that have none of their own.
    pub(crate) async fn put_account_setting_default(
        &self,
        context: Context,
        input: shapes::PutAccountSettingDefaultRequest,
    ) -> Result<shapes::PutAccountSettingDefaultResponse, Error> {
        rules::check(input.name, &input.value)?;
        let scope = target::scope(&context);
        let root = root(&scope);
        let setting = Some(self.put_setting(&scope, root, input.name, input.value).await?);
        Ok(shapes::PutAccountSettingDefaultResponse { setting })
    }

    /// Takes a setting away again; answers the one that applies from then on.
    pub(crate) async fn delete_account_setting(
        &self,
        context: Context,
        input: shapes::DeleteAccountSettingRequest,
    ) -> Result<shapes::DeleteAccountSettingResponse, Error> {
        rules::check_writable(input.name)?;
        let scope = target::scope(&context);
        let principal = named(&context, &scope, input.principal_arn.as_deref())?;
        let key = (scope.clone(), principal, input.name.as_str().to_owned());
        let tables = self.tables;
        let deleted = self.ledger.transact("delete account setting", |tx| {
            if tx.get(&tables.account_settings, &key).is_some() {
                tx.delete(&tables.account_settings, &key);
            }
            Ok::<_, Error>(resolve(tx, &tables, &scope, &key.1, input.name).value)
        });
        let value = deleted.await?.value;
        let setting = Some(show(input.name, Resolved { value, principal: key.1 }));
        Ok(shapes::DeleteAccountSettingResponse { setting })
    }

    /// Lists what was set for a principal or, if asked, what applies to it.
    pub(crate) async fn list_account_settings(
        &self,
        context: Context,
        input: shapes::ListAccountSettingsRequest,
    ) -> Result<shapes::ListAccountSettingsResponse, Error> {
        let scope = target::scope(&context);
        let principal = named(&context, &scope, input.principal_arn.as_deref())?;
        let effective = input.effective_settings == Some(true);
        let value = input.value.filter(|value| !value.is_empty());
        if value.is_some() && input.name.is_none() {
            return Err(Error::invalid("You must specify a setting name to filter by value."));
        }
        let filters = (input.name, &value, &principal, effective);
        let token = input.next_token.as_deref();
        let operation = "ListAccountSettings";
        let page = Page::open_up_to(PAGE_ITEMS, operation, &filters, input.max_results, token)?;
        let after: Option<String> = page.after_as()?;
        let (snapshot, tables) = (self.ledger.snapshot(), &self.tables);
        let names = rules::NAMES.into_iter();
        let names = names.filter(|name| input.name.is_none_or(|wanted| wanted == *name));
        let names = names.filter(|name| after.as_deref().is_none_or(|after| name.as_str() > after));
        let found = names.filter_map(|name| {
            let found = resolve(&snapshot, tables, &scope, &principal, name);
            let key = (scope.clone(), principal.clone(), name.as_str().to_owned());
            let shown = effective || snapshot.get(&tables.account_settings, &key).is_some();
            (shown && value.as_ref().is_none_or(|value| *value == found.value))
                .then_some((name, found))
        });
        let (found, next_token) = page.take(found, |(name, _)| name.as_str().to_owned());
        let settings = found.into_iter().map(|(name, found)| show(name, found)).collect();
        Ok(shapes::ListAccountSettingsResponse { settings: Some(settings), next_token })
    }

    async fn put_setting(
        &self,
        scope: &Scope,
        principal: String,
        name: SettingName,
        value: String,
    ) -> Result<shapes::Setting, Error> {
        let key = (scope.clone(), principal, name.as_str().to_owned());
        let (tables, row) = (self.tables, AccountSetting { value });
        let put = self.ledger.transact("put account setting", |tx| {
            tx.put(&tables.account_settings, key.clone(), row.clone());
            Ok::<_, Error>(())
        });
        put.await?;
        Ok(show(name, Resolved { value: row.value, principal: key.1 }))
    }
}

/// The ARN of an account's root.
pub(crate) fn root(scope: &Scope) -> String {
    format!("arn:aws:iam::{}:root", scope.account)
}

/// The principal that a request is about: the caller, unless its root names another one.
fn named(context: &Context, scope: &Scope, arn: Option<&str>) -> Result<String, Error> {
    let caller = principal(context);
    let Some(arn) = arn.filter(|arn| !arn.is_empty() && *arn != caller) else {
        return Ok(caller);
    };
    let kinds = ["root", "user/", "role/"];
    let ours = arn.strip_prefix(&format!("arn:aws:iam::{}:", scope.account));
    let is_principal = ours.is_some_and(|rest| {
        rest == kinds[0]
            || kinds[1..].iter().any(|kind| rest.len() > kind.len() && rest.starts_with(kind))
    });
    if !is_principal {
        return Err(Error::invalid("Invalid principalArn"));
    }
    if caller != root(scope) {
        return Err(Error::AccessDenied(
            "To use principalArn, you must be the root user, or the principal.".to_owned(),
        ));
    }
    Ok(arn.to_owned())
}

fn show(name: SettingName, found: Resolved) -> shapes::Setting {
    shapes::Setting {
        name: Some(name),
        value: Some(found.value),
        principal_arn: Some(found.principal),
        type_: Some(rules::kind(name)),
    }
}
