//! The pattern language: the user guide's samples, what was recorded, and any text at all.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Whether the pattern takes the event.
fn takes(pattern: &Value, event: &Value) -> bool {
    let pattern = Pattern::parse(&pattern.to_string());
    pattern.unwrap_or_else(|error| panic!("{error}")).matches(&Fields::of(event))
}

/// A pattern on one field `a` against values of it.
fn check(element: Value, yes: &[Value], no: &[Value]) {
    let pattern = json!({ "a": element });
    for value in yes {
        assert!(takes(&pattern, &json!({ "a": value })), "{pattern} takes {value}");
    }
    for value in no {
        assert!(!takes(&pattern, &json!({ "a": value })), "{pattern} does not take {value}");
    }
}

fn reason(pattern: &str) -> String {
    Pattern::parse(pattern).map(|pattern| format!("{pattern:?}")).unwrap_err().reason
}

#[test]
fn literals() {
    check(json!(["x"]), &[json!("x"), json!(["y", "x"])], &[json!("X"), json!("xy"), json!(null)]);
    check(json!([300]), &[json!(300), json!(300.0), json!(3e2)], &[json!("300"), json!(301)]);
    check(json!([null]), &[json!(null), json!([null])], &[json!(""), json!([]), json!({})]);
    check(json!([true, "b"]), &[json!(true), json!("b")], &[json!(false), json!("true")]);
    check(
        json!([9_007_199_254_740_993_u64]),
        &[json!(9_007_199_254_740_993_u64)],
        &[json!(9_007_199_254_740_992_u64)],
    );
    check(json!(["::1"]), &[json!("0:0:0:0:0:0:0:1")], &[json!("::2")]);
}

#[test]
fn texts() {
    check(json!([{"prefix": "ab"}]), &[json!("ab"), json!("abc")], &[json!("b"), json!(1)]);
    check(json!([{"prefix": ""}]), &[json!(""), json!("x")], &[json!(null), json!(1)]);
    check(json!([{"prefix": {"equals-ignore-case": "Ab"}}]), &[json!("aBc")], &[json!("b")]);
    check(json!([{"suffix": ".png"}]), &[json!("a.png")], &[json!("a.jpg")]);
    check(json!([{"suffix": {"equals-ignore-case": ".PNG"}}]), &[json!("a.pnG")], &[json!("png")]);
    check(json!([{"equals-ignore-case": "Alice"}]), &[json!("aLICE")], &[json!("alice ")]);
    check(
        json!([{"wildcard": "a*b*c"}]),
        &[json!("abc"), json!("aXbYc"), json!("abbcc")],
        &[json!("ab"), json!("acb"), json!("xabc")],
    );
    check(json!([{"wildcard": "*"}]), &[json!(""), json!("x")], &[json!(1)]);
    check(json!([{"wildcard": ""}]), &[json!("")], &[json!("x")]);
    check(json!([{"wildcard": "a\\*\\\\b*"}]), &[json!("a*\\b"), json!("a*\\bc")], &[json!("axb")]);
    check(json!([{"wildcard": "aba*aba"}]), &[json!("abaaba")], &[json!("aba"), json!("ababa")]);
}

#[test]
fn anything_but() {
    check(
        json!([{"anything-but": "x"}]),
        &[json!("y"), json!(null), json!(1), json!(["x", "y"])],
        &[json!("x"), json!(["x"]), json!([]), json!({})],
    );
    check(json!([{"anything-but": [1, 2]}]), &[json!(3), json!("1")], &[json!(1), json!(2.0)]);
    check(json!([{"anything-but": {"prefix": "in"}}]), &[json!("out")], &[json!("init")]);
    check(
        json!([{"anything-but": {"suffix": ["a", "b"]}}]),
        &[json!("c")],
        &[json!("xa"), json!("b")],
    );
    check(json!([{"anything-but": {"equals-ignore-case": ["A"]}}]), &[json!("b")], &[json!("a")]);
    check(json!([{"anything-but": {"wildcard": "*/x/*"}}]), &[json!("a/y/b")], &[json!("a/x/b")]);
    assert!(!takes(&json!({"a": [{"anything-but": "x"}]}), &json!({"b": 1})));
}

