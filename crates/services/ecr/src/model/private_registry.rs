//! AWS's private registries, by the names of their hosts.

/// A private registry of AWS's: `ACCOUNT.dkr.ecr.REGION.DOMAIN`, or `ACCOUNT.dkr-ecr.REGION.on.DOMAIN` where
/// IPv6 does, too; with `ecr-fips` for the hosts that keep to FIPS 140 (ECR's endpoints in AWS's General
/// Reference).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrivateRegistry<'a> {
    /// Where it is.
    pub(crate) region: &'a str,
    /// `amazonaws.com`, and others in other partitions.
    domain: &'a str,
    is_dual: bool,
    is_fips: bool,
}

impl<'a> PrivateRegistry<'a> {
    /// The registry that a host is; none for all others.
    pub(crate) fn of(host: &'a str) -> Option<Self> {
        let (account, rest) = host.split_once(".dkr")?;
        let (is_dual, rest) = match rest.strip_prefix("-ecr") {
            Some(rest) => (true, rest),
            None => (false, rest.strip_prefix(".ecr")?),
        };
        let (is_fips, rest) = match rest.strip_prefix("-fips") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (region, domain) = rest.strip_prefix('.')?.split_once('.')?;
        let domain = if is_dual { domain.strip_prefix("on.")? } else { domain };
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let is_region = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let is_named = !region.is_empty() && region.bytes().all(is_region) && !domain.is_empty();
        (is_account && is_named).then_some(Self { region, domain, is_dual, is_fips })
    }

    /// The host of ECR's API there.
    pub(crate) fn ecr(&self) -> String {
        self.host(match (self.is_fips, self.is_dual) {
            (true, _) => "ecr-fips",
            (false, true) => "ecr",
            (false, false) => "api.ecr",
        })
    }

    /// The host of STS there. In GovCloud the ordinary one keeps to FIPS 140, and there is no other.
    pub(crate) fn sts(&self) -> String {
        let has_fips = self.is_fips && !self.region.starts_with("us-gov-");
        self.host(if has_fips { "sts-fips" } else { "sts" })
    }

    fn host(&self, service: &str) -> String {
        let Self { region, domain, .. } = self;
        match self.is_dual {
            true => format!("{service}.{region}.api.{domain}"),
            false => format!("{service}.{region}.{domain}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hosts_tell_where_their_services_are() {
        let check = |host: &str, ecr: &str, sts: &str| {
            let registry = PrivateRegistry::of(host).unwrap();
            assert_eq!((registry.ecr().as_str(), registry.sts().as_str()), (ecr, sts), "{host}");
        };
        check(
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "api.ecr.eu-west-1.amazonaws.com",
            "sts.eu-west-1.amazonaws.com",
        );
        check(
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "api.ecr.cn-north-1.amazonaws.com.cn",
            "sts.cn-north-1.amazonaws.com.cn",
        );
        check(
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "ecr-fips.us-gov-west-1.amazonaws.com",
            "sts.us-gov-west-1.amazonaws.com",
        );
        check(
            "123456789012.dkr.ecr-fips.us-east-2.amazonaws.com",
            "ecr-fips.us-east-2.amazonaws.com",
            "sts-fips.us-east-2.amazonaws.com",
        );
        check(
            "123456789012.dkr-ecr.eu-west-1.on.aws",
            "ecr.eu-west-1.api.aws",
            "sts.eu-west-1.api.aws",
        );
        check(
            "123456789012.dkr-ecr-fips.us-east-1.on.aws",
            "ecr-fips.us-east-1.api.aws",
            "sts-fips.us-east-1.api.aws",
        );
    }

    #[test]
    fn other_hosts_are_none() {
        for host in [
            "12.dkr.ecr.eu-west-1.amazonaws.com",
            "12345678901x.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1",
            "123456789012.dkr.ecr.eu/west.amazonaws.com",
            "123456789012.dkr.ecr",
            "123456789012.dkr.ecrx.eu-west-1.amazonaws.com",
            "123456789012.dkr-ecr.eu-west-1.aws",
            "123456789012.dkrecr.eu-west-1.amazonaws.com",
            "public.ecr.aws",
            "",
        ] {
            assert_eq!(PrivateRegistry::of(host), None, "{host}");
        }
    }
}
