//! Tags of VPCs, subnets, security groups, their rules, and network interfaces (EC2 User Guide, "Tag
//! your Amazon EC2 resources").

use ledger::{Snapshot, Tx};
use shapes_ec2 as shapes;
use wire::{Context, Unit};

use super::listing::{Listing, Wish};
use super::scope;
use crate::Vpc;
use crate::error::{Error, Limit, NotFound};
use crate::model::Tags;
use crate::tables::Scope;

/// Most characters of a key, and of a value.
const KEY_MAX: usize = 128;
const VALUE_MAX: usize = 256;

/// DescribeTags's filters (API reference).
const LISTING: Listing<shapes::TagDescription> = Listing {
    key: |row| {
        let (id, key) = (&row.resource_id, &row.key);
        format!("{}/{}", id.as_deref().unwrap_or_default(), key.as_deref().unwrap_or_default())
    },
    tags: |_| &[],
    has_tags: false,
    filters: &[
        ("key", |row| Vec::from_iter(row.key.clone())),
        ("resource-id", |row| Vec::from_iter(row.resource_id.clone())),
        ("resource-type", |row| {
            Vec::from_iter(row.resource_type.map(|kind| kind.as_str().to_owned()))
        }),
        ("value", |row| Vec::from_iter(row.value.clone())),
    ],
};

/// Tags as answers have them.
pub(super) fn show(tags: &Tags) -> Vec<shapes::Tag> {
    let tag = |(key, value): &(String, String)| shapes::Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    tags.iter().map(tag).collect()
}

/// The same; nothing if there are none, as most answers have it.
pub(super) fn shown(tags: &Tags) -> Option<Vec<shapes::Tag>> {
    Some(show(tags)).filter(|shown| !shown.is_empty())
}

/// The tags of something new of this kind.
pub(super) fn of_new(
    specifications: Option<Vec<shapes::TagSpecification>>,
    kind: shapes::ResourceType,
) -> Result<Tags, Error> {
    let mut tags = Tags::new();
    for specification in specifications.unwrap_or_default() {
        let said = specification.resource_type.ok_or(Error::Missing("ResourceType"))?;
        if said != kind {
            return Err(Error::Value(format!(
                "'{}' is not a valid taggable resource type for this operation.",
                said.as_str()
            )));
        }
        add(&mut tags, specification.tags.unwrap_or_default())?;
    }
    Ok(tags)
}

/// Adds tags; a key that is there gets the new value.
fn add(tags: &mut Tags, new: Vec<shapes::Tag>) -> Result<(), Error> {
    for tag in new {
        let key = tag.key.ok_or(Error::Missing("Tag.Key"))?;
        let value = tag.value.unwrap_or_default();
        let wrong = |text: &str| Err(Error::Value(text.to_owned()));
        if key.is_empty() {
            return wrong("Tag key cannot be null or empty");
        }
        if key.starts_with("aws:") {
            return wrong("Tag keys starting with 'aws:' are reserved for internal use");
        }
        if key.chars().count() > KEY_MAX {
            return wrong("Tag key exceeds the maximum length of 128 characters");
        }
        if value.chars().count() > VALUE_MAX {
            return wrong("Tag value exceeds the maximum length of 256 characters");
        }
        tags.retain(|(known, _)| *known != key);
        tags.push((key, value));
    }
    tags.sort();
    match tags.len() > Limit::Tags.most() {
        true => Err(Error::TooMany(Limit::Tags)),
        false => Ok(()),
    }
}

/// Takes tags away: by key, or only where the value is the same, or all of them.
fn remove(tags: &mut Tags, gone: Option<&[shapes::Tag]>) {
    let Some(gone) = gone.filter(|gone| !gone.is_empty()) else { return tags.clear() };
    tags.retain(|(key, value)| {
        !gone.iter().any(|tag| {
            tag.key.as_ref() == Some(key) && tag.value.as_ref().is_none_or(|wanted| wanted == value)
        })
    });
}

impl Vpc {
    /// Adds tags to resources.
    pub(super) async fn create_tags(
        &self,
        scope: &Scope,
        input: shapes::CreateTagsRequest,
    ) -> Result<Unit, Error> {
        let done = self.ledger.transact("create tags", |tx| {
            for id in &input.resources {
                self.change_tags(tx, scope, id, |tags| add(tags, input.tags.clone()))?;
            }
            Ok(())
        });
        done.await?;
        Ok(Unit {})
    }