#[test]
fn numbers_addresses_and_presence() {
    check(json!([{"numeric": [">", 0, "<=", 5]}]), &[json!(5), json!(0.1)], &[json!(0), json!(6)]);
    check(json!([{"numeric": ["=", 3.018e2]}]), &[json!(301.8)], &[json!("301.8"), json!(302)]);
    check(json!([{"numeric": ["<", 10]}]), &[json!(-1)], &[json!(10), json!(null)]);
    check(json!([{"numeric": [">=", 10]}]), &[json!(10)], &[json!(9.9)]);
    check(
        json!([{"cidr": "10.0.0.0/24"}]),
        &[json!("10.0.0.255")],
        &[json!("10.0.1.0"), json!("x")],
    );
    check(json!([{"cidr": "0.0.0.0/0"}]), &[json!("8.8.8.8")], &[json!("::1")]);
    check(json!([{"cidr": "2001:db8::/32"}]), &[json!("2001:db8::1")], &[json!("2001:db9::1")]);
    check(
        json!([{"exists": true}]),
        &[json!(null), json!("x"), json!([1])],
        &[json!([]), json!({})],
    );
    check(json!([{"exists": false}]), &[json!([]), json!({"b": 1})], &[json!(null), json!("x")]);
    let absent_or_x = json!({"a": {"b": [{"exists": false}, "x"]}});
    assert!(takes(&absent_or_x, &json!({})));
    assert!(takes(&absent_or_x, &json!({"a": {"b": "x"}})));
    assert!(!takes(&absent_or_x, &json!({"a": {"b": "y"}})));
}

#[test]
fn nesting_and_alternatives() {
    let both = json!({"source": ["aws.ecs"], "detail": {"lastStatus": ["STOPPED"], "group": [{"prefix": "service:"}]}});
    let event =
        json!({"source": "aws.ecs", "detail": {"lastStatus": "STOPPED", "group": "service:web"}});
    assert!(takes(&both, &event));
    assert!(!takes(&both, &json!({"source": "aws.ecs", "detail": {"lastStatus": "STOPPED"}})));
    let either = json!({"$or": [{"a": [1]}, {"b": {"$or": [{"c": [2]}, {"d": [3]}]}}], "e": [4]});
    assert!(takes(&either, &json!({"a": 1, "e": 4})));
    assert!(takes(&either, &json!({"b": {"d": 3}, "e": 4})));
    assert!(!takes(&either, &json!({"b": {"d": 3}})));
    assert!(!takes(&either, &json!({"e": 4})));
    // Elsewhere the name is a key like any other.
    assert!(takes(&json!({"$or": [{"prefix": "x"}]}), &json!({"$or": "xy"})));
    // Only the joined path counts.
    assert!(takes(&json!({"a": {"b": [1]}}), &json!({"a.b": 1})));
    assert!(takes(&json!({"a.b": [1]}), &json!({"a": {"b": 1}})));
}

#[test]
fn two_leaves_of_an_array_meet_in_one_element() {
    let pattern = json!({"cars": {"make": ["A"], "year": [1]}});
    assert!(takes(
        &pattern,
        &json!({"cars": [{"make": "B", "year": 1}, {"make": "A", "year": 1}]})
    ));
    assert!(!takes(
        &pattern,
        &json!({"cars": [{"make": "A", "year": 2}, {"make": "B", "year": 1}]})
    ));
    assert!(takes(&pattern, &json!({"cars": {"make": ["A", "C"], "year": [0, 1]}})));
    let nested = json!({"x": {"y": {"z": [1], "w": [2]}}});
    assert!(takes(&nested, &json!({"x": [{"y": [{"z": 1, "w": 2}]}]})));
    assert!(!takes(&nested, &json!({"x": [{"y": [{"z": 1}]}, {"y": [{"w": 2}]}]})));
}

