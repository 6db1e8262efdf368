//! Every resource type there is, by name.
//!
//! The loader looks names up while it reads playbooks, the engine builds resources through the type it finds, `doc` lists
//! them.

use std::sync::LazyLock;

use super::ResourceType;

/// One line per type.
static TYPES: &[&ResourceType] = &[
    // a
    &super::acl::TYPE,
    &super::archive::TYPE,
    &super::assemble::TYPE,
    &super::add_host::TYPE,
    &super::alternatives::TYPE,
    &super::apk::TYPE,
    &super::apt::TYPE,
    &super::apt_key::TYPE,
    &super::apt_repository::TYPE,
    &super::assert::TYPE,
    &super::async_status::TYPE,
    &super::authorized_key::TYPE,
    // b
    &super::blockinfile::TYPE,
    // c
    &super::capabilities::TYPE,
    &super::command::TYPE,
    &super::copy::TYPE,
    &super::cron::TYPE,
    // d
    &super::deb822_repository::TYPE,
    &super::debconf::TYPE,
    &super::debug::TYPE,
    &super::dnf::TYPE,
    &super::dpkg_selections::TYPE,
    // e
    // f
    &super::firewalld::TYPE,
    &super::filesystem::TYPE,
    &super::fail::TYPE,
    &super::fetch::TYPE,
    &super::file::TYPE,
    &super::find::TYPE,
    // g
    &super::gather_facts::TYPE,
    &super::get_url::TYPE,
    &super::getent::TYPE,
    &super::git::TYPE,
    &super::group::TYPE,
    &super::group_by::TYPE,
    // h
    &super::helm::TYPE,
    &super::hostname::TYPE,
    // i
    &super::include_vars::TYPE,
    &super::ini_file::TYPE,
    &super::iptables::TYPE,
    // k
    &super::k8s::TYPE,
    &super::k8s_drain::TYPE,
    &super::k8s_info::TYPE,
    &super::k8s_taint::TYPE,
    &super::kernel_blacklist::TYPE,
    &super::known_hosts::TYPE,
    // l
    &super::lvol::TYPE,
    &super::lvg::TYPE,
    &super::lineinfile::TYPE,
    &super::locale_gen::TYPE,
    // m
    &super::modprobe::TYPE,
    &super::mount::TYPE,
    // p
    &super::package::TYPE,
    &super::package_facts::TYPE,
    &super::pacman::TYPE,
    &super::pam_limits::TYPE,
    &super::pause::TYPE,
    &super::ping::TYPE,
    &super::pip::TYPE,
    // r
    &super::rpm_key::TYPE,
    &super::raw::TYPE,
    &super::reboot::TYPE,
    &super::replace::TYPE,
    // s
    &super::snap::TYPE,
    &super::script::TYPE,
    &super::seboolean::TYPE,
    &super::selinux::TYPE,
    &super::synchronize::TYPE,
    &super::slurp::TYPE,
    &super::service::TYPE,
    &super::service_facts::TYPE,
    &super::set_fact::TYPE,
    &super::set_stats::TYPE,
    &super::setup::TYPE,
    &super::shell::TYPE,
    &super::stat::TYPE,
    &super::sysctl::TYPE,
    &super::systemd::TYPE,
    // t
    &super::tempfile::TYPE,
    &super::template::TYPE,
    &super::timezone::TYPE,
    // u
    &super::ufw::TYPE,
    &super::uri::TYPE,
    &super::unarchive::TYPE,
    &super::user::TYPE,
    // v
    &super::validate_argument_spec::TYPE,
    // w
    &super::wait_for::TYPE,
    &super::wait_for_connection::TYPE,
    // x
    &super::xattr::TYPE,
    // y
    &super::yum_repository::TYPE,
    // z
    &super::zypper::TYPE,
];

/// The same by name: looked up often, and the list above may be in any order.
static SORTED: LazyLock<Vec<&'static ResourceType>> = LazyLock::new(|| {
    let mut all = TYPES.to_vec();
    all.sort_by_key(|t| t.name);
    all
});

/// The type with this short or qualified name (`copy`, `ansible.builtin.copy`, `ansible.legacy.copy`).
pub fn lookup(name: &str) -> Option<&'static ResourceType> {
    let name = name.strip_prefix("ansible.legacy.").unwrap_or(name);
    if name.contains('.') {
        let short = name.strip_prefix("ansible.builtin.");
        return all().find(|t| {
            t.qualified.contains(&name)
                || short == Some(t.name) && t.qualified.iter().any(|q| q.starts_with("ansible.builtin."))
        });
    }
    match SORTED.binary_search_by_key(&name, |t| t.name) {
        Ok(i) => Some(SORTED[i]),
        // A second short name (`systemd_service`) is the end of one of the qualified ones.
        Err(_) => all().find(|t| t.qualified.iter().any(|q| q.rsplit('.').next() == Some(name))),
    }
}

/// All types, in alphabetical order.
pub fn all() -> impl Iterator<Item = &'static ResourceType> {
    SORTED.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_none_is_there_twice() {
        let names: Vec<&str> = all().map(|t| t.name).collect();
        let mut once = names.clone();
        once.dedup();
        assert_eq!(names, once);
        for t in all() {
            assert!(!t.qualified.is_empty(), "{} has no qualified name", t.name);
            for name in std::iter::once(&t.name).chain(t.qualified) {
                assert_eq!(lookup(name).map(|t| t.name), Some(t.name), "{name}");
            }
        }
        assert!(lookup("no_such_module").is_none());
        assert!(lookup("ansible.builtin.no_such_module").is_none());
    }
}
