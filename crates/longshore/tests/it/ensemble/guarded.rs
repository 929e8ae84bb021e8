//! Servers on an etcd that talks TLS, asks for certificates, and knows its users.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::etcd::Etcd;
use super::stage::Server;
use crate::harness::LONGSHORE;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `etcdctl` as a user of a certificate of this folder.
fn etcdctl(etcd: &Etcd, folder: &Path, args: &[&str]) -> String {
    let file = |name: &str| folder.join(name);
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &etcd.endpoint()]);
    command.arg("--cacert").arg(file("ca.crt")).arg("--cert").arg(file("etcd-client.crt"));
    run(command.arg("--key").arg(file("etcd-client.key")).args(args))
}

/// An etcd with the certificates of this folder, where the user `longshore` may use the servers'
/// keys alone.
fn etcd(folder: &Path) -> Etcd {
    let file = |name: &str| folder.join(name).display().to_string();
    let etcd = Etcd::start_with(
        "https",
        &[
            "--client-cert-auth",
            "--trusted-ca-file",
            &file("ca.crt"),
            "--cert-file",
            &file("etcd-server.crt"),
            "--key-file",
            &file("etcd-server.key"),
        ],
    );
    for args in [
        &["user", "add", "root:hush"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "plane"],
        &["role", "grant-permission", "plane", "readwrite", "--prefix", "/longshore/"],
        &["user", "add", "longshore:secret"],
        &["user", "grant-role", "longshore", "plane"],
        &["auth", "enable"],
    ] {
        etcdctl(&etcd, folder, args);
    }
    etcd
}

#[test]
fn certificates_of_init_and_users_of_etcd_are_all_that_servers_need() {
    let folder = tempfile::tempdir().unwrap();
    let tls = folder.path().display().to_string();
    run(Command::new(LONGSHORE).args(["init", "--dir", &tls, "--etcd", "127.0.0.1"]));
    let etcd = etcd(folder.path());
    let store = etcd.store();
    // One is known by its certificate's name, the other by a password of the same user.
    let mut certain = Server::start_with(&["--store", &store, "--tls-dir", &tls]);
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let password = password.display().to_string();
    let user = ["--etcd-user", "longshore", "--etcd-password-file", &password];
    let flags = ["--store", &store, "--tls-dir", &tls];
    let mut named = Server::start_with(&[&flags[..], &user].concat());
    let aws = |server: &Server, args: &[&str]| {
        let mut command = server.up.with_profile("aws");
        command.env("AWS_CA_BUNDLE", folder.path().join("ca.crt")).env_remove("AWS_MAX_ATTEMPTS");
        let told: Value = serde_json::from_str(&run(command.args(args))).unwrap();
        told
    };
    // Through either, and read at the other.
    for (writer, reader, name) in [(&certain, &named, "red"), (&named, &certain, "blue")] {
        let made = aws(writer, &["ecs", "create-cluster", "--cluster-name", name]);
        assert_eq!(made["cluster"]["status"], "ACTIVE");
        let told = aws(reader, &["ecs", "describe-clusters", "--clusters", name]);
        assert_eq!(told["failures"], json!([]), "{told:#}");
    }
    // Commands use the same folder.
    let archive = folder.path().join("archive").display().to_string();
    let export = ["store", "export", &archive, "--store", &store, "--tls-dir", &tls];
    run(Command::new(LONGSHORE).args(export));
    // Without a certificate nobody gets in.
    let stranger = ["store", "export", &archive, "--store", &store, "--etcd-ca"];
    let output = Command::new(LONGSHORE).args(stranger).arg(folder.path().join("ca.crt")).output();
    assert!(!output.unwrap().status.success(), "a stranger reads everything");
    certain.end(nix::sys::signal::Signal::SIGTERM);
    named.end(nix::sys::signal::Signal::SIGTERM);
}
