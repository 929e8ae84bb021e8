//! PutAttributes, DeleteAttributes and ListAttributes: attributes of container instances, the only
//! targets that there are (ECS semantics §4).

use std::collections::BTreeMap;
use std::ops::Bound;

use ledger::Tx;
use shapes_ecs as shapes;
use terms::ContainerInstanceId;
use wire::Context;

use super::page::Page;
use super::target::Target;
use super::{Api, container_instances, target};
use crate::error::Error;
use crate::model::attribute::{self, MAX_CUSTOM_ATTRIBUTES, WrongAttribute};
use crate::model::{ContainerInstance, InstanceStatus};
use crate::tables::{ClusterKey, InstanceKey, Tables};

/// Most attributes of one request.
const MAX_IN_REQUEST: usize = 10;

/// Attributes of instances by instance, as a request gives them.
type ByInstance = BTreeMap<InstanceKey, Vec<(String, Option<String>)>>;

impl Api {
    /// Puts attributes on instances: on all of them, or on none.
    pub(crate) async fn put_attributes(
        &self,
        context: Context,
        input: shapes::PutAttributesRequest,
    ) -> Result<shapes::PutAttributesResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        target::active_cluster(&self.ledger.snapshot(), &self.tables, &cluster)?;
        let check =
            |one: &shapes::Attribute| attribute::check_custom(&one.name, one.value.as_deref());
        let wanted = read(&cluster, input.attributes, check)?;
        let tables = self.tables;
        let done = self.ledger.transact("put attributes", |tx| {
            target::active_cluster(tx, &tables, &cluster)?;
            let mut shown = Vec::new();
            for (key, attributes) in &wanted {
                let row = instance(tx, &tables, key)?;
                let mut next = row.attributes.clone();
                next.extend(attributes.iter().cloned());
                let custom = next.keys().filter(|name| !attribute::is_reserved(name)).count();
                if custom > MAX_CUSTOM_ATTRIBUTES {
                    return Err(Error::too_many_attributes());
                }
                shown.extend(attributes.iter().map(|(name, value)| show(key, name, value.clone())));
                put(tx, &tables, key, &row, next);
            }
            Ok::<_, Error>(shown)
        });
        Ok(shapes::PutAttributesResponse { attributes: Some(done.await?.value) })
    }

    /// Takes attributes from instances, and answers those that were there. One that is given with a
    /// value is only taken if it has that value.
    pub(crate) async fn delete_attributes(
        &self,
        context: Context,
        input: shapes::DeleteAttributesRequest,
    ) -> Result<shapes::DeleteAttributesResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        target::active_cluster(&self.ledger.snapshot(), &self.tables, &cluster)?;
        let wanted = read(&cluster, input.attributes, |one| attribute::check_name(&one.name))?;
        let tables = self.tables;
        let done = self.ledger.transact("delete attributes", |tx| {
            target::active_cluster(tx, &tables, &cluster)?;
            let mut shown = Vec::new();
            for (key, attributes) in &wanted {
                let row = instance(tx, &tables, key)?;
                let mut next = row.attributes.clone();
                for (name, value) in attributes {
                    let is_meant = |known: &Option<String>| value.is_none() || value == known;
                    if next.get(name).is_some_and(is_meant) {
                        let value = next.remove(name).flatten();
                        shown.push(show(key, name, value));
                    }
                }
                put(tx, &tables, key, &row, next);
            }
            Ok::<_, Error>(shown)
        });
        Ok(shapes::DeleteAttributesResponse { attributes: Some(done.await?.value) })
    }

    /// Lists the attributes of a cluster's instances, those of agents too: by instance, then name.
    pub(crate) async fn list_attributes(
        &self,
        context: Context,
        input: shapes::ListAttributesRequest,
    ) -> Result<shapes::ListAttributesResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (name, value) = (filled(input.attribute_name), filled(input.attribute_value));
        if value.is_some() && name.is_none() {
            return Err(Error::invalid("attributeValue can be used with attributeName only."));
        }
        let filters = (&cluster, &name, &value);
        let token = input.next_token.as_deref();
        let page = Page::open("ListAttributes", &filters, input.max_results, token)?;
        let after = page.after_as::<Place>()?;
        let from = after.as_ref().map_or(FIRST, |after| after.instance);
        let from = Bound::Included(from);
        let rows = container_instances::all(&snapshot, &self.tables, &cluster, from);
        let attributes = rows.flat_map(|(key, row)| {
            let place = |name| Place { instance: key.1, name };
            let all = row.attributes.clone().into_iter();
            all.map(|(name, value)| (place(name), value)).collect::<Vec<_>>()
        });
        let attributes = attributes.filter(|(place, had)| {
            after.as_ref().is_none_or(|after| place > after)
                && name.as_ref().is_none_or(|name| place.name == *name)
                && value.as_ref().is_none_or(|value| had.as_ref() == Some(value))
        });
        let (found, next_token) = page.take(attributes, |(place, _)| place.to_string());
        let shown = found
            .into_iter()
            .map(|(place, value)| show(&cluster.instance(place.instance), &place.name, value));
        Ok(shapes::ListAttributesResponse { attributes: Some(shown.collect()), next_token })
    }
}

