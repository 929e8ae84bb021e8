//! OCI distribution 1.1, sentence by sentence: pulling, pushing manifests, listing, referrers, deleting.
//! What it says of uploads is in `uploads.rs`.

use serde_json::{Value, json};

use super::world::{Kept, OCI_INDEX, OCI_MANIFEST, World, digest, everywhere};

async fn world(kept: Kept) -> World {
    let world = World::keeping(kept).await;
    world.repository("app").await;
    world
}

everywhere! {
    sha512_names_content_too,
    the_base_is_answered_with_its_version,
    a_manifest_comes_back_byte_for_byte_with_its_type_and_digest,
    what_is_not_there_is_404,
    a_blob_comes_back_whole_or_in_parts,
    empty_blobs_are_blobs,
    a_type_that_is_not_accepted_is_not_given_by_tag,
    a_moved_tag_leaves_the_old_manifest,
    several_tags_come_with_one_digest,
    tags_are_listed_in_order_and_in_pages,
    referrers_are_listed_whether_or_not_their_subject_is_there,
    a_config_type_stands_in_for_a_missing_artifact_type,
    deleting_is_seen_at_once,
    what_is_named_stays,
    indexes_nest_and_name_blobs,
    other_methods_are_told_which_there_are,
}

async fn the_base_is_answered_with_its_version(world: World) {
    for path in ["/v2", "/v2/"] {
        let answer = world.send("GET", path, &[], b"").await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]));
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    }
}

async fn a_manifest_comes_back_byte_for_byte_with_its_type_and_digest(world: World) {
    let mut manifest = world.manifest("app", b"one").await;
    manifest["unknown"] = json!({"kept": [1, 2.50, "x"]});
    manifest["layers"][0]["data"] = json!("b25l");
    let text = format!("  {manifest}\n");
    let kind = format!("content-type: {OCI_MANIFEST}; charset=utf-8");
    let answer = world.send("PUT", "/v2/app/manifests/v1", &[&kind], text.as_bytes()).await;
    assert_eq!(answer.status, 201);
    let named = digest(text.as_bytes());
    assert_eq!(answer.header("location"), format!("/v2/app/manifests/{named}"));
    assert_eq!(answer.header("docker-content-digest"), named);
    for reference in ["v1", &named] {
        let path = format!("/v2/app/manifests/{reference}");
        let answer = world.send("GET", &path, &[], b"").await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, text.as_bytes()));
        assert_eq!(answer.header("content-type"), OCI_MANIFEST);
        assert_eq!(answer.header("content-length"), text.len().to_string());
        assert_eq!(answer.header("docker-content-digest"), named);
        let head = world.send("HEAD", &path, &[], b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-type", "content-length", "docker-content-digest", "etag"] {
            assert_eq!(head.header(name), answer.header(name), "{name}");
        }
    }
}

async fn what_is_not_there_is_404(world: World) {
    let none = digest(b"none");
    let check = async |path: String, code: &str| {
        for method in ["GET", "HEAD"] {
            let answer = world.send(method, &path, &[], b"").await;
            assert_eq!(answer.status, 404, "{method} {path}");
            if method == "GET" {
                assert_eq!(answer.code(), code, "{path}");
            }
        }
    };
    check("/v2/app/manifests/none".to_owned(), "MANIFEST_UNKNOWN").await;
    check(format!("/v2/app/manifests/{none}"), "MANIFEST_UNKNOWN").await;
    check(format!("/v2/app/blobs/{none}"), "BLOB_UNKNOWN").await;
    check("/v2/none/manifests/v1".to_owned(), "NAME_UNKNOWN").await;
    check("/v2/none/tags/list".to_owned(), "NAME_UNKNOWN").await;
    check(format!("/v2/none/blobs/{none}"), "NAME_UNKNOWN").await;
    check(format!("/v2/none/referrers/{none}"), "NAME_UNKNOWN").await;
    let text = world.send("GET", "/v2/none/tags/list", &[], b"").await.json();
    let message =
        "The repository with name 'none' does not exist in the registry with id '123456789012'";
    assert_eq!(text["errors"][0]["message"], message);
}

