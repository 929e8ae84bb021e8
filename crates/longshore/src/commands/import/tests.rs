//! Files in, definitions and notes out. The answers stand in `goldens/` beside their questions
//! (`NAME.yaml` or `NAME.in.json`, `NAME.json`, `NAME.notes`); `UPDATE_GOLDEN=1` writes them anew.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::compose::{Surroundings, Wanted};
use super::notes::Notes;
use super::{DEFAULT_MEMORY_MIB, import};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/import/goldens")
}

fn read_file(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/srv/shop/web.env") => Ok("LEVEL=info\nTOKEN=\"a b\"\n".into()),
        Some("/srv/shop/more.env") => Ok("LEVEL=debug\n".into()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    }
}

fn run(text: &str, wanted: &Wanted) -> (Result<serde_json::Value, String>, String) {
    let variables = [("TAG", "1.27"), ("HOST_PORT", "8080"), ("FROM_SHELL", "yes")];
    let surroundings = Surroundings {
        folder: "/srv/shop".into(),
        home: Some("/home/ann".into()),
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        read: &read_file,
    };
    let notes = Notes::default();
    let json = import(text, &surroundings, wanted, &notes).map_err(|error| format!("{error:#}"));
    (json, notes.to_string())
}

fn all() -> Wanted {
    Wanted { memory: DEFAULT_MEMORY_MIB, ..Wanted::default() }
}

fn same_as_file(path: &Path, found: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, expected, "{}", path.display());
}

fn check(file: &str, wanted: &Wanted) {
    let path = goldens().join(file);
    let (json, notes) = run(&fs::read_to_string(&path).unwrap(), wanted);
    let json = json.unwrap_or_else(|error| panic!("{file}: {error}"));
    let name = file.split('.').next().unwrap();
    let text = format!("{}\n", serde_json::to_string_pretty(&json).unwrap());
    same_as_file(&goldens().join(format!("{name}.json")), &text);
    same_as_file(&goldens().join(format!("{name}.notes")), &notes);
}

#[test]
fn compose_files_become_definitions() {
    check("shop.yaml", &all());
    check("everything.yaml", &all());
    check("host.yaml", &all());
    check("anchors.yaml", &all());
}

#[test]
fn docker_containers_become_definitions() {
    check("docker.in.json", &Wanted { family: Some("my-shop".into()), ..all() });
}

#[test]
fn described_definitions_become_requests() {
    check("described.in.json", &all());
}

#[test]
fn one_service_can_be_taken_alone() {
    let text = fs::read_to_string(goldens().join("shop.yaml")).unwrap();
    let services = vec!["web".to_owned()];
    let (json, notes) = run(&text, &Wanted { services, ..all() });
    let json = json.unwrap();
    assert_eq!(json["family"], "shop-web");
    assert_eq!(json["containerDefinitions"].as_array().unwrap().len(), 1);
    assert!(json["containerDefinitions"][0].get("dependsOn").is_none());
    assert!(notes.contains("services.web.depends_on.db: left out: db is not among"), "{notes}");

    let services = vec!["nothing".to_owned()];
    let error = run(&text, &Wanted { services, ..all() }).0.unwrap_err();
    assert!(error.starts_with("there is no service 'nothing' in the file; there are "), "{error}");
}

