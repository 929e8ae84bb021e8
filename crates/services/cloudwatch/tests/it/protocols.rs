//! CloudWatch's three protocols: the same call, three forms.

use http::{Method, Request};
use ledger::MemoryStore;

use super::world::World;

fn form(body: &str) -> Request<Vec<u8>> {
    Request::builder()
        .method(Method::POST)
        .uri("/")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/monitoring/aws4_request, \
             SignedHeaders=host, Signature=00",
        )
        .body(body.as_bytes().to_vec())
        .unwrap()
}

fn cbor(operation: &str, body: Vec<u8>) -> Request<Vec<u8>> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("/service/GraniteServiceVersion20100801/operation/{operation}"))
        .header("content-type", "application/cbor")
        .header("accept", "application/cbor")
        .header("smithy-protocol", "rpc-v2-cbor")
        .body(body)
        .unwrap()
}

/// A CBOR text.
fn text(text: &str) -> Vec<u8> {
    assert!(text.len() < 256);
    [&[0x78, text.len() as u8], text.as_bytes()].concat()
}

#[tokio::test]
async fn one_alarm_in_three_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(MemoryStore::new(), folder.path());
    let put = "Action=PutMetricAlarm&Version=2010-08-01&AlarmName=a&MetricName=m&Namespace=n\
        &Period=60&EvaluationPeriods=1&Threshold=1.5&Statistic=Average\
        &ComparisonOperator=GreaterThanThreshold&Dimensions.member.1.Name=d\
        &Dimensions.member.1.Value=v";
    let answer = world.send(form(put)).await;
    let body = String::from_utf8_lossy(answer.body()).into_owned();
    assert_eq!(answer.status(), 200, "{body}");
    assert!(body.starts_with("<PutMetricAlarmResponse xmlns="), "{body}");

    let answer = world.send(form("Action=DescribeAlarms&Version=2010-08-01")).await;
    let body = String::from_utf8_lossy(answer.body()).into_owned();
    let wanted = "<DescribeAlarmsResult>";
    assert!(body.contains(wanted) && body.contains("<Threshold>1.5</Threshold>"), "{body}");
    assert!(body.contains("2026-01-02T03:04:05Z"), "{body}");

    let answer = world.send(cbor("DescribeAlarms", Vec::new())).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["smithy-protocol"], "rpc-v2-cbor");
    assert_eq!(answer.headers()["content-type"], "application/cbor");
    let told = answer.into_body();
    let has = |part: &[u8]| told.windows(part.len()).any(|window| window == part);
    assert!(has(b"INSUFFICIENT_DATA"));
    // A tagged time: tag 1, then a double.
    assert!(has(&[0xc1, 0xfb]));

    let body = [
        vec![0xa3],
        text("AlarmName"),
        text("none"),
        text("StateValue"),
        text("ALARM"),
        text("StateReason"),
        text("r"),
    ];
    let answer = world.send(cbor("SetAlarmState", body.concat())).await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.headers()["x-amzn-query-error"], "ResourceNotFound;Sender");

    let answer = world.send(cbor("DescribeAlarms", vec![0xff])).await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn errors_are_named_as_each_protocol_does() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(MemoryStore::new(), folder.path());
    let answer = world.send(form("Action=SetAlarmState&Version=2010-08-01")).await;
    let body = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(body.contains("<Code>ValidationError</Code>"), "{body}");
    let wrong = "Action=SetAlarmState&Version=2010-08-01&AlarmName=a&StateValue=OK&StateReason=r\
        &StateReasonData=x";
    let answer = world.send(form(wrong)).await;
    let body = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(body.contains("<Code>InvalidFormat</Code>"), "{body}");
    let json = r#"{"AlarmName":"a","StateValue":"OK","StateReason":"r","StateReasonData":"x"}"#;
    let (status, body) = world.ask("GraniteServiceVersion20100801.SetAlarmState", json).await;
    assert_eq!((status, body.contains("InvalidFormatFault")), (400, true), "{body}");
}
