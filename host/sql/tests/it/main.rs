//! The room against a real server: its catalog questions, and what it says of statements beside what the server says.

mod inference;
mod introspection;
mod limits;
mod lineage;
mod mutation;
mod oracle;
mod protection;
mod server;
mod upkeep;

use grille_policy::{BaseColumn, Certainty, Masker, Protection, Treatment};
use grille_sql::{Analysis, Catalog, Guarded, Output, ProtectedSet, Refusal, SessionNames, Settings, analyse, protect};
use server::{Server, read_catalog};
use tokio_postgres::Client;

/// What the tests share: the server, a connection with the schema loaded, and its catalog.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) catalog: Catalog,
    pub(crate) set: ProtectedSet,
}

impl World {
    fn analyse(&self, text: &str) -> Analysis {
        analyse(text, &self.catalog, &Settings::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn protect(&self, text: &str) -> Result<Guarded, Refusal> {
        self.protect_with(text, &Protection { functions: vec!["public.allowed_one".into()], ..Protection::default() })
    }

    fn protect_with(&self, text: &str, protection: &Protection) -> Result<Guarded, Refusal> {
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

/// One line per column: certainty and origins, `public.` left out.
fn describe(output: &Output) -> String {
    let columns = match output {
        Output::None => return "none".into(),
        Output::Unknown => return "unknown".into(),
        Output::Prepared(name) => return format!("prepared {name}"),
        Output::Cursor(name) => return format!("cursor {name}"),
        Output::Rows(columns) => columns,
    };
    let columns = columns.iter().map(|column| {
        let origins: Vec<String> =
            column.origins.iter().map(|origin| origin.to_string().trim_start_matches("public.").to_owned()).collect();
        let mark = match column.certainty {
            Certainty::Exact => "",
            Certainty::Derived => "~",
            Certainty::Unknown => "?",
        };
        format!("{mark}{}", origins.join("+"))
    });
    columns.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn all_against_one_server() {
    let server = Server::start();
    let client = server.connect().await;
    client.batch_execute(include_str!("schema.sql")).await.expect("the schema loads");
    let catalog = read_catalog(&client).await;
    let columns = catalog.base_columns();
    let treatments: Vec<Treatment> = columns.iter().map(classify).collect();
    let set = ProtectedSet::new(&catalog, &columns, &treatments);
    let world = World { client, catalog, set };
    let mut failures = Vec::new();
    failures.extend(upkeep::check(&world).await);
    failures.extend(lineage::check(&world).await);
    failures.extend(protection::check(&world));
    failures.extend(inference::check(&world));
    failures.extend(introspection::check(&world, &server).await);
    failures.extend(limits::check(&world));
    failures.extend(mutation::check(&world));
    failures.extend(oracle::check(&world, &server).await);
    failures.extend(upkeep::check_freshness(&world).await);
    drop(world);
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
