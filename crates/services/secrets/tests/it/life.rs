//! What many calls and time do to parameters and secrets.

use ledger::MemoryStore;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::world::World;

fn world() -> World {
    World::on(MemoryStore::new())
}

fn token(number: u32) -> String {
    format!("{number:032}")
}

#[tokio::test]
async fn a_hundred_versions_are_kept_and_a_labelled_one_holds_them_up() {
    let world = world();
    let put = |value: u32| json!({"Name": "/a", "Value": value.to_string(), "Type": "String", "Overwrite": true});
    for number in 1..=103 {
        let answer = world.get("AmazonSSM.PutParameter", put(number)).await;
        assert_eq!(answer["Version"], number);
    }
    let mut seen = Vec::new();
    let mut next = Value::Null;
    loop {
        let mut input = json!({"Name": "/a", "MaxResults": 30});
        if !next.is_null() {
            input["NextToken"] = next;
        }
        let page = world.get("AmazonSSM.GetParameterHistory", input).await;
        let versions = page["Parameters"].as_array().unwrap();
        seen.extend(versions.iter().map(|one| one["Version"].as_u64().unwrap()));
        next = page["NextToken"].clone();
        if next.is_null() {
            break;
        }
    }
    assert_eq!(seen, (4..=103).collect::<Vec<_>>());
    let label = json!({"Name": "/a", "ParameterVersion": 4, "Labels": ["first"]});
    world.get("AmazonSSM.LabelParameterVersion", label).await;
    let (status, told) = world.ask("AmazonSSM.PutParameter", &put(104).to_string()).await;
    assert!(status == 400 && told.contains("ParameterMaxVersionLimitExceeded"), "{told}");
}

#[tokio::test]
async fn paths_are_read_page_by_page() {
    let world = world();
    for number in 0..25 {
        let name = format!("/app/{}/{number:02}", if number % 2 == 0 { "even" } else { "odd" });
        let put = json!({"Name": name, "Value": "v", "Type": "String"});
        world.get("AmazonSSM.PutParameter", put).await;
    }
    let read = async |path: &str, recursive: bool| {
        let (mut names, mut next) = (Vec::new(), Value::Null);
        loop {
            let mut input = json!({"Path": path, "Recursive": recursive});
            if !next.is_null() {
                input["NextToken"] = next;
            }
            let page = world.get("AmazonSSM.GetParametersByPath", input).await;
            let parameters = page["Parameters"].as_array().unwrap();
            assert!(parameters.len() <= 10);
            names.extend(parameters.iter().map(|one| one["Name"].as_str().unwrap().to_owned()));
            next = page["NextToken"].clone();
            if next.is_null() {
                return names;
            }
        }
    };
    assert_eq!(read("/app", true).await.len(), 25);
    assert_eq!(read("/app", false).await.len(), 0);
    assert_eq!(read("/app/odd/", false).await.len(), 12);
    assert_eq!(read("/", true).await.len(), 25);
    assert_eq!(read("/ap", true).await.len(), 0);
}

#[tokio::test]
async fn a_policy_ends_its_parameter() {
    let world = world();
    let ends = r#"[{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2026-01-05T00:00:00.000Z"}}]"#;
    let put = json!({
        "Name": "/brief", "Value": "v", "Type": "String", "Tier": "Advanced", "Policies": ends,
    });
    world.get("AmazonSSM.PutParameter", put.clone()).await;
    world.get("AmazonSSM.GetParameter", json!({"Name": "/brief"})).await;
    world.wait_days(3);
    let (_, told) = world.ask("AmazonSSM.GetParameter", r#"{"Name": "/brief"}"#).await;
    assert!(told.contains("ParameterNotFound"), "{told}");
    let list = world.get("AmazonSSM.DescribeParameters", json!({})).await;
    assert_eq!(list["Parameters"], json!([]));
    // Made again it begins with its first version.
    let again = json!({"Name": "/brief", "Value": "w", "Type": "String"});
    assert_eq!(world.get("AmazonSSM.PutParameter", again).await["Version"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_is_gone_after_its_window() {
    let world = world();
    let make = |value: &str, number| json!({"Name": "s", "SecretString": value, "ClientRequestToken": token(number)});
    let first = world.get("secretsmanager.CreateSecret", make("old", 1)).await;
    let delete = json!({"SecretId": "s", "RecoveryWindowInDays": 7});
    world.get("secretsmanager.DeleteSecret", delete).await;
    let (_, told) = world.ask("secretsmanager.CreateSecret", &make("new", 2).to_string()).await;
    assert!(told.contains("already scheduled for deletion"), "{told}");
    world.wait_days(8);
    let (_, told) = world.ask("secretsmanager.DescribeSecret", r#"{"SecretId": "s"}"#).await;
    assert!(told.contains("ResourceNotFoundException"), "{told}");
    // The sweep takes it away; a new one of the name is another.
    let (secrets, end) = (world.secrets.clone(), CancellationToken::new());
    let sweep = tokio::spawn({
        let end = end.clone();
        async move { secrets.run(end).await }
    });
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    end.cancel();
    sweep.await.unwrap();
    let second = world.get("secretsmanager.CreateSecret", make("new", 1)).await;
    assert_ne!(first["ARN"], second["ARN"]);
    let (_, told) = world
        .ask("secretsmanager.GetSecretValue", &json!({"SecretId": first["ARN"]}).to_string())
        .await;
    assert!(told.contains("ResourceNotFoundException"), "{told}");
    let value = world.get("secretsmanager.GetSecretValue", json!({"SecretId": "s"})).await;
    assert_eq!(value["SecretString"], "new");
}

#[tokio::test]
async fn secrets_are_listed_page_by_page_in_the_wanted_order() {
    let world = world();
    for number in 0..7 {
        let make = json!({
            "Name": format!("s{number}"), "ClientRequestToken": token(number),
            "SecretString": number.to_string(),
        });
        world.get("secretsmanager.CreateSecret", make).await;
    }
    let (mut names, mut next) = (Vec::new(), Value::Null);
    loop {
        let mut input = json!({"MaxResults": 3, "SortOrder": "desc", "SortBy": "name"});
        if !next.is_null() {
            input["NextToken"] = next;
        }
        let page = world.get("secretsmanager.ListSecrets", input).await;
        let list = page["SecretList"].as_array().unwrap();
        names.extend(list.iter().map(|one| one["Name"].as_str().unwrap().to_owned()));
        next = page["NextToken"].clone();
        if next.is_null() {
            break;
        }
    }
    assert_eq!(names, ["s6", "s5", "s4", "s3", "s2", "s1", "s0"]);

    // By their age if nothing is said.
    world.wait_days(1);
    let make = json!({ "Name": "a", "ClientRequestToken": token(9), "SecretString": "young" });
    world.get("secretsmanager.CreateSecret", make).await;
    let page = world.get("secretsmanager.ListSecrets", json!({})).await;
    let list = page["SecretList"].as_array().unwrap();
    assert_eq!((&list[0]["Name"], &list[7]["Name"]), (&json!("s0"), &json!("a")));
}
