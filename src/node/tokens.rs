//! Access tokens: who may call, with which rights. Only SHA-256 digests are stored; a token itself is
//! shown once, when it is made.

use super::{runtime::Rt, services::Files};
use crate::domain::id::AccountId;
use constant_time_eq::constant_time_eq_32;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;

/// Where the digests lie.
const STORE: &str = "tokens.json";
/// Where the first start leaves its operator token.
pub const OPERATOR_TOKEN: &str = "operator.token";
/// What every token begins with, so that secret scanners can know one.
const PREFIX: &str = "gw_";
const SECRET_BYTES: usize = 32;
/// The number of the operator that the first start makes.
const FIRST: u64 = 1;
/// Looking one up compares with all, hence a bound.
const TOKENS_MAX: usize = 1_024;

/// What a principal is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything that its scopes allow.
    Operator,
    /// May only read.
    Viewer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Operator, Self::Viewer];

    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    /// Reads the wire name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.name() == name)
    }

    /// The most that a principal of this role can be granted.
    pub fn scopes(self) -> BTreeSet<Scope> {
        match self {
            Self::Operator => Scope::ALL.into(),
            Self::Viewer => [Scope::Read].into(),
        }
    }
}

/// A group of methods (PROTOCOL section 2).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Read,
    Trade,
    Stop,
    Approve,
    Pair,
    Signal,
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Trade, Self::Stop, Self::Approve, Self::Pair, Self::Signal, Self::Admin];

    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trade => "trade",
            Self::Stop => "stop",
            Self::Approve => "approve",
            Self::Pair => "pair",
            Self::Signal => "signal",
            Self::Admin => "admin",
        }
    }

    /// Reads the wire name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// The accounts that a principal may see and touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    All,
    Only(BTreeSet<AccountId>),
}

impl Accounts {
    /// Whether this account is among them.
    pub fn allows(&self, account: &AccountId) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(account),
        }
    }
}

/// Somebody who has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Stable across token rotation; names the author of every command in the journal.
    pub name: String,
    pub role: Role,
    pub scopes: BTreeSet<Scope>,
    pub accounts: Accounts,
    /// Of the token that proved it; a rotation ends it, and the name stays.
    pub token: TokenDigest,
}

/// The SHA-256 of a token: it tells tokens apart and gives none away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of this token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The data directory cannot be read or written.
    #[error("{file} in the data directory: {source}")]
    Io { file: &'static str, source: io::Error },
    /// The store is not what this program wrote.
    #[error("tokens.json cannot be read ({0}): restore it, or remove it to start with a new operator token")]
    Malformed(serde_json::Error),
    /// A role cannot have such a scope.
    #[error("a {role} token cannot have the scope `{scope}`; allowed: {allowed}", role = role.name(),
        scope = scope.name(), allowed = names(&role.scopes()))]
    Scope { role: Role, scope: Scope },
    /// The store is full.
    #[error("there are {TOKENS_MAX} tokens already: revoke some with `lockstep token revoke NAME`")]
    Full,
    /// There is no such principal.
    #[error("there is no token of `{0}`: `lockstep token list` names them")]
    Unknown(String),
}

/// Whoever may change the tokens holds this lock: a process that serves, all its life; `lockstep token` while
/// none does.
pub const TOKENS_LOCK: &str = "tokens.lock";

/// All tokens of a data directory.
pub struct TokenStore {
    rt: Rt,
    files: Arc<dyn Files>,
    entries: Mutex<Vec<Entry>>,
    /// Whoever must know that rights have ended; one word is enough for any number of them.
    watchers: Mutex<Vec<mpsc::Sender<()>>>,
}

impl TokenStore {
    /// Reads the store. If there is none, makes one operator token and leaves it in
    /// `operator.token`, readable by the owner only.
    pub fn open(rt: Rt, files: Arc<dyn Files>) -> Result<Self, TokenError> {
        let stored = files.read(STORE).map_err(|source| TokenError::Io { file: STORE, source })?;
        let entries = stored.as_deref().map(parse).transpose()?;
        let first_start = entries.is_none();
        let entries = Mutex::new(entries.unwrap_or_default());
        let store = Self { rt, files, entries, watchers: Mutex::default() };
        if first_start {
            store.grant(Role::Operator, Role::Operator.scopes(), Accounts::All, Some(OPERATOR_TOKEN))?;
        }
        Ok(store)
    }

