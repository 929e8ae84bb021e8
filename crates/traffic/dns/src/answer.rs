//! A question and its answer.

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::zone::{Data, Found, Zone, Zones, turned, zone_of};

/// Most bytes of an answer over UDP to who says nothing of it (RFC 1035, 2.3.4).
const PLAIN_MAX: u16 = 512;
/// Most bytes of any answer over UDP: what goes through all networks whole (DNS flag day 2020).
const UDP_MAX: u16 = 1232;
/// How long it may be remembered that a name is not there, in seconds: short, since who makes a load
/// balancer asks for its name at once.
const NEGATIVE_TTL: u32 = 5;
/// Bytes of a message's header.
const HEADER: usize = 12;
/// The bit of a header's third byte that tells an answer.
const IS_ANSWER: u8 = 0x80;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Udp,
    Tcp,
}

/// The answer to a message; none to what is no question, for an answer could be answered again.
pub(crate) fn answer(zones: &Zones, message: &[u8], way: Way) -> Option<Vec<u8>> {
    if message.len() < HEADER || message[2] & IS_ANSWER != 0 {
        return None;
    }
    let Ok(request) = Message::from_vec(message) else {
        let id = u16::from_be_bytes([message[0], message[1]]);
        return Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok();
    };
    if request.metadata.message_type != MessageType::Query {
        return None;
    }
    let response = respond(zones, &request);
    let bytes = response.to_vec().ok()?;
    let room = match (way, &request.edns) {
        (Way::Tcp, _) => u16::MAX,
        (Way::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_MAX, UDP_MAX),
        (Way::Udp, None) => PLAIN_MAX,
    };
    match bytes.len() > usize::from(room) {
        true => response.truncate().to_vec().ok(),
        false => Some(bytes),
    }
}

fn respond(zones: &Zones, request: &Message) -> Message {
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata = Metadata::response_from_request(&request.metadata);
    response.add_queries(request.queries.iter().cloned());
    if let Some(asked) = &request.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_MAX);
        edns.set_version(0);
        response.set_edns(edns);
        if asked.version() > 0 {
            response.metadata.response_code = ResponseCode::BADVERS;
            return response;
        }
    }
    response.metadata.response_code = fill(zones, request, &mut response);
    response
}

/// Puts in what there is to tell; gives the code.
fn fill(zones: &Zones, request: &Message, response: &mut Message) -> ResponseCode {
    if request.metadata.op_code != OpCode::Query {
        return ResponseCode::NotImp;
    }
    let [query] = &request.queries[..] else { return ResponseCode::FormErr };
    let kind = query.query_type();
    let is_known = matches!(query.query_class(), DNSClass::IN | DNSClass::ANY);
    if !is_known || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
        return ResponseCode::Refused;
    }
    let zones = zones.load();
    let Some(zones) = zones.as_ref() else { return ResponseCode::ServFail };
    let Some(asked) = text(query.name()).map(|name| turned(&name)) else {
        return ResponseCode::Refused;
    };
    let Some(zone) = zone_of(zones, &asked) else { return ResponseCode::Refused };
    response.metadata.authoritative = true;
    let found = zone.find(&asked);
    if let Found::Name(data) = &found {
        let fitting = data.iter().filter_map(|one| record_of(*one, kind));
        let name = query.name().clone();
        response.answers =
            fitting.map(|data| Record::from_rdata(name.clone(), zone.ttl, data)).collect();
        let is_apex = asked == zone.apex();
        if is_apex && matches!(kind, RecordType::SOA | RecordType::ANY) {
            response.answers.extend(authority(zone));
        }
    }
    if response.answers.is_empty() {
        response.authorities.extend(authority(zone));
    }
    match found {
        Found::Name(_) => ResponseCode::NoError,
        Found::Nothing => ResponseCode::NXDomain,
    }
}

/// The record's data, if it is of the kind that was asked for.
fn record_of(data: Data, kind: RecordType) -> Option<RData> {
    let (own, data) = match data {
        Data::A(address) => (RecordType::A, RData::A(A(address))),
        Data::Aaaa(address) => (RecordType::AAAA, RData::AAAA(AAAA(address))),
    };
    (kind == own || kind == RecordType::ANY).then_some(data)
}

/// What says who answers for a zone, and for how long nothing is there.
fn authority(zone: &Zone) -> Option<Record> {
    let apex = turned(zone.apex());
    let name = |text: &str| Name::from_ascii(text).ok();
    let soa = SOA::new(
        name(&format!("dns.{apex}."))?,
        name(&format!("hostmaster.{apex}."))?,
        zone.serial,
        60,
        60,
        3600,
        NEGATIVE_TTL,
    );
    Some(Record::from_rdata(name(&format!("{apex}."))?, NEGATIVE_TTL, RData::SOA(soa)))
}

