//! Names of the model as Rust spells them.

/// `containerPortRange` → `container_port_range`, `bindIP` → `bind_ip`, `type` → `type_`.
pub fn field(name: &str) -> String {
    let snake = words(name).join("_").to_lowercase();
    if is_keyword(&snake) { format!("{snake}_") } else { snake }
}

/// `RunTaskRequest` → `RUN_TASK_REQUEST`.
pub fn constant(name: &str) -> String {
    words(name).join("_").to_uppercase()
}

/// `getCallerIdentity` → `GetCallerIdentity`.
pub fn type_name(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// `CAPACITY_PROVIDER` → `CapacityProvider`, `container-instance` → `ContainerInstance`.
pub fn variant(value: &str) -> String {
    let parts = value.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let cased = |part: &str| {
        let is_shouted = !part.chars().any(|c| c.is_ascii_lowercase());
        let part = if is_shouted { part.to_ascii_lowercase() } else { part.to_owned() };
        type_name(&part)
    };
    let name: String = parts.map(cased).collect();
    match name.chars().next() {
        Some(first) if first.is_ascii_digit() => format!("V{name}"),
        Some(_) => name,
        None => "Empty".to_owned(),
    }
}

/// Rust's words, those that it keeps for later as well (Rust reference, "Keywords").
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum \
    extern false final fn for gen if impl in let loop macro match mod move mut override priv pub ref \
    return self static struct super trait true try type typeof unsafe unsized use virtual where while \
    yield";

fn is_keyword(word: &str) -> bool {
    KEYWORDS.split(' ').any(|keyword| keyword == word)
}

/// Splits where a small letter or digit meets a capital, and before a capital that begins a word
/// after an acronym.
fn words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let mut words = vec![String::new()];
    for (index, &c) in characters.iter().enumerate() {
        let before = index.checked_sub(1).map(|i| characters[i]);
        let after = characters.get(index + 1);
        let follows_small = before.is_some_and(|b| !b.is_ascii_uppercase());
        let ends_acronym = before.is_some_and(|b| b.is_ascii_uppercase())
            && after.is_some_and(char::is_ascii_lowercase);
        if index > 0 && c.is_ascii_uppercase() && (follows_small || ends_acronym) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_rust_does() {
        let check = |name, expected: &str| assert_eq!(field(name), expected);
        check("containerPortRange", "container_port_range");
        check("bindIP", "bind_ip");
        check("ec2InstanceId", "ec2_instance_id");
        check("type", "type_");
        check("UserId", "user_id");
        assert_eq!(constant("ECSVolumeName"), "ECS_VOLUME_NAME");
        assert_eq!(variant("CAPACITY_PROVIDER"), "CapacityProvider");
        assert_eq!(variant("container-instance"), "ContainerInstance");
        assert_eq!(variant("awsvpc"), "Awsvpc");
        assert_eq!(variant("7"), "V7");
    }
}
