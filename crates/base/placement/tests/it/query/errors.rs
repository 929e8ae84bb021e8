//! Texts that are no expressions: where the trouble is said to be, and in which words.

use placement::query::{Expression, MAX_EXPRESSION_CHARS, MAX_NESTING, MAX_PATTERNS};

/// Each text with the offset of the wrong token, and a part of what is said.
#[rustfmt::skip]
const TABLE: &[(&str, usize, &str)] = &[
    ("", 0, "found the end of the expression; expected a subject (agentConnected, agentVersion, attribute:<name>, ec2InstanceId, registeredAt, runningTasksCount or task:group), 'not', '!' or '('"),
    ("   ", 3, "found the end of the expression"),
    ("zone == a", 0, "found 'zone'; expected a subject"),
    ("ecs.instance-type == t2.micro", 0, "found 'ecs.instance-type'; expected a subject"),
    ("task == x", 0, "found 'task'; expected a subject"),
    ("AgentConnected == true", 0, "found 'AgentConnected'"),
    ("'attribute:x' == y", 0, "found '''"),
    ("== x", 0, "found '=='; expected a subject"),
    ("attribute: == x", 0, "expected attribute:<name>"),
    ("attribute:ä == x", 0, "found 'attribute:ä'; expected attribute:<name>"),
    ("attribute:a:b == x", 0, "expected attribute:<name>"),
    ("attribute:x", 11, "found the end of the expression; expected an operator (== equals"),
    ("attribute:x y", 12, "found 'y'; expected an operator (== equals, != not_equals, > greater_than"),
    ("attribute:x = y", 12, "found '='; expected an operator"),
    ("attribute:x === y", 14, "found '='; expected a value"),
    ("attribute:x EQUALS y", 12, "found 'EQUALS'"),
    ("attribute:x ! exists", 12, "found '!'; expected an operator"),
    ("attribute:x !matches y", 12, "found '!'"),
    ("attribute:x not in [y]", 12, "found 'not'"),
    ("attribute:x ==", 14, "found the end of the expression; expected a value"),
    ("attribute:x == and attribute:y == z", 19, "found 'attribute:y'; expected 'and', '&&', 'or', '||' or the end"),
    ("attribute:x == my team", 18, "found 'team'; expected 'and', '&&', 'or', '||' or the end of the expression (a value with spaces must be in quotes)"),
    ("attribute:x == y AND attribute:z == w", 17, "found 'AND'; expected 'and'"),
    ("attribute:x == y & attribute:z == w", 17, "found '&'"),
    ("attribute:x == y and", 20, "found the end of the expression; expected a subject"),
    ("attribute:x == y or or attribute:x == z", 20, "found 'or'; expected a subject"),
    ("attribute:x == [y]", 15, "found '['; expected a value"),
    ("attribute:x == (y)", 15, "found '('; expected a value"),
    ("attribute:x == 'y", 15, "the text that begins with ' has no end"),
    ("attribute:x == \"y'", 15, "the text that begins with \" has no end"),
    ("attribute:x exists y", 19, "found 'y'; expected 'and'"),
    ("attribute:x in y", 15, "found 'y'; expected a list as in [one, two]"),
    ("attribute:x in []", 16, "found ']'; expected a value"),
    ("attribute:x in [y", 17, "found the end of the expression; expected ',' or ']'"),
    ("attribute:x in [y,]", 18, "found ']'; expected a value"),
    ("attribute:x in [y z]", 18, "found 'z'; expected ',' or ']'"),
    ("attribute:x in [y]]", 18, "found ']'; expected 'and'"),
    ("attribute:x in (y, z)", 15, "found '('; expected a list"),
    ("(attribute:x == y", 17, "found the end of the expression; expected ')', 'and', '&&', 'or' or '||'"),
    ("attribute:x == y)", 16, "found ')'; expected 'and'"),
    ("()", 1, "found ')'; expected a subject"),
    ("not", 3, "found the end of the expression; expected a subject"),
    ("nottask:group == x", 0, "found 'nottask:group'"),
    ("agentConnected", 14, "expected an operator (== equals, != not_equals, in, !in not_in, =~ matches, !~ not_matches)"),
    ("agentConnected == yes", 18, "found 'yes'; expected true or false"),
    ("agentConnected in [true, no]", 25, "found 'no'; expected true or false"),
    ("agentConnected exists", 15, "found 'exists'; expected an operator"),
    ("agentConnected > false", 15, "found '>'"),
    ("agentVersion =~ 1.*", 13, "found '=~'; expected an operator (== equals, != not_equals, > greater_than"),
    ("agentVersion in [1.2.3]", 13, "found 'in'"),
    ("agentVersion exists", 13, "found 'exists'"),
    ("agentVersion == latest", 16, "found 'latest'; expected a version as in 1.14.5"),
    ("agentVersion == 1..2", 16, "expected a version"),
    ("ec2InstanceId exists", 14, "found 'exists'"),
    ("ec2InstanceId < i-1", 14, "found '<'"),
    ("registeredAt =~ 2018.*", 13, "found '=~'"),
    ("registeredAt < yesterday", 15, "found 'yesterday'; expected a date as in 2018-06-18T22:28:28+00:00, 2018-06-18T22:28:28Z, 2018-06-18T22:28:28 or 2018-06-18"),
    ("registeredAt < 2018-02-30", 15, "found '2018-02-30'"),
    ("registeredAt < 2018-06-18 22:28:28", 26, "found '22:28:28'"),
    ("runningTasksCount == -1", 21, "found '-1'; expected a whole number"),
    ("runningTasksCount == 1.5", 21, "expected a whole number"),
    ("runningTasksCount == ''", 21, "expected a whole number"),
    ("runningTasksCount == 4294967296", 21, "expected a whole number"),
    ("runningTasksCount !exists", 18, "found '!'"),
    ("attribute:x =~", 14, "found the end of the expression; expected a regular expression"),
    ("attribute:x =~ (a|b)", 15, "found '('; expected a regular expression without parentheses, or one in quotes as in '(t2|t3).*'"),
    ("attribute:x =~ a(b)", 16, "found '('"),
    ("attribute:x =~ )", 15, "found ')'; expected a regular expression"),
    ("attribute:x =~ a b", 17, "found 'b'; expected 'and'"),
    ("attribute:x =~ 'a(?=b)'", 17, "a look-ahead (?=…) is not supported: regular expressions are matched in linear time"),
    ("attribute:x =~ '(?<!a)b'", 16, "a negative look-behind (?<!…)"),
    ("attribute:x =~ '(a)\\1'", 19, "a back-reference (\\1)"),
    ("attribute:x =~ a*+", 16, "a possessive quantifier"),
    ("attribute:x =~ '(?>a)'", 16, "an atomic group (?>…)"),
    ("attribute:x =~ [a", 15, "found '[' without ']'"),
    ("attribute:x =~ *a", 15, "the regular expression is wrong"),
];

