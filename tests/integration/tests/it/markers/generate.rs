//! Statements by a grammar. Each knows how far what it returns is from the stored value.

use grille_test_support::Chance;

/// What must become of a statement that succeeds at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Nothing protected is touched: the answer is the server's own.
    Untouched,
    /// Columns as they are, under whatever name and through whatever joins: answered always.
    Direct,
    /// Computed of them: answered nearly always.
    Derived,
    /// Statements with words in others' places: no promise.
    Mutated,
    /// Texts cut up and put together again, and what other people's generators say: no promise.
    Wild,
}

impl Class {
    pub(super) const ALL: [Self; 5] = [Self::Untouched, Self::Direct, Self::Derived, Self::Mutated, Self::Wild];
}

pub(super) const SCHEMA: &str = "
CREATE TABLE subjects (id int PRIMARY KEY, code text NOT NULL, label text, doc jsonb, tags text[], kind text, size int);
CREATE TABLE visits (id int PRIMARY KEY, subject_id int REFERENCES subjects (id), remark varchar(60), kind text);
CREATE TABLE events (id int, code text, kind text) PARTITION BY RANGE (id);
CREATE TABLE events_low PARTITION OF events FOR VALUES FROM (0) TO (3);
CREATE TABLE events_high PARTITION OF events FOR VALUES FROM (3) TO (100);
CREATE TABLE bases (id int, code text);
CREATE TABLE extended (kind text) INHERITS (bases);
CREATE TABLE shelves (id int PRIMARY KEY, kind text, size int);
CREATE VIEW subject_view AS SELECT id, code AS alias_of_code, upper(label) AS loud, kind FROM subjects WHERE kind IS NOT NULL;
CREATE VIEW view_of_view (a, b, c) AS SELECT v.id, v.alias_of_code, s.size FROM subject_view v JOIN subjects s USING (id);
CREATE VIEW kinds AS SELECT kind, count(*) AS n FROM subjects GROUP BY kind;
CREATE FUNCTION of_kind(wanted text) RETURNS SETOF subjects LANGUAGE sql STABLE SET search_path = public AS 'SELECT * FROM subjects WHERE kind = wanted';
CREATE FUNCTION pairs_of(wanted int) RETURNS TABLE (who text, what text) LANGUAGE sql STABLE BEGIN ATOMIC SELECT label, code FROM subjects WHERE size = wanted; END;
CREATE FUNCTION first_of(value text) RETURNS text LANGUAGE sql IMMUTABLE RETURN left(value, 40);
";

/// What of it is protected.
pub(super) const PROTECTED: [&str; 7] =
    ["subjects.code", "subjects.label", "subjects.doc", "subjects.tags", "visits.remark", "events.code", "bases.code"];

/// Fills it, with another marker in each protected cell.
pub(super) fn data(mut marker: impl FnMut() -> String) -> String {
    let mut quoted = || format!("'{}'", marker());
    let mut text = String::from("INSERT INTO shelves VALUES (1, 'a', 10), (2, 'b', 20), (3, NULL, 30);");
    for id in 1..=4 {
        let (code, label, doc, tag, other) = (quoted(), quoted(), quoted(), quoted(), quoted());
        let kind = ["'a'", "'b'"][id % 2];
        text += &format!(
            "INSERT INTO subjects VALUES ({id}, {code}, {label}, jsonb_build_object('a', {doc}, 'n', {id}), ARRAY[{tag}, {other}], {kind}, {});",
            1 + id % 2
        );
        text += &format!("INSERT INTO visits VALUES ({id}, {id}, {}, {kind});", quoted());
        text += &format!("INSERT INTO events VALUES ({id}, {}, {kind});", quoted());
        text += &format!("INSERT INTO bases VALUES ({id}, {});", quoted());
        text += &format!("INSERT INTO extended VALUES ({id}, {}, {kind});", quoted());
    }
    text + "CREATE MATERIALIZED VIEW subject_copy AS SELECT id, code, lower(label) AS low FROM subjects; ANALYZE;"
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    /// `t`ext, `i`nteger, `j`son, `a`rray.
    kind: char,
}

/// What is in sight: alias and columns.
type Scope = Vec<(String, Vec<Column>)>;

