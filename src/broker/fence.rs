//! One session per account. A new one ends the old one, and begins when nothing of it can enter any more.

use crate::domain::id::AccountId;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{mpsc, oneshot};

/// The accounts that have a session.
#[derive(Debug, Default)]
pub(super) struct Fence(Mutex<BTreeMap<AccountId, Slot>>);

#[derive(Debug)]
struct Slot {
    replace: mpsc::Sender<()>,
    waiting: Vec<oneshot::Sender<()>>,
}

/// An account's only session. Whatever of it could still enter must be dropped before this is.
#[derive(Debug)]
pub(super) struct Pass {
    fence: Arc<Fence>,
    account: AccountId,
    replaced: mpsc::Receiver<()>,
}

impl Fence {
    /// Ends the account's session, waits until it is gone, and takes its place.
    pub async fn pass(self: &Arc<Self>, account: &AccountId) -> Pass {
        loop {
            let gone = match self.try_pass(account) {
                Ok(pass) => return pass,
                Err(gone) => gone,
            };
            // gone either way
            let _ = gone.await;
        }
    }

    fn try_pass(self: &Arc<Self>, account: &AccountId) -> Result<Pass, oneshot::Receiver<()>> {
        let mut slots = self.lock();
        if let Some(slot) = slots.get_mut(account) {
            let (gone, is_gone) = oneshot::channel();
            slot.waiting.push(gone);
            // full: it has been told
            let _ = slot.replace.try_send(());
            return Err(is_gone);
        }
        let (replace, replaced) = mpsc::channel(1);
        slots.insert(account.clone(), Slot { replace, waiting: Vec::new() });
        Ok(Pass { fence: Arc::clone(self), account: account.clone(), replaced })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountId, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Waits until another session wants the place.
    pub async fn replaced(&mut self) {
        self.replaced.recv().await;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(slot) = self.fence.lock().remove(&self.account) {
            for waiting in slot.waiting {
                // whoever gave up waiting needs no word
                let _ = waiting.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::Future, pin::pin, task::Context, task::Waker};

    #[tokio::test]
    async fn lv03_a_new_session_waits_until_the_old_one_is_gone() {
        let fence = Arc::new(Fence::default());
        let account = AccountId::new("demo-1").expect("an id");
        let other = AccountId::new("demo-2").expect("an id");
        let mut old = fence.pass(&account).await;
        let _other = fence.pass(&other).await;
        let mut new = pin!(fence.pass(&account));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(new.as_mut().poll(&mut cx).is_pending());
        old.replaced().await;
        assert!(new.as_mut().poll(&mut cx).is_pending(), "told to go is not gone");
        drop(old);
        let new = new.await;
        assert!(fence.lock().contains_key(&account));
        drop(new);
        assert!(!fence.lock().contains_key(&account));
    }
}
