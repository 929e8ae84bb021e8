//! `WWW-Authenticate`: what a registry wants from those who ask.

/// A way to authenticate that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token from a token service.
    Bearer {
        /// The service's address.
        realm: String,
        /// What the token is for, by the service's own name for it.
        service: Option<String>,
        /// What it must allow.
        scope: Option<String>,
    },
}

/// The challenges of one header; unknown schemes and broken parts are left out.
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut scheme = String::new();
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            challenges.extend(challenge(&scheme, &parameters));
            return challenges;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start_matches([' ', '\t']);
        match after.strip_prefix('=') {
            Some(value) if !word.is_empty() => {
                let (value, after) = split_value(value.trim_start_matches([' ', '\t']));
                parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            // A stray '=': skip it.
            Some(value) => rest = value,
            // No '=' follows: a new scheme begins.
            None => {
                challenges.extend(challenge(&scheme, &parameters));
                scheme = word.to_ascii_lowercase();
                parameters.clear();
                rest = after;
            }
        }
    }
}

/// A quoted string or a token, and what comes after it.
fn split_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return (value, &quoted[index + 1..]),
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            char => value.push(char),
        }
    }
    (value, "")
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let find = |name: &str| {
        let found = parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: find("realm")?,
            service: find("service"),
            scope: find("scope"),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn challenges_are_read() {
        let check = |header: &str, expected: &[Challenge]| {
            assert_eq!(parse(header), expected, "{header}");
        };
        check("Basic realm=\"x\",service=\"ecr.amazonaws.com\"", &[Challenge::Basic]);
        check(
            "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
             scope=\"repository:library/nginx:pull,push\"",
            &[bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:library/nginx:pull,push"),
            )],
        );
        check("bearer realm=https://a/t , service = b", &[bearer("https://a/t", Some("b"), None)]);
        check(
            "Negotiate, Basic realm=\"a, b=c\", Bearer realm=\"https://\\\"q\\\"\"",
            &[Challenge::Basic, bearer("https://\"q\"", None, None)],
        );
        check("Bearer service=\"no realm\"", &[]);
        check("", &[]);
        check("====,,,\"", &[]);
        check("Bearer realm=\"never closed", &[bearer("never closed", None, None)]);
    }
}
