//! Credentials of venues, sealed at rest. Configuration and journal know a secret by its id only.

use super::{runtime::Rt, services::Files};
use crate::domain::id::SecretId;
use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

/// The sealed secrets.
const STORE: &str = "vault.json";
/// What they are sealed with. Whoever has both files has the secrets.
const KEY: &str = "vault.key";
const VERSION: u32 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const SECRETS_MAX: usize = 1_024;
const SECRET_BYTES_MAX: usize = 4_096;
/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 16;

/// A secret in the clear. Its text is shown by nothing but `expose`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why the vault cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The data directory cannot be read or written.
    #[error("{file} in the data directory: {source}")]
    Io { file: &'static str, source: io::Error },
    /// The file is not what this program wrote.
    #[error(
        "{file} in the data directory is damaged ({reason}): restore vault.json and vault.key together, or \
             remove both and give every credential again"
    )]
    Damaged { file: &'static str, reason: String },
    /// There are secrets and nothing that opens them.
    #[error(
        "vault.key is not in the data directory, and vault.json cannot be opened without it: restore it, or \
             remove vault.json and give every credential again"
    )]
    KeyMissing,
    #[error("a credential must have 1 to {SECRET_BYTES_MAX} bytes")]
    Length,
    #[error(
        "there are {SECRETS_MAX} credentials already: remove vault.json and vault.key, and give those in use again"
    )]
    Full,
}

/// The secrets of a data directory.
pub struct Vault {
    rt: Rt,
    files: Arc<dyn Files>,
    key: [u8; KEY_BYTES],
    sealed: Mutex<BTreeMap<SecretId, Sealed>>,
}

/// The store's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    version: u32,
    secrets: BTreeMap<SecretId, Sealed>,
}

/// One secret as it is stored, in Base64.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    nonce: String,
    sealed: String,
}

impl Vault {
    /// Reads the vault; makes its key at the first use. Blocks on the disk.
    ///
    /// # Errors
    /// If the files cannot be read, do not belong together, or hold a secret that does not open.
    pub fn open(rt: Rt, files: Arc<dyn Files>) -> Result<Self, VaultError> {
        let stored = read(&*files, STORE)?.map(|bytes| parse(&bytes)).transpose()?;
        let key = match (read(&*files, KEY)?, &stored) {
            (Some(bytes), _) => parse_key(&bytes)?,
            (None, Some(_)) => return Err(VaultError::KeyMissing),
            (None, None) => {
                let mut key = [0; KEY_BYTES];
                rt.random(&mut key);
                write(&*files, KEY, format!("{}\n", HEXLOWER.encode(&key)).as_bytes())?;
                key
            }
        };
        let vault = Self { rt, files, key, sealed: Mutex::new(stored.unwrap_or_default()) };
        let ids: Vec<SecretId> = vault.lock().keys().cloned().collect();
        match ids.into_iter().find(|id| vault.reveal(id).is_none()) {
            Some(id) => Err(damaged(STORE, format!("{id} does not open with vault.key"))),
            None => Ok(vault),
        }
    }

    /// Seals a secret durably and returns the name under which it is found. The same secret always has
    /// the same name. Blocks on the disk.
    ///
    /// # Errors
    /// If it is empty or too long, the vault is full, or the data directory cannot be written.
    pub fn seal(&self, secret: &str) -> Result<SecretId, VaultError> {
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return Err(VaultError::Length);
        }
        let id = self.id(secret);
        let mut sealed = self.lock();
        if sealed.contains_key(&id) {
            return Ok(id);
        }
        if sealed.len() >= SECRETS_MAX {
            return Err(VaultError::Full);
        }
        let mut nonce = [0; NONCE_BYTES];
        self.rt.random(&mut nonce);
        let payload = Payload { msg: secret.as_bytes(), aad: id.as_str().as_bytes() };
        let bytes = self
            .cipher()
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("the cipher takes messages of a few kilobytes");
        let mut next = sealed.clone();
        next.insert(id.clone(), Sealed { nonce: BASE64.encode(&nonce), sealed: BASE64.encode(&bytes) });
        let store = Store { version: VERSION, secrets: next };
        write(&*self.files, STORE, &serde_json::to_vec_pretty(&store).expect("plain data"))?;
        *sealed = store.secrets;
        Ok(id)
    }

    /// The secret of that name, if the vault has it.
    pub fn reveal(&self, id: &SecretId) -> Option<Secret> {
        let Sealed { nonce, sealed } = self.lock().get(id)?.clone();
        let nonce: [u8; NONCE_BYTES] = BASE64.decode(nonce.as_bytes()).ok()?.try_into().ok()?;
        let sealed = BASE64.decode(sealed.as_bytes()).ok()?;
        let payload = Payload { msg: &sealed, aad: id.as_str().as_bytes() };
        let clear = self.cipher().decrypt(XNonce::from_slice(&nonce), payload).ok()?;
        String::from_utf8(clear).ok().map(Secret)
    }

    /// A keyed hash: who has only the journal cannot test guesses against it.
    fn id(&self, secret: &str) -> SecretId {
        let hash = blake3::keyed_hash(&self.key, secret.as_bytes()).to_hex();
        SecretId::new(&format!("sec-{}", &hash[..ID_DIGITS])).expect("hexadecimal digits fit an id")
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(Key::from_slice(&self.key))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SecretId, Sealed>> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(***)")
    }
}

