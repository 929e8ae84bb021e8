//! Who is there and which policies are theirs: reads that operations and decisions share.

use std::sync::Arc;

use data_encoding::BASE32;
use ledger::{Tx, View};
use terms::AccountId;

use crate::Iam;
use crate::managed;
use crate::model::{Entity, Kind};
use crate::refusal::Refusal;
use crate::tables::{EntityKey, Generation, Tables, entity_key};

/// Characters of a unique id after its prefix.
const ID_CHARACTERS: usize = 17;

/// A unique id, such as `AROA…`: 21 characters.
pub(crate) fn unique_id(prefix: &str, random: [u8; 16]) -> String {
    format!("{prefix}{}", &BASE32.encode(&random)[..ID_CHARACTERS])
}

/// An access key id that tells its account, as those made since 2019 do: characters 5 to 13 are the
/// account's number halved, on top of 2^39, and whether it was odd.
pub(crate) fn access_key_id(prefix: &str, account: &AccountId, random: [u8; 16]) -> String {
    let number: u64 = account.as_str().parse().unwrap_or(0);
    let bits = ((1_u64 << 39) | (number >> 1)).to_be_bytes();
    let mut rest = BASE32.encode(&random[..10]).into_bytes();
    // The upper half of the alphabet is for odd accounts.
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    rest[0] = alphabet[usize::from(random[10] % 16) + 16 * (number % 2) as usize];
    let rest = String::from_utf8_lossy(&rest[..8]).into_owned();
    format!("{prefix}{}{rest}", BASE32.encode(&bits[3..]))
}

/// The account that an access key id tells; none for older ones and for what is no key id.
pub(crate) fn account_of_key(id: &str) -> Option<String> {
    let body = id.get(4..12)?;
    let parity = *id.as_bytes().get(12)?;
    let bytes = BASE32.decode(body.as_bytes()).ok()?;
    let number = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let halved = number.checked_sub(1 << 39)?;
    let is_odd = b"QRSTUVWXYZ234567".contains(&parity);
    let account = halved * 2 + u64::from(is_odd);
    (account < 1_000_000_000_000).then(|| format!("{account:012}"))
}

impl Iam {
    /// One change of what decisions rest on: whatever was compiled before is stale after it.
    pub(crate) async fn change<T>(
        &self,
        what: &'static str,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let done = self.ledger.transact(what, |tx| {
            let value = work(tx)?;
            let count = tx.get(&self.tables.generation, &()).map_or(0, |row| row.0);
            tx.put(&self.tables.generation, (), Generation(count + 1));
            Ok::<_, Refusal>(value)
        });
        Ok(done.await?.value)
    }

    /// The entity of this name.
    pub(crate) fn entity(
        &self,
        view: &impl View,
        account: &AccountId,
        kind: Kind,
        name: &str,
    ) -> Result<Entity, Refusal> {
        let row = view.get(&self.tables.entities, &entity_key(account, kind, name));
        row.map(|row| (*row).clone()).ok_or_else(|| missing(kind, name))
    }

    /// Changes the entity of this name; roles that are linked to a service cannot be.
    pub(crate) async fn change_entity<T>(
        &self,
        what: &'static str,
        (account, kind, name): (&AccountId, Kind, &str),
        mut work: impl FnMut(&mut Tx<'_>, &mut Entity) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.change(what, |tx| {
            let mut entity = self.entity(tx, account, kind, name)?;
            protect(&entity)?;
            let value = work(tx, &mut entity)?;
            tx.put(&self.tables.entities, entity_key(account, kind, name), entity);
            Ok(value)
        })
        .await
    }

    /// All of a kind, in the order of their names.
    pub(crate) fn entities(
        &self,
        view: &impl View,
        account: &AccountId,
        kind: Kind,
    ) -> Vec<Entity> {
        let prefix = (account.to_string(), kind.word().to_owned());
        view.prefix(&self.tables.entities, &prefix).map(|(_, row)| (*row).clone()).collect()
    }

    /// The document of a managed policy's default version.
    pub(crate) fn document(
        &self,
        view: &impl View,
        account: &AccountId,
        arn: &str,
    ) -> Option<String> {
        if let Some(policy) = managed::find(arn) {
            return Some(policy.document.to_owned());
        }
        let key = (account.to_string(), policy_name(account, arn)?.to_ascii_lowercase());
        let policy = view.get(&self.tables.policies, &key)?;
        let is_it = format!("arn:aws:iam::{account}:policy{}{}", policy.path, policy.name) == arn;
        let version = policy.versions.get(&policy.default_version)?;
        is_it.then(|| version.document.clone())
    }
}

/// The last part of a managed policy's ARN of this account.
pub(crate) fn policy_name<'a>(account: &AccountId, arn: &'a str) -> Option<&'a str> {
    let rest = arn.strip_prefix("arn:aws:iam::")?.strip_prefix(account.as_str())?;
    let name = rest.strip_prefix(":policy/")?.rsplit('/').next()?;
    (!name.is_empty()).then_some(name)
}

/// Roles that are linked to a service are the service's.
pub(crate) fn protect(entity: &Entity) -> Result<(), Refusal> {
    match entity.role.as_ref().and_then(|role| role.linked.as_ref()) {
        Some(_) => Err(Refusal::Protected(entity.name.clone())),
        None => Ok(()),
    }
}

pub(crate) fn missing(kind: Kind, name: &str) -> Refusal {
    Refusal::Missing(format!("The {} with name {name} cannot be found.", kind.word()))
}

/// The entity with a unique id.
pub(crate) fn by_id(
    tables: &Tables,
    view: &impl View,
    id: &str,
) -> Option<(EntityKey, Arc<Entity>)> {
    let found = view.index(&tables.entities_by_id, &id.to_owned()).next();
    found.map(|(key, row)| (key, Arc::clone(row.value())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_tell_their_account() {
        for (account, seed) in [("000000000000", 0), ("123456789012", 7), ("999999999999", 255)] {
            let id = access_key_id("AKIA", &account.parse().unwrap(), [seed; 16]);
            assert_eq!(id.len(), 20);
            assert_eq!(account_of_key(&id).as_deref(), Some(account), "{id}");
        }
        assert_eq!(account_of_key("AKIAé"), None);
        assert_eq!(account_of_key(""), None);
        assert_eq!(unique_id("AROA", [1; 16]).len(), 21);
    }
}
