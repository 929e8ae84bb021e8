//! Regions and availability zones.

use shapes_ec2 as shapes;
use wire::Context;

use super::listing::{Listing, Wish};
use crate::Vpc;
use crate::error::Error;
use crate::model::{OPT_IN_REGIONS, REGIONS, Zone, zones};

const NOT_REQUIRED: &str = "opt-in-not-required";

/// DescribeRegions's filters (API reference).
const REGION_LISTING: Listing<shapes::Region> = Listing {
    key: |region| region.region_name.clone().unwrap_or_default(),
    tags: |_| &[],
    has_tags: false,
    filters: &[
        ("endpoint", |region| Vec::from_iter(region.endpoint.clone())),
        ("opt-in-status", |region| Vec::from_iter(region.opt_in_status.clone())),
        ("region-name", |region| Vec::from_iter(region.region_name.clone())),
    ],
};

/// DescribeAvailabilityZones's filters (API reference).
const ZONE_LISTING: Listing<shapes::AvailabilityZone> = Listing {
    key: |zone| zone.zone_name.clone().unwrap_or_default(),
    tags: |_| &[],
    has_tags: false,
    filters: &[
        ("group-long-name", |zone| Vec::from_iter(zone.group_long_name.clone())),
        ("group-name", |zone| Vec::from_iter(zone.group_name.clone())),
        ("message", |_| Vec::new()),
        ("opt-in-status", |_| vec![NOT_REQUIRED.to_owned()]),
        ("parent-zone-id", |_| Vec::new()),
        ("parent-zone-name", |_| Vec::new()),
        ("region-name", |zone| Vec::from_iter(zone.region_name.clone())),
        ("state", |_| vec!["available".to_owned()]),
        ("zone-id", |zone| Vec::from_iter(zone.zone_id.clone())),
        ("zone-name", |zone| Vec::from_iter(zone.zone_name.clone())),
        ("zone-type", |zone| Vec::from_iter(zone.zone_type.clone())),
    ],
};

impl Vpc {
    /// Lists AWS's regions, and the one that was asked. This server answers for each of them, and
    /// for any other name.
    pub(super) fn describe_regions(
        &self,
        context: &Context,
        input: shapes::DescribeRegionsRequest,
    ) -> Result<shapes::DescribeRegionsResult, Error> {
        let here = context.caller.region.as_str();
        let names = input.region_names.as_deref().unwrap_or_default();
        let mut known: Vec<(&str, &str)> = REGIONS.map(|name| (name, NOT_REQUIRED)).to_vec();
        // Regions to opt into are shown when they are asked for.
        let asked =
            |name: &&str| input.all_regions == Some(true) || names.iter().any(|n| n == name);
        let more = OPT_IN_REGIONS.iter().filter(|name| **name != here && asked(name));
        known.extend(more.map(|name| (*name, "not-opted-in")));
        if !known.iter().any(|(name, _)| *name == here) {
            known.push((here, NOT_REQUIRED));
        }
        let unknown = |name: &&String| !known.iter().any(|(known, _)| known == name);
        let unknown: Vec<&str> = names.iter().filter(unknown).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(Error::Value(format!("Invalid region names: [{}]", unknown.join(", "))));
        }
        known.retain(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name));
        let rows = known.into_iter().map(|(name, status)| shapes::Region {
            endpoint: Some(format!("ec2.{name}.amazonaws.com")),
            opt_in_status: Some(status.to_owned()),
            region_name: Some(name.to_owned()),
            ..Default::default()
        });
        let wish = Wish { filters: input.filters.as_deref(), max_results: None, next_token: None };
        let (regions, _) = REGION_LISTING.select(rows.collect(), &wish)?;
        Ok(shapes::DescribeRegionsResult { regions: Some(regions) })
    }

    /// Lists the zones of the region.
    pub(super) fn describe_availability_zones(
        &self,
        context: &Context,
        input: shapes::DescribeAvailabilityZonesRequest,
    ) -> Result<shapes::DescribeAvailabilityZonesResult, Error> {
        let mut zones = zones(&context.caller.region);
        keep(&mut zones, input.zone_names.as_deref(), |zone| &zone.name, "availability zone")?;
        keep(&mut zones, input.zone_ids.as_deref(), |zone| &zone.id, "availability zone-id")?;
        let rows = zones.into_iter().map(show).collect();
        let wish = Wish { filters: input.filters.as_deref(), max_results: None, next_token: None };
        let (zones, _) = ZONE_LISTING.select(rows, &wish)?;
        Ok(shapes::DescribeAvailabilityZonesResult { availability_zones: Some(zones) })
    }
}

/// Keeps the zones that are named, if any are.
fn keep(
    zones: &mut Vec<Zone>,
    names: Option<&[String]>,
    name_of: fn(&Zone) -> &String,
    what: &str,
) -> Result<(), Error> {
    let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok(()) };
    let unknown = |name: &&String| !zones.iter().any(|zone| name_of(zone) == *name);
    let unknown: Vec<&str> = names.iter().filter(unknown).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(Error::Value(format!("Invalid {what}: [{}]", unknown.join(", "))));
    }
    zones.retain(|zone| names.contains(name_of(zone)));
    Ok(())
}

fn show(zone: Zone) -> shapes::AvailabilityZone {
    shapes::AvailabilityZone {
        group_name: Some(zone.group),
        messages: Some(Vec::new()),
        network_border_group: Some(zone.region.clone()),
        opt_in_status: Some(shapes::AvailabilityZoneOptInStatus::OptInNotRequired),
        region_name: Some(zone.region),
        state: Some(shapes::AvailabilityZoneState::Available),
        zone_id: Some(zone.id),
        zone_name: Some(zone.name),
        zone_type: Some("availability-zone".to_owned()),
        ..Default::default()
    }
}
