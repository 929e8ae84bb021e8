//! Who a container runs as: names looked up in its own files, by Docker's rules
//! (`moby/sys:user/user.go`, `GetExecUser`).

/// A user as the kernel knows one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) additional_gids: Vec<u32>,
    pub(crate) home: String,
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Reads `user[:group]`; empty is root.
///
/// # Errors
/// Fails, in words, on a name that the files do not have and on a number that no id can be.
pub(crate) fn find(specification: &str, passwd: &str, group: &str) -> Result<User, String> {
    let (user, wanted_group) = match specification.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (specification, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = passwd.lines().filter_map(parse_user).find(|entry| is(user, entry.name, entry.uid));
    let (name, uid, gid, home) = match entry {
        Some(entry) => (entry.name, entry.uid, entry.gid, entry.home),
        None => {
            let uid = number(user).ok_or_else(|| {
                format!("unable to find user {user}: no matching entries in passwd file")
            })?;
            ("", uid, 0, "/")
        }
    };
    let mut found = User { uid, gid, additional_gids: Vec::new(), home: home.to_owned() };
    match wanted_group {
        Some(wanted) => found.gid = find_group(wanted, group)?,
        None => {
            found.additional_gids = group
                .lines()
                .filter_map(parse_group)
                .filter(|(_, _, members)| {
                    !name.is_empty() && members.split(',').any(|member| member == name)
                })
                .map(|(_, gid, _)| gid)
                .collect();
        }
    }
    Ok(found)
}

fn find_group(wanted: &str, group: &str) -> Result<u32, String> {
    group
        .lines()
        .filter_map(parse_group)
        .find(|(name, gid, _)| is(wanted, name, *gid))
        .map(|(_, gid, _)| gid)
        .or_else(|| number(wanted))
        .ok_or_else(|| format!("unable to find group {wanted}: no matching entries in group file"))
}

fn is(wanted: &str, name: &str, id: u32) -> bool {
    wanted == name || number(wanted) == Some(id)
}

/// Ids up to 2^31 - 1, as Docker allows them.
fn number(text: &str) -> Option<u32> {
    text.parse::<i32>().ok().and_then(|id| u32::try_from(id).ok())
}

fn parse_user(line: &str) -> Option<Entry<'_>> {
    let mut parts = line.split(':');
    let (name, _) = (parts.next()?, parts.next()?);
    let (uid, gid) = (number(parts.next()?)?, number(parts.next()?)?);
    let (_, home) = (parts.next(), parts.next().filter(|home| !home.is_empty()).unwrap_or("/"));
    Some(Entry { name, uid, gid, home })
}

fn parse_group(line: &str) -> Option<(&str, u32, &str)> {
    let mut parts = line.split(':');
    let (name, _) = (parts.next()?, parts.next()?);
    Some((name, number(parts.next()?)?, parts.next().unwrap_or("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:\nbad\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:40:web,other\nmore:x:41:other\n";

    #[test]
    fn users_are_read_as_docker_reads_them() {
        let user = |uid, gid, more: &[u32], home: &str| {
            Ok(User { uid, gid, additional_gids: more.to_vec(), home: home.to_owned() })
        };
        let check =
            |text: &str, expected| assert_eq!(find(text, PASSWD, GROUP), expected, "{text}");
        check("", user(0, 0, &[], "/root"));
        check("web", user(33, 34, &[40], "/var/www"));
        check("33", user(33, 34, &[40], "/var/www"));
        check("web:logs", user(33, 40, &[], "/var/www"));
        check("web:99", user(33, 99, &[], "/var/www"));
        check("1000", user(1000, 0, &[], "/"));
        check("1000:1001", user(1000, 1001, &[], "/"));
        let missing = "unable to find user who: no matching entries in passwd file";
        check("who", Err(missing.to_owned()));
        let missing = "unable to find group who: no matching entries in group file";
        check("web:who", Err(missing.to_owned()));
        assert!(find("-1", PASSWD, GROUP).is_err());
    }
}
