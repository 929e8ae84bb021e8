//! Security policies: which versions of TLS and which ciphers a listener takes (Application Load
//! Balancer guide, "Security policies"). What of them is served, the data plane decides.

/// A security policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Its name.
    pub(crate) name: &'static str,
    /// The versions of TLS, the newest first.
    pub(crate) protocols: &'static [&'static str],
    /// Parts of its list of ciphers, the preferred ones first.
    parts: &'static [&'static [&'static str]],
}

impl Policy {
    /// Its ciphers by OpenSSL's names, the preferred ones first.
    pub(crate) fn ciphers(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().flat_map(|part| part.iter().copied())
    }
}

/// The policy of listeners for which none is named.
pub(crate) const USUAL: &str = "ELBSecurityPolicy-2016-08";

/// The policy of a name.
pub(crate) fn named(name: &str) -> Option<&'static Policy> {
    ALL.iter().find(|policy| policy.name == name)
}

const TLS13: &[&str] =
    &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const ECDHE_GCM: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
];
const ECDHE_CBC: &[&str] = &[
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
];
const ECDHE_SHA1: &[&str] = &[
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
];
const RSA: &[&str] = &["AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"];
const RSA_SHA1: &[&str] = &["AES128-SHA", "AES256-SHA"];
const TRIPLE_DES: &[&str] = &["DES-CBC3-SHA"];

const V13: &[&str] = &["TLSv1.3"];
const FROM_12_TO_13: &[&str] = &["TLSv1.2", "TLSv1.3"];
const FROM_11_TO_13: &[&str] = &["TLSv1.1", "TLSv1.2", "TLSv1.3"];
const FROM_10_TO_13: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
const V12: &[&str] = &["TLSv1.2"];
const FROM_11_TO_12: &[&str] = &["TLSv1.1", "TLSv1.2"];
const FROM_10_TO_12: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2"];

const EXT1: &[&[&str]] = &[TLS13, ECDHE_GCM, ECDHE_CBC, RSA];
const EXT2: &[&[&str]] = &[TLS13, ECDHE_GCM, ECDHE_CBC, ECDHE_SHA1, RSA, RSA_SHA1];
const MODERN: &[&[&str]] = &[TLS13, ECDHE_GCM, ECDHE_CBC];
const RESTRICTED: &[&[&str]] = &[TLS13, ECDHE_GCM];
const OLD: &[&[&str]] = &[ECDHE_GCM, ECDHE_CBC, ECDHE_SHA1, RSA, RSA_SHA1];
const SECRECY: &[&[&str]] = &[ECDHE_GCM, ECDHE_CBC, ECDHE_SHA1];

type Parts = &'static [&'static [&'static str]];

const fn policy(name: &'static str, protocols: &'static [&'static str], parts: Parts) -> Policy {
    Policy { name, protocols, parts }
}

/// All policies. The key exchange of those with `PQ` is the usual one.
pub(crate) const ALL: &[Policy] = &[
    policy("ELBSecurityPolicy-TLS13-1-2-2021-06", FROM_12_TO_13, MODERN),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", FROM_12_TO_13, RESTRICTED),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", FROM_12_TO_13, EXT1),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", FROM_12_TO_13, EXT2),
    policy("ELBSecurityPolicy-TLS13-1-1-2021-06", FROM_11_TO_13, EXT2),
    policy("ELBSecurityPolicy-TLS13-1-0-2021-06", FROM_10_TO_13, EXT2),
    policy("ELBSecurityPolicy-TLS13-1-3-2021-06", V13, &[TLS13]),
    policy("ELBSecurityPolicy-TLS13-1-2-PQ-2025-09", FROM_12_TO_13, MODERN),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", FROM_12_TO_13, RESTRICTED),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09", FROM_12_TO_13, EXT1),
    policy("ELBSecurityPolicy-TLS13-1-2-Ext2-PQ-2025-09", FROM_12_TO_13, EXT2),
    policy("ELBSecurityPolicy-TLS13-1-0-PQ-2025-09", FROM_10_TO_13, EXT2),
    policy("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", V13, &[TLS13]),
    policy("ELBSecurityPolicy-2016-08", FROM_10_TO_12, OLD),
    policy("ELBSecurityPolicy-TLS-1-2-2017-01", V12, &[ECDHE_GCM, ECDHE_CBC, RSA]),
    policy("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", V12, OLD),
    policy("ELBSecurityPolicy-TLS-1-1-2017-01", FROM_11_TO_12, OLD),
    policy(
        "ELBSecurityPolicy-TLS-1-0-2015-04",
        FROM_10_TO_12,
        &[ECDHE_GCM, ECDHE_CBC, ECDHE_SHA1, RSA, RSA_SHA1, TRIPLE_DES],
    ),
    policy("ELBSecurityPolicy-FS-2018-06", FROM_10_TO_12, SECRECY),
    policy("ELBSecurityPolicy-FS-1-1-2019-08", FROM_11_TO_12, SECRECY),
    policy("ELBSecurityPolicy-FS-1-2-2019-08", V12, SECRECY),
    policy("ELBSecurityPolicy-FS-1-2-Res-2019-08", V12, &[ECDHE_GCM, ECDHE_CBC]),
    policy("ELBSecurityPolicy-FS-1-2-Res-2020-10", V12, &[ECDHE_GCM]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_have_as_many_ciphers_as_the_guide_counts() {
        let count = |name: &str| {
            let policy = named(&format!("ELBSecurityPolicy-{name}")).expect("a policy");
            policy.ciphers().count()
        };
        for (name, ciphers) in [
            ("TLS13-1-3-2021-06", 3),
            ("TLS13-1-2-2021-06", 11),
            ("TLS13-1-2-Res-2021-06", 7),
            ("TLS13-1-2-Ext1-2021-06", 15),
            ("TLS13-1-2-Ext2-2021-06", 21),
            ("TLS13-1-0-2021-06", 21),
            ("2016-08", 18),
            ("TLS-1-2-2017-01", 12),
            ("TLS-1-2-Ext-2018-06", 18),
            ("FS-1-2-Res-2020-10", 4),
        ] {
            assert_eq!(count(name), ciphers, "{name}");
        }
        assert!(named(USUAL).is_some());
    }
}