async fn a_blob_comes_back_whole_or_in_parts(world: World) {
    let bytes: Vec<u8> = (0..1_300_000_u32).map(|n| (n % 251) as u8).collect();
    let named = world.blob("app", &bytes).await;
    let path = format!("/v2/app/blobs/{named}");
    let whole = world.send("GET", &path, &[], b"").await;
    assert_eq!((whole.status, &whole.body), (200, &bytes));
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    assert_eq!(whole.header("docker-content-digest"), named);
    let head = world.send("HEAD", &path, &[], b"").await;
    assert_eq!((head.status, head.header("content-length")), (200, "1300000"));
    let check = async |range: &str, from: usize, to: usize| {
        let answer = world.send("GET", &path, &[&format!("range: bytes={range}")], b"").await;
        assert_eq!((answer.status, answer.body.as_slice()), (206, &bytes[from..to]), "{range}");
        let told = format!("bytes {from}-{}/1300000", to - 1);
        assert_eq!(answer.header("content-range"), told);
        assert_eq!(answer.header("content-length"), (to - from).to_string());
    };
    check("0-0", 0, 1).await;
    check("500-1499", 500, 1_500).await;
    check("1299999-", 1_299_999, 1_300_000).await;
    check("-700000", 600_000, 1_300_000).await;
    check("1299000-9999999", 1_299_000, 1_300_000).await;
    for range in ["bytes=1300000-", "bytes=7-3"] {
        let answer = world.send("GET", &path, &[&format!("range: {range}")], b"").await;
        assert_eq!((answer.status, answer.code()), (416, "RANGE_INVALID".to_owned()), "{range}");
        assert_eq!(answer.header("content-range"), "bytes */1300000");
    }
}

async fn empty_blobs_are_blobs(world: World) {
    for bytes in [&b""[..], b"{}"] {
        let named = world.blob("app", bytes).await;
        let answer = world.send("GET", &format!("/v2/app/blobs/{named}"), &[], b"").await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, bytes));
    }
}

async fn a_type_that_is_not_accepted_is_not_given_by_tag(world: World) {
    let named = world.image("app", Some("v1"), b"one").await;
    let check = async |reference: &str, accept: &[&str], expected: u16| {
        let path = format!("/v2/app/manifests/{reference}");
        let answer = world.send("GET", &path, accept, b"").await;
        assert_eq!(answer.status, expected, "{reference} {accept:?}");
    };
    check("v1", &[], 200).await;
    check("v1", &["accept: text/html, */*;q=0.1"], 200).await;
    check("v1", &[&format!("accept: {OCI_INDEX}"), &format!("accept: {OCI_MANIFEST}")], 200).await;
    check("v1", &[&format!("accept: {OCI_INDEX}, {OCI_MANIFEST};q=0.5")], 200).await;
    check("v1", &[&format!("accept: {OCI_INDEX}")], 404).await;
    check(&named, &[&format!("accept: {OCI_INDEX}")], 200).await;
}

async fn a_moved_tag_leaves_the_old_manifest(world: World) {
    let old = world.image("app", Some("v1"), b"one").await;
    let new = world.image("app", Some("v1"), b"two").await;
    assert_ne!(old, new);
    let tagged = world.send("HEAD", "/v2/app/manifests/v1", &[], b"").await;
    assert_eq!(tagged.header("docker-content-digest"), new);
    assert_eq!(world.send("GET", &format!("/v2/app/manifests/{old}"), &[], b"").await.status, 200);
    assert_eq!(world.image("app", Some("v1"), b"two").await, new, "the same again is no error");
}

async fn several_tags_come_with_one_digest(world: World) {
    let manifest = world.manifest("app", b"one").await.to_string();
    let named = digest(manifest.as_bytes());
    let tags: Vec<String> = (0..10).map(|number| format!("t{number}")).collect();
    let query = tags.iter().map(|tag| format!("tag={tag}")).collect::<Vec<_>>().join("&");
    let path = format!("/v2/app/manifests/{named}?{query}");
    let kind = format!("content-type: {OCI_MANIFEST}");
    let answer = world.send("PUT", &path, &[&kind], manifest.as_bytes()).await;
    assert_eq!((answer.status, answer.headers.get_all("oci-tag").iter().count()), (201, 10));
    let listed = world.send("GET", "/v2/app/tags/list", &[], b"").await.json();
    assert_eq!(listed, json!({"name": "app", "tags": tags}));
    let wrong = format!("/v2/app/manifests/{named}?tag=.x");
    assert_eq!(
        world.send("PUT", &wrong, &[&kind], manifest.as_bytes()).await.code(),
        "TAG_INVALID"
    );
}