/// Relations, their columns as `name:kind`, and whether anything in them is protected.
const RELATIONS: [(&str, &str, bool); 16] = [
    ("subjects", "id:i code:t label:t doc:j tags:a kind:t size:i", true),
    ("public.subjects", "id:i code:t label:t kind:t", true),
    ("visits", "id:i subject_id:i remark:t kind:t", true),
    ("events", "id:i code:t kind:t", true),
    ("events_low", "id:i code:t kind:t", true),
    ("bases", "id:i code:t", true),
    ("ONLY bases", "id:i code:t", true),
    ("extended", "id:i code:t kind:t", true),
    ("subject_view", "id:i alias_of_code:t loud:t kind:t", true),
    ("view_of_view", "a:i b:t c:i", true),
    ("subject_copy", "id:i code:t low:t", true),
    ("of_kind('a')", "id:i code:t label:t kind:t size:i", true),
    ("pairs_of(1)", "who:t what:t", true),
    ("shelves", "id:i kind:t size:i", false),
    ("public.shelves", "id:i kind:t size:i", false),
    ("generate_series(1, 3)", "", false),
];

/// Columns of text that hold nothing but values to be protected.
const HOLD_VALUES: [&str; 8] = [".code", ".label", ".remark", ".alias_of_code", ".loud", ".low", ".who", ".what"];

pub(super) struct Generator {
    chance: Chance,
    class: Class,
    ctes: Vec<(String, Vec<Column>)>,
    names: usize,
}

impl Generator {
    pub(super) fn seeded(seed: u64) -> Self {
        Self { chance: Chance::seeded(seed), class: Class::Direct, ctes: Vec::new(), names: 0 }
    }

    pub(super) const fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.chance.below(end)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// A query of the class.
    pub(super) fn query(&mut self, class: Class) -> String {
        (self.class, self.names) = (class, 0);
        self.ctes.clear();
        let mut with = Vec::new();
        for _ in 0..self.below(3) {
            let (query, columns) = self.subquery(1, &Vec::new());
            let name = self.name("w");
            let kept = self.pick(&["", "MATERIALIZED ", "NOT MATERIALIZED "]);
            let renamed: Vec<Column> =
                columns.iter().map(|column| Column { name: self.name("n"), kind: column.kind }).collect();
            with.push(format!("{name} ({}) AS {kept}({query})", list(&renamed)));
            self.ctes.push((name, renamed));
        }
        let body = match self.below(8) {
            0 => self.starred(),
            1 if class != Class::Derived => self.whole(),
            _ => self.subquery(2, &Vec::new()).0,
        };
        let limit = if body.starts_with("TABLE") { "" } else { " LIMIT 40" };
        let with = if with.is_empty() { String::new() } else { format!("WITH {} ", with.join(", ")) };
        format!("{with}{body}{limit}")
    }

    fn starred(&mut self) -> String {
        let (from, scope) = self.from(2);
        let alias = scope[self.below(scope.len())].0.clone();
        let star = match self.below(4) {
            0 => "*".to_owned(),
            1 => format!("{alias}.*"),
            2 => format!("({alias}).*"),
            _ => format!("1 AS one, {alias}.*"),
        };
        format!("SELECT {star} FROM {from}")
    }

    /// A row as one value, or a whole table.
    fn whole(&mut self) -> String {
        if self.class == Class::Direct && self.one_in(2) {
            return format!("TABLE {}", self.pick(&["subjects", "visits", "subject_view", "subject_copy", "events"]));
        }
        let (from, scope) = self.from(1);
        let alias = &scope[self.below(scope.len())].0;
        format!("SELECT {alias} FROM {from}")
    }

