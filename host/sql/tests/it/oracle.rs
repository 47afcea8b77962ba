//! Generated queries against a database in which every protected cell is a marker: no marker may stand in a column
//! that is let through, and the server's own Describe must agree with names and origins. Refusing proves nothing, so
//! most of what the server takes must be answered.

use grille_sql::{Output, ProtectedSet, RowPlan};

use super::server::{Server, try_rows};
use super::world::World;

const DATA: &str = "
INSERT INTO clinics VALUES (1, 'north', 'Bern'), (2, 'south', 'Rome');
INSERT INTO patients (id, clinic_id, ssn, name, phone, zip, note, tags, extra)
  SELECT i, 1 + i % 2, 'MK-ssn-' || i, 'MK-name-' || i, 'MK-phone-' || i, 'z' || i, 'note', ARRAY['t'], '{\"a\": 1}' FROM generate_series(1, 3) i;
INSERT INTO staff VALUES (1, 'ann', 'a'), (2, 'bob', 'b');
INSERT INTO events VALUES (1, 'MK-event-1', '2025-05-05');
INSERT INTO parents VALUES (1, 'MK-parent-1');
INSERT INTO children VALUES (2, 'MK-child-2', 'ball');
INSERT INTO mart.people VALUES (1, 'MK-people-1', 'carl');
REFRESH MATERIALIZED VIEW patient_copy;";

const RELATIONS: &[(&str, &[&str])] = &[
    ("patients", &["id", "clinic_id", "ssn", "name", "phone", "zip", "note"]),
    ("public.patients", &["id", "ssn", "name", "zip", "created"]),
    ("staff", &["id", "name", "room"]),
    ("clinics", &["id", "name", "city"]),
    ("events", &["id", "ssn"]),
    ("events_2025", &["id", "ssn"]),
    ("parents", &["id", "ssn"]),
    ("children", &["id", "ssn", "toy"]),
    ("ONLY parents", &["id", "ssn"]),
    ("patient_view", &["id", "social", "shout", "zip"]),
    ("view_on_view", &["a", "b", "c"]),
    ("patient_copy", &["id", "ssn", "low"]),
    ("mart.people", &["id", "ssn", "name"]),
    ("by_zip('z1')", &["id", "ssn", "name", "zip"]),
    ("names_of(1)", &["who", "social"]),
];

pub(crate) async fn load(server: &Server) {
    server.connect().await.batch_execute(DATA).await.expect("the data load");
}

pub(crate) async fn check(world: &World, server: &Server, queries: usize) -> Vec<String> {
    let client = server.connect().await;
    // Cross joins of cross joins grow beyond all patience, and so does planning them.
    let settings =
        "SET statement_timeout = '50ms'; SET join_collapse_limit = 1; SET from_collapse_limit = 1; SET jit = off";
    client.batch_execute(settings).await.expect("settings");
    let mut failures = Vec::new();
    let mut generator = Generator { state: 0x9e37_79b9_7f4a_7c15, ctes: Vec::new(), names: 0 };
    let (mut taken, mut answered, mut marked) = (0_usize, 0_usize, 0_usize);
    for _ in 0..queries {
        let text = generator.statement();
        let Ok(statement) = client.prepare(&text).await else { continue };
        taken += 1;
        let analysis = world.analyse(&text);
        let Ok(guarded) = world.protect(&text) else { continue };
        let [RowPlan::Columns(plans)] = &guarded.statements[..] else { continue };
        answered += 1;
        if statement.columns().len() != plans.len() {
            failures.push(format!("{text}\n    {} columns, planned {}", statement.columns().len(), plans.len()));
            continue;
        }
        if let Output::Rows(columns) = &analysis.statements[0].output {
            let pairs = statement.columns().iter().zip(columns);
            for (theirs, ours) in pairs.filter(|(theirs, ours)| theirs.name() != &*ours.name) {
                failures.push(format!("{text}\n    the server names {}, we {}", theirs.name(), ours.name));
            }
        }
        for (column, plan) in statement.columns().iter().zip(plans) {
            let origin =
                column.table_oid().zip(column.column_id()).and_then(|(t, c)| world.catalog.column_by_oid(t, c));
            if origin.is_some_and(|origin| plan.treatment.is_keep() && is_protected(&world.set, &origin)) {
                failures.push(format!("{text}\n    {} is protected and kept", column.name()));
            }
        }
        let limited = format!("{text} LIMIT 50");
        for row in try_rows(&client, &limited).await.unwrap_or_default() {
            for (value, plan) in row.iter().zip(plans) {
                let value = value.as_deref().unwrap_or_default().to_ascii_lowercase();
                let holds = value.contains("mk-") || value.contains("-km");
                marked += usize::from(holds);
                if holds && plan.treatment.is_keep() {
                    failures.push(format!("LEAK of {value}: {text}"));
                }
            }
        }
        if failures.len() > 10 {
            break;
        }
    }
    if taken < queries / 2 || answered * 100 < taken * 98 || marked < answered {
        failures
            .push(format!("{queries} queries: {taken} taken by the server, {answered} answered, {marked} markers met"));
    }
    failures
}

