//! Live Tail of CloudWatch Logs through boto3.

use serde_json::{Value, json};

use crate::harness::Up;

/// Follows a group, puts events while it does, and prints what it was told.
const BOTO3: &str = r#"
import boto3, botocore.config, botocore.exceptions, json, time
logs = boto3.client("logs", config=botocore.config.Config(inject_host_prefix=False))
logs.create_log_group(logGroupName="/live")
for stream in ("web", "job"):
    logs.create_log_stream(logGroupName="/live", logStreamName=stream)
arn = logs.describe_log_groups()["logGroups"][0]["logGroupArn"]
def put(stream, *messages):
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": message} for message in messages]
    logs.put_log_events(logGroupName="/live", logStreamName=stream, logEvents=events)
def refusal(**rest):
    try:
        logs.start_live_tail(**rest)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
put("web", "ERROR before")
answer = logs.start_live_tail(logGroupIdentifiers=[arn], logEventFilterPattern="ERROR", logStreamNames=["web"])
stream = answer["responseStream"]
events = iter(stream)
start = next(events)["sessionStart"]
put("web", "ERROR one", "fine", "ERROR two")
put("job", "ERROR elsewhere")
seen = []
while len(seen) < 2:
    update = next(events)["sessionUpdate"]
    assert not update["sessionMetadata"]["sampled"]
    seen += update["sessionResults"]
stream.close()
print(json.dumps({
    "start": [start["logGroupIdentifiers"], start["logStreamNames"], start["logEventFilterPattern"]],
    "messages": [event["message"] for event in seen],
    "of": sorted({(event["logGroupIdentifier"], event["logStreamName"]) for event in seen}),
    "type": answer["ResponseMetadata"]["HTTPHeaders"]["content-type"],
    "star": refusal(logGroupIdentifiers=[arn + ":*"]),
    "none": refusal(logGroupIdentifiers=[arn + "x"]),
    "both": refusal(logGroupIdentifiers=[arn], logStreamNames=["a"], logStreamNamePrefixes=["a"]),
    "arn": arn,
}))
"#;

#[test]
fn a_group_is_followed_live() {
    let up = Up::server(&[]);
    let output = up.with_profile("python3").args(["-c", BOTO3]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let arn = &told["arn"];
    assert_eq!(told["messages"], json!(["ERROR one", "ERROR two"]), "{told:#}");
    assert_eq!(told["start"], json!([[arn], ["web"], "ERROR"]), "{told:#}");
    assert_eq!(told["of"], json!([[arn, "web"]]), "{told:#}");
    assert_eq!(told["type"], "application/vnd.amazon.eventstream");
    assert_eq!(told["star"], "InvalidParameterException");
    assert_eq!(told["none"], "ResourceNotFoundException");
    assert_eq!(told["both"], "InvalidParameterException");
}