/// The id before all others.
const FIRST: ContainerInstanceId = ContainerInstanceId::from_bytes([0; 16]);

/// Where an attribute stands in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    instance: ContainerInstanceId,
    name: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.instance, self.name)
    }
}

impl std::str::FromStr for Place {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (instance, name) = text.split_once(' ').ok_or(())?;
        Ok(Self { instance: instance.parse().map_err(drop)?, name: name.to_owned() })
    }
}

/// Reads the attributes of a request, each checked by `check`; a later one of the same name counts.
fn read(
    cluster: &ClusterKey,
    attributes: Vec<shapes::Attribute>,
    check: impl Fn(&shapes::Attribute) -> Result<(), WrongAttribute>,
) -> Result<ByInstance, Error> {
    if attributes.is_empty() {
        return Err(Error::invalid("attributes can not be empty"));
    }
    if attributes.len() > MAX_IN_REQUEST {
        return Err(Error::invalid("attributes can have at most 10 items."));
    }
    let mut read = ByInstance::new();
    for one in attributes {
        check(&one).map_err(|wrong| Error::invalid(wrong.to_string()))?;
        let key = cluster.instance(target_of(cluster, &one)?);
        let all = read.entry(key).or_default();
        all.retain(|(name, _)| *name != one.name);
        all.push((one.name, one.value.filter(|value| !value.is_empty())));
    }
    Ok(read)
}

/// The instance that an attribute is for.
fn target_of(
    cluster: &ClusterKey,
    attribute: &shapes::Attribute,
) -> Result<ContainerInstanceId, Error> {
    let text = attribute.target_id.as_deref().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Error::invalid("targetId must be specified."))?;
    if !text.starts_with("arn:") && attribute.target_type.is_none() {
        let text = "targetType must be specified when targetId is not an ARN.";
        return Err(Error::invalid(text));
    }
    match target::instance(cluster, text)? {
        Target::Id(id) => Ok(id),
        Target::Unknown => Err(Error::TargetNotFound(format!("Could not find {text}"))),
    }
}

fn instance(
    tx: &Tx<'_>,
    tables: &Tables,
    key: &InstanceKey,
) -> Result<ledger::Row<ContainerInstance>, Error> {
    let row = tx.get(&tables.instances, key);
    row.filter(|row| row.status != InstanceStatus::Inactive).ok_or_else(|| {
        Error::TargetNotFound(format!("Could not find {}", key.0.instance_arn(key.1)))
    })
}

fn put(
    tx: &mut Tx<'_>,
    tables: &Tables,
    key: &InstanceKey,
    row: &ContainerInstance,
    attributes: BTreeMap<String, Option<String>>,
) {
    if attributes != row.attributes {
        let next = ContainerInstance { attributes, version: row.version + 1, ..row.clone() };
        tx.put(&tables.instances, key.clone(), next);
    }
}

/// An attribute as these operations show it: with its instance's ARN, without a type (CLI
/// reference, examples of put-attributes and list-attributes).
fn show(key: &InstanceKey, name: &str, value: Option<String>) -> shapes::Attribute {
    shapes::Attribute {
        name: name.to_owned(),
        value,
        target_id: Some(key.0.instance_arn(key.1).to_string()),
        target_type: None,
    }
}