fn is_protected(set: &ProtectedSet, column: &grille_policy::ColumnName) -> bool {
    set.treatment(column).is_some()
}

struct Generator {
    state: u64,
    ctes: Vec<(String, Vec<String>)>,
    names: usize,
}

/// What is in sight: alias and columns.
type Scope = Vec<(String, Vec<String>)>;

impl Generator {
    /// xorshift: the same queries in each run.
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % limit as u64).expect("small")
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn statement(&mut self) -> String {
        self.ctes.clear();
        self.names = 0;
        let mut with = Vec::new();
        for _ in 0..self.below(3) {
            let width = 1 + self.below(3);
            let (query, columns) = self.query(1, width, &Vec::new());
            let name = self.name("w");
            let materialized = ["", "MATERIALIZED ", "NOT MATERIALIZED "][self.below(3)];
            with.push(format!("{name} ({}) AS {materialized}({query})", columns.join(", ")));
            self.ctes.push((name, columns));
        }
        let body = if self.below(3) == 0 {
            self.starred(2)
        } else {
            let width = 1 + self.below(4);
            self.query(2, width, &Vec::new()).0
        };
        if with.is_empty() { body } else { format!("WITH {} {body}", with.join(", ")) }
    }

    /// A query with a star somewhere, of whatever width.
    fn starred(&mut self, depth: usize) -> String {
        let (from, scope) = self.from(depth, &Vec::new());
        let star = match self.below(3) {
            0 => "*".to_owned(),
            1 => format!("{}.*", scope[self.below(scope.len())].0),
            _ => format!("{}, *", self.expression(1, &scope)),
        };
        format!("SELECT {star} FROM {from}")
    }

    /// A query of so many text columns, with their names.
    fn query(&mut self, depth: usize, width: usize, outer: &Scope) -> (String, Vec<String>) {
        if depth > 0 && self.below(5) == 0 {
            let (left, columns) = self.query(depth - 1, width, outer);
            let (right, _) = self.query(depth - 1, width, outer);
            let operation = ["UNION ALL", "UNION", "EXCEPT ALL", "INTERSECT"][self.below(4)];
            return (format!("({left}) {operation} ({right})"), columns);
        }
        let (from, mut scope) = self.from(depth, outer);
        let own = scope.len();
        scope.extend(outer.iter().cloned());
        let mut columns = Vec::new();
        let mut targets = Vec::new();
        let aggregates = self.below(6) == 0;
        for _ in 0..width {
            let name = self.name("c");
            let value = self.expression(depth, &scope);
            let value = match (aggregates, self.below(3)) {
                (true, 0) => format!("string_agg({value}, ',')"),
                (true, 1) => format!("min({value})"),
                (true, _) => format!("count({value})::text"),
                (false, _) => value,
            };
            targets.push(format!("{value} AS {name}"));
            columns.push(name);
        }
        let filter = match self.below(4) {
            0 => format!(" WHERE {} IS NOT NULL", self.expression(0, &scope)),
            1 => format!(
                " WHERE EXISTS (SELECT 1 FROM staff WHERE room <> {})",
                self.expression(0, &scope[..own].to_vec())
            ),
            _ => String::new(),
        };
        let distinct = if self.below(8) == 0 { "DISTINCT " } else { "" };
        let order = if self.below(6) == 0 { " ORDER BY 1" } else { "" };
        (format!("SELECT {distinct}{} FROM {from}{filter}{order}", targets.join(", ")), columns)
    }

    fn from(&mut self, depth: usize, outer: &Scope) -> (String, Scope) {
        let (mut text, mut scope) = self.item(depth, outer);
        for _ in 0..self.below(2) {
            let (other, more) = self.item(depth, outer);
            let are_joined = scope.iter().chain(&more).filter(|(_, columns)| columns.iter().any(|c| c == "id")).count();
            text = match self.below(5) {
                0 => format!("{text}, {other}"),
                1 if are_joined == 2 && scope.len() == 1 => format!("{text} JOIN {other} USING (id)"),
                2 if are_joined == 2 && scope.len() == 1 => format!("{text} FULL JOIN {other} USING (id)"),
                3 => format!("{text} LEFT JOIN {other} ON true"),
                _ => format!("{text} CROSS JOIN {other}"),
            };
            scope.extend(more);
        }
        (text, scope)
    }

    fn item(&mut self, depth: usize, outer: &Scope) -> (String, Scope) {
        let alias = self.name("t");
        if depth > 0 && self.below(3) == 0 {
            let width = 1 + self.below(3);
            let (query, columns) = self.query(depth - 1, width, outer);
            if self.below(2) == 0 {
                let renamed: Vec<String> = columns.iter().map(|_| self.name("r")).collect();
                let text = format!("({query}) AS {alias} ({})", renamed.join(", "));
                return (text, vec![(alias, renamed)]);
            }
            return (format!("({query}) AS {alias}"), vec![(alias, columns)]);
        }
        if !self.ctes.is_empty() && self.below(3) == 0 {
            let index = self.below(self.ctes.len());
            let (name, columns) = self.ctes[index].clone();
            return (format!("{name} AS {alias}"), vec![(alias, columns)]);
        }
        let (relation, columns) = RELATIONS[self.below(RELATIONS.len())];
        (format!("{relation} AS {alias}"), vec![(alias, columns.iter().map(|&c| c.to_owned()).collect())])
    }

    /// An expression of type text.
    fn expression(&mut self, depth: usize, scope: &Scope) -> String {
        let (alias, columns) = scope[self.below(scope.len())].clone();
        let column = format!("{alias}.{}", columns[self.below(columns.len())]);
        if depth == 0 {
            return format!("{column}::text");
        }
        let other = self.expression(depth - 1, scope);
        match self.below(16) {
            0..=5 => format!("{column}::text"),
            6 => format!("upper({other})"),
            7 => format!("{column}::text || {other}"),
            8 => format!("CASE WHEN {column} IS NULL THEN {other} ELSE 'x' END"),
            9 => format!("coalesce({other}, {column}::text)"),
            10 => format!("{alias}::text"),
            11 => format!("row_to_json({alias})::text"),
            12 => format!("({alias}).{}::text", columns[self.below(columns.len())]),
            13 => {
                let (query, _) = self.query(depth - 1, 1, scope);
                format!("(SELECT max(q.q) FROM ({query}) AS q (q))")
            }
            14 => format!("(ARRAY[{other}, 'y'])[1]"),
            _ => format!("reverse(initial({other}) || {other})"),
        }
    }
}
