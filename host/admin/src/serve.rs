use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use grille_net::{Admission, Connection, Drain, Listener, ServerTls};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tower::Service as _;

use crate::caller::Peer;

/// Headers arrive within this, and an idle connection is closed after it.
const HEADER_TIME_MAX: Duration = Duration::from_secs(15);

/// A TLS handshake takes no longer.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Headers with a token of a few kilobytes fit many times; also the buffer per connection.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Serves the API until the gateway drains, then lets the answers under way finish.
///
/// Without TLS it answers on loopback only, since requests carry tokens.
///
/// # Errors
/// When the listener would send tokens in the clear over a network.
pub async fn serve(
    listener: Listener,
    tls: Option<Arc<ServerTls>>,
    router: Router,
    mut drain: Drain,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    if tls.is_none() && !address.ip().is_loopback() {
        let why =
            format!("the admin API on {address} would read tokens in the clear; give it TLS or a loopback address");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
    }
    let mut connections = JoinSet::new();
    loop {
        let connection = tokio::select! {
            connection = listener.accept(&mut drain) => connection,
            Some(_) = connections.join_next() => continue,
        };
        let Some(connection) = connection else { break };
        connections.spawn(one(connection, tls.clone(), router.clone(), drain.clone()));
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn one(connection: Connection, tls: Option<Arc<ServerTls>>, router: Router, drain: Drain) {
    let Connection { stream, peer, admission } = connection;
    let Admission::Admitted(mut permit) = admission else {
        tracing::debug!(%peer, "admin connection closed: too many of them");
        return;
    };
    match tls {
        None => {
            permit.authenticated();
            talk(stream, Peer { address: peer, is_tls: false }, router, drain).await;
        }
        Some(tls) => match tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                permit.authenticated();
                talk(stream, Peer { address: peer, is_tls: true }, router, drain).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "admin TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "admin TLS handshake took too long"),
        },
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    mut drain: Drain,
) {
    let service =
        hyper::service::service_fn(move |request: hyper::Request<Incoming>| answer(request, peer, router.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let (mut is_draining, mut end) = (false, drain.clone());
    loop {
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = drain.draining(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            () = end.ended() => return,
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %peer.address, %error, "admin connection ended");
        }
        return;
    }
}

async fn answer(request: hyper::Request<Incoming>, peer: Peer, mut router: Router) -> Result<Response, Infallible> {
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    router.call(request).await
}
