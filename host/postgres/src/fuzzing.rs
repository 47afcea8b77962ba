//! Sessions without sockets, for the fuzz target: the caller and the target are whatever holds the other ends. Login and
//! startup have targets of their own.

use std::sync::Arc;
use std::time::Duration;

use grille_identity::Verifier;
use grille_ledger::{Ledger, SessionOpen};
use grille_mask::MaskKey;
use grille_mask::detect::Detector;
use grille_net::{ClientTls, ClientTlsMode};
use grille_pg_codec::startup::Version;
use grille_policy::{Evaluator, NameList, SessionFacts, SessionId};
use grille_review::Desk;
use grille_sql::Catalog;
use tokio::io::DuplexStream;

use crate::budget::{Budget, Limits};
use crate::io::{Socket, Wire};
use crate::path::{Opened, PostgresPath, Services};
use crate::route::{Accepts, Login, Recording, Role, Route, Routes, Target};
use crate::session::Session;
use crate::upstream::{CancelAddress, Upstream};

/// What sessions are made of.
pub struct Stage {
    path: Arc<PostgresPath>,
    target: Arc<Target>,
    role: Arc<Role>,
    catalog: Arc<Catalog>,
}

impl Stage {
    /// A target that nobody can reach a second time: its catalog is given.
    #[must_use]
    pub fn new(evaluator: Arc<dyn Evaluator>, ledger: Ledger, desk: Desk, catalog: Catalog, limits: Limits) -> Self {
        let target = Arc::new(Target {
            name: "clinic".into(),
            addresses: vec!["127.0.0.1:1".into()],
            database: "clinic".into(),
            tls: ClientTls::new(ClientTlsMode::Disable, None, None, &[]).expect("needs no file"),
            login: Login { user: "app".into(), password: None, accepts: Accepts::default(), must_bind: false },
            logins: std::collections::HashMap::new(),
            catalog_refresh: Duration::from_secs(3600),
            recording: Recording::Capped,
            retention: None,
        });
        let role = Arc::new(Role {
            name: "analyst".into(),
            groups: vec!["data-analysts".into()],
            targets: NameList::new(["*"]),
            relations: NameList::new(["*"]),
            read: true,
            write: true,
            ddl: true,
            agents: true,
            max_session: None,
            limits,
        });
        let services = Services {
            evaluator,
            ledger,
            is_strict: false,
            verifier: Arc::new(Verifier::new(Vec::new()).expect("an HTTP client")),
            desk,
            mask_key: Arc::new(MaskKey::new([7; MaskKey::LEN])),
            detector: Arc::new(Detector::new().expect("the detectors")),
            routes: arc_swap::ArcSwap::from_pointee(Routes::default()),
        };
        Self { path: PostgresPath::new(services), target, role, catalog: Arc::new(catalog) }
    }

    /// Serves a caller in front of a target until one of them ends. `number` is the session's.
    pub async fn play(&self, number: u64, caller: DuplexStream, target: DuplexStream) {
        self.path.catalogs.of(&self.target).believe(&self.catalog);
        let facts =
            SessionFacts { id: SessionId::mint(1_795_000_000_000 + number, 7), ..grille_policy::testing::session() };
        let facts = Arc::new(facts);
        let services = &self.path.services;
        let opened = services.evaluator.open(Arc::clone(&facts)).await;
        let mut open = SessionOpen::new(&facts);
        open.masked = opened.policies.protection().is_some();
        let log = services.ledger.session(open).expect("a ledger that can be written");
        let limits = self.role.limits;
        let budget = Budget::new(limits, &self.path.hours, &facts.subject, &facts.target).ok().flatten();
        let key = self.path.cancel_keys.mint(facts.id, Version { major: 3, minor: 0 }, 4711).expect("random bytes");
        let cancel = CancelAddress::nowhere();
        let session = Session::new(
            Arc::clone(&self.path),
            Box::new(Opened {
                route: Route { target: Arc::clone(&self.target), roles: vec![Arc::clone(&self.role)] },
                upstream: Upstream { wire: Wire::new(Socket::Local(target)), parameters: Vec::new(), cancel },
                presence: self.path.live().enter(Arc::clone(&facts)),
                policies: opened.policies,
                lifetime: Duration::from_secs(3600),
                idle: None,
                facts,
                key,
                log,
                budget,
            }),
            Wire::new(Socket::Local(caller)),
        );
        session.run().await;
    }
}
