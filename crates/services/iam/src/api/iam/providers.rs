//! OpenID Connect providers.

use ledger::{Tx, View};
use shapes_iam as shapes;
use terms::AccountId;
use wire::{Context, Unit};

use super::paging::page;
use super::{account, rules, show};
use crate::Iam;
use crate::api::web_identity::is_of_this_machine;
use crate::model::Provider;
use crate::refusal::Refusal;
use crate::tables::NameKey;

/// Most providers of one account.
const PROVIDERS_MAX: usize = 100;
/// Most audiences of one provider.
const CLIENT_IDS_MAX: usize = 100;
/// Most thumbprints of one provider.
const THUMBPRINTS_MAX: usize = 5;

fn arn(account: &AccountId, url: &str) -> String {
    format!("arn:aws:iam::{account}:oidc-provider/{url}")
}

fn missing(arn: &str) -> Refusal {
    Refusal::Missing(format!("OpenIDConnect Provider not found for arn {arn}"))
}

impl Iam {
    fn provider(
        &self,
        view: &impl View,
        account: &AccountId,
        arn: &str,
    ) -> Result<(NameKey, Provider), Refusal> {
        let prefix = self::arn(account, "");
        let url = arn.strip_prefix(&prefix).ok_or_else(|| missing(arn))?;
        let key = (account.to_string(), url.to_owned());
        let row = view.get(&self.tables.providers, &key).ok_or_else(|| missing(arn))?;
        Ok((key, (*row).clone()))
    }

    async fn change_provider(
        &self,
        what: &'static str,
        (account, arn): (&AccountId, &str),
        mut work: impl FnMut(&mut Tx<'_>, &mut Provider) -> Result<(), Refusal>,
    ) -> Result<Unit, Refusal> {
        self.change(what, |tx| {
            let (key, mut provider) = self.provider(tx, account, arn)?;
            work(tx, &mut provider)?;
            tx.put(&self.tables.providers, key, provider);
            Ok(Unit)
        })
        .await
    }
}

/// The URL without its scheme: HTTPS (or HTTP on this machine), no query, no fragment, no user, no port.
fn bare(url: &str) -> Result<String, Refusal> {
    // Without TLS, only an issuer on this machine: what it says could be anybody's otherwise.
    let plain = url.strip_prefix("http://").filter(|rest| is_of_this_machine(rest));
    let rest = url.strip_prefix("https://").or(plain);
    let rest = rest.unwrap_or_default().trim_end_matches('/');
    let host = rest.split('/').next().unwrap_or_default();
    let is_url = !host.is_empty() && !rest.contains(['?', '#', '@', ' ']) && rest.is_ascii();
    if is_url {
        return Ok(rest.to_owned());
    }
    Err(Refusal::Validation("Invalid Open ID Connect Provider URL".to_owned()))
}

fn thumbprints(list: Vec<String>) -> Result<Vec<String>, Refusal> {
    let is_one =
        |text: &String| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if list.len() > THUMBPRINTS_MAX {
        let text = "Thumbprint list must contain fewer than 5 entries.";
        return Err(Refusal::Invalid(text.to_owned()));
    }
    if !list.iter().all(is_one) {
        let text = "Thumbprints are 40 hexadecimal digits each.";
        return Err(Refusal::Invalid(text.to_owned()));
    }
    Ok(list)
}

pub(super) async fn create(
    iam: &Iam,
    context: Context,
    input: shapes::CreateOpenIDConnectProviderRequest,
) -> Result<shapes::CreateOpenIDConnectProviderResponse, Refusal> {
    let account = account(&context);
    let (url, tags) = (bare(&input.url)?, rules::tags(input.tags.clone())?);
    let thumbprints = thumbprints(input.thumbprint_list.unwrap_or_default())?;
    let client_ids = input.client_id_list.unwrap_or_default();
    if client_ids.len() > CLIENT_IDS_MAX {
        let max = CLIENT_IDS_MAX;
        let text = format!("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {max}");
        return Err(Refusal::Limit(text));
    }
    iam.change("iam: create provider", |tx| {
        let key = (account.to_string(), url.clone());
        if tx.get(&iam.tables.providers, &key).is_some() {
            let text = format!("Provider with url https://{url} already exists.");
            return Err(Refusal::Exists(text));
        }
        if tx.prefix(&iam.tables.providers, &key.0).count() >= PROVIDERS_MAX {
            let max = PROVIDERS_MAX;
            let text = format!("Cannot exceed quota for OpenIdConnectProvidersPerAccount: {max}");
            return Err(Refusal::Limit(text));
        }
        let provider = Provider {
            url: url.clone(),
            client_ids: client_ids.clone(),
            thumbprints: thumbprints.clone(),
            created_at: tx.now(),
            tags: tags.clone(),
        };
        tx.put(&iam.tables.providers, key, provider);
        Ok(())
    })
    .await?;
    let open_id_connect_provider_arn = Some(arn(account, &url));
    Ok(shapes::CreateOpenIDConnectProviderResponse {
        open_id_connect_provider_arn,
        tags: input.tags,
    })
}

pub(super) async fn get(
    iam: &Iam,
    context: Context,
    input: shapes::GetOpenIDConnectProviderRequest,
) -> Result<shapes::GetOpenIDConnectProviderResponse, Refusal> {
    let snapshot = iam.ledger.snapshot();
    let arn = &input.open_id_connect_provider_arn;
    let (_, provider) = iam.provider(&snapshot, account(&context), arn)?;
    Ok(shapes::GetOpenIDConnectProviderResponse {
        client_id_list: Some(provider.client_ids),
        create_date: Some(provider.created_at),
        tags: show::tags(&provider.tags),
        thumbprint_list: Some(provider.thumbprints),
        url: Some(provider.url),
    })
}

pub(super) async fn list(
    iam: &Iam,
    context: Context,
    _: shapes::ListOpenIDConnectProvidersRequest,
) -> Result<shapes::ListOpenIDConnectProvidersResponse, Refusal> {
    let account = account(&context);
    let snapshot = iam.ledger.snapshot();
    let providers = snapshot.prefix(&iam.tables.providers, &account.to_string());
    let entry = |(key, _): (NameKey, _)| shapes::OpenIDConnectProviderListEntry {
        arn: Some(arn(account, &key.1)),
    };
    let open_id_connect_provider_list = Some(providers.map(entry).collect());
    Ok(shapes::ListOpenIDConnectProvidersResponse { open_id_connect_provider_list })
}

pub(super) async fn delete(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteOpenIDConnectProviderRequest,
) -> Result<Unit, Refusal> {
    let account = account(&context);
    iam.change("iam: delete provider", |tx| {
        // One that is not there is as good as deleted (API reference, DeleteOpenIDConnectProvider).
        if let Ok((key, _)) = iam.provider(tx, account, &input.open_id_connect_provider_arn) {
            tx.delete(&iam.tables.providers, &key);
        }
        Ok(Unit)
    })
    .await
}

pub(super) async fn add_client(
    iam: &Iam,
    context: Context,
    input: shapes::AddClientIDToOpenIDConnectProviderRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), input.open_id_connect_provider_arn.as_str());
    iam.change_provider("iam: add client", whom, |_, provider| {
        if !provider.client_ids.contains(&input.client_id) {
            provider.client_ids.push(input.client_id.clone());
        }
        if provider.client_ids.len() > CLIENT_IDS_MAX {
            let max = CLIENT_IDS_MAX;
            let text = format!("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {max}");
            return Err(Refusal::Limit(text));
        }
        Ok(())
    })
    .await
}