    /// Whose token this is. Takes the same time for every token of a length.
    pub fn find(&self, token: &str) -> Option<Principal> {
        let digest = TokenDigest::of(token);
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for entry in entries.iter() {
            if entry.sha256.is_some_and(|sha256| constant_time_eq_32(&sha256.0, &digest.0)) {
                found = entry.principal();
            }
        }
        found
    }

    /// Everybody who has a token, oldest first.
    pub fn principals(&self) -> Vec<Principal> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter_map(Entry::principal).collect()
    }

    /// Whether somebody still has this token.
    pub fn knows(&self, token: TokenDigest) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().any(|entry| entry.sha256 == Some(token))
    }

    /// Is sent a word whenever tokens were revoked or rotated since the last.
    pub fn revocations(&self) -> mpsc::Receiver<()> {
        let (watcher, revoked) = mpsc::channel(1);
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(watcher);
        revoked
    }

    /// Ends a principal's rights, for good: its number is not given again.
    ///
    /// # Errors
    /// There is no such principal, or the store cannot be written; then nothing has changed.
    pub fn revoke(&self, name: &str) -> Result<(), TokenError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = entries.clone();
        valid(&mut next, name)?.sha256 = None;
        let greatest = next.iter().map(|entry| entry.number).max();
        next.retain(|entry| entry.sha256.is_some() || Some(entry.number) == greatest);
        self.store(&mut entries, next)?;
        drop(entries);
        self.tell_watchers();
        Ok(())
    }

    /// Gives a principal another token in place of the one that it has, and returns it, this once. Name, rights
    /// and idempotency keys stay; the old token ends at once, and with it its sessions. If the first operator's
    /// still lies in its file, the new one does from then on.
    ///
    /// # Errors
    /// There is no such principal, or the store cannot be written; then the old token stays.
    pub fn rotate(&self, name: &str) -> Result<String, TokenError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = entries.clone();
        let entry = valid(&mut next, name)?;
        let token = self.draw();
        entry.sha256 = Some(TokenDigest::of(&token));
        let io = |source| TokenError::Io { file: OPERATOR_TOKEN, source };
        if entry.number == FIRST && self.files.read(OPERATOR_TOKEN).map_err(io)?.is_some() {
            self.leave(OPERATOR_TOKEN, &token)?;
        }
        self.store(&mut entries, next)?;
        drop(entries);
        self.tell_watchers();
        Ok(token)
    }

    /// Makes a token and returns it, this once. No scopes: all that the role allows.
    pub fn issue(
        &self,
        role: Role,
        scopes: BTreeSet<Scope>,
        accounts: Accounts,
    ) -> Result<String, TokenError> {
        if let Some(&scope) = scopes.iter().find(|s| !role.scopes().contains(s)) {
            return Err(TokenError::Scope { role, scope });
        }
        let scopes = if scopes.is_empty() { role.scopes() } else { scopes };
        self.grant(role, scopes, accounts, None)
    }

    fn grant(
        &self,
        role: Role,
        scopes: BTreeSet<Scope>,
        accounts: Accounts,
        leave_in: Option<&'static str>,
    ) -> Result<String, TokenError> {
        let token = self.draw();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= TOKENS_MAX {
            return Err(TokenError::Full);
        }
        let number = entries.iter().map(|e| e.number).max().map_or(FIRST, |greatest| greatest + 1);
        let accounts = match accounts {
            Accounts::All => None,
            Accounts::Only(ids) => Some(ids),
        };
        let sha256 = Some(TokenDigest::of(&token));
        let mut next = entries.clone();
        next.push(Entry { number, role, scopes, accounts, sha256 });
        // the token file first: a crash in between starts over with another token, not with a lost one
        if let Some(file) = leave_in {
            self.leave(file, &token)?;
        }
        self.store(&mut entries, next)?;
        Ok(token)
    }

    fn draw(&self) -> String {
        let mut secret = [0; SECRET_BYTES];
        self.rt.random(&mut secret);
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&secret))
    }

    fn leave(&self, file: &'static str, token: &str) -> Result<(), TokenError> {
        self.write(file, format!("{token}\n").as_bytes())
    }

    /// The file first: what could not be written has not changed.
    fn store(&self, entries: &mut Vec<Entry>, next: Vec<Entry>) -> Result<(), TokenError> {
        self.write(STORE, &serde_json::to_vec_pretty(&next).map_err(TokenError::Malformed)?)?;
        *entries = next;
        Ok(())
    }

    fn tell_watchers(&self) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        // one that has not heard the last word yet will look after this, too
        watchers
            .retain(|watcher| !matches!(watcher.try_send(()), Err(mpsc::error::TrySendError::Closed(()))));
    }

    fn write(&self, file: &'static str, content: &[u8]) -> Result<(), TokenError> {
        self.files.write_private(file, content).map_err(|source| TokenError::Io { file, source })
    }
}