async fn sha512_names_content_too(world: World) {
    use sha2::Digest as _;
    let of = |bytes: &[u8]| {
        format!("sha512:{}", data_encoding::HEXLOWER.encode(&sha2::Sha512::digest(bytes)))
    };
    let layer = of(b"layer");
    let path = format!("/v2/app/blobs/uploads/?digest={layer}");
    assert_eq!(world.send("POST", &path, &[], b"layer").await.status, 201);
    let answer = world.send("GET", &format!("/v2/app/blobs/{layer}"), &[], b"").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"layer"[..]));
    assert_eq!(answer.header("docker-content-digest"), layer);
    assert_eq!(world.send("POST", &path, &[], b"other").await.code(), "DIGEST_INVALID");
    // Mounted from whichever repository has it.
    world.repository("other").await;
    let mount = |digest: &str| format!("/v2/other/blobs/uploads/?mount={digest}");
    assert_eq!(world.send("POST", &mount(&of(b"none")), &[], b"").await.status, 202);
    let mounted = world.send("POST", &mount(&layer), &[], b"").await;
    assert_eq!((mounted.status, mounted.header("docker-content-digest")), (201, layer.as_str()));
    assert_eq!(world.send("GET", mounted.header("location"), &[], b"").await.body, b"layer");
    let mut manifest = world.manifest("app", b"x").await;
    manifest["layers"][0]["digest"] = json!(layer);
    manifest["layers"][0]["size"] = json!(5);
    let manifest = manifest.to_string();
    let named = of(manifest.as_bytes());
    let kind = format!("content-type: {OCI_MANIFEST}");
    let path = format!("/v2/app/manifests/{named}");
    let answer = world.send("PUT", &format!("{path}?tag=v1"), &[&kind], manifest.as_bytes()).await;
    assert_eq!((answer.status, answer.header("docker-content-digest")), (201, named.as_str()));
    assert_eq!(world.send("GET", &path, &[], b"").await.body, manifest.as_bytes());
    let tagged = world.send("HEAD", "/v2/app/manifests/v1", &[], b"").await;
    assert_eq!(tagged.header("docker-content-digest"), named);
}

async fn tags_are_listed_in_order_and_in_pages(world: World) {
    let empty = world.send("GET", "/v2/app/tags/list", &[], b"").await.json();
    assert_eq!(empty, json!({"name": "app", "tags": []}), "none is an empty list");
    for tag in ["b", "a", "B", "c", "a1"] {
        world.image("app", Some(tag), b"one").await;
    }
    let check = async |query: &str, expected: &[&str], link: &str| {
        let answer = world.send("GET", &format!("/v2/app/tags/list{query}"), &[], b"").await;
        assert_eq!(answer.json()["tags"], json!(expected), "{query}");
        assert_eq!(answer.header("link"), link, "{query}");
    };
    check("", &["B", "a", "a1", "b", "c"], "").await;
    check("?n=2", &["B", "a"], "</v2/app/tags/list?last=a&n=2>; rel=\"next\"").await;
    check("?last=a&n=2", &["a1", "b"], "</v2/app/tags/list?last=b&n=2>; rel=\"next\"").await;
    check("?last=b&n=2", &["c"], "").await;
    check("?last=a0", &["a1", "b", "c"], "").await;
    check("?last=z", &[], "").await;
    check("?n=0", &[], "").await;
    check("?n=99999999999", &["B", "a", "a1", "b", "c"], "").await;
    for wrong in ["?n=-1", "?n=x"] {
        let answer = world.send("GET", &format!("/v2/app/tags/list{wrong}"), &[], b"").await;
        assert_eq!((answer.status, answer.code()), (400, "PAGINATION_NUMBER_INVALID".to_owned()));
    }
    world.repository("other").await;
    let catalog = world.send("GET", "/v2/_catalog?n=1", &[], b"").await;
    assert_eq!(catalog.json(), json!({"repositories": ["app"]}));
    assert_eq!(catalog.header("link"), "</v2/_catalog?last=app&n=1>; rel=\"next\"");
}

/// An artifact that refers to `subject`.
async fn referrer(world: &World, subject: &str, kind: &str, note: &str) -> Value {
    let config = world.blob("app", b"{}").await;
    json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1},
        "annotations": {"note": note},
    })
}

