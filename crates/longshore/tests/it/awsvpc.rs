//! Tasks with an interface of their own, on three instances.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Up, eventually, fetch};
use crate::many::{Traces, address_of, instances, one_on_each, register, three};

/// `awsvpcConfiguration` with every subnet of the default VPC.
fn everywhere(up: &Up) -> String {
    let answer = up.aws(&["ec2", "describe-subnets"]);
    let subnets = answer["Subnets"].as_array().unwrap().iter();
    let ids: Vec<&str> = subnets.map(|subnet| subnet["SubnetId"].as_str().unwrap()).collect();
    format!("awsvpcConfiguration={{subnets=[{}]}}", ids.join(","))
}

fn detail<'a>(task: &'a Value, name: &str) -> &'a str {
    let details = task["attachments"][0]["details"].as_array().unwrap();
    let found = details.iter().find(|detail| detail["name"] == name).unwrap();
    found["value"].as_str().unwrap()
}

/// A page that says the host name, and beside it a shell for [`say`].
fn web() -> Value {
    json!({
        "family": "web",
        "networkMode": "awsvpc",
        "containerDefinitions": [{
            "name": "web", "image": "busybox", "memory": 16,
            "portMappings": [{"containerPort": 80}],
            "command": ["sh", "-c", "mkdir /www && hostname > /www/index.html && \
                         wget -q -O /www/task $ECS_CONTAINER_METADATA_URI_V4/task && \
                         exec httpd -f -h /www"],
            "stopTimeout": 2,
        }],
    })
}

/// What a short task on its own interface writes.
fn say(up: &Up, network: &str, script: &str) -> String {
    register(
        up,
        &json!({
            "family": "say",
            "networkMode": "awsvpc",
            "containerDefinitions": [
                {"name": "main", "image": "busybox", "memory": 16, "command": ["sh", "-c", script]},
            ],
        }),
    );
    let run = ["ecs", "run-task", "--task-definition", "say", "--network-configuration", network];
    let answer = up.aws(&run);
    assert_eq!(answer["failures"], json!([]), "{answer:#}");
    let task = answer["tasks"][0]["taskArn"].as_str().unwrap().rsplit('/').next().unwrap();
    up.await_status(task, "STOPPED");
    up.cli(&["logs", task])
}

#[test]
fn tasks_of_three_instances_and_the_host_reach_each_other() {
    let mut up = three(&["busybox"]);
    let network = everywhere(&up);
    register(&up, &web());
    let tasks = one_on_each(&up, "web", &["--network-configuration", &network]);
    let mut zones: Vec<_> =
        tasks.iter().map(|task| task["availabilityZone"].as_str().unwrap()).collect();
    zones.sort_unstable();
    assert_eq!(zones, ["us-east-1a", "us-east-1b", "us-east-1c"]);
    let mut addresses = Vec::new();
    for task in &tasks {
        let address = detail(task, "privateIPv4Address");
        let shown = &task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"];
        assert_eq!(
            (shown, &task["containers"][0]["networkBindings"]),
            (&json!(address), &json!([]))
        );
        assert_eq!(task["attachments"][0]["status"], "ATTACHED");
        let page = || fetch(&format!("http://{address}/"));
        assert!(eventually(|| page().is_some()), "no page at {address}");
        assert_eq!(page().unwrap().trim(), detail(task, "privateDnsName"));
        let metadata = fetch(&format!("http://{address}/task")).unwrap();
        let metadata: Value = serde_json::from_str(&metadata).unwrap();
        let seen = &metadata["Containers"][0]["Networks"][0];
        assert_eq!(
            (&seen["NetworkMode"], &seen["IPv4Addresses"]),
            (&json!("awsvpc"), &json!([address]))
        );
        assert_eq!(seen["MACAddress"], detail(task, "macAddress"));
        addresses.push(address.to_owned());
    }
    let urls: Vec<_> = addresses.iter().map(|address| format!("http://{address}/")).collect();
    let script = format!("for url in {}; do wget -q -O - $url; done; ip addr", urls.join(" "));
    let said = say(&up, &network, &script);
    for task in &tasks {
        assert!(said.contains(detail(task, "privateDnsName")), "{said}");
    }
    // An address cannot be had twice, and one that is given back leaves no route.
    let (first, others) = tasks.split_first().unwrap();
    up.cli(&["stop", first["taskArn"].as_str().unwrap().rsplit('/').next().unwrap()]);
    assert!(eventually(|| !routes().contains(&hex(&addresses[0]))), "the route is left");

    let traces = Traces::of(up.data());
    up.process().end(Signal::SIGKILL);
    assert!(urls[1..].iter().all(|url| fetch(url).is_some()), "a task ended with the server");
    up.restart();
    for task in others {
        let after = up.task(task["taskArn"].as_str().unwrap());
        assert_eq!(after["lastStatus"], "RUNNING");
        assert_eq!(after["containers"][0]["runtimeId"], task["containers"][0]["runtimeId"]);
    }
    assert!(say(&up, &network, &format!("wget -q -O - {}", urls[1])).contains("ec2.internal"));
    up.process().end(Signal::SIGTERM);
    assert_eq!(traces.left(), Vec::<String>::new());
}

/// The host's routes, as the kernel prints them.
fn routes() -> String {
    std::fs::read_to_string("/proc/net/route").unwrap()
}

