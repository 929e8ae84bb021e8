//! Repositories.

use shapes_ecr as shapes;
use wire::Context;

use super::paging::page;
use super::{arn, key, mutability, scope, tags};
use crate::Inner;
use crate::error::Error;
use crate::model::{Encryption, Repository};
use crate::push::beside;
use crate::tables::NameKey;

/// Repositories of a registry (ECR's quota).
const REPOSITORIES_MAX: usize = 100_000;
/// Repositories of one page if the request does not say.
const PAGE_ITEMS: usize = 100;

/// Reads how a repository is to be said to be encrypted.
pub(super) fn encryption(
    wish: Option<&shapes::EncryptionConfiguration>,
) -> Result<Encryption, Error> {
    let Some(wish) = wish else { return Ok(Encryption::default()) };
    let is_plain = wish.encryption_type == shapes::EncryptionType::Aes256;
    if is_plain && wish.kms_key.is_some() {
        return Err(Error::parameter(
            "encryptionConfiguration",
            "kmsKey cannot be given with AES256",
        ));
    }
    let kind = (!is_plain).then(|| wish.encryption_type.as_str().to_owned());
    Ok(Encryption { kind, key: wish.kms_key.clone() })
}

/// As answers have it.
pub(super) fn show_encryption(encryption: &Encryption) -> shapes::EncryptionConfiguration {
    let encryption_type = match encryption.kind.as_deref() {
        Some("KMS") => shapes::EncryptionType::Kms,
        Some("KMS_DSSE") => shapes::EncryptionType::KmsDsse,
        _ => shapes::EncryptionType::Aes256,
    };
    shapes::EncryptionConfiguration { encryption_type, kms_key: encryption.key.clone() }
}