async fn referrers_are_listed_whether_or_not_their_subject_is_there(world: World) {
    let subject = digest(b"not pushed yet");
    let path = format!("/v2/app/referrers/{subject}");
    let empty = world.send("GET", &path, &[], b"").await;
    assert_eq!((empty.status, empty.header("content-type")), (200, OCI_INDEX));
    assert_eq!(empty.json(), json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}));
    let kind = format!("content-type: {OCI_MANIFEST}");
    for (artifact, note) in [("application/sig", "one"), ("application/sbom", "two")] {
        let manifest = referrer(&world, &subject, artifact, note).await.to_string();
        let named = digest(manifest.as_bytes());
        let put = format!("/v2/app/manifests/{named}");
        let answer = world.send("PUT", &put, &[&kind], manifest.as_bytes()).await;
        assert_eq!((answer.status, answer.header("oci-subject")), (201, subject.as_str()));
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1}});
    world.put("app", None, &index, OCI_INDEX).await;
    let all = world.send("GET", &path, &[], b"").await.json();
    let listed = all["manifests"].as_array().unwrap();
    assert_eq!(listed.len(), 3);
    let of = |kind: &str| listed.iter().find(|one| one["artifactType"] == kind).unwrap();
    assert_eq!(of("application/sig")["annotations"], json!({"note": "one"}));
    assert_eq!(of("application/sbom")["mediaType"], OCI_MANIFEST);
    let plain = listed.iter().find(|one| one["mediaType"] == OCI_INDEX).unwrap();
    assert!(plain.get("artifactType").is_none(), "an index without one has none");
    let filtered =
        world.send("GET", &format!("{path}?artifactType=application%2Fsig"), &[], b"").await;
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    assert_eq!(filtered.json()["manifests"].as_array().unwrap().len(), 1);
    let named = of("application/sig")["digest"].as_str().unwrap();
    let gone = world.send("DELETE", &format!("/v2/app/manifests/{named}"), &[], b"").await;
    assert_eq!(gone.status, 202);
    let left = world.send("GET", &path, &[], b"").await.json();
    assert_eq!(left["manifests"].as_array().unwrap().len(), 2);
}

async fn a_config_type_stands_in_for_a_missing_artifact_type(world: World) {
    let subject = digest(b"s");
    let mut manifest = world.manifest("app", b"one").await;
    manifest["subject"] = json!({"mediaType": OCI_MANIFEST, "digest": subject, "size": 1});
    world.put("app", None, &manifest, OCI_MANIFEST).await;
    let listed = world.send("GET", &format!("/v2/app/referrers/{subject}"), &[], b"").await.json();
    assert_eq!(listed["manifests"][0]["artifactType"], "application/vnd.oci.image.config.v1+json");
}

async fn deleting_is_seen_at_once(world: World) {
    let named = world.image("app", Some("v1"), b"one").await;
    world.image("app", Some("v2"), b"one").await;
    let status = async |method: &str, path: &str| world.send(method, path, &[], b"").await.status;
    assert_eq!(status("DELETE", "/v2/app/manifests/v1").await, 202);
    assert_eq!(status("GET", "/v2/app/manifests/v1").await, 404);
    assert_eq!(status("DELETE", "/v2/app/manifests/v1").await, 404);
    let by_digest = format!("/v2/app/manifests/{named}");
    assert_eq!(status("GET", &by_digest).await, 200, "a tag is not the manifest");
    assert_eq!(status("DELETE", &by_digest).await, 202);
    assert_eq!(status("GET", &by_digest).await, 404);
    assert_eq!(status("GET", "/v2/app/manifests/v2").await, 404, "its tags go with it");
    let blob = format!("/v2/app/blobs/{}", digest(b"one"));
    assert_eq!(status("GET", &blob).await, 200);
    assert_eq!(status("DELETE", &blob).await, 202);
    assert_eq!(status("GET", &blob).await, 404);
    assert_eq!(status("DELETE", &blob).await, 404);
}

async fn what_is_named_stays(world: World) {
    let child = world.image("app", None, b"one").await;
    let size = world.send("HEAD", &format!("/v2/app/manifests/{child}"), &[], b"").await;
    let size: u64 = size.header("content-length").parse().unwrap();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": child, "size": size}]});
    let parent = world.put("app", Some("all"), &index, OCI_INDEX).await;
    let refused = world.send("DELETE", &format!("/v2/app/manifests/{child}"), &[], b"").await;
    assert_eq!((refused.status, refused.code()), (403, "DENIED".to_owned()));
    let blob = format!("/v2/app/blobs/{}", digest(b"one"));
    let refused = world.send("DELETE", &blob, &[], b"").await;
    assert_eq!((refused.status, refused.code()), (405, "UNSUPPORTED".to_owned()));
    for path in [format!("/v2/app/manifests/{parent}"), format!("/v2/app/manifests/{child}"), blob]
    {
        assert_eq!(world.send("DELETE", &path, &[], b"").await.status, 202, "{path}");
    }
}

async fn indexes_nest_and_name_blobs(world: World) {
    let layer = world.blob("app", b"cache").await;
    let cache = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer, "size": 5}]});
    let cache_digest = world.put("app", Some("cache"), &cache, OCI_INDEX).await;
    let outer = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_INDEX, "digest": cache_digest, "size": cache.to_string().len()}]});
    world.put("app", Some("outer"), &outer, OCI_INDEX).await;
    let empty = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    world.put("app", Some("empty"), &empty, OCI_INDEX).await;
}

async fn other_methods_are_told_which_there_are(world: World) {
    let answer = world.send("POST", "/v2/app/tags/list", &[], b"").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));
    assert_eq!(answer.code(), "UNSUPPORTED");
}
