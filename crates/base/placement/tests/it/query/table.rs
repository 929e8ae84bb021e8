//! Good expressions, and which of three instances they select.

use placement::query::Expression;

use super::Facts;

/// A busy instance on EC2.
fn web() -> Facts {
    Facts {
        attributes: attributes(&[
            ("ecs.availability-zone", Some("us-east-1a")),
            ("ecs.instance-type", Some("t2.micro")),
            ("ecs.os-type", Some("linux")),
            ("stack", Some("prod")),
            ("team", Some("data and logs")),
            ("rank", Some("10")),
            ("ecs.capability.task-eni", None),
        ]),
        connected: true,
        version: Some("1.96.0".into()),
        ec2: Some("i-abcd1234".into()),
        registered: 1_529_360_908, // 2018-06-18T22:28:28Z
        running: 3,
        groups: vec!["service:production".into(), "database".into()],
    }
}

/// An idle instance of one's own whose agent is away.
fn idle() -> Facts {
    Facts {
        attributes: attributes(&[
            ("ecs.availability-zone", Some("us-east-1d")),
            ("ecs.instance-type", Some("g2.2xlarge")),
            ("stack", Some("dev")),
            ("rank", Some("9")),
        ]),
        version: Some("1.9.1".into()),
        registered: 1_518_479_999, // 2018-02-12T23:59:59Z
        ..Facts::default()
    }
}

/// An instance of which nothing is known, with one task that nobody grouped.
fn new() -> Facts {
    Facts {
        version: Some("(unknown)".into()),
        running: 1,
        groups: vec!["family:one-off".into()],
        registered: 1_600_000_000,
        connected: true,
        ..Facts::default()
    }
}

fn attributes(pairs: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    let owned = |(name, value): &(&str, Option<&str>)| ((*name).into(), value.map(Into::into));
    pairs.iter().map(owned).collect()
}

