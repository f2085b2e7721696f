//! From an accepted connection to one that can be spoken through: at a TLS listener hands are shaken first.
//!
//! The work of public keys is done on a helper thread, one handshake of an executor at a time: a signature takes up to
//! some milliseconds, in which the executor goes on with its other connections.
//!
//! Invariants
//! - A client that has said nothing yet costs no more than its socket and its task.
//! - A handshake ends within `limits::TLS_HANDSHAKE_TIMEOUT`, one way or the other.
//! - Whoever is turned away is told of in the log, with the reason.

use super::channel::Channel;
use super::entrance::Security;
use super::journal::Journal;
use super::listener::Connection;
use super::places::{Place, Places, now};
use super::secure::{Buffers, TlsStream};
use super::socket::Peer;
use super::stream::Stream;
use crate::limits;
use crate::log::Logger;
use crate::tls::{Failure, Keeper, Session, Step};
use futures_lite::io::{AsyncRead, AsyncWriteExt};
use futures_lite::{FutureExt, ready};
use glommio::sync::Semaphore;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// The first byte of a TLS connection: a record of the handshake.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Lets connections of one executor in.
#[derive(Debug)]
pub struct Doorman {
    keeper: Option<Arc<Keeper>>,
    /// One handshake at a time is worked on.
    turn: Semaphore,
    places: Rc<Places>,
    buffers: Rc<Buffers>,
    journal: Journal,
}

/// A handshake between two steps.
struct Shaking {
    session: Session,
    /// What came and is not used yet.
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    plain: Vec<u8>,
}

impl Doorman {
    /// A doorman with the certificates of `keeper`; without one, only plain listeners can be served.
    pub fn new(keeper: Option<Arc<Keeper>>, logger: Logger) -> Self {
        Self {
            keeper,
            turn: Semaphore::new(1),
            places: Rc::default(),
            buffers: Rc::default(),
            journal: Journal::new(logger),
        }
    }

    /// What can be spoken through, or nothing if the client was turned away or left.
    pub async fn admit(&self, connection: Connection) -> Option<Channel> {
        let (peer, security) = (connection.peer(), connection.entrance().security);
        let stream = connection.attach().ok()?;
        let keeper = match (security, &self.keeper) {
            (Security::Plain, _) => return Some(Channel::Plain(stream)),
            (Security::Tls | Security::Either, None) => return None,
            (Security::Tls | Security::Either, Some(keeper)) => Arc::clone(keeper),
        };
        // On the heap, so that a connection does not carry the room for it for the rest of its life.
        let admitted = Box::pin(self.admit_within(stream, security, keeper)).await;
        admitted.map_err(|failure| self.turned_away(peer, failure)).ok()
    }

    /// Tells of a client that was turned away.
    pub fn turned_away(&self, peer: Peer, failure: Failure) {
        self.journal.turned_away(peer, failure, now());
    }

    async fn admit_within(&self, stream: Stream, security: Security, keeper: Arc<Keeper>) -> Result<Channel, Failure> {
        let late = async {
            glommio::timer::sleep(limits::TLS_HANDSHAKE_TIMEOUT).await;
            Err(Failure::new("i/o timeout"))
        };
        self.shake(stream, security, keeper).or(late).await
    }

    async fn shake(&self, mut stream: Stream, security: Security, keeper: Arc<Keeper>) -> Result<Channel, Failure> {
        let mut incoming = Vec::new();
        self.read(&mut stream, &mut incoming, None).await?;
        if incoming.first() != Some(&HANDSHAKE_RECORD) {
            return match security {
                Security::Either => Ok(Channel::Replayed(Box::new((incoming, stream)))),
                Security::Tls | Security::Plain => Err(Failure::not_tls()),
            };
        }
        let verifies = keeper.verifies_clients();
        let place = self.places.take().await;
        let mut read_bytes = incoming.len();
        let (mut shaking, mut step) = self.begin(keeper, incoming).await?;
        loop {
            place.begin_wait();
            if !shaking.outgoing.is_empty() {
                let sent = stream.write_all(&shaking.outgoing).await;
                shaking.outgoing.clear();
                sent.map_err(|error| Failure::broken(&error))?;
            }
            match step {
                Ok(Step::Shaking) => {}
                Ok(Step::Open) => break,
                Ok(Step::Closed) => return Err(Failure::left()),
                Err(failure) => return Err(failure),
            }
            let had = shaking.incoming.len();
            self.read(&mut stream, &mut shaking.incoming, Some(&place)).await?;
            place.end_wait();
            read_bytes += shaking.incoming.len() - had;
            if read_bytes > limits::TLS_HANDSHAKE_BYTES_MAX {
                return Err(Failure::new("tls: handshake is too long"));
            }
            (shaking, step) = self.work(shaking, verifies).await;
        }
        let Shaking { session, incoming, plain, .. } = shaking;
        let stream = TlsStream::new(stream, session, Rc::clone(&self.buffers), (incoming, plain));
        Ok(Channel::Tls(Box::new(stream)))
    }

    /// The first step: with the certificates as the files are now.
    async fn begin(&self, keeper: Arc<Keeper>, incoming: Vec<u8>) -> Result<(Shaking, Result<Step, Failure>), Failure> {
        let _turn = self.turn.acquire_permit(1).await.map_err(|_| Failure::left())?;
        let begun = glommio::executor().spawn_blocking(move || {
            let session = Session::new(keeper.current())?;
            Ok(advance(Shaking { session, incoming, outgoing: Vec::new(), plain: Vec::new() }))
        });
        begun.await
    }

    /// A later step: some microseconds, unless a key has to be agreed on or a certificate is looked at.
    async fn work(&self, shaking: Shaking, verifies: bool) -> (Shaking, Result<Step, Failure>) {
        if shaking.session.is_modern() && !verifies {
            return advance(shaking);
        }
        // The semaphore is never closed.
        let _turn = self.turn.acquire_permit(1).await;
        glommio::executor().spawn_blocking(move || advance(shaking)).await
    }

    /// Adds what comes next. Ends when the client leaves, or its place is given to another.
    async fn read(&self, stream: &mut Stream, into: &mut Vec<u8>, place: Option<&Place>) -> Result<(), Failure> {
        poll_fn(|context| {
            if place.is_some_and(|place| place.poll_lost(context).is_ready()) {
                return Poll::Ready(Err(Failure::new("tls: too many handshakes at once, and this one was idle")));
            }
            self.buffers.with_scratch(|scratch| {
                let read = ready!(Pin::new(&mut *stream).poll_read(context, scratch));
                Poll::Ready(match read {
                    Ok(0) => Err(Failure::left()),
                    Ok(count) => {
                        into.extend_from_slice(&scratch[..count]);
                        Ok(())
                    }
                    Err(error) => Err(Failure::broken(&error)),
                })
            })
        })
        .await
    }
}

/// One step, on a helper thread.
fn advance(mut shaking: Shaking) -> (Shaking, Result<Step, Failure>) {
    let Shaking { session, incoming, outgoing, plain } = &mut shaking;
    let received = session.receive(incoming, outgoing, &mut |bytes| plain.extend_from_slice(bytes));
    let step = received.map(|(used, step)| {
        incoming.drain(..used);
        step
    });
    (shaking, step)
}
