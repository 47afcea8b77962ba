use grille_policy::{BaseColumn, Masker, Protection, Treatment};
use grille_sql::{Analysis, Catalog, Guarded, ProtectedSet, Refusal, SessionNames, Settings, analyse, protect};
use tokio_postgres::Client;

use super::server::{Server, read_catalog};

/// What the tests share: the server, a connection with the schema loaded, and its catalog.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) catalog: Catalog,
    pub(crate) set: ProtectedSet,
}

impl World {
    pub(crate) async fn new(server: &Server) -> Self {
        let client = server.connect().await;
        client.batch_execute(include_str!("schema.sql")).await.expect("the schema loads");
        Self::on(client).await
    }

    /// With another snapshot of the catalog.
    pub(crate) async fn on(client: Client) -> Self {
        let catalog = read_catalog(&client).await;
        let columns = catalog.base_columns();
        let treatments: Vec<Treatment> = columns.iter().map(classify).collect();
        let set = ProtectedSet::new(&catalog, &columns, &treatments);
        Self { client, catalog, set }
    }

    pub(crate) fn analyse(&self, text: &str) -> Analysis {
        analyse(text, &self.catalog, &Settings::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    pub(crate) fn protect(&self, text: &str) -> Result<Guarded, Refusal> {
        self.protect_with(text, &Protection { functions: vec!["public.allowed_one".into()], ..Protection::default() })
    }

    pub(crate) fn protect_with(&self, text: &str, protection: &Protection) -> Result<Guarded, Refusal> {
        protect(&self.analyse(text), &self.set, protection, &SessionNames::default())
    }
}

/// `ssn`, `name` and `phone` are protected, each by another masker.
fn classify(column: &BaseColumn) -> Treatment {
    match &*column.name.column {
        "ssn" => Treatment::Mask(Masker::Partial { keep: 4 }),
        "name" if &*column.name.table == "patients" => Treatment::Mask(Masker::Token { class: "name".into() }),
        "phone" => Treatment::Mask(Masker::Null),
        _ => Treatment::Keep,
    }
}