impl fmt::Debug for TokenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenStore")
    }
}

/// One stored token.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    number: u64,
    role: Role,
    scopes: BTreeSet<Scope>,
    /// Absent: all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    accounts: Option<BTreeSet<AccountId>>,
    /// Absent: revoked. The greatest number is kept for ever, so that none is given twice.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sha256: Option<TokenDigest>,
}

/// The entry of the principal of this name, which has a token.
fn valid<'a>(entries: &'a mut [Entry], name: &str) -> Result<&'a mut Entry, TokenError> {
    let entry = entries.iter_mut().find(|entry| entry.sha256.is_some() && entry.name() == name);
    entry.ok_or_else(|| TokenError::Unknown(name.to_owned()))
}

impl Entry {
    fn name(&self) -> String {
        format!("{}-{}", self.role.name(), self.number)
    }

    /// `None`: its token was revoked.
    fn principal(&self) -> Option<Principal> {
        Some(Principal {
            name: self.name(),
            role: self.role,
            scopes: self.scopes.clone(),
            accounts: self.accounts.clone().map_or(Accounts::All, Accounts::Only),
            token: self.sha256?,
        })
    }
}

/// In lower-case hex.
impl Serialize for TokenDigest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for TokenDigest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|b| b.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a SHA-256 digest is 64 hex digits"))
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Entry>, TokenError> {
    serde_json::from_slice(bytes).map_err(TokenError::Malformed)
}