/// Wrong inputs, and how their errors begin.
#[rustfmt::skip]
const WRONG: &[(&str, &str)] = &[
    ("", "the file (line 1): a Compose file has 'services'"),
    ("hello", "the file (line 1): a Compose file has 'services'"),
    ("{\"a\": 1}", "this JSON is neither the output of 'docker inspect' nor"),
    ("[]", "there is no container in the list"),
    ("[{\"Id\": \"x\"}]", "[0] is no container"),
    ("[{\"Config\": {}, \"HostConfig\": {}, \"Name\": \"/a\"}]", "a.Config.Image: expected an image's name, found nothing"),
    ("[{\"Config\": {\"Image\": \"a\", \"Env\": 3}, \"HostConfig\": {}, \"Name\": \"/a\"}]", "a.Config.Env: expected a list, found 3"),
    ("[{\"Config\": {\"Image\": \"a\"}, \"HostConfig\": {\"PortBindings\": {\"80/tcp\": [{\"HostPort\": \"x\"}]}}, \"Name\": \"/a\"}]", "a.HostConfig.PortBindings.80/tcp[0].HostPort: expected a port, found \"x\""),
    ("{\"taskDefinition\": 1}", "taskDefinition: expected an object"),
    ("{\"containerDefinitions\": []}", "1 validation error detected: Value null at 'family'"),
    ("{\"family\": \"a\", \"containerDefinitions\": [{\"memory\": \"x\"}]}", "STRING_VALUE cannot be converted to Integer"),
    ("services: [a]", "services (line 1): expected a mapping, found a list"),
    ("services: {}", "services (line 1): there is no service"),
    ("services:\n  a: {}", "services.a (line 2): 'image' is missing"),
    ("services:\n  a: {image: [x]}", "services.a.image (line 2): expected a text, found a list"),
    ("services:\n  a: {image: \"${X:?which}\"}", "services.a.image (line 2): the variable X must be set: which"),
    ("services:\n  a:\n    image: x\n    ports: [\"80:x\"]", "services.a.ports[0] (line 4): '80:x' is not of the form host:container"),
    ("services:\n  a:\n    image: x\n    ports: [\"80-82:80-81\"]", "services.a.ports[0] (line 4): the two ranges differ in length"),
    ("services:\n  a:\n    image: x\n    ports: [\"1-500\"]", "services.a.ports[0] (line 4): 500 ports are too many: at most 100"),
    ("services:\n  a:\n    image: x\n    ports: [{published: 80}]", "services.a.ports[0] (line 4): 'target' is missing"),
    ("services:\n  a:\n    image: x\n    ports: [{target: 0}]", "services.a.ports[0].target (line 4): expected a port or a range of ports, found '0'"),
    ("services:\n  a:\n    image: x\n    volumes: [\"data:/d\"]", "services.a.volumes[0] (line 4): there is no volume 'data' at the top of the file"),
    ("services:\n  a:\n    image: x\n    volumes: [\"/a:b\"]", "services.a.volumes[0] (line 4): the target 'b' must be an absolute path"),
    ("services:\n  a:\n    image: x\n    volumes: [\"a:b:c:d\"]", "services.a.volumes[0] (line 4): 'a:b:c:d' is not of the form"),
    ("services:\n  a:\n    image: x\n    mem_limit: lots", "services.a.mem_limit (line 4): expected a size as in 512m, found 'lots'"),
    ("services:\n  a:\n    image: x\n    stop_grace_period: soon", "services.a.stop_grace_period (line 4): expected a duration as in 1m30s, found 'soon'"),
    ("services:\n  a:\n    image: x\n    privileged: maybe", "services.a.privileged (line 4): expected true or false, found 'maybe'"),
    ("services:\n  a:\n    image: x\n    command: \"it's\"", "services.a.command (line 4): expected a command whose quotes are closed"),
    ("services:\n  a:\n    image: x\n    healthcheck: {test: [curl]}", "services.a.healthcheck.test (line 4): the first item must be CMD, CMD-SHELL or NONE"),
    ("services:\n  a:\n    image: x\n    depends_on: {b: {condition: done}}", "services.a.depends_on.b (line 4): expected service_started, service_healthy or service_completed_successfully, found 'done'"),
    ("services:\n  a:\n    image: x\n    ulimits: {nofile: {soft: 1}}", "services.a.ulimits.nofile (line 4): 'soft' and 'hard' must both be given"),
    ("services:\n  a:\n    image: x\n    env_file: gone.env", "services.a.env_file (line 4): reading /srv/shop/gone.env: no such file"),
    ("services:\n  a:\n    image: x\n    extra_hosts: [nothing]", "services.a.extra_hosts[0] (line 4): expected name:address, found 'nothing'"),
    ("services:\n  a:\n    image: x\n    environment: [\"=x\"]", "services.a.environment (line 4): a variable has no name"),
    ("services:\n  a: {image: x, extends: b}", "services.a.extends (line 2): there is no service 'b'"),
    ("services:\n  a: {extends: b}\n  b: {extends: a}", "services.a.extends (line 2): services extend each other in a circle"),
    ("services:\n  a: {image: x, profiles: [p]}", "services (line 2): no service is left"),
    ("services:\n  a: {image: x}\n  a: {image: y}", "line 3: the key 'a' comes twice"),
    ("services:\n  a: {image: \"x", "line "),
];