fn parse(bytes: &[u8]) -> Result<BTreeMap<SecretId, Sealed>, VaultError> {
    let store: Store = serde_json::from_slice(bytes).map_err(|error| {
        // no excerpt: the position says enough
        damaged(STORE, format!("line {}, column {}", error.line(), error.column()))
    })?;
    if store.version == VERSION {
        Ok(store.secrets)
    } else {
        Err(damaged(STORE, format!("version {} is not {VERSION}", store.version)))
    }
}

fn parse_key(bytes: &[u8]) -> Result<[u8; KEY_BYTES], VaultError> {
    HEXLOWER
        .decode(bytes.trim_ascii())
        .ok()
        .and_then(|key| key.try_into().ok())
        .ok_or_else(|| damaged(KEY, "it is not 64 hexadecimal digits".to_owned()))
}

fn damaged(file: &'static str, reason: String) -> VaultError {
    VaultError::Damaged { file, reason }
}

fn read(files: &dyn Files, file: &'static str) -> Result<Option<Vec<u8>>, VaultError> {
    files.read(file).map_err(|source| VaultError::Io { file, source })
}

fn write(files: &dyn Files, file: &'static str, content: &[u8]) -> Result<(), VaultError> {
    files.write_private(file, content).map_err(|source| VaultError::Io { file, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::host::{PrivateFiles, TokioRuntime};

    const SECRET: &str = "gw_a-secret-of-a-venue";

    fn open(directory: &std::path::Path) -> Result<Vault, VaultError> {
        Vault::open(Arc::new(TokioRuntime::new()), Arc::new(PrivateFiles::new(directory)))
    }

    #[test]
    fn a_secret_is_found_again_by_its_name_and_by_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let vault = open(directory.path()).expect("a vault");
        let id = vault.seal(SECRET).expect("sealed");
        assert_eq!(vault.seal(SECRET).expect("sealed"), id, "the same secret has the same name");
        assert_ne!(vault.seal("another").expect("sealed"), id);
        assert!(id.as_str().starts_with("sec-") && id.as_str().len() == 20, "{id}");
        let again = open(directory.path()).expect("the same vault");
        assert_eq!(again.reveal(&id).expect("known").expose(), SECRET);
        assert_eq!(again.reveal(&SecretId::new("sec-0").expect("an id")), None);
    }

    #[test]
    fn a_secret_shows_nowhere() {
        let directory = tempfile::tempdir().expect("a directory");
        let vault = open(directory.path()).expect("a vault");
        let id = vault.seal(SECRET).expect("sealed");
        let shown = format!("{vault:?} {:?} {id:?}", vault.reveal(&id));
        assert!(!shown.contains("secret") && shown.contains("***"), "{shown}");
        for file in [STORE, KEY] {
            let content = std::fs::read(directory.path().join(file)).expect("a file");
            assert!(!content.windows(SECRET.len()).any(|w| w == SECRET.as_bytes()), "{file}");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let mode =
                    std::fs::metadata(directory.path().join(file)).expect("metadata").permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{file}");
            }
        }
    }

    #[test]
    fn what_does_not_open_is_named() {
        let check = |damage: fn(&std::path::Path), message: &str| {
            let directory = tempfile::tempdir().expect("a directory");
            open(directory.path()).expect("a vault").seal(SECRET).expect("sealed");
            damage(directory.path());
            let error = open(directory.path()).expect_err(message).to_string();
            assert!(error.contains(message) && !error.contains(SECRET), "{error}");
        };
        check(
            |d| std::fs::remove_file(d.join(KEY)).expect("removed"),
            "vault.key is not in the data directory",
        );
        check(|d| std::fs::write(d.join(KEY), "abc").expect("written"), "64 hexadecimal digits");
        check(
            |d| std::fs::write(d.join(KEY), "00".repeat(32)).expect("written"),
            "does not open with vault.key",
        );
        check(
            |d| std::fs::write(d.join(STORE), "{}").expect("written"),
            "vault.json in the data directory is damaged",
        );
        let newer = |d: &std::path::Path| {
            std::fs::write(d.join(STORE), r#"{"version":2,"secrets":{}}"#).expect("written");
        };
        check(newer, "version 2 is not 1");
    }

    #[test]
    fn what_is_no_credential_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let vault = open(directory.path()).expect("a vault");
        assert!(matches!(vault.seal(""), Err(VaultError::Length)));
        assert!(matches!(vault.seal(&"x".repeat(SECRET_BYTES_MAX + 1)), Err(VaultError::Length)));
        assert!(!directory.path().join(STORE).exists(), "nothing was stored");
    }
}
