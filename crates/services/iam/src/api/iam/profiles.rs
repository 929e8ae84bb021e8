//! Instance profiles.

use ledger::{Tx, View};
use shapes_iam as shapes;
use terms::AccountId;
use wire::{Context, Unit};

use super::paging::page;
use super::{account, rules, show};
use crate::Iam;
use crate::directory::unique_id;
use crate::model::{InstanceProfile, Kind};
use crate::refusal::Refusal;
use crate::tables::NameKey;

/// Most instance profiles of one account.
const PROFILES_MAX: usize = 1000;

fn key(account: &AccountId, name: &str) -> NameKey {
    (account.to_string(), name.to_ascii_lowercase())
}

impl Iam {
    fn profile(
        &self,
        view: &impl View,
        account: &AccountId,
        name: &str,
    ) -> Result<InstanceProfile, Refusal> {
        let row = view.get(&self.tables.profiles, &key(account, name));
        row.map(|row| (*row).clone())
            .ok_or_else(|| Refusal::Missing(format!("Instance Profile {name} cannot be found.")))
    }

    async fn change_profile(
        &self,
        what: &'static str,
        (account, name): (&AccountId, &str),
        mut work: impl FnMut(&mut Tx<'_>, &mut InstanceProfile) -> Result<(), Refusal>,
    ) -> Result<Unit, Refusal> {
        self.change(what, |tx| {
            let mut profile = self.profile(tx, account, name)?;
            work(tx, &mut profile)?;
            tx.put(&self.tables.profiles, key(account, name), profile);
            Ok(Unit)
        })
        .await
    }

    /// The profiles that have a role, or all.
    pub(super) fn profiles(
        &self,
        account: &AccountId,
        role: Option<&str>,
    ) -> Vec<(String, shapes::InstanceProfile)> {
        let snapshot = self.ledger.snapshot();
        let role = role.map(str::to_ascii_lowercase);
        snapshot
            .prefix(&self.tables.profiles, &account.to_string())
            .filter(|(_, profile)| role.is_none() || profile.role == role)
            .map(|(key, profile)| (key.1, self.show_profile(&snapshot, account, &profile)))
            .collect()
    }
}

pub(super) async fn create(
    iam: &Iam,
    context: Context,
    input: shapes::CreateInstanceProfileRequest,
) -> Result<shapes::CreateInstanceProfileResponse, Refusal> {
    let account = account(&context);
    let (path, tags) = (rules::path(input.path)?, rules::tags(input.tags)?);
    let name = &input.instance_profile_name;
    let profile = iam.change("iam: create instance profile", |tx| {
        if tx.get(&iam.tables.profiles, &key(account, name)).is_some() {
            return Err(Refusal::Exists(format!("Instance Profile {name} already exists.")));
        }
        if tx.prefix(&iam.tables.profiles, &account.to_string()).count() >= PROFILES_MAX {
            let text =
                format!("Cannot exceed quota for InstanceProfilesPerAccount: {PROFILES_MAX}");
            return Err(Refusal::Limit(text));
        }
        let profile = InstanceProfile {
            id: unique_id("AIPA", tx.next_id()),
            name: name.clone(),
            path: path.clone(),
            created_at: tx.now(),
            role: None,
            tags: tags.clone(),
        };
        tx.put(&iam.tables.profiles, key(account, name), profile.clone());
        Ok(profile)
    });
    let profile = profile.await?;
    let instance_profile = iam.show_profile(&iam.ledger.snapshot(), account, &profile);
    Ok(shapes::CreateInstanceProfileResponse { instance_profile })
}

pub(super) async fn get(
    iam: &Iam,
    context: Context,
    input: shapes::GetInstanceProfileRequest,
) -> Result<shapes::GetInstanceProfileResponse, Refusal> {
    let (account, snapshot) = (account(&context), iam.ledger.snapshot());
    let profile = iam.profile(&snapshot, account, &input.instance_profile_name)?;
    let mut instance_profile = iam.show_profile(&snapshot, account, &profile);
    // A look at one shows its tags, if there are none, too.
    instance_profile.tags.get_or_insert_default();
    Ok(shapes::GetInstanceProfileResponse { instance_profile })
}

pub(super) async fn delete(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteInstanceProfileRequest,
) -> Result<Unit, Refusal> {
    let (account, name) = (account(&context), &input.instance_profile_name);
    iam.change("iam: delete instance profile", |tx| {
        if iam.profile(tx, account, name)?.role.is_some() {
            let text = "Cannot delete entity, must remove roles from instance profile first.";
            return Err(Refusal::Conflict(text.to_owned()));
        }
        tx.delete(&iam.tables.profiles, &key(account, name));
        Ok(Unit)
    })
    .await
}

pub(super) async fn list(
    iam: &Iam,
    context: Context,
    input: shapes::ListInstanceProfilesRequest,
) -> Result<shapes::ListInstanceProfilesResponse, Refusal> {
    let mut profiles = iam.profiles(account(&context), None);
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    profiles.retain(|(_, profile)| profile.path.starts_with(prefix));
    let page = page(profiles, input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListInstanceProfilesResponse { instance_profiles: page.items, is_truncated, marker })
}

pub(super) async fn of_role(
    iam: &Iam,
    context: Context,
    input: shapes::ListInstanceProfilesForRoleRequest,
) -> Result<shapes::ListInstanceProfilesForRoleResponse, Refusal> {
    let account = account(&context);
    iam.entity(&iam.ledger.snapshot(), account, Kind::Role, &input.role_name)?;
    let profiles = iam.profiles(account, Some(&input.role_name));
    let page = page(profiles, input.marker.as_deref(), input.max_items)?;
    let (instance_profiles, is_truncated, marker) = (page.items, page.is_truncated, page.marker);
    Ok(shapes::ListInstanceProfilesForRoleResponse { instance_profiles, is_truncated, marker })
}

/// A profile has one role at most.
pub(super) async fn add_role(
    iam: &Iam,
    context: Context,
    input: shapes::AddRoleToInstanceProfileRequest,
) -> Result<Unit, Refusal> {
    let account = account(&context);
    let whom = (account, input.instance_profile_name.as_str());
    iam.change_profile("iam: add role", whom, |tx, profile| {
        iam.entity(tx, account, Kind::Role, &input.role_name)?;
        if profile.role.is_some() {
            let text = "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1";
            return Err(Refusal::Limit(text.to_owned()));
        }
        profile.role = Some(input.role_name.to_ascii_lowercase());
        Ok(())
    })
    .await
}

pub(super) async fn remove_role(
    iam: &Iam,
    context: Context,
    input: shapes::RemoveRoleFromInstanceProfileRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), input.instance_profile_name.as_str());
    iam.change_profile("iam: remove role", whom, |_, profile| {
        if profile.role.as_deref() != Some(&*input.role_name.to_ascii_lowercase()) {
            let text = format!("The role with name {} cannot be found.", input.role_name);
            return Err(Refusal::Missing(text));
        }
        profile.role = None;
        Ok(())
    })
    .await
}

pub(super) async fn tag(
    iam: &Iam,
    context: Context,
    input: shapes::TagInstanceProfileRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), input.instance_profile_name.as_str());
    iam.change_profile("iam: tag profile", whom, |_, profile| {
        rules::add_tags(&mut profile.tags, input.tags.clone())
    })
    .await
}

pub(super) async fn untag(
    iam: &Iam,
    context: Context,
    input: shapes::UntagInstanceProfileRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), input.instance_profile_name.as_str());
    iam.change_profile("iam: untag profile", whom, |_, profile| {
        rules::remove_tags(&mut profile.tags, &input.tag_keys);
        Ok(())
    })
    .await
}

pub(super) async fn tags(
    iam: &Iam,
    context: Context,
    input: shapes::ListInstanceProfileTagsRequest,
) -> Result<shapes::ListInstanceProfileTagsResponse, Refusal> {
    let snapshot = iam.ledger.snapshot();
    let profile = iam.profile(&snapshot, account(&context), &input.instance_profile_name)?;
    let tags = show::tag_list(&profile.tags).into_iter().map(|tag| (tag.key.clone(), tag));
    let page = page(tags.collect(), input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListInstanceProfileTagsResponse { is_truncated, marker, tags: page.items })
}
