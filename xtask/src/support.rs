//! `cargo xtask support`: what of each service is built, as a table for people.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use crate::Mode;
use crate::codegen::model::{self, Model};

/// Of a service with more operations, only those that are built are listed.
const OPERATIONS_LISTED_MAX: usize = 200;

/// Writes `docs/support.md`.
///
/// # Errors
/// If a model cannot be read; in check mode, if the table would change.
pub fn run(root: &Path, mode: Mode) -> Result<()> {
    let mut out = String::from(
        "<!-- Made by `cargo xtask support` from models/; never edit. -->\n\n# What is built\n\n\
         An operation that is not built answers HTTP 501, `NotImplementedException`; none answers \
         with an empty success. An operation of a service that is not listed here is unknown.\n",
    );
    for (service, built) in &model::read_built(root)? {
        let model = Model::read(root, service)?;
        let total = model.operations.len();
        write!(
            out,
            "\n## {}\n\n{} of {total} operations.\n\n| operation | state | what is missing |\n| --- | --- | --- |\n",
            model.metadata.service_full_name,
            built.len(),
        )?;
        let is_long = total > OPERATIONS_LISTED_MAX;
        for name in model.operations.keys().filter(|name| !is_long || built.contains_key(*name)) {
            let (state, missing) = match built.get(name).map(|text| text.split_once(": ")) {
                None => ("not yet", ""),
                Some(None) => ("done", ""),
                Some(Some((state, missing))) => (state, missing),
            };
            writeln!(out, "| {name} | {state} | {missing} |")?;
        }
        if is_long {
            writeln!(out, "| all others | not yet | |")?;
        }
    }
    mode.put(&root.join("docs/support.md"), &out, "support")
}
