//! Capabilities, limits, devices, kernel parameters.

use anyhow::Result;

use super::field::Field;
use super::service::place;
use crate::commands::import::draft::Draft;

/// Reads one member, if it is about the kernel.
pub(super) fn read(draft: &mut Draft, key: &str, field: &Field<'_>) -> Result<bool> {
    match key {
        "cap_add" => draft.capabilities(place(field), &field.texts()?, true),
        "cap_drop" => draft.capabilities(place(field), &field.texts()?, false),
        "ulimits" => {
            for (name, limit) in field.entries()? {
                let whole = |field: Field<'_>| {
                    field.parse("a whole number", |text| text.trim().parse::<i64>().ok())
                };
                let (soft, hard) = if limit.is_map() {
                    let (Some(soft), Some(hard)) = (limit.get("soft"), limit.get("hard")) else {
                        return Err(limit.wrong("'soft' and 'hard' must both be given"));
                    };
                    (whole(soft)?, whole(hard)?)
                } else {
                    let both = whole(limit.clone())?;
                    (both, both)
                };
                draft.ulimit(place(&limit), &name, soft, hard);
            }
        }
        "sysctls" => {
            for (name, value) in field.pairs()? {
                let Some(value) = value.filter(|value| !value.is_empty()) else {
                    return Err(field.wrong(format!("{name} has no value")));
                };
                draft.system_control(place(field), &name, &value);
            }
        }
        "devices" => {
            for item in field.items()? {
                if item.is_map() {
                    let part = |key: &str| item.get(key).map(|one| one.text()).transpose();
                    let (source, target) = (part("source")?, part("target")?);
                    let source = source.unwrap_or_default();
                    let target = target.unwrap_or_else(|| source.clone());
                    let permissions = part("permissions")?.unwrap_or_else(|| "rwm".into());
                    draft.device(place(&item), &format!("{source}:{target}:{permissions}"));
                } else {
                    draft.device(place(&item), &item.text()?);
                }
            }
        }
        "security_opt" => {
            for item in field.items()? {
                draft.security_option(place(&item), &item.text()?);
            }
        }
        "shm_size" => draft.linux.shared_memory_size = Some(field.mib()?.max(1)),
        "mem_swappiness" => {
            let percent = field.whole()?;
            if !(0..=100).contains(&percent) {
                return Err(field.wrong(format!("expected 0 to 100, found {percent}")));
            }
            draft.linux.swappiness = Some(percent);
        }
        _ => return Ok(false),
    }
    Ok(true)
}
