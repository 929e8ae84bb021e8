//! Deleting parameters.

use ledger::Tx;
use shapes_ssm as shapes;
use wire::Context;

use super::error::Error;
use super::find;
use super::name::Reference;
use crate::tables::NameKey;
use crate::{Scope, Secrets, Tables};

/// Deletes a parameter with all its versions, if it is there.
pub(crate) fn remove(tx: &mut Tx<'_>, tables: &Tables, key: &NameKey) {
    let rows = tx.prefix(&tables.parameter_versions, key);
    let versions: Vec<_> = rows.map(|(key, _)| key).collect();
    for version in &versions {
        tx.delete(&tables.parameter_versions, version);
    }
    tx.delete(&tables.parameters, key);
}

impl Secrets {
    /// Deletes one.
    pub(super) async fn delete_parameter(
        &self,
        context: Context,
        input: shapes::DeleteParameterRequest,
    ) -> Result<shapes::DeleteParameterResult, Error> {
        let (deleted, _) = self.delete_all(&context, std::slice::from_ref(&input.name)).await?;
        match deleted.is_empty() {
            true => Err(Error::NotFound),
            false => Ok(shapes::DeleteParameterResult {}),
        }
    }

    /// Deletes up to ten; those that are not there are told apart.
    pub(super) async fn delete_parameters(
        &self,
        context: Context,
        input: shapes::DeleteParametersRequest,
    ) -> Result<shapes::DeleteParametersResult, Error> {
        let (deleted, invalid) = self.delete_all(&context, &input.names).await?;
        Ok(shapes::DeleteParametersResult {
            deleted_parameters: Some(deleted),
            invalid_parameters: Some(invalid),
        })
    }

    async fn delete_all(
        &self,
        context: &Context,
        names: &[String],
    ) -> Result<(Vec<String>, Vec<String>), Error> {
        let scope = Scope::of(context);
        let wanted: Result<Vec<_>, Error> = names
            .iter()
            .map(|name| Reference::parse(&scope, name).map(|read| (name, read)))
            .collect();
        let (wanted, tables): (_, Tables) = (wanted?, self.tables);
        let done = self.ledger.transact("delete parameters", |tx| {
            let (mut deleted, mut invalid) = (Vec::new(), Vec::new());
            for (asked, reference) in &wanted {
                let now = tx.now();
                match find(&tables, tx, &scope, &reference.names, now) {
                    Ok((name, _)) => {
                        remove(tx, &tables, &(scope.clone(), name));
                        deleted.push((*asked).clone());
                    }
                    Err(_) => invalid.push((*asked).clone()),
                }
            }
            Ok::<_, Error>((deleted, invalid))
        });
        Ok(done.await?.value)
    }
}