#[test]
fn each_error_names_the_place_the_token_and_what_is_allowed() {
    for &(text, at, said) in TABLE {
        let Err(wrong) = text.parse::<Expression>() else { panic!("{text} is accepted") };
        assert!(wrong.what.contains(said), "{text}: {wrong}");
        assert_eq!(wrong.at, at, "{text}: {wrong}");
        assert_eq!(wrong.to_string(), format!("at offset {at}: {}", wrong.what));
    }
}

#[test]
fn everything_has_a_limit() {
    let check = |text: String, said: Option<&str>| match (text.parse::<Expression>(), said) {
        (Ok(_), None) => {}
        (Err(wrong), Some(said)) => assert!(wrong.what.contains(said), "{wrong}"),
        (Ok(_), Some(said)) => panic!("accepted, but: {said}"),
        (Err(wrong), None) => panic!("{wrong}"),
    };
    let padded = |length: usize| format!("attribute:x == {}", "ä".repeat(length - 15));
    check(padded(MAX_EXPRESSION_CHARS), None);
    check(padded(MAX_EXPRESSION_CHARS + 1), Some("at most 2000 characters"));

    let nested = |depth: u32| {
        let depth = depth as usize;
        format!("{}attribute:x exists{}", "(".repeat(depth), ")".repeat(depth))
    };
    check(nested(MAX_NESTING), None);
    check(nested(MAX_NESTING + 1), Some("nested more than 50 deep"));
    check("(".repeat(MAX_EXPRESSION_CHARS), Some("nested more than 50 deep"));
    check("!".repeat(MAX_EXPRESSION_CHARS), Some("found the end"));
    check(format!("{}attribute:x exists", "not ".repeat(400)), None);

    let patterns = |count: usize| vec!["attribute:x =~ a"; count].join(" or ");
    check(patterns(MAX_PATTERNS), None);
    check(patterns(MAX_PATTERNS + 1), Some("at most 32 regular expressions"));
    check("attribute:x =~ '((a{99}){99}){99}'".into(), Some("bytes of memory"));

    let name = |length: usize| format!("attribute:{} exists", "n".repeat(length));
    check(name(128), None);
    check(name(129), Some("1 to 128 letters"));
}