#[test]
fn wrong_input_is_named_with_its_field() {
    for (text, expected) in WRONG {
        let error = run(text, &all()).0.expect_err(text);
        assert!(error.starts_with(expected), "{text}\n{error}");
    }
}

#[test]
fn more_containers_than_a_task_can_have_are_refused() {
    let services = (0..11).map(|number| format!("  s{number}: {{image: x}}\n"));
    let text = format!("services:\n{}", services.collect::<String>());
    let error = run(&text, &all()).0.unwrap_err();
    assert!(error.starts_with("11 containers are too many"), "{error}");
}

/// Ports as Compose writes them, and what they become: container, host, protocol.
#[test]
fn ports_are_published_as_compose_does() {
    let check = |entry: &str, expected: &[(u16, Option<u16>, &str)]| {
        let text = format!("services:\n  a:\n    image: x\n    ports: [{entry}]\n");
        let json = run(&text, &all()).0.unwrap_or_else(|error| panic!("{entry}: {error}"));
        let mappings = json["containerDefinitions"][0]["portMappings"].as_array().cloned();
        let found: Vec<_> = mappings
            .unwrap_or_default()
            .iter()
            .map(|one| {
                let number = |name: &str| one[name].as_u64().map(|port| port as u16);
                let protocol = one["protocol"].as_str().unwrap().to_owned();
                (number("containerPort").unwrap(), number("hostPort"), protocol)
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(c, h, p)| (*c, *h, (*p).to_owned())).collect();
        assert_eq!(found, expected, "{entry}");
    };
    check("\"3000\"", &[(3000, None, "tcp")]);
    check("3000", &[(3000, None, "tcp")]);
    check("\"3000-3002\"", &[(3000, None, "tcp"), (3001, None, "tcp"), (3002, None, "tcp")]);
    check("\"8000:80\"", &[(80, Some(8000), "tcp")]);
    check("\"22:22\"", &[(22, Some(22), "tcp")]);
    check("\"9090-9091:8080-8081\"", &[(8080, Some(9090), "tcp"), (8081, Some(9091), "tcp")]);
    check("\"9090-9099:80\"", &[(80, None, "tcp")]);
    check("\"127.0.0.1:8001:8001\"", &[(8001, Some(8001), "tcp")]);
    check("\"127.0.0.1::80\"", &[(80, None, "tcp")]);
    check("\"[::1]:6000:60/udp\"", &[(60, Some(6000), "udp")]);
    check("\"53:53/udp\", \"53:53\"", &[(53, Some(53), "udp"), (53, Some(53), "tcp")]);
    check("\"80:80\", \"80:80/tcp\"", &[(80, Some(80), "tcp")]);
    check("\"5:5/sctp\"", &[]);
    check("{target: 80}", &[(80, None, "tcp")]);
    check("{target: 80, published: \"8080\", protocol: udp}", &[(80, Some(8080), "udp")]);
    check("{target: 80, published: 8080-8081}", &[(80, None, "tcp")]);
    check("\"${HOST_PORT}:80\"", &[(80, Some(8080), "tcp")]);
    check("\"${NONE:-90}:80\"", &[(80, Some(90), "tcp")]);
}

#[test]
fn variables_come_from_the_shell_and_missing_ones_are_told() {
    let text = "services:\n  a:\n    image: x:$MISSING\n    environment: [FROM_SHELL, GONE]\n";
    let (json, notes) = run(text, &all());
    let json = json.unwrap();
    let container = &json["containerDefinitions"][0];
    assert_eq!(container["image"], "x:");
    assert_eq!(container["environment"][0]["value"], "yes");
    assert!(notes.contains("services.a.image: the variable MISSING is not set"), "{notes}");
    assert!(notes.contains("services.a.environment: GONE is left out"), "{notes}");
}
