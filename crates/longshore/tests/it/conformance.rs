//! The registry against the specification's own conformance program, where its binary is at hand:
//! `OCI_CONFORMANCE_BIN` names it.

use std::process::Command;

use crate::harness::Up;

/// The versions of the specification that it is asked for: the stable one, and what comes after it.
const VERSIONS: [&str; 2] = ["1.1", "dev"];

#[test]
fn the_official_suite_passes() {
    let Ok(program) = std::env::var("OCI_CONFORMANCE_BIN") else {
        eprintln!("OCI_CONFORMANCE_BIN names no program: nothing is tried");
        return;
    };
    let up = Up::server(&[]);
    for name in ["conformance/repo1", "conformance/repo2"] {
        up.aws(&["ecr", "create-repository", "--repository-name", name]);
    }
    let (user, password) = up.keys();
    let endpoint = up.endpoint();
    let results = tempfile::tempdir().unwrap();
    for version in VERSIONS {
        let done = Command::new(&program)
            .env("OCI_REGISTRY", endpoint.trim_start_matches("http://"))
            .env("OCI_TLS", "disabled")
            .env("OCI_USERNAME", &user)
            .env("OCI_PASSWORD", &password)
            .env("OCI_VERSION", version)
            .env("OCI_RESULTS_DIR", results.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stdout);
        let has_passed = told.contains("OCI Conformance Result: Pass");
        assert!(done.status.success() && has_passed, "{version}: {told}");
        for what in ["FAIL", "Error"] {
            let count = told.lines().find_map(|line| {
                let line = line.trim().strip_prefix(what)?;
                line.trim_start_matches('.').trim_start_matches(':').trim().parse::<u32>().ok()
            });
            assert_eq!(count, Some(0), "{version}, {what}: {told}");
        }
    }
}