/// Each expression with the instances that it selects, and whether it is of attributes alone
/// (`*`).
#[rustfmt::skip]
const TABLE: &[(&str, &str)] = &[
    // The examples of the Developer Guide.
    ("attribute:ecs.instance-type == t2.small", "*"),
    ("attribute:ecs.instance-type == t2.micro", "* web"),
    ("attribute:ecs.availability-zone in [us-east-1a, us-east-1b]", "* web"),
    ("attribute:ecs.instance-type =~ g2.* and attribute:ecs.availability-zone != us-east-1d", "*"),
    ("attribute:ecs.instance-type =~ g2.* and attribute:ecs.availability-zone != us-east-1a", "* idle"),
    ("task:group == service:production", "web"),
    ("not(task:group == database)", "idle new"),
    ("runningTasksCount == 1", "new"),
    ("agentVersion < 1.14.5", "idle"),
    ("registeredAt < 2018-02-13", "idle"),
    ("ec2InstanceId in ['i-abcd1234', 'i-wxyx7890']", "web"),
    // Every spelling of every operator.
    ("attribute:stack == prod", "* web"),
    ("attribute:stack equals prod", "* web"),
    ("attribute:stack != prod", "* idle"),
    ("attribute:stack not_equals prod", "* idle"),
    ("attribute:rank > 9", "* web"),
    ("attribute:rank greater_than 9", "* web"),
    ("attribute:rank >= 9", "* web idle"),
    ("attribute:rank greater_than_equal 10", "* web"),
    ("attribute:rank < 10", "* idle"),
    ("attribute:rank less_than 9.5", "* idle"),
    ("attribute:rank <= 10", "* web idle"),
    ("attribute:rank less_than_equal 8", "*"),
    ("attribute:stack exists", "* web idle"),
    ("attribute:stack !exists", "* new"),
    ("attribute:stack not_exists", "* new"),
    ("attribute:stack in [prod,dev]", "* web idle"),
    ("attribute:stack !in [prod]", "* idle"),
    ("attribute:stack not_in [ 'prod' , \"test\" ]", "* idle"),
    ("attribute:stack =~ p.*", "* web"),
    ("attribute:stack matches p.*", "* web"),
    ("attribute:stack !~ p.*", "* idle"),
    ("attribute:stack not_matches p.*", "* idle"),
    // What is missing fails each test but `!exists`, and passes its negation.
    ("attribute:nothing == x", "*"),
    ("attribute:nothing != x", "*"),
    ("attribute:nothing !in [x]", "*"),
    ("attribute:nothing !~ x", "*"),
    ("attribute:nothing > 0", "*"),
    ("attribute:nothing <= z", "*"),
    ("!(attribute:nothing == x)", "* web idle new"),
    ("not attribute:nothing != x", "* web idle new"),
    ("attribute:ecs.os-type != windows", "* web"),
    // An attribute without a value has the empty text.
    ("attribute:ecs.capability.task-eni exists", "* web"),
    ("attribute:ecs.capability.task-eni == ''", "* web"),
    ("attribute:ecs.capability.task-eni != x", "* web"),
    ("attribute:ecs.capability.task-eni =~ .*", "* web"),
    ("attribute:ecs.capability.task-eni =~ .+", "*"),
    // Texts.
    ("attribute:stack == Prod", "*"),
    ("attribute:stack == 'prod'", "* web"),
    ("attribute:stack == \"prod\"", "* web"),
    ("attribute:team == 'data and logs'", "* web"),
    ("attribute:team in [\"data and logs\"]", "* web"),
    ("attribute:stack > d", "* web idle"),
    ("attribute:stack > dev", "* web"),
    ("attribute:rank == 10.0", "*"),
    ("attribute:stack==prod", "* web"),
    ("attribute:stack!=prod", "* idle"),
    ("attribute:stack!exists", "* new"),
    ("attribute:stack!in[prod]", "* idle"),
    ("attribute:stack=~p.*", "* web"),
    (" \t attribute:stack   ==   prod \n ", "* web"),
    ("attribute:stack == and", "*"),
    ("attribute:a.b-c_d/e\\f exists", "*"),
    // Regular expressions match the whole value.
    ("attribute:ecs.instance-type =~ t2", "*"),
    ("attribute:ecs.instance-type =~ .*micro", "* web"),
    ("attribute:ecs.instance-type =~ t2.micro|g2.2xlarge", "* web idle"),
    ("attribute:ecs.instance-type =~ '(t2|t3)[.].*'", "* web"),
    ("attribute:ecs.instance-type =~ \"(?i)T2\\.MICRO\"", "* web"),
    ("attribute:ecs.instance-type =~ [a-z]\\d\\.\\w+", "* web idle"),
    ("attribute:ecs.instance-type =~ [a-z&&[^g]].*", "* web"),
    ("attribute:stack =~ .{3}", "* idle"),
    ("attribute:stack =~ dev||attribute:stack =~ prod", "* web idle"),
    ("attribute:stack =~ dev&&attribute:rank == 9", "* idle"),
    ("(attribute:stack =~ dev)", "* idle"),
    ("attribute:team =~ 'data and .*'", "* web"),
    // Precedence.
    ("attribute:stack == dev or attribute:stack == prod and attribute:rank == 9", "* idle"),
    ("(attribute:stack == dev or attribute:stack == prod) and attribute:rank == 10", "* web"),
    ("attribute:stack == prod and attribute:rank == 9 or attribute:stack == dev", "* idle"),
    ("attribute:stack == prod || attribute:stack == dev && attribute:rank == 1", "* web"),
    ("not attribute:stack == prod and attribute:stack exists", "* idle"),
    ("not (attribute:stack == prod and attribute:stack exists)", "* idle new"),
    ("not not attribute:stack == prod", "* web"),
    ("!!attribute:stack == prod", "* web"),
    ("! not (attribute:stack == prod)", "* web"),
    ("((((attribute:stack == prod))))", "* web"),
    ("(attribute:stack == prod)and(attribute:rank == 10)", "* web"),
    ("attribute:stack == prod && runningTasksCount > 2", "web"),
    // The agent.
    ("agentConnected == true", "web new"),
    ("agentConnected equals false", "idle"),
    ("agentConnected != true", "idle"),
    ("agentConnected in [true, false]", "web idle new"),
    ("agentConnected not_in [false]", "web new"),
    ("agentConnected =~ t.*", "web new"),
    ("agentConnected !~ 't.*'", "idle"),
    ("agentVersion == 1.96", "web"),
    ("agentVersion == v1.96.0", "web"),
    ("agentVersion != 1.96.0", "idle"),
    ("agentVersion > 1.9.1", "web"),
    ("agentVersion >= 1.9.1", "web idle"),
    ("agentVersion <= 1.10", "idle"),
    ("agentVersion less_than '2.0.0-rc1'", "web idle"),
    // The instance.
    ("ec2InstanceId == i-abcd1234", "web"),
    ("ec2InstanceId != i-00000000", "web"),
    ("ec2InstanceId !in [i-abcd1234]", ""),
    ("ec2InstanceId =~ i-[0-9a-f]{8}", "web"),
    ("not (ec2InstanceId =~ i-.*)", "idle new"),
    ("registeredAt == 2018-06-18T22:28:28+00:00", "web"),
    ("registeredAt == 2018-06-18T22:28:28Z", "web"),
    ("registeredAt == 2018-06-18T22:28:28", "web"),
    ("registeredAt == '2018-06-19T00:28:28+02:00'", "web"),
    ("registeredAt != 2018-06-18T22:28:28Z", "idle new"),
    ("registeredAt >= 2018-06-18", "web new"),
    ("registeredAt < 2018-06-18", "idle"),
    ("registeredAt greater_than 2018-06-18T22:28:28Z", "new"),
    ("registeredAt <= 2018-06-18T22:28:28Z", "web idle"),
    ("runningTasksCount < 3", "idle new"),
    ("runningTasksCount >= 1", "web new"),
    ("runningTasksCount != 0", "web new"),
    ("runningTasksCount==0", "idle"),
    ("runningTasksCount <= 4294967295", "web idle new"),
    // Groups of tasks: an instance can have several.
    ("task:group != database", "new"),
    ("task:group exists", "web new"),
    ("task:group !exists", "idle"),
    ("task:group in [database, service:x]", "web"),
    ("task:group not_in [service:x]", "web new"),
    ("task:group =~ service:.*", "web"),
    ("task:group !~ service:.*", "new"),
    ("task:group > family:z", "web"),
    ("not (task:group =~ '(service|family):.*')", "idle"),
    ("task:group == 'family:one-off' or runningTasksCount == 0", "idle new"),
];

#[test]
fn each_expression_selects_the_instances_that_it_should() {
    let instances = [("web", web()), ("idle", idle()), ("new", new())];
    for &(text, expected) in TABLE {
        let expression: Expression = match text.parse() {
            Ok(expression) => expression,
            Err(wrong) => panic!("{text}: {wrong}"),
        };
        assert_eq!(expression.to_string(), text);
        let star = expression.only_attributes().then_some("*").into_iter();
        let selected = instances.iter().filter(|(_, facts)| expression.matches(facts));
        let found: Vec<&str> = star.chain(selected.map(|(name, _)| *name)).collect();
        let found = found.join(" ");
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn expressions_are_equal_if_their_texts_are() {
    let read = |text: &str| text.parse::<Expression>().unwrap();
    assert_eq!(read("task:group == a"), read("task:group == a").clone());
    assert_ne!(read("task:group == a"), read("task:group==a"));
    assert_eq!(format!("{:?}", read("task:group == a")), r#"Expression("task:group == a")"#);
}
