use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use grille_review::Desk;

use crate::problem::Problem;
use crate::rooms::{
    Audit, DecisionView, EvidenceView, Identify, Keeping, PolicyChanges, PolicyView, SessionView, StatusView,
};
use crate::{decisions, evidence, guard, keeping, metrics, policies, reviews, sessions, status};

/// The largest request body: a reason of some pages.
const BODY_BYTES_MAX: usize = 64 << 10;

/// No answer takes longer to begin; a recording may take its time afterwards.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// These read the log from one end to the other before they begin, and a log of years is long.
const WHOLE_LOG: [&str; 2] = ["/v1/sessions/search", "/v1/ledger/export"];
const WHOLE_LOG_TIME_MAX: Duration = Duration::from_secs(3600);

/// Who may do what, and under which names the API is reached.
#[derive(Debug, Clone, Default)]
pub struct AdminConfig {
    /// The groups that see policies, end sessions and promote, as long as nothing is protected less afterwards.
    pub operators: Vec<Arc<str>>,
    /// The groups that may also weaken.
    pub owners: Vec<Arc<str>>,
    /// The groups that see sessions, recordings and reviews.
    pub auditors: Vec<Arc<str>>,
    /// The groups that see and decide reviews.
    pub reviewers: Vec<Arc<str>>,
    /// Host names that the API answers to besides `localhost` and IP addresses.
    pub hosts: Vec<Arc<str>>,
}

/// What the API shows and moves.
#[derive(Clone)]
pub struct Rooms {
    /// Tokens to subjects.
    pub identify: Arc<dyn Identify>,
    /// The gateway as a whole.
    pub status: Arc<dyn StatusView>,
    /// The policies in force.
    pub policies: Arc<dyn PolicyView>,
    /// What changes them.
    pub changes: Arc<dyn PolicyChanges>,
    /// Sessions, live and recorded.
    pub sessions: Arc<dyn SessionView>,
    /// Decisions that were written down.
    pub decisions: Arc<dyn DecisionView>,
    /// What the ledger proves.
    pub evidence: Arc<dyn EvidenceView>,
    /// How long it keeps contents.
    pub keeping: Arc<dyn Keeping>,
    /// The ledger.
    pub audit: Arc<dyn Audit>,
    /// Reviews.
    pub desk: Desk,
}

pub(crate) struct App {
    pub(crate) config: AdminConfig,
    pub(crate) rooms: Rooms,
}

/// The routes of the API.
pub fn router(config: AdminConfig, rooms: Rooms) -> Router {
    let app = Arc::new(App { config, rooms });
    Router::new()
        .route("/v1/status", get(status::show))
        .route("/metrics", get(metrics::show))
        .route("/v1/policies", get(policies::list))
        .route("/v1/policies/{name}/promote", post(policies::promote))
        .route("/v1/policies/{name}/rollback", post(policies::rollback))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/search", get(evidence::search))
        .route("/v1/sessions/{id}", get(sessions::show).delete(sessions::kill))
        .route("/v1/sessions/{id}/recording", get(sessions::recording))
        .route("/v1/decisions/{id}", get(decisions::show))
        .route("/v1/plugins/{digest}", get(decisions::component))
        .route("/v1/ledger/export", get(evidence::export))
        .route("/v1/ledger/checkpoint", post(evidence::checkpoint))
        .route("/v1/ledger/holds", get(keeping::list).post(keeping::hold))
        .route("/v1/ledger/shred", post(keeping::shred))
        .route("/v1/reviews", get(reviews::list))
        .route("/v1/reviews/{id}", get(reviews::show))
        .route("/v1/reviews/{id}/approve", post(reviews::approve))
        .route("/v1/reviews/{id}/deny", post(reviews::deny))
        .route("/v1/reviews/{id}/revoke", post(reviews::revoke))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(hurry))
        .layer(from_fn_with_state(Arc::clone(&app), guard::host))
        .layer(middleware::map_response(plain))
        .with_state(app)
}

async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such address; the API is under /v1")
}

async fn no_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not answer to that method")
}

async fn hurry(request: Request, next: Next) -> Response {
    let is_long = WHOLE_LOG.contains(&request.uri().path());
    let limit = if is_long { WHOLE_LOG_TIME_MAX } else { ANSWER_TIME_MAX };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long; ask for less").into_response()
        }
    }
}

/// Nothing of this belongs into a cache, a frame or another type.
async fn plain(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response
}

pub(crate) type Shared = State<Arc<App>>;
