//! `presign-server keys`: makes, lists and revokes API keys in the clients file.

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::auth::{ClientsFile, ClientsFileError, NewKey};
use crate::config::KeysCommand;

/// A command on keys failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The clients file.
    #[error(transparent)]
    Clients(ClientsFileError),
    /// What it was to print could not be printed.
    #[error("cannot print")]
    Print(#[source] std::io::Error),
}

/// Does what was asked. A new key, or the list, goes to `out`; words for a person to `words`.
///
/// # Errors
/// [`KeysError`], each with what to do.
pub fn run(
    command: KeysCommand,
    path: PathBuf,
    out: &mut impl Write,
    words: &mut impl Write,
) -> Result<(), KeysError> {
    let file = ClientsFile::new(path);
    match command {
        KeysCommand::Create {
            client,
            role,
            key_prefix,
            file_size_bytes_max,
            bytes_in_flight_max,
            content_types,
            expires_in_days,
        } => {
            let new = NewKey {
                client,
                role,
                key_prefix,
                file_size_bytes_max,
                bytes_in_flight_max,
                content_types,
                expires_in_days,
            };
            create(&file, new, out, words)
        }
        KeysCommand::List => list(&file, out),
        KeysCommand::Revoke { key_id } => {
            let client = file.revoke_key(&key_id).map_err(KeysError::Clients)?;
            writeln!(
                words,
                "revoked key {key_id} of client `{client}`: a running server refuses it, and the grants it gave, within seconds"
            )
            .map_err(KeysError::Print)
        }
    }
}

fn create(
    file: &ClientsFile,
    new: NewKey,
    out: &mut impl Write,
    words: &mut impl Write,
) -> Result<(), KeysError> {
    let client = new.client.clone();
    let key = file.create_key(new).map_err(KeysError::Clients)?;
    let printed = writeln!(out, "{}", key.expose()).and_then(|()| out.flush());
    if let Err(error) = printed {
        // Nobody has it: it must not stay good.
        file.revoke_key(key.id()).map_err(KeysError::Clients)?;
        return Err(KeysError::Print(error));
    }
    writeln!(
        words,
        "made key {} for client `{client}` in {}: it is printed this once, and only its hash is kept",
        key.id(),
        file.path().display()
    )
    .map_err(KeysError::Print)
}

fn list(file: &ClientsFile, out: &mut impl Write) -> Result<(), KeysError> {
    let clients = file.load().map_err(KeysError::Clients)?;
    let now = SystemTime::now();
    let mut rows = vec!["CLIENT\tROLE\tKEY\tCREATED\tEXPIRES".to_owned()];
    for client in &clients.clients {
        let role = client.role.as_str();
        if client.keys.is_empty() {
            rows.push(format!("{}\t{role}\t-\t-\t-", client.name));
        }
        for key in &client.keys {
            let expires = match key.expires {
                Some(expires) if key.is_expired(now) => format!("{expires} (expired)"),
                Some(expires) => expires.to_string(),
                None => "never".to_owned(),
            };
            rows.push(format!(
                "{}\t{role}\t{}\t{}\t{expires}",
                client.name, key.id, key.created
            ));
        }
    }
    for row in rows {
        writeln!(out, "{row}").map_err(KeysError::Print)?;
    }
    Ok(())
}
