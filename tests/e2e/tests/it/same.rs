//! With no policy bound, what psql prints and what drivers read is the same through the gateway and straight from the
//! server: all of it, types, notices and errors with what points at them.

use grille_e2e::peer;
use grille_test_support::{OWNER, World, statements};

#[test]
fn psql_and_drivers_read_the_same_as_straight_from_the_server() {
    let world = World::shared();
    let list = serde_json::to_string(&statements().collect::<Vec<_>>()).expect("texts");
    let mut script = peer::command("drivers/same.py").expect("a Python");
    script.env("THROUGH", world.driver(OWNER)).env("DIRECT", world.driver_direct()).env("STATEMENTS", list);
    peer::holds(&mut script, "same.py").unwrap_or_else(|error| panic!("{error:#}\n{}", world.said()));
}
