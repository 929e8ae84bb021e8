//! Volumes, mount points and what stands in for AWS's storage.

use std::fs;

use serde_json::{Value, json};

use super::stage::{container, stage};

/// A task of one container `main` with the volume `data` at `/data`.
fn with_volume(family: &str, volume: &Value, script: &str) -> Value {
    let mut volume = volume.clone();
    volume["name"] = json!("data");
    let mount = json!({"mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}]});
    json!({
        "family": family, "volumes": [volume],
        "containerDefinitions": [container("main", script, &mount)],
    })
}

#[test]
fn a_host_volume_is_the_hosts_folder_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made");
    let volume = json!({"host": {"sourcePath": path}});
    let ended = stage().run(&with_volume("host-volume", &volume, "echo kept > /data/file"));
    assert_eq!(ended.code("main"), Some(0));
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "kept\n");
}

#[test]
fn a_read_only_mount_point_and_volumes_from_share_what_another_writes() {
    let mount = |read_only: bool| json!([{"sourceVolume": "data", "containerPath": "/data", "readOnly": read_only}]);
    let writes = json!({"mountPoints": mount(false), "essential": false});
    let after = json!([{"containerName": "writer", "condition": "SUCCESS"}]);
    let script = "cat /data/file; touch /data/other 2>/dev/null || echo read-only";
    let reads = json!({"mountPoints": mount(true), "essential": false, "dependsOn": after});
    let from = json!([{"sourceContainer": "writer", "readOnly": true}]);
    let main = json!({"volumesFrom": from, "dependsOn": [
        {"containerName": "writer", "condition": "SUCCESS"},
        {"containerName": "reader", "condition": "SUCCESS"},
    ]});
    let ended = stage().run(&json!({
        "family": "volumes-from", "volumes": [{"name": "data"}],
        "containerDefinitions": [
            container("writer", "echo hello > /data/file", &writes),
            container("reader", script, &reads),
            container("main", script, &main),
        ],
    }));
    for name in ["reader", "main"] {
        assert_eq!(ended.said(name), "hello\nread-only\n", "{name} {:#}", ended.task);
    }
}

