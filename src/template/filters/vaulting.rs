//! `vault` and `unvault`: texts encrypted and opened within a template, with a password given there.

use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, opt_string, string, text};
use crate::vars::vault::{Source, VaultSecrets, is_vaulted};

pub const FILTERS: &[Entry] = &[("vault", vault), ("unvault", unvault)];

const DEFAULT_ID: &str = "filter_default";

fn secrets(secret: &Value, id: &str) -> Result<VaultSecrets, Error> {
    let password = string(secret, "secret")?;
    Ok(VaultSecrets::new([(id.to_owned(), Source::Given(password.into_bytes()))]))
}

fn vault(_: &mut State, call: Call) -> Result<Value, Error> {
    let [data, secret, salt, id, _wrap] = call.bind(["data", "secret", "salt", "vault_id", "wrap_object"], 2)?;
    let id = opt_string(id.as_ref(), "vault_id")?.unwrap_or_else(|| DEFAULT_ID.into());
    let secrets = secrets(&secret.unwrap_or_default(), &id)?;
    let data = text(&data.unwrap_or_default());
    let salt = opt_string(salt.as_ref(), "salt")?;
    let vaulted = secrets.encrypt_salted(data.as_bytes(), &id, salt.map(String::into_bytes));
    vaulted.map(Value::from).map_err(|e| err(e.to_string()))
}

fn unvault(_: &mut State, call: Call) -> Result<Value, Error> {
    let [vaulted, secret, id] = call.bind(["vault", "secret", "vault_id"], 2)?;
    let id = opt_string(id.as_ref(), "vault_id")?.unwrap_or_else(|| DEFAULT_ID.into());
    let secrets = secrets(&secret.unwrap_or_default(), &id)?;
    let vaulted = vaulted.unwrap_or_default();
    let text = string(&vaulted, "vault")?;
    if !is_vaulted(text.as_bytes()) {
        return Ok(vaulted);
    }
    let plain = secrets.decrypt(&text).map_err(|e| err(e.to_string()))?;
    String::from_utf8(plain).map(Value::from).map_err(|_| err("what the vaulted text holds is no UTF-8 text"))
}
