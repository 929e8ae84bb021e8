//! What an image's repository is called.

/// The registry of names that have none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// Host and repository of an image as Docker reads its name, without tag and digest:
/// `docker.io/library/nginx` for `nginx:1`. Of a text that is no image's name, some text that is no
/// repository's either.
pub fn repository_of(image: &str) -> String {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    // What follows the last colon is a tag, unless it is a port: then a slash follows.
    let name = match name.rsplit_once(':') {
        Some((before, after)) if !after.contains('/') => before,
        _ => name,
    };
    let is_host = |part: &str| {
        part.contains(['.', ':', '[']) || part == "localhost" || part.to_lowercase() != part
    };
    let (registry, path) = match name.split_once('/').filter(|(first, _)| is_host(first)) {
        None => (DEFAULT_REGISTRY.to_owned(), name),
        Some((host, path)) => match host.to_ascii_lowercase() {
            alias if alias == "index.docker.io" || alias == "registry-1.docker.io" => {
                (DEFAULT_REGISTRY.to_owned(), path)
            }
            host => (host, path),
        },
    };
    let is_official = registry == DEFAULT_REGISTRY && !path.contains('/');
    format!("{registry}/{}{path}", if is_official { "library/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_named_as_docker_names_them() {
        let check = |image: &str, expected: &str| assert_eq!(repository_of(image), expected);
        let digest = format!("sha256:{}", "a".repeat(64));
        check("nginx", "docker.io/library/nginx");
        check("nginx:1.29", "docker.io/library/nginx");
        check("team/app", "docker.io/team/app");
        check("index.docker.io/team/app:1", "docker.io/team/app");
        check("localhost:4566/app:v1", "localhost:4566/app");
        check("localhost/app", "localhost/app");
        check("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b");
        check(&format!("Registry.test/app:1@{digest}"), "registry.test/app");
    }
}
