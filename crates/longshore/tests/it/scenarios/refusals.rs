//! What cannot work is refused with its reason, at registration or at placement.

use serde_json::{Value, json};

use super::stage::{definition, stage};

/// The reason for which no instance takes a task.
fn not_placed(family: &str, members: &Value) -> (String, String) {
    let stage = stage();
    let definition = definition(family, members, ":");
    let registered = stage.call("RegisterTaskDefinition", &definition).unwrap();
    let arn = &registered["taskDefinition"]["taskDefinitionArn"];
    let answer = stage.call("RunTask", &json!({"taskDefinition": arn})).unwrap();
    assert_eq!(answer["tasks"], json!([]), "{family}");
    let told = &answer["failures"][0];
    let text = |member: &str| told[member].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("detail"))
}

fn not_registered(members: &Value) -> String {
    let answer = stage().call("RegisterTaskDefinition", &definition("refused", members, ":"));
    answer.expect_err("it is refused").to_string()
}

#[test]
fn runtime_platform_of_another_architecture_finds_no_instance() {
    let other = if cfg!(target_arch = "x86_64") { "ARM64" } else { "X86_64" };
    let platform = json!({"cpuArchitecture": other, "operatingSystemFamily": "LINUX"});
    let (reason, _) = not_placed("architecture", &json!({"task.runtimePlatform": platform}));
    assert_eq!(reason, "ATTRIBUTE");
}

#[test]
fn a_volume_driver_that_no_instance_has_finds_no_instance() {
    let volumes = json!([{"name": "v", "dockerVolumeConfiguration": {"driver": "rexray/ebs"}}]);
    let (reason, _) = not_placed("driver", &json!({"task.volumes": volumes}));
    assert_eq!(reason, "ATTRIBUTE");
}

#[test]
fn profiles_of_selinux_and_apparmor_find_no_instance() {
    for option in ["label:type:svirt_t", "apparmor:profile"] {
        let (reason, _) = not_placed("profile", &json!({"dockerSecurityOptions": [option]}));
        assert_eq!(reason, "ATTRIBUTE", "{option}");
    }
}

#[test]
fn more_gpus_than_an_instance_has_find_no_instance() {
    let gpus = json!({"resourceRequirements": [{"type": "GPU", "value": "3"}]});
    let (reason, _) = not_placed("too-many-gpus", &gpus);
    assert_eq!(reason, "RESOURCE:GPU");
}

#[test]
fn an_unknown_security_option_is_refused_at_registration() {
    let told = not_registered(&json!({"dockerSecurityOptions": ["systempaths=unconfined"]}));
    assert!(told.contains("'systempaths=unconfined' is not a supported Docker security option"));
}

#[test]
fn ephemeral_storage_is_refused_for_instances() {
    let told = not_registered(&json!({"task.ephemeralStorage": {"sizeInGiB": 30}}));
    assert!(told.contains("do not support EphemeralStorage"), "{told}");
}

#[test]
fn system_controls_of_the_hosts_network_are_refused() {
    let controls = json!([{"namespace": "net.core.somaxconn", "value": "321"}]);
    let members = json!({"task.networkMode": "host", "systemControls": controls});
    let told = not_registered(&members);
    assert!(told.contains("is not supported when networkMode=host"), "{told}");
}

#[test]
fn a_share_of_a_gpu_finds_no_instance() {
    let share = json!({"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 512}}});
    let (reason, detail) = not_placed("gpu-share", &json!({"resourceRequirements": [share]}));
    assert_eq!(reason, "ATTRIBUTE");
    assert_eq!(detail, "it has no attribute ecs.capability.gpu-sharing");
}

#[test]
fn options_that_no_engine_takes_are_refused_at_registration() {
    let driver = |driver: &str, options: &Value| {
        not_registered(&json!({"logConfiguration": {"logDriver": driver, "options": options}}))
    };
    let told = driver("json-file", &json!({"max-sizes": "1m"}));
    assert!(told.contains("Log driver json-file disallows options: max-sizes"), "{told}");
    let told = driver("syslog", &json!({"syslog-facility": "local9"}));
    assert!(told.contains("'syslog-facility' must be a facility of syslog"), "{told}");
    let volume = json!({"driver": "local", "driverOpts": {"device": "/dev/sdb"}});
    let volume = json!({"name": "v", "dockerVolumeConfiguration": volume});
    let told = not_registered(&json!({"task.volumes": [volume]}));
    assert!(told.contains("missing required option: \"type\""), "{told}");
    let swap = json!({"memory": null, "memoryReservation": 16, "linuxParameters": {"maxSwap": 8}});
    let told = not_registered(&swap);
    assert!(told.contains("'maxSwap' needs a limit of memory"), "{told}");
    let sandbox = json!({"isolationMode": "ISOLATED_SANDBOX"});
    let told = not_registered(&json!({"task.trustedExecutionConfiguration": sandbox}));
    assert!(told.contains("do not support trustedExecutionConfiguration"), "{told}");
}
