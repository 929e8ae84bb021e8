//! Every text, word by word.

use super::*;

fn task(number: u8) -> TaskId {
    TaskId::from_bytes([number; 16])
}

#[test]
fn every_text_is_as_it_was_observed() {
    let deployment = DeploymentId::from_digits(1_234_567_890_123_456_789);
    let check = |(_, text): (Kind, String), expected: &str| assert_eq!(text, expected);
    check(steady("web"), "(service web) has reached a steady state.");
    check(
        set_steady("web", deployment),
        "(service web, taskSet ecs-svc/1234567890123456789) has reached a steady state.",
    );
    check(
        completed("web", deployment),
        "(service web) (deployment ecs-svc/1234567890123456789) deployment completed.",
    );
    check(
        failed("web", deployment, "tasks failed to start"),
        "(service web) (deployment ecs-svc/1234567890123456789) deployment failed: tasks \
         failed to start.",
    );
    check(
        failed("web", deployment, "alarm detected"),
        "(service web) (deployment ecs-svc/1234567890123456789) deployment failed: alarm \
         detected.",
    );
    check(
        given_up("web", deployment),
        "(service web) (deployment ecs-svc/1234567890123456789) was stopped by a user.",
    );
    check(
        rolling_back("web", deployment),
        "(service web) rolling back to deployment ecs-svc/1234567890123456789.",
    );
    check(
        stuck("web"),
        "(service web) was unable to stop or start tasks during a deployment because of the \
         service deployment configuration. Update the minimumHealthyPercent or maximumPercent \
         value and try again.",
    );
    check(impaired("web"), "(service web) is unable to consistently start tasks successfully.");
    check(
        protected("web", deployment),
        "(service web) was unable to reach steady state because task set \
         (ecs-svc/1234567890123456789) was unable to scale in. Reason: The number of \
         protected tasks are more than the desired count of tasks.",
    );
    check(
        unmade("web", "TaskDefinition not found"),
        "(service web) was unable to place a task. Reason: TaskDefinition not found.",
    );
    check(
        unmade("web", "ECS was unable to assume the role 'r' that was provided for this task"),
        "(service web) failed to launch a task with (error ECS was unable to assume the role 'r' \
         that was provided for this task.).",
    );
    check(
        rebalancing("web", 2),
        "(service web) is not AZ balanced with 2 tasks to move. AZ Rebalancing in progress.",
    );
    check(rebalanced("web"), "(service web) is AZ balanced.");
    check(
        rebalancing_stopped("web", "a deployment started"),
        "(service web) AZ Rebalancing stopped: a deployment started.",
    );
    check(
        violated("web", "01"),
        "(service web) was unable to keep a daemon task because (container-instance 01) no \
         longer meets the placement constraints.",
    );
}

#[test]
fn tasks_are_named_ten_on_a_line() {
    let one = started("web", &[task(1)]);
    let id = "01".repeat(16);
    let expected = format!("(service web) has started 1 tasks: (task {id}).");
    assert_eq!(one, [(Kind::TasksStarted, expected)]);
    let two = stopped("web", &[task(1), task(2)]);
    let other = "02".repeat(16);
    let expected =
        format!("(service web) has stopped 2 running tasks: (task {id}) (task {other}).");
    assert_eq!(two, [(Kind::TasksStopped, expected)]);
    let many: Vec<TaskId> = (0..25).map(task).collect();
    let lines = started("web", &many);
    let begin = |line: &(Kind, String)| line.1.split(':').next().map(str::to_owned);
    let begins: Vec<_> = lines.iter().filter_map(begin).collect();
    let line = |number| format!("(service web) has started {number} tasks");
    assert_eq!(begins, [line(10), line(10), line(5)]);
    assert!(started("web", &[]).is_empty());
}

#[test]
fn a_shortage_names_the_closest_instance() {
    let begin = "(service web) was unable to place a task because no container instance met \
                 all of its requirements.";
    let check = |code: &str, why: &str| {
        let closest = Closest { instance: "ab12".to_owned(), code: code.to_owned() };
        let instances = vec!["arn".to_owned()];
        let told = Shortage { closest: Some(closest), instances, provider: None };
        let (kind, text) = unplaced("web", told);
        let (reason, instances) = (code.to_owned(), vec!["arn".to_owned()]);
        assert_eq!(kind, Kind::Unplaced { reason, instances, providers: Vec::new() });
        let near = "The closest matching (container-instance ab12)";
        assert_eq!(text, format!("{begin} {near} {why}"));
    };
    check("RESOURCE:CPU", "has insufficient CPU units available.");
    check("RESOURCE:MEMORY", "has insufficient memory available.");
    check("RESOURCE:PORTS", "is already using a port required by your task.");
    check("RESOURCE:GPU", "has insufficient GPU resource available.");
    check("RESOURCE:DISK", "has no room left on its disk.");
    check("RESOURCE:ENI", "has insufficient network interfaces available.");
    check("AGENT", "encountered error \"AGENT\".");
    check("ATTRIBUTE", "is missing an attribute required by your task.");
    check("LOCATION", "is in an Availability Zone that your task's subnets are not in.");
    check("INACTIVE", "is not ACTIVE.");
    let constraint = "MemberOf placement constraint unsatisfied.";
    check(constraint, "encountered error \"MemberOf placement constraint unsatisfied.\".");
    let (_, text) = unplaced("web", Shortage::default());
    let none = "Reason: No Container Instances were found in your cluster.";
    assert_eq!(text, format!("{begin} {none}"));
    let provider = Some("arn".to_owned());
    let (kind, text) = unplaced("web", Shortage { provider, ..Shortage::default() });
    let none = "Reason: No Container Instances were found in your capacity provider.";
    assert_eq!(text, format!("{begin} {none}"));
    let reason = "EMPTY CAPACITY PROVIDER".to_owned();
    let providers = vec!["arn".to_owned()];
    assert_eq!(kind, Kind::Unplaced { reason, instances: Vec::new(), providers });
}

#[test]
fn what_is_told_to_eventbridge_alone_has_a_text_too() {
    let deployment = DeploymentId::from_digits(1_234_567_890_123_456_789);
    let (kind, text) = recounted("web", 3, None);
    assert_eq!(text, "(service web) has a desired count of 3.");
    assert!(!kind.is_line());
    let (_, text) = recounted("web", 3, Some(deployment));
    let of = "(service web, taskSet ecs-svc/1234567890123456789)";
    assert_eq!(text, format!("{of} has a desired count of 3."));
    let (kind, text) = unknown("web", vec![task(1)]);
    let health = "was unable to describe the health of";
    assert_eq!(text, format!("(service web) {health} (task {}).", "01".repeat(16)));
    assert!(!kind.is_line());
    let (kind, _) = unknown("web", (0..25).map(task).collect());
    assert!(matches!(kind, Kind::HealthUnknown(tasks) if tasks.len() == MAX_NAMED));
}

#[test]
fn fargate_without_room_is_told_in_its_words() {
    let words = "Capacity is unavailable at this time";
    let (kind, text) = no_capacity("web", words, Some("arn".to_owned()));
    let expected = format!("(service web) was unable to place a task. Reason: {words}.");
    assert_eq!(text, expected);
    let (reason, providers) = ("RESOURCE:FARGATE".to_owned(), vec!["arn".to_owned()]);
    assert_eq!(kind, Kind::Unplaced { reason, instances: Vec::new(), providers });
    assert_eq!(no_capacity("web", words, None).1, expected);
}