    /// A query inside another one, with its columns.
    fn subquery(&mut self, depth: usize, outer: &Scope) -> (String, Vec<Column>) {
        if self.class == Class::Derived && self.one_in(2) {
            let width = 1 + self.below(3);
            return self.computed(depth, width, outer);
        }
        let (from, mut scope) = self.from(depth);
        if self.one_in(4) {
            scope.extend(outer.iter().cloned());
        }
        let (mut columns, mut targets, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..1 + self.below(4) {
            let Some((text, kind)) = self.column(&scope) else { continue };
            let name = self.name("c");
            groups.push(text.clone());
            targets.push(format!("{text} AS {name}"));
            columns.push(Column { name, kind });
        }
        if columns.is_empty() {
            let name = self.name("c");
            return (format!("SELECT 1 AS {name} FROM {from}"), vec![Column { name, kind: 'i' }]);
        }
        let filter = self.filter(&scope);
        let (distinct, end) = match self.below(12) {
            0 => ("DISTINCT ", String::new()),
            1 => ("", format!(" GROUP BY {}", groups.join(", "))),
            2 => ("", " ORDER BY 1".to_owned()),
            3 => ("", " OFFSET 0".to_owned()),
            4 => {
                let name = self.name("c");
                targets.push(format!("row_number() OVER (ORDER BY {}) AS {name}", groups[0]));
                columns.push(Column { name, kind: 'i' });
                ("", String::new())
            }
            _ => ("", String::new()),
        };
        (format!("SELECT {distinct}{} FROM {from}{filter}{end}", targets.join(", ")), columns)
    }

    fn filter(&mut self, scope: &Scope) -> String {
        let Some((column, kind)) = self.column(scope) else { return String::new() };
        match (self.below(5), kind) {
            (0, 'i') => format!(" WHERE {column} > 0"),
            (0 | 1, _) => format!(" WHERE {column} IS NOT NULL"),
            (2, _) => format!(" WHERE EXISTS (SELECT FROM shelves WHERE {column} IS NOT NULL)"),
            (3, 'i') => format!(" WHERE {column} IN (SELECT id FROM shelves UNION ALL SELECT 4)"),
            _ => String::new(),
        }
    }

    /// A column as it is; text and numbers more often than the rest.
    fn column(&mut self, scope: &Scope) -> Option<(String, char)> {
        let (alias, columns) = &scope[self.below(scope.len())];
        if columns.is_empty() {
            return None;
        }
        let column = &columns[self.below(columns.len())];
        let text = match self.below(6) {
            0 => format!("({alias}).{}", column.name),
            _ => format!("{alias}.{}", column.name),
        };
        Some((text, column.kind))
    }

    fn from(&mut self, depth: usize) -> (String, Scope) {
        let (mut text, mut scope) = self.item(depth);
        for _ in 0..self.below(2) {
            let has_id = |scope: &Scope| scope.len() == 1 && scope[0].1.iter().filter(|c| c.name == "id").count() == 1;
            let (other, more) = self.item(depth);
            let both = has_id(&scope) && has_id(&more);
            text = match self.below(6) {
                0 => format!("{text}, {other}"),
                1 | 2 if both => format!("{text} JOIN {other} USING (id)"),
                3 if both && self.class == Class::Derived => format!("{text} FULL JOIN {other} USING (id)"),
                4 => format!("{text} LEFT JOIN {other} ON true"),
                _ => format!("{text} CROSS JOIN {other}"),
            };
            scope.extend(more);
        }
        if depth > 0 && self.one_in(6) {
            let (query, columns) = self.subquery(0, &scope);
            let alias = self.name("l");
            text = format!("{text}, LATERAL ({query}) AS {alias}");
            scope.push((alias, columns));
        }
        (text, scope)
    }

    fn item(&mut self, depth: usize) -> (String, Scope) {
        let alias = self.name("t");
        if depth > 0 && self.one_in(3) {
            let (query, columns) = self.subquery(depth - 1, &Vec::new());
            if self.one_in(2) {
                let renamed: Vec<Column> =
                    columns.iter().map(|column| Column { name: self.name("r"), kind: column.kind }).collect();
                return (format!("({query}) AS {alias} ({})", list(&renamed)), vec![(alias, renamed)]);
            }
            return (format!("({query}) AS {alias}"), vec![(alias, columns)]);
        }
        if !self.ctes.is_empty() && self.one_in(2) {
            let (name, columns) = self.ctes[self.chance.below(self.ctes.len())].clone();
            return (format!("{name} AS {alias}"), vec![(alias, columns)]);
        }
        let is_wanted = |protected: bool| protected != (self.class == Class::Untouched);
        let fitting: Vec<_> = RELATIONS.iter().filter(|(.., protected)| is_wanted(*protected)).collect();
        let (relation, columns, _) = if self.class != Class::Untouched && self.one_in(8) {
            &RELATIONS[13]
        } else {
            fitting[self.chance.below(fitting.len())]
        };
        if columns.is_empty() {
            return (
                format!("{relation} AS {alias} (id)"),
                vec![(alias, vec![Column { name: "id".into(), kind: 'i' }])],
            );
        }
        let columns = columns.split(' ').filter_map(|column| column.split_once(':'));
        let columns =
            columns.map(|(name, kind)| Column { name: name.into(), kind: kind.chars().next().unwrap_or('t') });
        (format!("{relation} AS {alias}"), vec![(alias, columns.collect())])
    }

    /// A query of so many computed texts.
    fn computed(&mut self, depth: usize, width: usize, outer: &Scope) -> (String, Vec<Column>) {
        if depth > 0 && self.one_in(5) {
            let (left, columns) = self.computed(depth - 1, width, outer);
            let (right, _) = self.computed(depth - 1, width, outer);
            let operation = self.pick(&["UNION ALL", "UNION", "UNION", "EXCEPT ALL", "INTERSECT"]);
            return (format!("({left}) {operation} ({right})"), columns);
        }
        let (from, mut scope) = self.from(depth);
        let filter = self.filter(&scope);
        scope.extend(outer.iter().cloned());
        let aggregates = self.one_in(6);
        let (mut columns, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..width {
            let name = self.name("c");
            let value = self.text(depth.max(1), &scope);
            targets.push(match aggregates {
                true => format!("{} AS {name}", self.aggregate(&value)),
                false => format!("{value} AS {name}"),
            });
            columns.push(Column { name, kind: 't' });
        }
        (format!("SELECT {} FROM {from}{filter}", targets.join(", ")), columns)
    }

    fn aggregate(&mut self, value: &str) -> String {
        match self.below(8) {
            0 => format!("string_agg({value}, ',')"),
            1 => format!("min({value})"),
            2 => format!("max({value})"),
            3 => format!("array_agg({value})::text"),
            4 => format!("json_agg({value})::text"),
            5 => format!("string_agg(DISTINCT {value}, '-')"),
            6 => format!("jsonb_object_agg(coalesce({value}, ''), 1)::text"),
            _ => format!("mode() WITHIN GROUP (ORDER BY {value})"),
        }
    }

    /// An expression of type text.
    fn text(&mut self, depth: usize, scope: &Scope) -> String {
        let Some((column, kind)) = self.column(scope) else { return "'x'".into() };
        let plain = match kind {
            't' => column,
            'j' => match self.below(4) {
                0 => format!("{column} ->> 'a'"),
                1 => format!("{column} #>> '{{a}}'"),
                2 => format!("jsonb_pretty({column})"),
                _ => format!("({column} -> 'a')::text"),
            },
            'a' => match self.below(4) {
                0 => format!("({column})[1]"),
                1 => format!("array_to_string({column}, ' ')"),
                2 => format!("(SELECT string_agg(u, '') FROM unnest({column}) u)"),
                _ => format!("{column}::text"),
            },
            _ => format!("{column}::text"),
        };
        if depth == 0 {
            return plain;
        }
        let other = self.text(depth - 1, scope);
        let alias = scope[self.below(scope.len())].0.clone();
        match self.below(36) {
            0 => format!("upper({other})"),
            1 => format!("{other} || {plain}"),
            2 => format!("CASE WHEN {plain} IS NULL THEN {other} ELSE {plain} END"),
            3 => format!("coalesce({other}, {plain})"),
            4 => format!("{alias}::text"),
            5 => format!("row_to_json({alias})::text"),
            6 => format!("to_jsonb({alias})::text"),
            7 => {
                let (query, columns) = self.computed(depth - 1, 1, scope);
                format!("(SELECT max(q.{0}) FROM ({query}) AS q)", columns[0].name)
            }
            8 => format!("(ARRAY[{other}, 'y'])[1]"),
            9 => format!("reverse({other})"),
            10 => format!("left({other}, 9)"),
            11 => format!("substr({other}, 2)"),
            12 => format!("substring({other} from '.*')"),
            13 => format!("replace({other}, 'a', 'b')"),
            14 => format!("concat({other}, 1, {plain})"),
            15 => format!("format('<%s>', {other})"),
            16 => format!("encode(convert_to({other}, 'UTF8'), 'hex')"),
            // Of anything else it would hold such letters by accident.
            17 if HOLD_VALUES.iter().any(|name| plain.ends_with(name)) => {
                format!("encode(convert_to({plain}, 'UTF8'), 'base64')")
            }
            18 => format!("to_json({other})::text"),
            19 => format!("jsonb_build_object('k', {other})::text"),
            20 => format!("({other}) COLLATE \"C\""),
            21 => format!("nullif({other}, '')"),
            22 => format!("greatest({other}, {plain})"),
            23 => format!("regexp_replace({other}, '^(.)', '\\1')"),
            24 => format!("overlay({other} placing '' from 1 for 0)"),
            25 => format!("first_of({other})"),
            26 => format!("lag({other}) OVER ()"),
            27 => format!("string_to_array({other}, '-')::text"),
            28 => format!("quote_literal({other})"),
            29 => format!("xmlforest({other} AS x)::text"),
            30 => format!("convert_from(convert_to({other}, 'UTF8'), 'UTF8')"),
            31 => format!("json_build_array({other}, {plain})::text"),
            32 => format!("lpad({other}, 30, '.')"),
            33 => format!("(convert_to({other}, 'UTF8'))::text"),
            34 => format!("({other})::varchar(50)::text"),
            _ => format!("lower({other}) || initcap({plain})"),
        }
    }
}

fn list(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}