#[test]
fn refusals_say_what_is_wrong() {
    let check = |pattern: &str, expected: &str| assert_eq!(reason(pattern), expected, "{pattern}");
    check("[\"not\", \"a\"]", "Filter is not an object");
    check("{}", "Empty objects are not allowed");
    check("{\"a\": {}}", "Empty objects are not allowed");
    check("{\"a\": 1}", "\"a\" must be an object or an array");
    check("{\"a\": []}", "Empty arrays are not allowed");
    check("{\"a\": [{\"prfx\": \"x\"}]}", "Unrecognized match type prfx");
    check("{\"a\": [{\"prefix\": 1}]}", "prefix match pattern must be a string");
    check("{\"a\": [{\"suffix\": null}]}", "suffix match pattern must be a string");
    check("{\"a\": [{\"wildcard\": []}]}", "wildcard match pattern must be a string");
    check(
        "{\"a\": [{\"equals-ignore-case\": 1}]}",
        "equals-ignore-case match pattern must be a string",
    );
    let but = "Value of anything-but must be an array or single string/number value.";
    check("{\"a\": [{\"anything-but\": null}]}", but);
    check(
        "{\"a\": [{\"anything-but\": [true]}]}",
        "Inside anything but list, start|null|boolean is not supported.",
    );
    check(
        "{\"a\": [{\"anything-but\": {\"prefix\": 1}}]}",
        "prefix/suffix match pattern must be a string",
    );
    check("{\"a\": [{\"anything-but\": {\"suffix\": \"\"}}]}", "Null prefix/suffix not allowed");
    check("{\"a\": [{\"numeric\": 1}]}", "Value of numeric must be an array.");
    check("{\"a\": [{\"numeric\": [\"<\", \"1\"]}]}", "Value of < must be numeric");
    check("{\"a\": [{\"numeric\": [\">\", 1, \">\", 2]}]}", "Bad numeric range operator: >");
    check("{\"a\": [{\"cidr\": \"10.0.0.0\"}]}", "Malformed CIDR, one '/' required");
    check("{\"a\": [{\"cidr\": \"10.0.0.0/x\"}]}", "Malformed CIDR, mask bits must be an integer");
    check("{\"a\": [{\"cidr\": \"bad/8\"}]}", "Nonstandard IP address: bad");
    check("{\"a\": [{\"wildcard\": \"a**b\"}]}", "Consecutive wildcard characters at pos 1");
    check("{\"a\": [{\"wildcard\": \"a\\\\b\"}]}", "Invalid escape character at pos 1");
    check("{\"a\": [{\"exists\": 1}]}", "exists match pattern must be either true or false.");
    check(
        "{\"a\": [{\"prefix\": \"x\", \"suffix\": \"y\"}]}",
        "Only one key allowed in match expression",
    );
    check("{\"$or\": [{\"a\": [1]}]}", "There must have at least 2 Objects in $or relationship.");
    assert_eq!(
        Pattern::parse("[\"not\"]").unwrap_err().to_string(),
        "Event pattern is not valid. Reason: Filter is not an object\n at [Source: (String)\"[\\\"not\\\"]\"; line: 1, column: 2]"
    );
}

/// Any JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5_i64..5).prop_map(Value::from),
        "[ab*]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(
                "[abc]|\\$or|prefix|exists|anything-but|numeric",
                inner,
                0..4
            )
            .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Texts that are no patterns are refused, and nothing worse.
    #[test]
    fn any_text_is_survived(text in "[\\[\\]{}\",:a*\\\\0-9 ]{0,40}") {
        let _ = Pattern::parse(&text).map_err(|error| error.to_string());
    }

    /// Any pattern that is read answers for any event.
    #[test]
    fn any_pattern_answers(pattern in any_json(), event in any_json()) {
        if let Ok(pattern) = Pattern::parse(&pattern.to_string()) {
            pattern.matches(&Fields::of(&event));
        }
    }

    /// An event's own scalars, put in arrays, make a pattern that takes it.
    #[test]
    fn an_event_matches_itself(event in prop::collection::btree_map("[a-d]{1,2}", "[a-z]{0,4}", 1..5)) {
        let pattern: serde_json::Map<_, _> =
            event.iter().map(|(key, value)| (key.clone(), json!([value]))).collect();
        prop_assert!(takes(&Value::Object(pattern), &json!(event)));
    }

    /// A wildcard agrees with a regular search over all splits.
    #[test]
    fn wildcards_agree_with_a_slow_matcher(pattern in "[ab]{0,2}(\\*[ab]{1,2}){0,3}\\*?", text in "[ab]{0,8}") {
        fn slow(pattern: &[u8], text: &[u8]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some((b'*', rest)) => (0..=text.len()).any(|taken| slow(rest, &text[taken..])),
                Some((byte, rest)) => text.split_first().is_some_and(|(first, left)| first == byte && slow(rest, left)),
            }
        }
        let expected = slow(pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(takes(&json!({"a": [{"wildcard": pattern}]}), &json!({"a": text})), expected);
    }

    /// Without one of them, not: `anything-but` is the other side of a literal.
    #[test]
    fn anything_but_is_the_other_side(wanted in "[ab]{0,2}", value in "[ab]{0,2}") {
        let event = json!({"a": value});
        prop_assert_ne!(
            takes(&json!({"a": [wanted]}), &event),
            takes(&json!({"a": [{"anything-but": wanted}]}), &event)
        );
    }
}
