//! Members of a container definition.

use serde_json::json;

use super::stage::{container, stage};

#[test]
fn user_may_be_a_name_a_number_or_both_with_a_group() {
    let stage = stage();
    let check = |family: &str, user: &str, expected: &str| {
        let script = "echo $(id -u):$(id -g) $HOME";
        stage.expect(family, &json!({"user": user}), script, expected);
    };
    check("user-name", "www-data", "33:33 /var/www\n");
    check("user-number", "1234", "1234:0 /\n");
    check("user-and-group", "redis:tty", "999:5 /data\n");
    check("user-numbers", "1000:1001", "1000:1001 /\n");
}

#[test]
fn an_unknown_user_keeps_the_container_from_starting_and_says_so() {
    let ended =
        stage().run(&super::stage::definition("user-unknown", &json!({"user": "who"}), ":"));
    let reason = ended.container("main")["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("unable to find user who"), "{:#}", ended.task);
}

#[test]
fn working_directory_is_made_and_entered() {
    let members = json!({"workingDirectory": "/srv/deep/down"});
    stage().expect("workdir", &members, "pwd", "/srv/deep/down\n");
}

#[test]
fn readonly_root_filesystem_keeps_everything_but_volumes_unwritten() {
    let members = json!({
        "readonlyRootFilesystem": true,
        "task.volumes": [{"name": "data"}],
        "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
    });
    let script = "touch /file 2>/dev/null && echo root; touch /data/file && echo data";
    stage().expect("readonly", &members, script, "data\n");
}

#[test]
fn hostname_extra_hosts_and_dns_are_the_containers_own() {
    let members = json!({
        "hostname": "box.example.test",
        "extraHosts": [{"hostname": "db.test", "ipAddress": "10.1.2.3"}],
        "dnsServers": ["10.0.0.2", "10.0.0.3"], "dnsSearchDomains": ["one.test", "two.test"],
    });
    let script = "hostname; grep -c 'box.example.test box$' /etc/hosts; grep db.test /etc/hosts; \
                  cat /etc/resolv.conf";
    let expected = "box.example.test\n1\n10.1.2.3\tdb.test\nnameserver 10.0.0.2\n\
                    nameserver 10.0.0.3\nsearch one.test two.test\n";
    stage().expect("names", &members, script, expected);
}

#[test]
fn links_name_the_other_container_by_its_alias() {
    let stage = stage();
    let links = json!({"links": ["db:database"], "essential": true});
    // Until it listens.
    let script = "grep -o 'database$' /etc/hosts; until nc -w 5 database 4000 2>/dev/null; do sleep 0.1; done";
    let ended = stage.run(&json!({
        "family": "links", "networkMode": "bridge",
        "containerDefinitions": [
            container("db", "echo hello | nc -l -p 4000", &json!({"essential": false})),
            container("main", script, &links),
        ],
    }));
    assert_eq!((ended.said("main"), ended.code("main")), ("database\nhello\n", Some(0)));
}

#[test]
fn docker_labels_are_in_the_metadata_beside_those_of_ecs() {
    let script = "wget -qO- $ECS_CONTAINER_METADATA_URI_V4 | tr ',' '\\n' | \
                  grep -o '\"team\":\"web\"\\|\"com.amazonaws.ecs.container-name\":\"main\"' | sort";
    let expected = "\"com.amazonaws.ecs.container-name\":\"main\"\n\"team\":\"web\"\n";
    stage().expect("labels", &json!({"dockerLabels": {"team": "web"}}), script, expected);
}

#[test]
fn ulimits_are_those_of_the_definition() {
    let members = json!({"ulimits": [
        {"name": "nofile", "softLimit": 2000, "hardLimit": 3000},
        {"name": "core", "softLimit": 0, "hardLimit": -1},
        {"name": "stack", "softLimit": 1_048_576, "hardLimit": 2_097_152},
    ]});
    let script = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; ulimit -Ss";
    stage().expect("ulimits", &members, script, "2000\n3000\n0\nunlimited\n1024\n");
}

#[test]
fn pseudo_terminal_gives_all_descriptors_a_terminal() {
    let script = "test -t 0 && test -t 1 && test -t 2 && echo terminal; tty; test -c /dev/console && echo ok";
    let expected = "terminal\r\n/dev/console\r\nok\r\n";
    let ended = stage().run(&super::stage::definition(
        "terminal",
        &json!({"pseudoTerminal": true, "interactive": true}),
        script,
    ));
    let said = ended.said("main").replace("/dev/pts/0", "/dev/console");
    assert_eq!((said.as_str(), ended.code("main")), (expected, Some(0)));
}

#[test]
fn interactive_keeps_standard_input_open_and_otherwise_it_is_at_its_end() {
    let stage = stage();
    // A read that does not end in time is one of an input that stays open.
    let open = "timeout 1 cat; echo $?";
    stage.expect("input-open", &json!({"interactive": true}), open, "143\n");
    stage.expect("input-closed", &json!({}), "timeout 120 cat; echo $?", "0\n");
}

#[test]
fn privileged_has_every_right_and_the_hosts_devices() {
    let script =
        "grep -c 'CapEff:.*[1-9a-f]f*$' /proc/self/status; test -e /dev/loop-control && echo loop";
    stage().expect("privileged", &json!({"privileged": true}), script, "1\nloop\n");
}

#[test]
fn docker_security_options_take_away_new_privileges() {
    let stage = stage();
    let script = "grep NoNewPrivs /proc/self/status | tr '\\t' ' '";
    let members = json!({"dockerSecurityOptions": ["no-new-privileges"]});
    stage.expect("no-new-privileges", &members, script, "NoNewPrivs: 1\n");
    stage.expect("new-privileges", &json!({}), script, "NoNewPrivs: 0\n");
}

#[test]
fn a_port_range_is_published_port_by_port() {
    let members = json!({"portMappings": [{"containerPortRange": "7000-7003"}]});
    let stage = stage();
    let task = stage.start(&super::stage::definition("range", &members, "sleep 600"), &json!({}));
    let task = task.unwrap();
    let running = stage.reach(&task, "RUNNING");
    let bindings = running["containers"][0]["networkBindings"].as_array().unwrap();
    assert_eq!(bindings.len(), 1, "{bindings:?}");
    assert_eq!(bindings[0]["containerPortRange"], "7000-7003");
    let host = bindings[0]["hostPortRange"].as_str().unwrap();
    let (first, last) = host.split_once('-').unwrap();
    let (first, last): (u16, u16) = (first.parse().unwrap(), last.parse().unwrap());
    assert_eq!(last - first, 3, "{host}");
    stage.call("StopTask", &json!({"task": task})).unwrap();
    stage.reach(&task, "STOPPED");
}
