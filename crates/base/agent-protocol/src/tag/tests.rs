use std::collections::BTreeMap;

use super::*;

fn filled(template: &str) -> Result<String, String> {
    let labels: BTreeMap<String, String> = [("app.tier", "front"), ("app", "shop")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let environment = ["HOME=/".to_owned(), "MODE=x".to_owned()];
    let container = Container {
        id: "0123456789abcdef",
        name: "web-Main",
        image: "example.com/nginx:1.27",
        image_id: "sha256:fedcba9876543210",
        command: "nginx -g off",
        labels: Some(&labels),
        environment: &environment,
    };
    Template::parse(template)?.fill(&container)
}

#[test]
fn templates_are_filled() {
    let check = |template: &str, expected: &str| {
        assert_eq!(filled(template).as_deref(), Ok(expected), "{template}");
    };
    check("plain", "plain");
    check("", "");
    check("{{.ID}}", "0123456789ab");
    check(
        "{{.ImageName}}/{{ .Name }}/{{.FullID}}",
        "example.com/nginx:1.27/web-Main/0123456789abcdef",
    );
    check("{{.ImageID}} {{.ImageFullID}}", "fedcba987654 sha256:fedcba9876543210");
    check("{{.DaemonName}}: {{.Command}} {{.ContainerName}}", "docker: nginx -g off /web-Main");
    check("a {{- .Name -}} b", "aweb-Mainb");
    check("a{{/* nothing */}}b {{- /* trims */ -}} c", "abc");
    check(
        "{{.Name | lower}}/{{upper .Name}}/{{title \"of an image\"}}",
        "web-main/WEB-MAIN/Of An Image",
    );
    check("{{ index (split .ImageName \":\") 1 }}", "1.27");
    check("{{ with split .ImageName \":\" }}{{ join . \"_\" }}{{ end }}", "example.com/nginx_1.27");
    check("{{ index .ContainerLabels \"app.tier\" }}/{{ .ContainerLabels.app }}", "front/shop");
    check("{{ index .ContainerLabels \"none\" }}/{{ .ContainerLabels.none }}", "/<no value>");
    check("{{ if .ContainerLabels.none }}a{{ else if eq .Name \"x\" }}b{{ else }}c{{ end }}", "c");
    check("{{ if and .Name (not false) }}yes{{ end }}", "yes");
    check(
        "{{ range $at, $one := .ContainerEnv }}{{ if $at }},{{ end }}{{ $one }}{{ end }}",
        "HOME=/,MODE=x",
    );
    check("{{ range .ContainerEnv }}{{ $.ID }} {{ end }}", "0123456789ab 0123456789ab ");
    check("{{ range split \"\" \",\" }}[{{ . }}]{{ else }}none{{ end }}", "[]");
    check(
        "{{ $parts := split .ImageName \"/\" }}{{ len $parts }}{{ index $parts 0 }}",
        "2example.com",
    );
    check("{{ printf \"%s-%5d|%-4s|%q%%\" .Name 7 \"a\" \"b\" }}", "web-Main-    7|a   |\"b\"%");
    check(
        "{{ truncate .ImageName 7 }}{{ pad \"x\" 1 2 }}|{{ slice .Name 0 3 }}",
        "example x  |web",
    );
    check(
        "{{ json .ContainerEnv }} {{ json .ContainerLabels.app }}",
        "[\"HOME=/\",\"MODE=x\"] \"shop\"",
    );
    check("{{ print 1 2 \"a\" true }}{{ `raw` }}{{ (split \"a,b\" \",\") }}", "1 2atrueraw[a b]");
    check("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2");
}

#[test]
fn what_docker_could_not_read_is_refused() {
    let check = |template: &str, wrong: &str| {
        let error = Template::parse(template).expect_err(template);
        assert!(error.contains(wrong), "{template}: {error}");
    };
    check("{{.Nope}}", "'.Nope'");
    check("{{ $.Nope }}", "'.Nope'");
    check("{{.ID", "'{{' without '}}'");
    check("{{}}", "a command is missing");
    check("{{ .Name | }}", "a command is missing");
    check("{{ (.Name }}", "'(' without ')'");
    check("{{ .Name) }}", "')' without '('");
    check("{{ shout .Name }}", "'shout'");
    check("{{ if .Name }}", "'if' has no 'end'");
    check("{{ end }}", "'end' ends nothing");
    check("{{ else }}", "'else'");
    check("{{ $x }}", "$x");
    check("{{ \"a }}", "does not end");
    check("{{ .Name .ID }}", "only a function");
    check("{{ \"a\" | .Name }}", "only a function");
    check("{{ template \"x\" }}", "'template'");
    check("{{ .Name # }}", "'#'");
    check("{{/* a", "comment");
    check(&"x".repeat(5_000), "longer");
    check(&"{{if true}}".repeat(40), "blocks");
    check(&format!("{{{{ {} }}}}", "(".repeat(40)), "parentheses");
}

#[test]
fn what_cannot_be_done_is_told_when_it_is_filled() {
    let check = |template: &str, wrong: &str| {
        let error = filled(template).expect_err(template);
        assert!(error.contains(wrong), "{template}: {error}");
    };
    check("{{ join .Name \",\" }}", "'join'");
    check("{{ index .ContainerEnv 7 }}", "'index'");
    check("{{ printf \"%d\" .Name }}", "'%d'");
    check("{{ printf \"%s\" }}", "more than it is given");
    check("{{ range .Name }}{{ end }}", "'range'");
    check("{{ pad .Name 99999999 0 }}", "'pad'");
    check("{{ with .Name }}{{ .Nope }}{{ end }}", "'.Nope'");
}
