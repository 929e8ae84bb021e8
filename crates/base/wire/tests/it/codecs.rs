//! Golden documents: what the codecs read and write, byte for byte.

use terms::Timestamp;
use wire::check::Check;
use wire::protocol::{Form, JsonReader, JsonWriter, QueryReader, XmlWriter};
use wire::value::{Structure, Value, Writer};
use wire::{Kind, Member, Schema, Service, ServiceError, TimestampFormat};

use crate::stage::{
    FIRST_ID, IDENTITY, assert_marked, builder, call, ecs_call, edge, send, signed, sts_call,
};

/// Reads a JSON document as a request is read; the violations' texts, if there are any.
pub fn read_json<T: Value + Structure>(text: &[u8]) -> Result<T, String> {
    let mut check = Check::strict();
    let mut value = None;
    JsonReader::read_document(text, &mut check, &mut |reader| {
        value = T::read(reader, T::SCHEMA)?;
        Ok(())
    })
    .map_err(|malformed| malformed.message)?;
    complain(check)?;
    value.ok_or_else(|| "null".to_owned())
}

/// Reads a form as a request is read.
pub fn read_form<T: Value + Structure>(text: &[u8]) -> Result<T, String> {
    let form = Form::parse(text).map_err(|malformed| malformed.message)?;
    let mut check = Check::strict();
    let mut reader = QueryReader::new(&form, &mut check);
    let value = T::read(&mut reader, T::SCHEMA).map_err(|malformed| malformed.message)?;
    complain(check)?;
    value.ok_or_else(|| "null".to_owned())
}

fn complain(check: Check) -> Result<(), String> {
    match check.violations() {
        [] => Ok(()),
        violations => Err(wire::check::describe(violations)),
    }
}

/// The JSON document of a value.
pub fn write_json<T: Value + Structure>(value: &T) -> String {
    let mut writer = JsonWriter::default();
    value.write(&mut writer, T::SCHEMA);
    String::from_utf8(writer.finish().to_vec()).unwrap()
}

