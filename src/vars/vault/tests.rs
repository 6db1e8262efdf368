use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

/// Made by ansible-vault with the password `secret`; the plain text is `hello: world\n`.
const BY_ANSIBLE: &str = include_str!("../../../tests/templates/vault/hello.vault");
const BY_ANSIBLE_WITH_ID: &str = include_str!("../../../tests/templates/vault/labelled.vault");

fn given(id: &str, password: &str) -> (String, Source) {
    (id.to_owned(), Source::Given(password.as_bytes().to_vec()))
}

#[test]
fn opens_what_ansible_vaulted() {
    let secrets = VaultSecrets::new([given("other", "wrong"), given("default", "secret")]);
    assert_eq!(secrets.decrypt(BY_ANSIBLE).unwrap(), b"hello: world\n");
    assert_eq!(Envelope::parse(BY_ANSIBLE_WITH_ID).unwrap().id.as_deref(), Some("prod"));
    assert_eq!(secrets.decrypt(BY_ANSIBLE_WITH_ID).unwrap(), b"hello: world\n");
    // as a `!vault |` block gives it: indented lines
    let indented = BY_ANSIBLE.lines().map(|l| format!("    {l}\n")).collect::<String>();
    assert_eq!(secrets.decrypt(&indented).unwrap(), b"hello: world\n");
}

#[test]
fn tells_why_it_does_not_open() {
    let wrong = VaultSecrets::new([given("a", "x"), given("b", "y")]);
    assert_eq!(wrong.decrypt(BY_ANSIBLE), Err(VaultError::WrongPassword { tried: vec!["a".into(), "b".into()] }));
    assert_eq!(VaultSecrets::default().decrypt(BY_ANSIBLE), Err(VaultError::NoSecrets));
    assert_eq!(wrong.decrypt("plain"), Err(VaultError::NotVaulted));
    assert!(matches!(wrong.decrypt("$ANSIBLE_VAULT;1.1;AES256\nzz"), Err(VaultError::Damaged(_))));
    assert!(matches!(wrong.decrypt("$ANSIBLE_VAULT;1.1;ROT13\n00"), Err(VaultError::UnknownCipher(_))));
    assert!(matches!(wrong.decrypt("$ANSIBLE_VAULT;9;AES256\n00"), Err(VaultError::Damaged(_))));
    let only = VaultSecrets::new([given("default", "secret")]).matching_ids(true);
    assert!(matches!(only.decrypt(BY_ANSIBLE_WITH_ID), Err(VaultError::WrongPassword { .. })));
    assert_eq!(wrong.encrypt(b"x", Some("c")), Err(VaultError::UnknownId("c".into())));
}

#[test]
fn a_changed_digit_is_noticed() {
    let secrets = VaultSecrets::new([given("default", "secret")]);
    let mut envelope = Envelope::parse(BY_ANSIBLE).unwrap();
    envelope.cipher[0] ^= 1;
    assert!(matches!(secrets.decrypt(&envelope.write()), Err(VaultError::WrongPassword { .. })));
}

#[test]
fn passwords_come_from_files_scripts_and_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("password");
    std::fs::write(&plain, "secret\n").unwrap();
    let script = folder.path().join("vault-client");
    let mut file = std::fs::File::create(&script).unwrap();
    file.write_all(b"#!/bin/sh\n[ \"$1 $2\" = '--vault-id prod' ] && echo secret\n").unwrap();
    drop(file);
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let prompt: Prompt =
        std::sync::Arc::new(|id| if id == "asked" { Ok("secret".into()) } else { Err("nobody is there".into()) });
    let by = |text: &str| VaultSecrets::new([VaultSecrets::parse_id(text, &prompt)]).decrypt(BY_ANSIBLE);
    assert_eq!(by(&plain.display().to_string()).unwrap(), b"hello: world\n");
    assert_eq!(by(&format!("prod@{}", script.display())).unwrap(), b"hello: world\n");
    assert_eq!(by("asked@prompt").unwrap(), b"hello: world\n");
    assert!(matches!(by("prompt"), Err(VaultError::Source { .. })));
    assert!(matches!(by("/nowhere"), Err(VaultError::Source { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn what_is_vaulted_opens_again(plain in proptest::collection::vec(any::<u8>(), 0..200), password in "[^\\s]{1,20}") {
        let secrets = VaultSecrets::new([given("mine", &password)]);
        let text = secrets.encrypt(&plain, None).unwrap();
        prop_assert!(is_vaulted(text.as_bytes()));
        prop_assert!(text.lines().all(|l| l.len() <= 80));
        prop_assert_eq!(secrets.decrypt(&text).unwrap(), plain);
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_fail_badly(text in "(\\$ANSIBLE_VAULT;1\\.[12];AES256(;[a-z]*)?\n)?[0-9a-f\n]{0,200}") {
        let secrets = VaultSecrets::new([given("mine", "x")]);
        prop_assert!(secrets.decrypt(&text).is_err());
    }
}