    /// Takes tags away from resources.
    pub(super) async fn delete_tags(
        &self,
        scope: &Scope,
        input: shapes::DeleteTagsRequest,
    ) -> Result<Unit, Error> {
        let gone = input.tags.as_deref();
        let done = self.ledger.transact("delete tags", |tx| {
            for id in &input.resources {
                self.change_tags(tx, scope, id, |tags| {
                    remove(tags, gone);
                    Ok(())
                })?;
            }
            Ok(())
        });
        done.await?;
        Ok(Unit {})
    }

    /// Lists tags.
    pub(super) fn describe_tags(
        &self,
        context: &Context,
        input: shapes::DescribeTagsRequest,
    ) -> Result<shapes::DescribeTagsResult, Error> {
        let rows = self.all_tags(&self.ledger.snapshot(), &scope(context));
        let wish = Wish {
            filters: input.filters.as_deref(),
            max_results: input.max_results,
            next_token: input.next_token.as_deref(),
        };
        let (tags, next_token) = LISTING.select(rows, &wish)?;
        Ok(shapes::DescribeTagsResult { next_token, tags: Some(tags) })
    }

    fn change_tags(
        &self,
        tx: &mut Tx<'_>,
        scope: &Scope,
        id: &str,
        change: impl Fn(&mut Tags) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let key = (scope.clone(), id.to_owned());
        let missing = |kind| Error::NotFound(kind, vec![id.to_owned()]);
        match id.split_once('-').map(|(kind, _)| kind) {
            Some("vpc") => {
                let mut row = self.vpc_of(tx, scope, id)?;
                change(&mut row.tags)?;
                tx.put(&self.tables.vpcs, key, row);
            }
            Some("subnet") => {
                let row = self.tables.subnet(tx, scope, id);
                let mut row = row.ok_or_else(|| missing(NotFound::Subnets))?;
                change(&mut row.tags)?;
                tx.put(&self.tables.subnets, key, row);
            }
            Some("sg") => {
                let mut row = self.group_of(tx, scope, Some(id), None)?;
                change(&mut row.tags)?;
                tx.put(&self.tables.groups, key, row);
            }
            Some("sgr") => {
                let mut groups = self.tables.groups(tx, scope).into_iter();
                let has = |group: &crate::model::SecurityGroup| {
                    group.rules.iter().any(|rule| rule.id == id)
                };
                let mut group = groups.find(has).ok_or_else(|| missing(NotFound::Rules))?;
                for rule in group.rules.iter_mut().filter(|rule| rule.id == id) {
                    change(&mut rule.tags)?;
                }
                tx.put(&self.tables.groups, (scope.clone(), group.id.clone()), group);
            }
            Some("eni") => {
                let row = tx.get(&self.tables.interfaces, &key);
                let mut row = (*row.ok_or_else(|| missing(NotFound::Interfaces))?).clone();
                change(&mut row.tags)?;
                tx.put(&self.tables.interfaces, key, row);
            }
            _ => return Err(Error::Untaggable(id.to_owned())),
        }
        Ok(())
    }

    fn all_tags(&self, snapshot: &Snapshot, scope: &Scope) -> Vec<shapes::TagDescription> {
        use shapes::ResourceType as Kind;
        let mut rows = Vec::new();
        let mut add = |id: &str, kind: Kind, tags: &Tags| {
            rows.extend(tags.iter().map(|(key, value)| shapes::TagDescription {
                key: Some(key.clone()),
                resource_id: Some(id.to_owned()),
                resource_type: Some(kind),
                value: Some(value.clone()),
            }));
        };
        for vpc in self.tables.vpcs(snapshot, scope) {
            add(&vpc.id, Kind::Vpc, &vpc.tags);
        }
        for subnet in self.tables.subnets(snapshot, scope) {
            add(&subnet.id, Kind::Subnet, &subnet.tags);
        }
        for group in self.tables.groups(snapshot, scope) {
            add(&group.id, Kind::SecurityGroup, &group.tags);
            for rule in &group.rules {
                add(&rule.id, Kind::SecurityGroupRule, &rule.tags);
            }
        }
        for (_, row) in snapshot.prefix(&self.tables.interfaces, scope) {
            add(&row.id, Kind::NetworkInterface, &row.tags);
        }
        rows
    }
}