#[tokio::test]
async fn an_answer_in_json() {
    let body = r#"{"tasks":["one","two \"2\""]}"#;
    let answer = call("DescribeTasks", body).await;
    assert_marked(&answer);
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.1");
    let expected = r#"{"failures":[{"arn":"one","detail":"http://localhost","reason":"MISSING"},{"arn":"two \"2\"","detail":"http://localhost","reason":"MISSING"}]}"#;
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn an_error_in_json() {
    let answer = send(&edge(), ecs_call("ListClusters"), "{}").await;
    let expected = r#"{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}"#;
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn an_answer_in_xml() {
    let answer = send(&edge(), signed(sts_call(), IDENTITY, "sts"), IDENTITY).await;
    assert_marked(&answer);
    assert_eq!(answer.headers["content-type"], "text/xml");
    let expected = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Account>123456789012</Account>\
         <Arn>arn:aws:iam::123456789012:user/alice</Arn><UserId>AIDAEXAMPLE</UserId>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>{FIRST_ID}</RequestId>\
         </ResponseMetadata></GetCallerIdentityResponse>\n"
    );
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn an_error_in_xml() {
    let body = "Action=<%26>&Version=2011-06-15";
    let answer = send(&edge(), signed(sts_call(), body, "sts"), body).await;
    let expected = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
         <Type>Sender</Type><Code>InvalidAction</Code>\
         <Message>The action &lt;&amp;&gt; is not valid for this web service.</Message></Error>\
         <RequestId>{FIRST_ID}</RequestId></ErrorResponse>\n"
    );
    assert_eq!(answer.text(), expected);
}

#[test]
fn values_in_json() {
    let check = |text: &str, expected: &str| {
        let value = read_json::<shapes_ecs::Task>(text.as_bytes()).unwrap();
        assert_eq!(write_json(&value), expected);
    };
    check("{}", "{}");
    check(r#"{ "createdAt" : 1767323045.678 }"#, r#"{"createdAt":1767323045.678}"#);
    check(r#"{"createdAt":1767323045.5}"#, r#"{"createdAt":1767323045.5}"#);
    check(r#"{"createdAt":1.767323045E9}"#, r#"{"createdAt":1767323045}"#);
    check(r#"{"createdAt":-0.25}"#, r#"{"createdAt":-0.25}"#);
    check(r#"{"createdAt":"2026-01-02T03:04:05.678Z"}"#, r#"{"createdAt":1767323045.678}"#);
    check(r#"{"createdAt":"2026-01-02T04:04:05+01:00"}"#, r#"{"createdAt":1767323045}"#);
    check(r#"{"createdAt":"Fri, 02 Jan 2026 03:04:05 GMT"}"#, r#"{"createdAt":1767323045}"#);
    check(r#"{"version":9007199254740993}"#, r#"{"version":9007199254740993}"#);
    check(r#"{"version":-9223372036854775808}"#, r#"{"version":-9223372036854775808}"#);
    check(
        r#"{"group":"\u0000\u001f\t\n\r\b\f\"\\\/é\ud83d\ude00"}"#,
        "{\"group\":\"\\u0000\\u001f\\t\\n\\r\\u0008\\u000c\\\"\\\\/é😀\"}",
    );
    // The last of a repeated member counts, as it does for Java's and Python's readers.
    check(r#"{"group":"a","group":"b"}"#, r#"{"group":"b"}"#);
}

#[test]
fn values_in_forms() {
    let text = "taskDefinition=web%3A1&count=2&enableExecuteCommand=true&tags.member.2.key=b\
                &tags.member.1.key=a&tags.member.1.value=x+y%2B&tags.member.10.key=c\
                &overrides.containerOverrides.member.1.command.member.1=ls\
                &placementStrategy=&Action=RunTask";
    let value = read_form::<shapes_ecs::RunTaskRequest>(text.as_bytes()).unwrap();
    let expected = r#"{"count":2,"enableExecuteCommand":true,"overrides":{"containerOverrides":[{"command":["ls"]}]},"placementStrategy":[],"tags":[{"key":"a","value":"x y+"},{"key":"b"},{"key":"c"}],"taskDefinition":"web:1"}"#;
    assert_eq!(write_json(&value), expected);
    let check = |text: &str, expected: &str| {
        let error = read_form::<shapes_ecs::RunTaskRequest>(text.as_bytes()).unwrap_err();
        assert_eq!(error, expected);
    };
    check("count=two", "STRING_VALUE cannot be converted to Integer (member 'count')");
    check(
        "capacityProviderStrategy.member.1.weight=1",
        "2 validation errors detected: Value null at 'capacityProviderStrategy.1.member.capacityProvider' failed to satisfy constraint: Member must not be null; Value null at 'taskDefinition' failed to satisfy constraint: Member must not be null",
    );
}

static TEXT: Schema = Schema::new("Text", Kind::String);
static BLOB: Schema = Schema::new("Blob", Kind::Blob);
static INSTANT: Schema = Schema::new("Instant", Kind::Timestamp(None));
static LIST: Schema = Schema::new("List", Kind::List(&Member::new("member", &TEXT)));
static MAP: Schema = Schema::new(
    "Map",
    Kind::Map { key: &Member::new("key", &TEXT), value: &Member::new("value", &TEXT) },
);
static ALL: Schema = Schema::new(
    "All",
    Kind::Structure(&[
        Member::new("list", &LIST),
        Member { flattened: true, wire_name: Some("Flat"), ..Member::new("flat", &LIST) },
        Member::new("map", &MAP),
        Member { flattened: true, ..Member::new("flatMap", &MAP) },
        Member::new("instant", &INSTANT),
        Member {
            timestamp_format: Some(TimestampFormat::Rfc822),
            ..Member::new("header", &INSTANT)
        },
        Member::new("blob", &BLOB),
    ]),
);

/// Writes one value of each kind by hand.
fn write_all(writer: &mut dyn Writer) {
    let members = ALL.members();
    let all: Vec<_> = members.iter().enumerate().collect();
    writer.begin_structure(&ALL);
    for &(index, member) in &all[0..2] {
        writer.member(index, member);
        writer.begin_list(&LIST, 2);
        for text in ["a<b", "c"] {
            writer.item();
            writer.string(text, &TEXT);
        }
        writer.end_list();
    }
    for &(index, member) in &all[2..4] {
        writer.member(index, member);
        writer.begin_map(&MAP, 2);
        for key in ["k&1", "k2"] {
            writer.key(key);
            writer.string("\u{1}", &TEXT);
        }
        writer.end_map();
    }
    for &(index, member) in &all[4..6] {
        writer.member(index, member);
        writer.timestamp(Timestamp::from_millis(1_767_323_045_678), &INSTANT);
    }
    writer.member(6, &members[6]);
    writer.blob(&[0xff, 0], &BLOB);
    writer.end_structure();
}

#[test]
fn every_kind_in_xml() {
    let mut writer = XmlWriter::default();
    write_all(&mut writer);
    let expected = "<list><member>a&lt;b</member><member>c</member></list>\
        <Flat>a&lt;b</Flat><Flat>c</Flat>\
        <map><entry><key>k&amp;1</key><value>\u{fffd}</value></entry>\
        <entry><key>k2</key><value>\u{fffd}</value></entry></map>\
        <flatMap><key>k&amp;1</key><value>\u{fffd}</value></flatMap>\
        <flatMap><key>k2</key><value>\u{fffd}</value></flatMap>\
        <instant>2026-01-02T03:04:05Z</instant><header>Fri, 02 Jan 2026 03:04:05 GMT</header>\
        <blob>/wA=</blob>";
    assert_eq!(writer.finish(), expected);
}

#[test]
fn every_kind_in_json() {
    let mut writer = JsonWriter::default();
    write_all(&mut writer);
    let expected = r#"{"list":["a<b","c"],"Flat":["a<b","c"],"map":{"k&1":"\u0001","k2":"\u0001"},"flatMap":{"k&1":"\u0001","k2":"\u0001"},"instant":1767323045.678,"header":"Fri, 02 Jan 2026 03:04:05 GMT","blob":"/wA="}"#;
    assert_eq!(&writer.finish()[..], expected.as_bytes());
}

#[tokio::test]
async fn a_service_whose_model_has_no_server_exception_is_led_elsewhere_too() {
    let service = Service::new(&shapes_sts::SERVICE)
        .on::<shapes_sts::operations::GetCallerIdentity, _, _>(|_, _| async {
            Err(ServiceError::elsewhere())
        });
    let edge = builder().service(service).build();
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let answer = send(&edge, signed(sts_call(), body, "sts"), body).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.headers["x-longshore-elsewhere"], "true");
}