pub(super) async fn remove_client(
    iam: &Iam,
    context: Context,
    input: shapes::RemoveClientIDFromOpenIDConnectProviderRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), input.open_id_connect_provider_arn.as_str());
    iam.change_provider("iam: remove client", whom, |_, provider| {
        provider.client_ids.retain(|id| *id != input.client_id);
        Ok(())
    })
    .await
}

pub(super) async fn update_thumbprints(
    iam: &Iam,
    context: Context,
    input: shapes::UpdateOpenIDConnectProviderThumbprintRequest,
) -> Result<Unit, Refusal> {
    let list = thumbprints(input.thumbprint_list)?;
    let whom = (account(&context), input.open_id_connect_provider_arn.as_str());
    iam.change_provider("iam: thumbprints", whom, |_, provider| {
        provider.thumbprints.clone_from(&list);
        Ok(())
    })
    .await
}

pub(super) async fn tag(
    iam: &Iam,
    context: Context,
    input: shapes::TagOpenIDConnectProviderRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), input.open_id_connect_provider_arn.as_str());
    iam.change_provider("iam: tag provider", whom, |_, provider| {
        rules::add_tags(&mut provider.tags, input.tags.clone())
    })
    .await
}

pub(super) async fn untag(
    iam: &Iam,
    context: Context,
    input: shapes::UntagOpenIDConnectProviderRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), input.open_id_connect_provider_arn.as_str());
    iam.change_provider("iam: untag provider", whom, |_, provider| {
        rules::remove_tags(&mut provider.tags, &input.tag_keys);
        Ok(())
    })
    .await
}

pub(super) async fn tags(
    iam: &Iam,
    context: Context,
    input: shapes::ListOpenIDConnectProviderTagsRequest,
) -> Result<shapes::ListOpenIDConnectProviderTagsResponse, Refusal> {
    let snapshot = iam.ledger.snapshot();
    let arn = &input.open_id_connect_provider_arn;
    let (_, provider) = iam.provider(&snapshot, account(&context), arn)?;
    let tags = show::tag_list(&provider.tags).into_iter().map(|tag| (tag.key.clone(), tag));
    let page = page(tags.collect(), input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListOpenIDConnectProviderTagsResponse { is_truncated, marker, tags: page.items })
}
