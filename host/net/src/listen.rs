use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Drain;

/// What a listener is to be.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// Where to listen; port 0 picks a free one.
    pub address: SocketAddr,
    /// How many connections at once.
    pub max_connections: u32,
    /// How many of them before they have said who they are, so that silent peers cannot take all places.
    pub max_unauthenticated: u32,
}

/// Why a listener could not start.
#[derive(Debug, thiserror::Error)]
#[error("listener {name:?} cannot listen on {address}: is the address this machine's and the port free?")]
pub struct BindError {
    /// The listener's name in the configuration.
    pub name: Arc<str>,
    /// The address that was asked for.
    pub address: SocketAddr,
    source: io::Error,
}

/// A bound address with its limits.
#[derive(Debug)]
pub struct Listener {
    name: Arc<str>,
    socket: TcpListener,
    connections: Arc<Semaphore>,
    logins: Arc<Semaphore>,
}

impl Listener {
    /// Binds the address. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(listen: Listen) -> Result<Self, BindError> {
        let Listen { name, address, max_connections, max_unauthenticated } = listen;
        let socket = bind(address).map_err(|source| BindError { name: name.clone(), address, source })?;
        let semaphore = |places: u32| Arc::new(Semaphore::new(places as usize));
        Ok(Self { name, socket, connections: semaphore(max_connections), logins: semaphore(max_unauthenticated) })
    }

    /// The name in the configuration.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where it listens really, also when port 0 was asked for.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection, or none once the gateway drains. Failures to accept are logged and waited out, they never
    /// end a listener.
    pub async fn accept(&self, drain: &mut Drain) -> Option<Connection> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.draining() => return None,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if let Err(error) = tune(&stream) {
                        tracing::debug!(listener = %self.name, %peer, %error, "connection gone before it began");
                        continue;
                    }
                    return Some(Connection { stream, peer, admission: self.admit() });
                }
                Err(error) if is_peers_doing(&error) => {}
                Err(error) => {
                    tracing::error!(listener = %self.name, %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self) -> Admission {
        let Ok(connection) = self.connections.clone().try_acquire_owned() else {
            return Admission::Full(Limit::Connections);
        };
        let Ok(login) = self.logins.clone().try_acquire_owned() else {
            return Admission::Full(Limit::Unauthenticated);
        };
        Admission::Admitted(Permit { _connection: connection, login: Some(login) })
    }
}

/// An accepted connection; nothing of it was read.
#[derive(Debug)]
pub struct Connection {
    /// The socket, without delay and with keepalive.
    pub stream: TcpStream,
    /// The other end.
    pub peer: SocketAddr,
    /// Whether there is a place for it.
    pub admission: Admission,
}

/// Whether there is a place for a connection. A full listener still accepts, so that the path can say why it closes.
#[derive(Debug)]
pub enum Admission {
    /// The place is taken as long as the permit lives.
    Admitted(Permit),
    /// To be told so, without waiting, and closed.
    Full(Limit),
}

/// Which limit of a listener is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `max_connections`.
    Connections,
    /// `max_unauthenticated`.
    Unauthenticated,
}

/// A connection's place among its listener's; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _connection: OwnedSemaphorePermit,
    login: Option<OwnedSemaphorePermit>,
}

impl Permit {
    /// The caller has said who it is: its place among the unauthenticated goes back.
    pub fn authenticated(&mut self) {
        self.login = None;
    }
}

/// Connects to an upstream, trying each address that the name has, all within `patience`.
///
/// # Errors
/// When none of the addresses answers in time.
pub async fn dial(address: &str, patience: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(patience, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {patience:?}")))??;
    tune(&stream)?;
    Ok(stream)
}

/// What every socket of ours has: small messages leave at once, and a peer that vanished is noticed.
///
/// # Errors
/// When the socket is gone already.
pub fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the last connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_peers_doing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Connections that the kernel holds for us; Linux caps it at `net.core.somaxconn`, 4096 by default.
const BACKLOG: u32 = 4096;
/// Out of file descriptors: sessions have to end first, and a hot loop would not help them.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Below the five minutes after which many NATs forget a connection.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain;

    fn listener(max_connections: u32, max_unauthenticated: u32) -> Listener {
        let address = "127.0.0.1:0".parse().unwrap();
        Listener::bind(Listen { name: "pg".into(), address, max_connections, max_unauthenticated }).unwrap()
    }

    async fn accept(listener: &Listener, drain: &mut Drain) -> (TcpStream, Connection) {
        let address = listener.local_addr().unwrap().to_string();
        let caller = dial(&address, Duration::from_secs(5)).await.unwrap();
        (caller, listener.accept(drain).await.unwrap())
    }

    fn permit(connection: Connection) -> Permit {
        match connection.admission {
            Admission::Admitted(permit) => permit,
            Admission::Full(limit) => panic!("full: {limit:?}"),
        }
    }

    #[tokio::test]
    async fn limits_hold_and_places_come_back() {
        let (_handle, mut ear) = drain();
        let listener = listener(2, 1);
        let (_one, first) = accept(&listener, &mut ear).await;
        let mut first = permit(first);
        let (_two, second) = accept(&listener, &mut ear).await;
        assert!(matches!(second.admission, Admission::Full(Limit::Unauthenticated)));
        first.authenticated();
        let (_three, third) = accept(&listener, &mut ear).await;
        let third = permit(third);
        let (_four, fourth) = accept(&listener, &mut ear).await;
        assert!(matches!(fourth.admission, Admission::Full(Limit::Connections)));
        drop((first, third));
        let (_five, fifth) = accept(&listener, &mut ear).await;
        permit(fifth);
    }

    #[tokio::test]
    async fn draining_stops_accepting() {
        let (handle, mut ear) = drain();
        let listener = listener(1, 1);
        handle.begin();
        assert!(listener.accept(&mut ear).await.is_none());
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = listener(1, 1);
        let address = taken.local_addr().unwrap();
        let error = Listener::bind(Listen { name: "pg".into(), address, max_connections: 1, max_unauthenticated: 1 })
            .unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