/// A name as text; none if it has a label that no name of ours has.
fn text(name: &Name) -> Option<String> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &[u8]| {
        label.iter().all(is_plain).then(|| String::from_utf8_lossy(label).into_owned())
    };
    let labels: Option<Vec<_>> = name.iter().map(label).collect();
    labels.map(|labels| labels.join("."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::op::Query;

    use super::*;

    const WEB: &str = "web-1.us-east-1.elb.internal.";

    fn zones(addresses: u8) -> Zones {
        let mut zone = Zone::new("elb.internal", 60, 7);
        for last in 1..=addresses {
            zone.add(WEB, Data::A(Ipv4Addr::new(127, 64, 0, last)));
        }
        let zones = Zones::default();
        zones.set(Some(vec![zone]));
        zones
    }

    fn question(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.metadata.id = 7;
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    fn ask(zones: &Zones, message: &Message, way: Way) -> Message {
        Message::from_vec(&answer(zones, &message.to_vec().unwrap(), way).unwrap()).unwrap()
    }

    fn check(name: &str, kind: RecordType, expected: ResponseCode, answers: usize) {
        let told = ask(&zones(2), &question(name, kind), Way::Udp);
        assert_eq!(told.metadata.response_code, expected, "{name} {kind}");
        assert_eq!(told.answers.len(), answers, "{name} {kind}: {told}");
        let is_ours = expected != ResponseCode::Refused;
        assert_eq!(told.metadata.authoritative, is_ours, "{name} {kind}");
        let has_authority = told.authorities.iter().any(|one| one.record_type() == RecordType::SOA);
        assert_eq!(has_authority, is_ours && answers == 0, "{name} {kind}: {told}");
        assert_eq!((told.metadata.id, told.metadata.recursion_available), (7, false));
    }

    #[test]
    fn names_are_answered_as_far_as_they_are_there() {
        use RecordType::{A, AAAA, ANY, AXFR, SOA, TXT};
        use ResponseCode::{NXDomain, NoError, Refused};
        check(WEB, A, NoError, 2);
        check("WEB-1.us-EAST-1.elb.internal.", A, NoError, 2);
        check(WEB, ANY, NoError, 2);
        check(WEB, AAAA, NoError, 0);
        check(WEB, TXT, NoError, 0);
        check("us-east-1.elb.internal.", A, NoError, 0);
        check("elb.internal.", SOA, NoError, 1);
        check("elb.internal.", A, NoError, 0);
        check("web-2.us-east-1.elb.internal.", A, NXDomain, 0);
        check("x.web-1.us-east-1.elb.internal.", A, NXDomain, 0);
        check("example.com.", A, Refused, 0);
        check(WEB, AXFR, Refused, 0);
        let told = ask(&zones(1), &question(WEB, A), Way::Udp);
        assert_eq!(told.answers[0].ttl, 60);
        let told = ask(&zones(1), &question(WEB, AAAA), Way::Udp);
        assert_eq!(told.authorities[0].ttl, NEGATIVE_TTL);
    }

    #[test]
    fn what_does_not_fit_comes_by_tcp() {
        let (zones, asked) = (zones(200), question(WEB, RecordType::A));
        let told = ask(&zones, &asked, Way::Udp);
        assert!(told.metadata.truncation && told.answers.is_empty());
        let told = ask(&zones, &asked, Way::Tcp);
        assert_eq!((told.metadata.truncation, told.answers.len()), (false, 200));
    }

    #[test]
    fn clients_that_say_more_are_answered_so() {
        let mut asked = question(WEB, RecordType::A);
        let mut edns = Edns::new();
        edns.set_max_payload(4096);
        asked.set_edns(edns.clone());
        // 40 addresses: more than 512 bytes, less than 1,232.
        let told = ask(&zones(40), &asked, Way::Udp);
        assert_eq!(told.answers.len(), 40);
        assert_eq!(told.edns.unwrap().max_payload(), UDP_MAX);
        edns.set_version(1);
        asked.set_edns(edns);
        let told = ask(&zones(1), &asked, Way::Udp);
        // The same number as BADSIG, which the library reads it as.
        let code = u16::from(told.metadata.response_code);
        assert_eq!(code, u16::from(ResponseCode::BADVERS));
        assert!(told.answers.is_empty());
    }

    #[test]
    fn what_is_no_question_is_not_answered_and_nonsense_is_told() {
        let zones = zones(1);
        let mut answered = question(WEB, RecordType::A);
        answered.metadata.message_type = MessageType::Response;
        assert_eq!(answer(&zones, &answered.to_vec().unwrap(), Way::Udp), None);
        assert_eq!(answer(&zones, b"short", Way::Udp), None);
        let mut broken = question(WEB, RecordType::A).to_vec().unwrap();
        broken.truncate(20);
        let told = Message::from_vec(&answer(&zones, &broken, Way::Udp).unwrap()).unwrap();
        assert_eq!((told.metadata.id, told.metadata.response_code), (7, ResponseCode::FormErr));
        let mut update = question(WEB, RecordType::A);
        update.metadata.op_code = OpCode::Status;
        let told = ask(&zones, &update, Way::Udp);
        assert_eq!(told.metadata.response_code, ResponseCode::NotImp);
    }

    #[test]
    fn without_zones_another_server_is_to_be_asked() {
        let zones = zones(1);
        zones.set(None);
        let told = ask(&zones, &question(WEB, RecordType::A), Way::Udp);
        assert_eq!(told.metadata.response_code, ResponseCode::ServFail);
    }
}
