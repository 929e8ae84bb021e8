//! EC2's Query protocol: other names, other documents, other errors, the same edge.

use shapes_ec2::operations::{DescribeAvailabilityZones, DescribeNetworkInterfaces};
use shapes_ec2::{DescribeNetworkInterfacesRequest, NetworkInterface, NetworkInterfaceAttachment};
use wire::check::Check;
use wire::protocol::{Form, QueryReader};
use wire::value::{Structure, Value};
use wire::{Edge, Service};

use crate::stage::{FIRST_ID, NOW, builder, send, signed, sts_call, sts_service};

const INTERFACES: &str = "Action=DescribeNetworkInterfaces&Version=2016-11-15";

fn ec2() -> Edge {
    let service = Service::new(&shapes_ec2::SERVICE)
        .on::<DescribeNetworkInterfaces, _, _>(|_, input| async move {
            if input.max_results == Some(6) {
                let text = "a <text> & \"more\"";
                return Err(wire::ServiceError::new("InvalidParameterValue", 400, text));
            }
            let attachment =
                NetworkInterfaceAttachment { attach_time: Some(NOW), ..Default::default() };
            let one = NetworkInterface { attachment: Some(attachment), ..Default::default() };
            Ok(shapes_ec2::DescribeNetworkInterfacesResult {
                network_interfaces: Some(vec![one, NetworkInterface::default()]),
                next_token: None,
            })
        })
        .on::<DescribeAvailabilityZones, _, _>(|_, _| async { Ok(Default::default()) });
    builder().service(service).service(sts_service()).build()
}

/// Status and document of a form that is signed for the service.
async fn ask(service: &str, form: &str) -> (u16, String) {
    let answer = send(&ec2(), signed(sts_call(), form, service), form).await;
    assert_eq!(answer.headers["content-type"], "text/xml;charset=UTF-8");
    (answer.status.as_u16(), answer.text().to_owned())
}

#[tokio::test]
async fn an_answer_has_its_members_beside_the_request_id() {
    let expected = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <DescribeNetworkInterfacesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>{FIRST_ID}</requestId><networkInterfaceSet><item><attachment>\
         <attachTime>2026-01-02T03:04:05.000Z</attachTime></attachment></item><item></item>\
         </networkInterfaceSet></DescribeNetworkInterfacesResponse>\n"
    );
    assert_eq!(ask("ec2", INTERFACES).await, (200, expected));
}

#[tokio::test]
async fn an_answer_without_members_has_the_request_id() {
    let (status, text) = ask("ec2", "Action=DescribeAvailabilityZones&Version=2016-11-15").await;
    let end = format!("<requestId>{FIRST_ID}</requestId></DescribeAvailabilityZonesResponse>\n");
    assert!(status == 200 && text.ends_with(&end), "{text}");
}

fn error(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
         <Message>{message}</Message></Error></Errors><RequestID>{FIRST_ID}</RequestID></Response>\n"
    )
}

#[tokio::test]
async fn errors_are_documents_of_their_own() {
    let refused = error("InvalidParameterValue", "a &lt;text&gt; &amp; &quot;more&quot;");
    assert_eq!(ask("ec2", &format!("{INTERFACES}&MaxResults=6")).await, (400, refused));
    let text = "Longshore does not implement ec2:RunInstances yet; see docs/support.md";
    let unbuilt = error("NotImplementedException", text);
    assert_eq!(ask("ec2", "Action=RunInstances&Version=2016-11-15").await, (501, unbuilt));
    let unknown = error("InvalidAction", "The action RunMoons is not valid for this web service.");
    assert_eq!(ask("ec2", "Action=RunMoons").await, (400, unknown));
}

#[tokio::test]
async fn who_may_not_sign_is_told_in_ec2s_words() {
    let unsigned = send(&ec2(), sts_call(), INTERFACES).await;
    let text = "The request must contain the parameter AWSAccessKeyId";
    assert_eq!(unsigned.error(), (400, "MissingParameter".to_owned(), text.to_owned()));
    // Found by action and version: no scope names the service.
    assert!(unsigned.text().contains("<Response><Errors>"), "{}", unsigned.text());

    // The signature is over another body.
    let parts = signed(sts_call(), "Action=DescribeVpcs", "ec2");
    let text = "AWS was not able to validate the provided access credentials";
    let wrong = send(&ec2(), parts, INTERFACES).await.error();
    assert_eq!(wrong, (401, "AuthFailure".to_owned(), text.to_owned()));
    // A scope of another service's does not do for EC2's.
    let other = send(&ec2(), signed(sts_call(), INTERFACES, "sts"), INTERFACES).await;
    assert_eq!(other.error().1, "InvalidAction");
}

fn read(form: &str) -> DescribeNetworkInterfacesRequest {
    let form = Form::parse(form.as_bytes()).unwrap();
    let mut check = Check::strict();
    let mut reader = QueryReader::ec2(&form, &mut check);
    let schema = DescribeNetworkInterfacesRequest::SCHEMA;
    DescribeNetworkInterfacesRequest::read(&mut reader, schema).unwrap().unwrap()
}

#[test]
fn names_begin_with_capitals_and_lists_are_flat() {
    let request = read(
        "NetworkInterfaceId.1=eni-1&NetworkInterfaceId.2=eni-2&Filter.1.Name=status\
         &Filter.1.Value.1=in-use&Filter.1.Value.10=b&Filter.1.Value.2=a&DryRun=true&MaxResults=5",
    );
    assert_eq!(request.network_interface_ids.unwrap(), ["eni-1", "eni-2"]);
    let filters = request.filters.unwrap();
    assert_eq!(filters[0].name.as_deref(), Some("status"));
    assert_eq!(filters[0].values.as_deref().unwrap(), ["in-use", "a", "b"]);
    assert_eq!((request.dry_run, request.max_results), (Some(true), Some(5)));
    // The model's own spelling and AWS Query's nesting mean nothing here.
    let request = read("filter.1.name=x&NetworkInterfaceId.member.1=eni-1&dryRun=true");
    assert_eq!((request.filters, request.dry_run), (None, None));
    assert_eq!(request.network_interface_ids, Some(Vec::new()));
}