#[test]
fn a_docker_volume_of_scope_task_goes_and_one_of_scope_shared_stays() {
    let stage = stage();
    let script = "cat /data/file 2>/dev/null; echo again > /data/file";
    let run = |family: &str, docker: &Value| {
        let definition = with_volume(family, &json!({"dockerVolumeConfiguration": docker}), script);
        stage.run(&definition).said("main").to_owned()
    };
    let of_task = json!({"scope": "task", "driver": "local"});
    assert_eq!([run("task-scope", &of_task), run("task-scope", &of_task)], ["", ""]);
    let shared = json!({"scope": "shared", "autoprovision": true, "labels": {"a": "b"}});
    let mut definition = json!({"dockerVolumeConfiguration": shared});
    definition["name"] = json!("kept-by-name");
    let mount =
        json!({"mountPoints": [{"sourceVolume": "kept-by-name", "containerPath": "/data"}]});
    let task = |labels: &Value| {
        let mut volume = definition.clone();
        volume["dockerVolumeConfiguration"]["labels"] = labels.clone();
        stage.run(&json!({
            "family": "shared-scope", "volumes": [volume],
            "containerDefinitions": [container("main", script, &mount)],
        }))
    };
    assert_eq!(task(&json!({"a": "b"})).said("main"), "");
    assert_eq!(task(&json!({"a": "b"})).said("main"), "again\n");
    // One of the same name that is another volume.
    let ended = task(&json!({"a": "c"}));
    let reason = ended.container("main")["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("does not match existing volume labels"), "{:#}", ended.task);
}

#[test]
fn driver_options_bind_a_folder_and_mount_memory_that_containers_share() {
    let stage = stage();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "bound\n").unwrap();
    let options = |options: Value| json!({"dockerVolumeConfiguration": {"scope": "task", "driver": "local", "driverOpts": options}});
    let bind = options(json!({"type": "none", "o": "bind", "device": folder.path()}));
    let ended = stage.run(&with_volume("driver-bind", &bind, "cat /data/file"));
    assert_eq!((ended.said("main"), ended.code("main")), ("bound\n", Some(0)));
    let missing = options(json!({"type": "none", "o": "bind", "device": "/nonexistent/folder"}));
    let ended = stage.run(&with_volume("driver-missing", &missing, ":"));
    let reason = ended.container("main")["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("CannotCreateVolumeError"), "{:#}", ended.task);

    let memory = options(json!({"type": "tmpfs", "device": "tmpfs", "o": "size=8m,uid=33"}));
    let mut definition = with_volume(
        "driver-tmpfs",
        &memory,
        "cat /data/note; df -m /data | tail -n 1 | awk '{print $2}'; stat -c %u /data",
    );
    let mount = definition["containerDefinitions"][0]["mountPoints"].clone();
    let first = json!({"mountPoints": mount, "essential": false});
    let first = container("first", "echo shared > /data/note; sleep 600", &first);
    definition["containerDefinitions"][0]["dependsOn"] =
        json!([{"containerName": "first", "condition": "START"}]);
    definition["containerDefinitions"][0]["command"][2] = json!(format!(
        "until [ -s /data/note ]; do sleep 0.05; done; {}",
        definition["containerDefinitions"][0]["command"][2].as_str().unwrap()
    ));
    definition["containerDefinitions"].as_array_mut().unwrap().push(first);
    let ended = stage.run(&definition);
    assert_eq!((ended.said("main"), ended.code("main")), ("shared\n8\n33\n", Some(0)));
}

#[test]
fn efs_and_fsx_are_folders_of_their_file_systems() {
    let stage = stage();
    let efs =
        json!({"efsVolumeConfiguration": {"fileSystemId": "fs-12345678", "rootDirectory": "/web"}});
    let ended = stage.run(&with_volume("efs", &efs, "echo from-efs > /data/file"));
    assert_eq!(ended.code("main"), Some(0), "{:#}", ended.task);
    let written = stage.data().join("efs/fs-12345678/web/file");
    assert_eq!(fs::read_to_string(written).unwrap(), "from-efs\n");

    let through_point = json!({"efsVolumeConfiguration": {
        "fileSystemId": "fs-12345678", "transitEncryption": "ENABLED",
        "authorizationConfig": {"accessPointId": "fsap-1", "iam": "ENABLED"},
    }});
    let ended = stage.run(&with_volume("efs-point", &through_point, "touch /data/point"));
    assert_eq!(ended.code("main"), Some(0), "{:#}", ended.task);
    assert!(stage.data().join("efs/fs-12345678/.access-points/fsap-1/point").exists());

    let fsx = json!({"fsxWindowsFileServerVolumeConfiguration": {
        "fileSystemId": "fs-0123456789abcdef0", "rootDirectory": "share\\folder",
        "authorizationConfig": {"credentialsParameter": "arn:aws:ssm:us-east-1:1:parameter/p", "domain": "d"},
    }});
    let ended = stage.run(&with_volume("fsx", &fsx, "echo from-fsx > /data/file"));
    assert_eq!(ended.code("main"), Some(0), "{:#}", ended.task);
    let written = stage.data().join("fsx/fs-0123456789abcdef0/share/folder/file");
    assert_eq!(fs::read_to_string(written).unwrap(), "from-fsx\n");
}

#[test]
fn an_ebs_volume_configured_at_launch_has_its_size_and_file_system() {
    let stage = stage();
    let definition = with_volume(
        "ebs",
        &json!({"configuredAtLaunch": true}),
        "df -T /data | tail -n 1 | awk '{print $2}'; \
         [ $(df -m /data | tail -n 1 | awk '{print $2}') -gt 900 ] && echo a gibibyte; \
         su -s /bin/sh www-data -c 'touch /data/file' && echo written",
    );
    let disk = |more: Value| {
        let mut ebs = json!({
            "roleArn": "arn:aws:iam::000000000000:role/ecsInfrastructureRole",
            "sizeInGiB": 1, "filesystemType": "ext4", "volumeType": "gp3",
        });
        ebs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"volumeConfigurations": [{"name": "data", "managedEBSVolume": ebs}]})
    };
    let ended = stage.run_with(&definition, &disk(json!({})));
    let said = ended.said("main");
    assert_eq!(said, "ext4\na gibibyte\nwritten\n", "{:#}", ended.task);
    let attachment = &ended.task["attachments"][0];
    assert_eq!(attachment["type"], "AmazonElasticBlockStorage");
    assert_eq!(attachment["status"], "DELETED");

    let kept = json!({"terminationPolicy": {"deleteOnTermination": false}});
    let ended = stage.run_with(&definition, &disk(kept));
    let details = ended.task["attachments"][0]["details"].as_array().unwrap();
    let id = details.iter().find(|one| one["name"] == "volumeId").unwrap()["value"].clone();
    let image = stage.data().join("ebs").join(format!("{}.img", id.as_str().unwrap()));
    assert_eq!(fs::metadata(image).unwrap().len(), 1 << 30);
    let refused = stage.call("RunTask", &json!({"taskDefinition": "ebs"})).unwrap_err();
    assert!(refused.to_string().contains("volumeConfigurations must be provided"), "{refused}");
}

#[test]
fn an_ebs_volume_has_the_file_system_that_was_asked_for() {
    let stage = stage();
    let volume = json!({"configuredAtLaunch": true});
    let script =
        "df -T /data | tail -n 1 | awk '{print $2}'; echo kept > /data/file; cat /data/file";
    let definition = with_volume("ebs-formats", &volume, script);
    for format in ["ext3", "xfs"] {
        let ebs = json!({
            "roleArn": "arn:aws:iam::000000000000:role/ecsInfrastructureRole",
            "sizeInGiB": 1, "filesystemType": format,
        });
        let disk = json!({"volumeConfigurations": [{"name": "data", "managedEBSVolume": ebs}]});
        let ended = stage.run_with(&definition, &disk);
        assert_eq!(ended.said("main"), format!("{format}\nkept\n"), "{:#}", ended.task);
    }
}

#[test]
fn a_docker_volume_with_a_size_holds_so_much_and_no_more() {
    let stage = stage();
    let docker = json!({"scope": "task", "driver": "local", "driverOpts": {"size": "16m"}});
    let script = "dd if=/dev/zero of=/data/small bs=1M count=8 2>/dev/null && echo fits; \
                  dd if=/dev/zero of=/data/large bs=1M count=32 2>/dev/null || echo full";
    let volume = json!({"dockerVolumeConfiguration": docker});
    let ended = stage.run(&with_volume("sized", &volume, script));
    assert_eq!(ended.said("main"), "fits\nfull\n", "{:#}", ended.task);
}

#[test]
fn each_task_of_a_service_has_an_ebs_volume_of_its_own() {
    let stage = stage();
    let definition =
        with_volume("ebs-service", &json!({"configuredAtLaunch": true}), "df -T /data; sleep 600");
    stage.call("RegisterTaskDefinition", &definition).unwrap();
    let ebs = json!({
        "roleArn": "arn:aws:iam::000000000000:role/ecsInfrastructureRole",
        "sizeInGiB": 1, "filesystemType": "ext4",
    });
    let made = stage.call(
        "CreateService",
        &json!({
            "serviceName": "ebs", "taskDefinition": "ebs-service", "desiredCount": 2,
            "volumeConfigurations": [{"name": "data", "managedEBSVolume": ebs}],
        }),
    );
    let deployment = &made.unwrap()["service"]["deployments"][0];
    assert_eq!(deployment["volumeConfigurations"][0]["name"], "data");
    let tasks = || {
        let listed = stage.call("ListTasks", &json!({"serviceName": "ebs"})).unwrap();
        listed["taskArns"].as_array().unwrap().clone()
    };
    assert!(crate::harness::eventually(|| tasks().len() == 2));
    let mut ids = std::collections::BTreeSet::new();
    for task in tasks() {
        let id = task.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let running = stage.reach(&id, "RUNNING");
        assert_eq!(running["attachments"][0]["status"], "ATTACHED");
        let details = running["attachments"][0]["details"].as_array().unwrap();
        let volume = details.iter().find(|one| one["name"] == "volumeId").unwrap();
        ids.insert(volume["value"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 2, "{ids:?}");
    let found = tasks();
    stage.call("DeleteService", &json!({"service": "ebs", "force": true})).unwrap();
    for task in found {
        stage.reach(task.as_str().unwrap().rsplit('/').next().unwrap(), "STOPPED");
    }
}