fn names(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::host::{PrivateFiles, TokioRuntime};
    use std::{os::unix::fs::PermissionsExt, path::Path};

    fn open(directory: &Path) -> TokenStore {
        let files = Arc::new(PrivateFiles::new(directory));
        TokenStore::open(Arc::new(TokioRuntime::new()), files).expect("the directory can be written")
    }

    fn read(directory: &Path, name: &str) -> String {
        std::fs::read_to_string(directory.join(name)).expect("the file is there")
    }

    #[test]
    fn the_first_start_leaves_one_operator_token_for_the_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(directory.path());
        let token = read(directory.path(), OPERATOR_TOKEN);
        let mode =
            std::fs::metadata(directory.path().join(OPERATOR_TOKEN)).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let token = token.trim();
        assert_eq!((token.len(), &token[..3]), (46, "gw_"));
        let principal = store.find(token).expect("it is known");
        assert_eq!((principal.name.as_str(), principal.role), ("operator-1", Role::Operator));
        assert_eq!((principal.scopes, principal.accounts), (Scope::ALL.into(), Accounts::All));
    }

    #[test]
    fn tokens_survive_a_restart_and_are_not_stored() {
        let directory = tempfile::tempdir().expect("a directory");
        let only = AccountId::new("paper-1").expect("an id");
        let accounts = Accounts::Only([only.clone()].into());
        let token = open(directory.path())
            .issue(Role::Viewer, BTreeSet::new(), accounts)
            .expect("a viewer may have all that a viewer may");
        assert!(!read(directory.path(), STORE).contains(&token[3..]));
        let first = read(directory.path(), OPERATOR_TOKEN);
        let store = open(directory.path());
        assert_eq!(read(directory.path(), OPERATOR_TOKEN), first, "only the first start makes one");
        let principal = store.find(&token).expect("it is known after a restart");
        assert_eq!((principal.name.as_str(), principal.scopes), ("viewer-2", [Scope::Read].into()));
        assert!(principal.accounts.allows(&only));
        assert!(!principal.accounts.allows(&AccountId::new("paper-2").expect("an id")));
    }

    #[test]
    fn gw04_what_is_not_a_token_is_nobody() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(directory.path());
        let token = read(directory.path(), OPERATOR_TOKEN);
        let token = token.trim();
        for wrong in ["", "gw_", &token[..45], &token.to_uppercase(), &format!("{token} ")] {
            assert_eq!(store.find(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_viewer_is_not_granted_more_than_reading() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = open(directory.path())
            .issue(Role::Viewer, [Scope::Read, Scope::Trade].into(), Accounts::All)
            .expect_err("a viewer may not trade");
        assert_eq!(error.to_string(), "a viewer token cannot have the scope `trade`; allowed: read");
    }

    #[test]
    fn gw05_a_revoked_token_is_nobody_for_good_and_its_name_is_not_given_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(directory.path());
        let mut revoked = store.revocations();
        let issue = |store: &TokenStore| {
            store.issue(Role::Operator, BTreeSet::new(), Accounts::All).expect("room for a token")
        };
        let names = |store: &TokenStore| {
            store.principals().into_iter().map(|principal| principal.name).collect::<Vec<_>>()
        };
        let (second, third) = (issue(&store), issue(&store));
        for (name, token) in [("operator-2", &second), ("operator-3", &third)] {
            assert!(store.knows(TokenDigest::of(token)));
            store.revoke(name).expect("it is there");
            assert!(!store.knows(TokenDigest::of(token)));
            let again = store.revoke(name).expect_err("it is gone");
            assert!(again.to_string().contains(name), "{again}");
        }
        revoked.try_recv().expect("one word for both");
        revoked.try_recv().expect_err("one word for both");
        let store = open(directory.path());
        for token in [second, third] {
            assert_eq!(store.find(&token), None, "also after a restart");
        }
        assert_eq!(names(&store), ["operator-1"]);
        issue(&store);
        assert_eq!(names(&store), ["operator-1", "operator-4"]);
    }

    #[test]
    fn gw05_a_rotated_token_is_nobody_and_its_successor_is_who_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(directory.path());
        let mut revoked = store.revocations();
        let only = Accounts::Only([AccountId::new("paper-1").expect("an id")].into());
        let old = store.issue(Role::Operator, [Scope::Read].into(), only).expect("room for a token");
        let before = store.find(&old).expect("it is known");
        let new = store.rotate("operator-2").expect("it is there");
        revoked.try_recv().expect("sessions of the old token are to end");
        assert_ne!(new, old);
        for store in [store, open(directory.path())] {
            assert_eq!(store.find(&old), None);
            assert!(!store.knows(TokenDigest::of(&old)) && store.knows(TokenDigest::of(&new)));
            let token = TokenDigest::of(&new);
            assert_eq!(store.find(&new), Some(Principal { token, ..before.clone() }));
            let error = store.rotate("operator-3").expect_err("nobody");
            assert!(error.to_string().contains("`operator-3`"), "{error}");
        }
    }

    #[test]
    fn the_first_operator_s_file_holds_its_latest_token_if_it_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(directory.path());
        let new = store.rotate("operator-1").expect("it is there");
        assert_eq!(read(directory.path(), OPERATOR_TOKEN).trim(), new);
        // who took it away does not want it to lie there
        std::fs::remove_file(directory.path().join(OPERATOR_TOKEN)).expect("it is there");
        store.rotate("operator-1").expect("it is there");
        assert!(!directory.path().join(OPERATOR_TOKEN).exists());
    }
}