impl Inner {
    /// Makes a repository.
    pub(super) async fn create_repository(
        &self,
        context: Context,
        input: shapes::CreateRepositoryRequest,
    ) -> Result<shapes::CreateRepositoryResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let mutability = mutability::read(
            input.image_tag_mutability,
            &input.image_tag_mutability_exclusion_filters,
        )?;
        let tags = tags::read(input.tags.as_deref().unwrap_or_default())?;
        let encryption = encryption(input.encryption_configuration.as_ref())?;
        let scanning = input.image_scanning_configuration.as_ref();
        let scan_on_push = scanning.and_then(|wish| wish.scan_on_push).unwrap_or(false);
        let done = self.ledger.transact("create repository", |tx| {
            let (name, account) = (key.1.clone(), key.0.account.to_string());
            if tx.get(&self.tables.repositories, &key).is_some() {
                return Err(Error::RepositoryExists { name, account });
            }
            if tx.facts().prefix(&self.tables.repositories, &key.0).count() >= REPOSITORIES_MAX {
                let text = format!("A registry has at most {REPOSITORIES_MAX} repositories");
                return Err(Error::Limit(text));
            }
            let row = Repository {
                created_at: tx.now(),
                mutability: mutability.clone(),
                encryption: encryption.clone(),
                scan_on_push,
                tags: tags.clone(),
                policy: None,
                lifecycle: None,
            };
            tx.put(&self.tables.repositories, key.clone(), row.clone());
            Ok(row)
        });
        let row = done.await?.value;
        let repository = Some(self.show_repository(&context, &key, &row));
        Ok(shapes::CreateRepositoryResponse { repository })
    }

    /// Lists repositories.
    pub(super) async fn describe_repositories(
        &self,
        context: Context,
        input: shapes::DescribeRepositoriesRequest,
    ) -> Result<shapes::DescribeRepositoriesResponse, Error> {
        let scope = scope(&context, input.registry_id.as_deref())?;
        let snapshot = self.ledger.snapshot();
        let show = |key: &NameKey, row: &Repository| self.show_repository(&context, key, row);
        if let Some(names) = &input.repository_names {
            if input.next_token.is_some() || input.max_results.is_some() {
                return Err(Error::parameter(
                    "repositoryNames",
                    "nextToken and maxResults cannot be given with repositoryNames",
                ));
            }
            let found = names.iter().map(|name| {
                let key = (scope.clone(), name.clone());
                Ok(show(&key, &*self.tables.repository(&snapshot, &key)?))
            });
            let repositories = Some(found.collect::<Result<_, Error>>()?);
            return Ok(shapes::DescribeRepositoriesResponse { next_token: None, repositories });
        }
        let rows = snapshot.prefix(&self.tables.repositories, &scope);
        let name = |(key, _): &(NameKey, _)| key.1.clone();
        let token = input.next_token.as_deref();
        let (rows, next_token) = page(rows, name, input.max_results, PAGE_ITEMS, token)?;
        let repositories = Some(rows.iter().map(|(key, row)| show(key, row)).collect());
        Ok(shapes::DescribeRepositoriesResponse { next_token, repositories })
    }

    /// Deletes a repository; with `force`, whatever is in it.
    pub(super) async fn delete_repository(
        &self,
        context: Context,
        input: shapes::DeleteRepositoryRequest,
    ) -> Result<shapes::DeleteRepositoryResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let force = input.force.unwrap_or(false);
        let done = self.ledger.transact("delete repository", |tx| {
            let row = self.tables.repository(tx, &key)?;
            let images: Vec<_> = tx.prefix(&self.tables.images, &key).map(|(at, _)| at).collect();
            if !images.is_empty() && !force {
                let (name, account) = (key.1.clone(), key.0.account.to_string());
                return Err(Error::NotEmpty { name, account });
            }
            for at in &images {
                tx.delete(&self.tables.images, at);
                tx.delete(&self.tables.pulls, at);
                tx.delete(&self.tables.scans, at);
            }
            let tags: Vec<_> = tx.prefix(&self.tables.tags, &key).map(|(at, _)| at).collect();
            tags.iter().for_each(|at| tx.delete(&self.tables.tags, at));
            let layers: Vec<_> = tx.prefix(&self.tables.layers, &key).map(|(at, _)| at).collect();
            layers.iter().for_each(|at| tx.delete(&self.tables.layers, at));
            let cached: Vec<_> =
                tx.prefix(&self.tables.cached_tags, &key).map(|(at, _)| at).collect();
            cached.iter().for_each(|at| tx.delete(&self.tables.cached_tags, at));
            let replicas: Vec<_> =
                tx.prefix(&self.tables.replications, &key).map(|(at, _)| at).collect();
            replicas.iter().for_each(|at| tx.delete(&self.tables.replications, at));
            tx.delete(&self.tables.previews, &key);
            tx.delete(&self.tables.repositories, &key);
            Ok(Repository::clone(&row))
        });
        let row = done.await?.value;
        let repository = Some(self.show_repository(&context, &key, &row));
        Ok(shapes::DeleteRepositoryResponse { repository })
    }

    fn show_repository(
        &self,
        context: &Context,
        key: &NameKey,
        row: &Repository,
    ) -> shapes::Repository {
        let (shown, filters) = mutability::show(&row.mutability);
        shapes::Repository {
            created_at: Some(row.created_at),
            encryption_configuration: Some(show_encryption(&row.encryption)),
            image_scanning_configuration: Some(shapes::ImageScanningConfiguration {
                scan_on_push: Some(row.scan_on_push),
            }),
            image_tag_mutability: Some(shown),
            image_tag_mutability_exclusion_filters: filters,
            registry_id: Some(key.0.account.to_string()),
            repository_arn: Some(arn(key)),
            repository_name: Some(key.1.clone()),
            repository_uri: Some(format!("{}/{}", self.host(&context.endpoint), key.1)),
        }
    }

    /// What images are named by: the host that was set, or else the one that the client called;
    /// this machine by its name, which docker takes without TLS as it takes its address.
    fn host(&self, endpoint: &str) -> String {
        if let Some(host) = &self.setup.host {
            return host.clone();
        }
        let called = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
        match called.strip_prefix("127.0.0.1") {
            Some(port) => format!("localhost{port}"),
            None => called.to_owned(),
        }
    }

    /// Whether a repository has a blob, for those that are to be told what they lack.
    pub(super) fn has_layer(&self, key: &NameKey, digest: &str) -> bool {
        self.ledger.snapshot().get(&self.tables.layers, &beside(key, digest)).is_some()
    }
}
