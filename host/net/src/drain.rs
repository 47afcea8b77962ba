use tokio::sync::watch;

/// How far the gateway is on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Connections are accepted.
    Running,
    /// Nothing new is accepted; sessions end at their next idle point.
    Draining,
    /// Patience is over; sessions end now.
    Ended,
}

/// The signal and the one hand that moves it.
#[must_use]
pub fn drain() -> (DrainHandle, Drain) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (DrainHandle(sender), Drain(receiver))
}

/// Moves the phase, and knows when nobody is left to hear it.
#[derive(Debug)]
pub struct DrainHandle(watch::Sender<Phase>);

impl DrainHandle {
    /// Another ear.
    #[must_use]
    pub fn subscribe(&self) -> Drain {
        Drain(self.0.subscribe())
    }

    /// Stops accepting and asks sessions to end at their next idle point.
    pub fn begin(&self) {
        self.advance(Phase::Draining);
    }

    /// Ends what is left.
    pub fn end(&self) {
        self.advance(Phase::Ended);
    }

    /// Waits until every [`Drain`] is dropped: sessions hold one each, so this is "all sessions are gone".
    pub async fn idle(&self) {
        self.0.closed().await;
    }

    /// The phase never goes back.
    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let later = to > *phase;
            if later {
                *phase = to;
            }
            later
        });
    }
}

/// What listeners and sessions hold to learn that they should end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<Phase>);

impl Drain {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until nothing new is accepted any more.
    pub async fn draining(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until everything has to end.
    pub async fn ended(&mut self) {
        self.reached(Phase::Ended).await;
    }

    /// A handle that is gone counts as the end: nobody could announce it any more.
    async fn reached(&mut self, phase: Phase) {
        if self.0.wait_for(|now| *now >= phase).await.is_err() {
            tracing::debug!("drain handle dropped, ending");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_advance_and_everybody_hears_them() {
        let (handle, mut ear) = drain();
        assert_eq!(ear.phase(), Phase::Running);
        handle.end();
        handle.begin();
        assert_eq!(ear.phase(), Phase::Ended);
        ear.draining().await;
        ear.ended().await;
        drop(ear);
        handle.idle().await;
    }

    #[tokio::test]
    async fn a_lost_handle_is_the_end() {
        let (handle, mut ear) = drain();
        drop(handle);
        ear.ended().await;
    }
}