/// An address as it stands in [`routes`].
fn hex(address: &str) -> String {
    let address: std::net::Ipv4Addr = address.parse().unwrap();
    format!("\t{:08X}\t", u32::from_le_bytes(address.octets()))
}

#[test]
fn one_instance_in_the_hosts_network_runs_them_too() {
    let up = Up::start(&["busybox"]);
    let network = everywhere(&up);
    register(&up, &web());
    let run = ["ecs", "run-task", "--task-definition", "web", "--network-configuration", &network];
    let answer = up.aws(&run);
    let task = up.await_status(answer["tasks"][0]["taskArn"].as_str().unwrap(), "RUNNING");
    let address = detail(&task, "privateIPv4Address");
    assert!(eventually(|| fetch(&format!("http://{address}/")).is_some()), "no page at {address}");
    assert_eq!(address_of(&task, &instances(&up)), "127.0.0.1");
    assert!(up.cli(&["status"]).contains(address));
    // From a container on the host's bridge, too.
    let caller = up.run_task(&json!({
        "family": "caller",
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 16,
            "command": ["wget", "-q", "-O", "-", format!("http://{address}/")],
        }],
    }));
    up.await_status(&caller, "STOPPED");
    assert_eq!(up.cli(&["logs", &caller]).trim(), detail(&task, "privateDnsName"));
}

#[test]
fn a_task_runs_in_a_vpc_that_was_made() {
    let up = Up::start(&["busybox"]);
    let text =
        |answer: Value, path: &str| answer.pointer(path).unwrap().as_str().unwrap().to_owned();
    let of_default = everywhere(&up);
    let vpc = up.aws(&["ec2", "create-vpc", "--cidr-block", "10.253.0.0/16"]);
    let vpc = text(vpc, "/Vpc/VpcId");
    let zone = "us-east-1a";
    let subnet = ["ec2", "create-subnet", "--vpc-id", &vpc, "--cidr-block", "10.253.7.0/24"];
    let subnet = up.aws(&[&subnet[..], &["--availability-zone", zone]].concat());
    let subnet = text(subnet, "/Subnet/SubnetId");
    let group = ["ec2", "create-security-group", "--group-name", "web", "--vpc-id", &vpc];
    let group = text(up.aws(&[&group[..], &["--description", "web"]].concat()), "/GroupId");
    let port = ["--protocol", "tcp", "--port", "80", "--cidr", "0.0.0.0/0"];
    let open = ["ec2", "authorize-security-group-ingress", "--group-id", &group];
    let open = up.aws(&[&open[..], &port].concat());
    assert_eq!(open["SecurityGroupRules"][0]["FromPort"], 80);
    let network = format!("awsvpcConfiguration={{subnets=[{subnet}],securityGroups=[{group}]}}");
    register(&up, &web());
    let run = ["ecs", "run-task", "--task-definition", "web", "--network-configuration", &network];
    let answer = up.aws(&run);
    let task = up.await_status(answer["tasks"][0]["taskArn"].as_str().unwrap(), "RUNNING");
    let address = detail(&task, "privateIPv4Address");
    assert!(address.starts_with("10.253.7."), "{address}");
    assert!(eventually(|| fetch(&format!("http://{address}/")).is_some()), "no page at {address}");
    // A task of the default VPC reaches it as well: nothing keeps them apart yet.
    let page = say(&up, &of_default, &format!("wget -q -O - http://{address}/"));
    assert_eq!(page.trim(), detail(&task, "privateDnsName"));
    let interfaces = ["ec2", "describe-network-interfaces", "--filters"];
    let shown = up.aws(&[&interfaces[..], &[&format!("Name=subnet-id,Values={subnet}")]].concat());
    assert_eq!(shown["NetworkInterfaces"][0]["Groups"][0]["GroupName"], "web");
}

#[test]
fn containers_of_a_task_share_their_loopback_and_the_api_is_reached() {
    let up = three(&["busybox", "python"]);
    let network = everywhere(&up);
    let script = "import boto3, urllib.request as u; \
                  print(boto3.client('sts').get_caller_identity()['Arn']); \
                  print(u.urlopen('http://127.0.0.1/').read().decode().strip())";
    let serve = "mkdir /www && echo beside > /www/index.html && exec httpd -f -h /www";
    register(
        &up,
        &json!({
            "family": "pair",
            "networkMode": "awsvpc",
            "taskRoleArn": "arn:aws:iam::000000000000:role/app",
            "containerDefinitions": [
                {
                    "name": "web", "image": "busybox", "memory": 16, "essential": false,
                    "command": ["sh", "-c", serve],
                    "healthCheck": {"command": ["CMD-SHELL", "wget -q -O - http://127.0.0.1/"],
                                    "interval": 5, "retries": 10},
                },
                {
                    "name": "main", "image": "python", "memory": 256,
                    "dependsOn": [{"containerName": "web", "condition": "HEALTHY"}],
                    "command": ["python3", "-c", script],
                },
            ],
        }),
    );
    let run = ["ecs", "run-task", "--task-definition", "pair", "--network-configuration", &network];
    let answer = up.aws(&run);
    assert_eq!(answer["failures"], json!([]), "{answer:#}");
    let task = answer["tasks"][0]["taskArn"].as_str().unwrap().rsplit('/').next().unwrap();
    up.await_status(task, "STOPPED");
    let said = up.cli(&["logs", "--container", "main", task]);
    assert_eq!(said, format!("arn:aws:sts::000000000000:assumed-role/app/{task}\nbeside\n"));
}
