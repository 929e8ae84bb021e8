//! Labels of versions (User Guide, "Labeling parameter versions").

use shapes_ssm as shapes;
use wire::Context;

use super::error::Error;
use super::model::Parameter;
use super::name::{Reference, Selector};
use super::{find, version};
use crate::{Scope, Secrets, Tables};

/// The most labels of a version.
const LABELS_MAX: usize = 10;

/// Whether a text may be a label.
fn is_label(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    !lower.starts_with(|first: char| first.is_ascii_digit())
        && !lower.starts_with("aws")
        && !lower.starts_with("ssm")
        && text.chars().all(is_known)
}

impl Secrets {
    /// Puts labels on a version, and takes them from others of the parameter.
    pub(super) async fn label_parameter_version(
        &self,
        context: Context,
        input: shapes::LabelParameterVersionRequest,
    ) -> Result<shapes::LabelParameterVersionResult, Error> {
        let (good, bad): (Vec<_>, Vec<_>) = input.labels.iter().cloned().partition(|l| is_label(l));
        let number =
            self.change_labels(&context, &input.name, input.parameter_version, |row, number| {
                row.labels.extend(good.iter().map(|label| (label.clone(), number)));
                match row.labels_of(number).len() > LABELS_MAX {
                    true => Err(Error::TooManyLabels),
                    false => Ok(()),
                }
            });
        let number = number.await?.0;
        Ok(shapes::LabelParameterVersionResult {
            invalid_labels: Some(bad),
            parameter_version: i64::try_from(number).ok(),
        })
    }

    /// Takes labels from a version.
    pub(super) async fn unlabel_parameter_version(
        &self,
        context: Context,
        input: shapes::UnlabelParameterVersionRequest,
    ) -> Result<shapes::UnlabelParameterVersionResult, Error> {
        let asked = Some(input.parameter_version);
        let mut removed: Vec<String> = Vec::new();
        self.change_labels(&context, &input.name, asked, |row, number| {
            let has = |label: &&String| row.labels.get(*label) == Some(&number);
            removed = input.labels.iter().filter(has).cloned().collect();
            row.labels.retain(|label, _| !removed.contains(label));
            Ok(())
        })
        .await?;
        let not_there = input.labels.iter().filter(|label| !removed.contains(label));
        Ok(shapes::UnlabelParameterVersionResult {
            invalid_labels: Some(not_there.cloned().collect()),
            removed_labels: Some(removed),
        })
    }

    async fn change_labels(
        &self,
        context: &Context,
        name: &str,
        number: Option<i64>,
        mut change: impl FnMut(&mut Parameter, u64) -> Result<(), Error>,
    ) -> Result<(u64,), Error> {
        let scope = Scope::of(context);
        let reference = Reference::parse(&scope, name)?;
        let number = number.map(|number| Selector::Version(u64::try_from(number).unwrap_or(0)));
        let tables: Tables = self.tables;
        let done = self.ledger.transact("label parameter version", |tx| {
            let now = tx.now();
            let (name, row) = find(&tables, tx, &scope, &reference.names, now)?;
            let (number, _) = version(&tables, tx, (&scope, &name, &row), number.as_ref())?;
            let mut parameter = Parameter::clone(&row);
            change(&mut parameter, number)?;
            tx.put(&tables.parameters, (scope.clone(), name), parameter);
            Ok::<_, Error>((number,))
        });
        Ok(done.await?.value)
    }
}

#[cfg(test)]
mod tests {
    use super::is_label;

    #[test]
    fn what_may_be_a_label() {
        for good in ["prod", "a.b-c_1", "Prod"] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["1st", "awsome", "SSM", "a b", "a/b"] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
