//! What containerd is told, by its version: config.toml in the formats 2, 3 and 4, with gVisor beside runc and a mirror of a registry.

use crate::Bench;

const SITE: &str = r#"- hosts: one
  gather_facts: false
  vars:
    containerd_gvisor_enabled: true
    containerd_log_level: info
    containerd_registries:
      - name: docker.io
        server: https://registry-1.docker.io
        hosts: [{url: "https://mirror.example.com", ca: /etc/ssl/mirror.pem}, {url: "http://10.0.0.1:5000", capabilities: [pull], skip_verify: true}]
  tasks:
    - import_role: {name: cni, tasks_from: defaults}
    - import_role: {name: containerd, tasks_from: defaults}
    - template:
        src: "{{ playbook_dir }}/roles/containerd/templates/{{ containerd_config_template }}"
        dest: "{{ playbook_dir }}/out/{{ item }}.toml"
      loop: ["1.7.30", "2.0.7", "2.2.1", "2.3.4"]
      vars: {containerd_version: "{{ item }}"}
    - template:
        src: "{{ playbook_dir }}/roles/containerd/templates/hosts.toml.j2"
        dest: "{{ playbook_dir }}/out/hosts.toml"
      loop: "{{ containerd_registries }}"
"#;

#[test]
fn the_configuration_has_the_format_of_the_version() {
    let bench = Bench::new(&[("site.yml", SITE), ("out/.keep", "")]);
    std::os::unix::fs::symlink(format!("{}/roles", env!("CARGO_MANIFEST_DIR")), bench.path().join("roles"))
        .expect("a link");
    let said = bench.run(&["apply", "site.yml", "--no-plan"]);
    assert_eq!(said.rc, 0, "{}{}", said.out, said.err);
    for name in ["1.7.30", "2.0.7", "2.2.1", "2.3.4", "hosts"] {
        let text = bench.read(&format!("out/{name}.toml"));
        let parsed: toml::Table = text.parse().unwrap_or_else(|e| panic!("{name}: {e}\n{text}"));
        let has = |path: &str, wanted: &str| {
            let mut at = &toml::Value::Table(parsed.clone());
            let found = path.split('|').all(|key| match at.get(key) {
                Some(below) => {
                    at = below;
                    true
                }
                None => false,
            });
            assert!(found && at.to_string() == wanted, "{name}: {path} is not {wanted}\n{text}");
        };
        let lacks = |word: &str| assert!(!text.contains(word), "{name} has {word}\n{text}");
        let pause = "\"registry.k8s.io/pause:3.10.2\"";
        match name {
            "hosts" => {
                has("server", "\"https://registry-1.docker.io\"");
                has("host|https://mirror.example.com|ca", "\"/etc/ssl/mirror.pem\"");
                has("host|http://10.0.0.1:5000|capabilities", "[\"pull\"]");
                has("host|http://10.0.0.1:5000|skip_verify", "true");
            }
            "1.7.30" => {
                let cri = "plugins|io.containerd.grpc.v1.cri";
                has("version", "2");
                has(&format!("{cri}|sandbox_image"), pause);
                has(&format!("{cri}|cni|bin_dir"), "\"/opt/cni/bin\"");
                has(&format!("{cri}|registry|config_path"), "\"/etc/containerd/certs.d\"");
                has(&format!("{cri}|containerd|runtimes|runc|options|SystemdCgroup"), "true");
                has(&format!("{cri}|containerd|runtimes|runsc|runtime_type"), "\"io.containerd.runsc.v1\"");
                has("grpc|address", "\"/run/containerd/containerd.sock\"");
            }
            _ => {
                let runtime = "plugins|io.containerd.cri.v1.runtime";
                has("version", if name == "2.3.4" { "4" } else { "3" });
                has("plugins|io.containerd.cri.v1.images|pinned_images|sandbox", pause);
                has("plugins|io.containerd.cri.v1.images|registry|config_path", "\"/etc/containerd/certs.d\"");
                has(&format!("{runtime}|containerd|runtimes|runc|options|BinaryName"), "\"/usr/local/sbin/runc\"");
                has(&format!("{runtime}|containerd|runtimes|runc|options|SystemdCgroup"), "true");
                has(&format!("{runtime}|containerd|runtimes|runsc|runtime_type"), "\"io.containerd.runsc.v1\"");
                lacks("io.containerd.grpc.v1.cri");
                if name == "2.0.7" {
                    has(&format!("{runtime}|cni|bin_dir"), "\"/opt/cni/bin\"");
                } else {
                    has(&format!("{runtime}|cni|bin_dirs"), "[\"/opt/cni/bin\"]");
                }
                if name == "2.3.4" {
                    has("plugins|io.containerd.server.v1.debug|level", "\"info\"");
                    lacks("[grpc]");
                    lacks("[debug]");
                } else {
                    has("grpc|address", "\"/run/containerd/containerd.sock\"");
                    has("debug|level", "\"info\"");
                }
            }
        }
    }
}
