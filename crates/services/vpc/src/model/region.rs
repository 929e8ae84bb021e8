//! Regions and their zones.

use terms::Region;

/// Regions that every account has (EC2 User Guide, "Regions").
pub(crate) const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// Regions that an account has to ask for, in part; this server answers for them all the same.
pub(crate) const OPT_IN_REGIONS: [&str; 11] = [
    "af-south-1",
    "ap-east-1",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
];

/// The letters of a region's zones.
const LETTERS: [char; 3] = ['a', 'b', 'c'];

/// A zone of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    /// As in `us-east-1a`.
    pub(crate) name: String,
    /// As in `use1-az1`.
    pub(crate) id: String,
    /// The zone's group, as in `us-east-1-zg-1`.
    pub(crate) group: String,
    /// The region.
    pub(crate) region: String,
}

/// The zones of a region, `a` first.
pub(crate) fn zones(region: &Region) -> Vec<Zone> {
    let short = short_name(region.as_str());
    let zone = |(number, letter): (usize, char)| Zone {
        name: format!("{region}{letter}"),
        id: format!("{short}-az{number}"),
        group: format!("{region}-zg-1"),
        region: region.to_string(),
    };
    LETTERS.into_iter().enumerate().map(|(index, letter)| zone((index + 1, letter))).collect()
}

/// `us-east-1` → `use1`, `ap-southeast-2` → `apse2`, `us-gov-west-1` → `usgw1`: what zone ids begin
/// with (RAM User Guide, "Availability Zone IDs").
fn short_name(region: &str) -> String {
    let mut parts = region.split('-');
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part {
            "northeast" => short.push_str("ne"),
            "northwest" => short.push_str("nw"),
            "southeast" => short.push_str("se"),
            "southwest" => short.push_str("sw"),
            number if number.bytes().all(|b| b.is_ascii_digit()) => short.push_str(number),
            word => short.extend(word.chars().next()),
        }
    }
    short
}

/// What private names of a region end with (VPC User Guide, "DNS attributes for your VPC").
pub(crate) fn dns_suffix(region: &Region) -> String {
    match region.as_str() {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_named_as_on_aws() {
        let check = |region: &str, expected: &str| assert_eq!(short_name(region), expected);
        check("us-east-1", "use1");
        check("eu-central-1", "euc1");
        check("ap-northeast-3", "apne3");
        check("ap-south-1", "aps1");
        check("us-gov-west-1", "usgw1");
        let region = "us-east-1".parse().expect("a region");
        let names: Vec<_> = zones(&region).into_iter().map(|zone| (zone.name, zone.id)).collect();
        let pair = |name: &str, id: &str| (name.to_owned(), id.to_owned());
        let expected = [
            pair("us-east-1a", "use1-az1"),
            pair("us-east-1b", "use1-az2"),
            pair("us-east-1c", "use1-az3"),
        ];
        assert_eq!(names, expected);
    }
}
