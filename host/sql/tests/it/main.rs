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
mod world;

use grille_policy::Certainty;
use grille_sql::Output;
use server::Server;
use world::World;

/// Generated queries per run; a longer run is a matter of this number.
const QUERIES: usize = 2_000;

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
    let world = World::new(&server).await;
    let mut failures = Vec::new();
    failures.extend(upkeep::check(&world).await);
    failures.extend(lineage::check(&world).await);
    failures.extend(protection::check(&world));
    failures.extend(inference::check(&world));
    failures.extend(introspection::check(&world, &server).await);
    failures.extend(limits::check(&world));
    failures.extend(mutation::check(&world));
    oracle::load(&server).await;
    failures.extend(oracle::check(&world, &server, QUERIES).await);
    failures.extend(upkeep::check_freshness(&world).await);
    drop(world);
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
