//! Later steps are planned against what earlier ones will have made: planned from a small world of a fresh node, without any node.

use serde_json::{Value, json};

use crate::bench::Bench;

fn stat(kind: &str, mode: u32) -> Value {
    json!({"kind": kind, "mode": mode, "uid": 0, "gid": 0, "owner": "root", "group": "root", "size": 4096, "mtime": 1.0, "atime": 1.0,
        "ctime": 1.0, "inode": 1, "device": 1, "links": 2, "target": null, "real": null})
}

fn folders(names: &[&str]) -> Value {
    json!({ "Tree": names.iter().map(|n| json!({"path": n, "stat": stat("Directory", 0o755)})).collect::<Vec<_>>() })
}

fn said(text: &str) -> Value {
    json!({"Output": {"rc": 0, "stdout": {"text": text}, "stderr": {"text": ""}}})
}

/// A machine with systemd, root and dpkg, and nothing else.
fn fresh() -> String {
    let tree = |path: &str, names: &[&str]| json!([{"Tree": {"path": path, "max_depth": 9}}, folders(names)]);
    let content = |path: &str, text: &str| json!([{"Content": {"path": path}}, {"Content": {"text": text}}]);
    let read = |argv: &[&str], text: &str| json!([{"Read": {"argv": argv}}, said(text)]);
    let answers = json!([
        tree("/", &["etc", "etc/apt", "etc/systemd", "etc/systemd/system", "home", "opt", "run", "tmp", "usr", "usr/local", "usr/local/bin", "var"]),
        content("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        content("/etc/group", "root:x:0:\n"),
        read(&["dpkg-query", "-W", "-f", "${Package} ${Architecture} ${Version} ${db:Status-Status}\n"], "base-files amd64 12 installed\n"),
        read(&["systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain"], "ssh.service enabled\n"),
        // What apt would do, and what it knows.
        [{"Candidate": {"name": "conntrack"}}, {"Package": {"installed": null, "candidate": "1.4.7", "residual_config": false, "held": false}}],
        read(&["sh", "-c", "umask"], "0022\n"),
        read(&["sh", "-c", "command -v useradd groupadd usermod"], "/usr/sbin/useradd\n/usr/sbin/groupadd\n/usr/sbin/usermod\n"),
    ]);
    let hello = json!({"uid": 0, "user": "root", "home": "/root", "boot_id": "b", "machine_id": "m"});
    json!({"host": "one", "saved": "", "logins": {"": {"hello": hello, "answers": answers}}}).to_string()
}

const SITE: &str = r#"- hosts: all
  gather_facts: false
  tasks:
    - {name: Group, group: {name: kube, system: true}}
    - {name: User, user: {name: kube, group: kube, home: /opt/kube, create_home: false}}
    - {name: Known to getent, getent: {database: passwd, key: kube}}
    - {name: Folder, file: {path: /opt/kube/conf, state: directory, owner: kube, group: kube, mode: "0750"}}
    - {name: File below it, copy: {content: "a=1\n", dest: /opt/kube/conf/one.conf, owner: kube, mode: "0640"}, notify: Again}
    - {name: Line in it, lineinfile: {path: /opt/kube/conf/one.conf, line: "b=2"}}
    - {name: Read, slurp: {src: /opt/kube/conf/one.conf}, register: read}
    - {name: As it was read, assert: {that: "read.content | b64decode == 'a=1\nb=2\n'"}}
    - {name: Looked at, stat: {path: /opt/kube/conf/one.conf}, register: looked}
    - {name: As it will be, assert: {that: ["looked.stat.pw_name == 'kube'", "looked.stat.mode == '0640'", "looked.stat.size == 8"]}}
    - {name: Found, find: {paths: /opt/kube, recurse: true}, register: found}
    - {name: One, assert: {that: found.matched == 1}}
    - {name: Download, get_url: {url: "{{ mirror }}/pack.tar", dest: /opt/pack.tar, checksum: "sha256:{{ lookup('file', 'pack.sum') }}"}}
    - {name: Unpacked, unarchive: {src: /opt/pack.tar, dest: /opt/kube, remote_src: true}}
    - {name: A member, copy: {src: /opt/kube/bin/tool, dest: /usr/local/bin/tool, remote_src: true, mode: "0755"}}
    - {name: The archive elsewhere, copy: {src: /opt/pack.tar, dest: /opt/kube/kept.tar, remote_src: true}}
    - {name: Its sum, stat: {path: /opt/kube/kept.tar, checksum_algorithm: sha256}, register: kept}
    - {name: Is that of the download, assert: {that: "kept.stat.checksum == lookup('file', 'pack.sum')"}}
    - {name: Unit file, copy: {content: "[Service]\nExecStart=/usr/local/bin/tool\n[Install]\nWantedBy=multi-user.target\n", dest: /etc/systemd/system/tool.service}}
    - {name: Unit, systemd: {name: tool, state: started, enabled: true, daemon_reload: true}}
    - {name: Enabled by a link, stat: {path: /etc/systemd/system/multi-user.target.wants/tool.service}, register: link}
    - {name: Which leads to it, assert: {that: "link.stat.lnk_source == '/etc/systemd/system/tool.service'"}}
    - {name: Unit again, systemd: {name: tool, state: started, enabled: true}}
    - {name: Handlers, meta: flush_handlers}
    - {name: Gone, file: {path: /opt/kube/conf, state: absent}}
    - {name: And what was in it, stat: {path: /opt/kube/conf/one.conf}, register: gone}
    - {name: Too, assert: {that: not gone.stat.exists}}
    - {name: Again a folder, file: {path: /opt/kube/conf, state: directory}}
    - {name: And a file, copy: {content: "c\n", dest: /opt/kube/conf/one.conf}}
    - {name: No user any more, user: {name: kube, state: absent}}
    - {name: Nobody, getent: {database: passwd, key: kube, fail_key: false}}
    - {name: As getent tells, assert: {that: getent_passwd.kube is none}}
  handlers:
    - {name: Again, systemd: {name: tool, state: restarted}}
"#;

/// A server that answers every request with the same bytes; its address.
fn serve(bytes: Vec<u8>) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            let _ = stream.write_all(&bytes);
        }
    });
    address
}

