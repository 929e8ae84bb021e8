//! Published ports: the short and the long form, with ranges.

use anyhow::Result;

use super::field::Field;
use super::service::place;
use crate::commands::import::draft::{Draft, Place, Port};

/// Most ports of one entry.
const MAX_PORTS: usize = 100;

type Span = (u16, u16);

/// Reads `ports`.
pub(super) fn read(draft: &mut Draft, field: &Field<'_>) -> Result<()> {
    for item in field.items()? {
        let ports = if item.is_map() { long(&item)? } else { short(&item)? };
        draft.ports.extend(ports);
    }
    Ok(())
}

/// `[[address:]host:]container[/protocol]`, host and container perhaps ranges.
fn short(item: &Field<'_>) -> Result<Vec<Port>> {
    let text = item.text()?;
    let (ports, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
    let (rest, container) = match ports.rsplit_once(':') {
        Some((rest, container)) => (Some(rest), container),
        None => (None, ports),
    };
    let host = rest.map(|rest| match rest.rsplit_once(':') {
        Some((address, host)) => {
            note_address(place(item), address.trim_start_matches('[').trim_end_matches(']'));
            host
        }
        None => rest,
    });
    let read = |part: &str| {
        span(part).ok_or_else(|| item.wrong(format!("'{text}' is not of the form host:container")))
    };
    let host = host.filter(|host| !host.is_empty()).map(read).transpose()?;
    pair(item, read(container)?, host, protocol)
}

fn long(item: &Field<'_>) -> Result<Vec<Port>> {
    let Some(target) = item.get("target") else { return Err(item.wrong("'target' is missing")) };
    let read = |field: Field<'_>| field.parse("a port or a range of ports", span);
    let host = item.get("published").map(read).transpose()?;
    if let Some(address) = item.get("host_ip") {
        note_address(place(&address), &address.text()?);
    }
    let protocol = item.get("protocol").map_or(Ok("tcp".into()), |one| one.text())?;
    pair(item, read(target)?, host, &protocol)
}

fn note_address(place: Place<'_>, address: &str) {
    if !matches!(address, "" | "0.0.0.0" | "::") {
        place.note(format!("published on all addresses, not on {address} alone"));
    }
}

fn pair(
    item: &Field<'_>,
    (first, last): Span,
    host: Option<Span>,
    protocol: &str,
) -> Result<Vec<Port>> {
    let udp = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => false,
        "udp" => true,
        other => {
            item.note(format!("left out: ECS publishes tcp and udp, not {other}"));
            return Ok(Vec::new());
        }
    };
    let count = usize::from(last - first) + 1;
    if count > MAX_PORTS {
        return Err(item.wrong(format!("{count} ports are too many: at most {MAX_PORTS}")));
    }
    let hosts: Vec<Option<u16>> = match host {
        None => vec![None; count],
        Some((from, to)) if usize::from(to - from) + 1 == count => (from..=to).map(Some).collect(),
        // Compose takes a free one of the range.
        Some((from, to)) if count == 1 => {
            item.note(format!("published on any free port, not on one of {from}-{to}"));
            vec![None]
        }
        Some(_) => return Err(item.wrong("the two ranges differ in length")),
    };
    let ports = (first..=last).zip(hosts);
    Ok(ports.map(|(container, host)| Port { container, host, udp }).collect())
}

/// A port, or a range `first-last`.
fn span(text: &str) -> Option<Span> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (0 < first && first <= last).then_some((first, last))
}
