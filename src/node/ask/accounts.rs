//! Replies about users and groups.

use super::Reply;
use crate::world::{Account, Answer, GroupEntry};

/// The line of a colon-separated database for a name (or a number in `number_field`).
fn line_for<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let fields = |line: &'a str| line.split(':').collect::<Vec<_>>();
    text.lines().map(fields).find(|f| f[0] == name).or_else(|| {
        name.parse::<u32>().ok()?;
        text.lines().map(fields).find(|f| f.get(2) == Some(&name))
    })
}

pub fn accounts(names: &[String], reply: &Reply) -> Vec<Answer> {
    let passwd = reply.text("p");
    let shadow = reply.text("s");
    let mut groups = reply.sections.iter().filter(|s| s.tag == "g");
    names
        .iter()
        .map(|name| {
            let members = groups.next().map(|s| String::from_utf8_lossy(&s.body).into_owned()).unwrap_or_default();
            let Some(fields) = line_for(&passwd, name) else { return Answer::Account(None) };
            let [login, _, uid, gid, comment, home, shell] = fields[..] else {
                return Answer::Failed(format!("the user database's line for `{name}` has not 7 fields"));
            };
            let mut members = members.split_whitespace().map(str::to_owned);
            let secret = line_for(&shadow, login).filter(|f| f[0] == login);
            Answer::Account(Some(Account {
                name: login.to_owned(),
                uid: uid.parse().unwrap_or_default(),
                gid: gid.parse().unwrap_or_default(),
                comment: comment.to_owned(),
                home: home.to_owned(),
                shell: shell.to_owned(),
                // `id -Gn` tells the primary group first.
                group: members.next().unwrap_or_default(),
                groups: members.collect(),
                password: secret.as_ref().and_then(|f| f.get(1)).map(|s| (*s).to_owned()),
                expires: secret.as_ref().and_then(|f| f.get(7)).and_then(|s| s.parse().ok()),
            }))
        })
        .collect()
}

pub fn groups(names: &[String], reply: &Reply) -> Vec<Answer> {
    let text = reply.text("o");
    names
        .iter()
        .map(|name| {
            let Some(fields) = line_for(&text, name) else { return Answer::Group(None) };
            Answer::Group(Some(GroupEntry {
                name: fields[0].to_owned(),
                gid: fields.get(2).and_then(|g| g.parse().ok()).unwrap_or_default(),
                members: fields
                    .get(3)
                    .map(|m| m.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect())
                    .unwrap_or_default(),
            }))
        })
        .collect()
}