#[test]
fn on_a_fresh_node_every_step_is_planned_against_those_before_it() {
    let bench = Bench::new(&[("site.yml", SITE), ("worlds/one.json", &fresh())]);
    let tool = b"#!/bin/sh\nsleep 1000\n";
    let mut tar = tar::Builder::new(vec![]);
    let mut header = tar::Header::new_gnu();
    header.set_size(tool.len() as u64);
    header.set_mode(0o755);
    header.set_cksum();
    tar.append_data(&mut header, "bin/tool", &tool[..]).expect("a member");
    let bytes = tar.into_inner().expect("an archive");
    bench.write("pack.sum", &hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes)));

    let mirror = format!("mirror={}", serve(bytes));
    let run = bench.run(&["plan", "--world", "worlds", "--output", "json", "-e", &mirror]);
    assert_eq!(run.rc, 0, "{}{}", run.out, run.err);
    let document: Value = serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{e}: {}", run.out));
    let text = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    let planned: Vec<(String, String, String)> = document["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|s| (text(s, "task"), text(s, "planned"), text(s, "because")))
        .collect();
    let unknown: Vec<_> = planned.iter().filter(|(_, planned, _)| planned == "unknown").collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    let of = |name: &str| planned.iter().find(|(task, ..)| task == name).map(|(_, planned, _)| planned.as_str());
    for (name, expected) in [
        ("Folder", "create"),
        ("Line in it", "change"),
        ("A member", "create"),
        ("Unit", "change"),
        ("Unit again", "none"),
        ("Again", "run"),
        ("Gone", "remove"),
        ("And a file", "create"),
        ("No user any more", "remove"),
    ] {
        assert_eq!(of(name), Some(expected), "{name}: {planned:#?}");
    }
}
