use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::caller::Peer;
use crate::problem::Problem;

/// Answers only under names that are ours. A page whose own name was made to resolve to our address (DNS rebinding)
/// still sends its name. Over TLS the certificate has said already that the name is ours.
pub(crate) async fn host(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.extensions().get::<Peer>().is_some_and(|peer| peer.is_tls) {
        return next.run(request).await;
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    match host {
        Some(host) if is_ours(host, &app.config.hosts) => next.run(request).await,
        _ => {
            let detail = "the Host header is not a name of this gateway; use its IP address or localhost";
            Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
        }
    }
}

fn is_ours(host: &str, names: &[Arc<str>]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names() {
        let names = [Arc::from("grille.corp")];
        for (host, ours) in [
            ("localhost", true),
            ("LOCALHOST:6480", true),
            ("127.0.0.1:6480", true),
            ("[::1]:6480", true),
            ("10.1.2.3", true),
            ("grille.corp:443", true),
            ("grille.corp.evil.example", false),
            ("evil.example:6480", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(is_ours(host, &names), ours, "{host}");
        }
    }
}
