//! Networks through AWS's own tools: the default VPC, and what awsvpc tasks have of it.

use serde_json::{Value, json};

use crate::harness::Up;

/// Walks everything with paginators, as scripts do; prints what it found as JSON.
const BOTO3: &str = r#"
import boto3, botocore.exceptions, json
ec2 = boto3.client("ec2")
def all_of(operation, key, **rest):
    pages = ec2.get_paginator(operation).paginate(PaginationConfig={"PageSize": 5}, **rest)
    return [item for page in pages for item in page[key]]
def refusal(call, **rest):
    try:
        call(**rest)
    except botocore.exceptions.ClientError as error:
        answer = error.response
        return [answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]]
interfaces = all_of("describe_network_interfaces", "NetworkInterfaces")
resource = boto3.resource("ec2")
print(json.dumps({
    "vpcs": [vpc["VpcId"] for vpc in all_of("describe_vpcs", "Vpcs")],
    "resource": [vpc.id for vpc in resource.vpcs.filter(Filters=[{"Name": "is-default", "Values": ["true"]}])],
    "subnets": [subnet["CidrBlock"] for subnet in all_of("describe_subnets", "Subnets")],
    "groups": [group["GroupName"] for group in all_of("describe_security_groups", "SecurityGroups")],
    "rules": len(all_of("describe_security_group_rules", "SecurityGroupRules")),
    "zones": [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]],
    "interfaces": len(interfaces),
    "distinct": len({interface["PrivateIpAddress"] for interface in interfaces}),
    "attached": all(interface["Attachment"]["AttachTime"].year > 2000 for interface in interfaces),
    "dry": refusal(ec2.describe_vpcs, DryRun=True),
    "unknown": refusal(ec2.describe_subnets, SubnetIds=["subnet-1"]),
    "unbuilt": refusal(ec2.describe_instances),
}))
"#;

#[test]
fn the_default_vpc_is_there_and_tasks_have_interfaces_in_it() {
    let up = Up::start(&["busybox"]);
    let status: Value = serde_json::from_str(&up.cli(&["status", "--output", "json"])).unwrap();
    let vpc = &status["network"]["vpcId"];
    let subnets = up.aws(&["ec2", "describe-subnets", "--filters", "Name=vpc-id,Values=vpc-*"]);
    let subnets: Vec<&Value> = subnets["Subnets"].as_array().unwrap().iter().collect();
    let zone_a = subnets[0]["SubnetId"].as_str().unwrap();
    assert_eq!(status["network"]["subnets"][0]["subnetId"], zone_a);
    let shown = up.cli(&["status"]);
    assert!(shown.contains(vpc.as_str().unwrap()) && shown.contains(zone_a), "{shown}");
    let query = ["--query", "SecurityGroups[0].GroupId"];
    let group = up.aws(&[&["ec2", "describe-security-groups"], &query[..]].concat());
    assert_eq!(group, status["network"]["securityGroupId"]);

    let definition = json!({
        "family": "inside",
        "networkMode": "awsvpc",
        "containerDefinitions":
            [{"name": "main", "image": "busybox", "memory": 16, "command": ["sleep", "600"],
              "stopTimeout": 2}],
    });
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition.to_string()]);
    let network = format!("awsvpcConfiguration={{subnets=[{zone_a}]}}");
    let run = ["ecs", "run-task", "--task-definition", "inside", "--count", "6"];
    let run = up.aws(&[&run[..], &["--network-configuration", &network]].concat());
    assert_eq!(run["failures"], json!([]), "{run}");
    assert_eq!(run["tasks"][0]["lastStatus"], "PROVISIONING");
    assert_eq!(run["tasks"][0]["attachments"][0]["status"], "PRECREATED");
    let arns =
        run["tasks"].as_array().unwrap().iter().map(|task| task["taskArn"].as_str().unwrap());
    let tasks: Vec<Value> = arns.map(|arn| up.await_status(arn, "RUNNING")).collect();
    assert_eq!(tasks[0]["attachments"][0]["status"], "ATTACHED");

    let output = up.with_profile("python3").args(["-c", BOTO3]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "vpcs": [vpc],
        "resource": [vpc],
        "subnets": ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"],
        "groups": ["default"],
        "rules": 2,
        "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
        "interfaces": 6,
        "distinct": 6,
        "attached": true,
        "dry": ["DryRunOperation", 412],
        "unknown": ["InvalidSubnetID.NotFound", 400],
        "unbuilt": ["NotImplementedException", 501],
    });
    assert_eq!(found, expected);

    for task in &tasks {
        up.aws(&["ecs", "stop-task", "--task", task["taskArn"].as_str().unwrap()]);
    }
    for task in &tasks {
        let stopped = up.await_status(task["taskArn"].as_str().unwrap(), "STOPPED");
        assert_eq!(stopped["attachments"][0]["status"], "DELETED");
    }
    let left = up.aws(&["ec2", "describe-network-interfaces", "--query", "NetworkInterfaces"]);
    assert_eq!(left, json!([]));
}
