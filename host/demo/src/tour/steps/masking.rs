use anyhow::{Context, Result, ensure};

use crate::config::LATE_COLUMN;
use crate::tour::psql::Said;
use crate::tour::scene::{Scene, Script};
use crate::tour::tap::readable;
use crate::tour::{Need, Step};

/// What must come back to the analyst. In each case no clear value may be among the bytes.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// So many rows.
    Rows(usize),
    /// The server's own error with this SQLSTATE, without its values.
    Error(&'static str),
}

/// One way to get at the same columns.
struct Way {
    id: &'static str,
    shows: &'static str,
    text: &'static str,
    answer: Answer,
}

const WAYS: [Way; 12] = [
    Way {
        id: "alias",
        shows: "another name for the column changes nothing",
        text: "SELECT ssn AS x, last_name AS y FROM patients ORDER BY id LIMIT 5",
        answer: Answer::Rows(5),
    },
    Way {
        id: "subselect",
        shows: "nor does a subselect",
        text: "SELECT * FROM (SELECT id, first_name, ssn, phone FROM patients) AS s ORDER BY id LIMIT 5",
        answer: Answer::Rows(5),
    },
    Way {
        id: "function-call",
        shows: "nor a function over it",
        text: "SELECT id, upper(ssn), left(last_name, 6) FROM patients ORDER BY id LIMIT 5",
        answer: Answer::Rows(5),
    },
    Way {
        id: "concatenation",
        shows: "nor an expression with it",
        text: "SELECT id, ssn || '', first_name || ' ' || last_name FROM patients ORDER BY id LIMIT 5",
        answer: Answer::Rows(5),
    },
    Way {
        id: "whole-row",
        shows: "nor the whole row as JSON",
        text: "SELECT p.id, row_to_json(p) FROM patients AS p ORDER BY p.id LIMIT 5",
        answer: Answer::Rows(5),
    },
    Way {
        id: "union",
        shows: "nor a union that mixes it with other texts",
        text: "SELECT icd10 AS t FROM encounters WHERE id <= 3 UNION ALL SELECT ssn FROM patients WHERE id <= 3",
        answer: Answer::Rows(6),
    },
    Way {
        id: "view",
        shows: "a view is followed to the columns beneath it",
        text: "SELECT * FROM patient_overview ORDER BY id LIMIT 5",
        answer: Answer::Rows(5),
    },
    Way {
        id: "set-function",
        shows: "so is a function that returns rows",
        text: "SELECT * FROM patients_by_city('Bellhaven') ORDER BY id LIMIT 5",
        answer: Answer::Rows(5),
    },
    Way {
        id: "copy",
        shows: "COPY to the caller is masked as well",
        text: "COPY (SELECT id, ssn, birth_date, street FROM patients ORDER BY id LIMIT 5) TO STDOUT",
        answer: Answer::Rows(5),
    },
    Way {
        id: "cursor",
        shows: "and so is what a cursor fetches",
        text: "BEGIN; DECLARE c CURSOR FOR SELECT id, ssn, email FROM patients ORDER BY id; FETCH 5 FROM c; COMMIT",
        answer: Answer::Rows(5),
    },
    Way {
        id: "error-text",
        shows: "an error keeps its code and loses the value it would quote",
        text: "SELECT ssn::int FROM patients ORDER BY id LIMIT 5",
        answer: Answer::Error("22P02"),
    },
    Way {
        id: "error-detail",
        shows: "also where the server would quote the whole row",
        text: "UPDATE patients SET status = NULL WHERE id = 1",
        answer: Answer::Error("23502"),
    },
];

pub(super) fn steps() -> Vec<Step> {
    let mut steps = vec![Step {
        id: "masked-select",
        shows: "an analyst sees every patient, nobody's identity; types and row counts stay",
        needs: &[Need::Phi, Need::Passage],
        act: Box::new(masked_select),
    }];
    steps.extend(WAYS.iter().map(|way| Step {
        id: way.id,
        shows: way.shows,
        needs: &[Need::Phi, Need::Passage],
        act: Box::new(|scene, script| go(way, scene, script)),
    }));
    steps.push(Step {
        id: "notes",
        shows: "free text keeps its sense and loses numbers, dates and addresses of people",
        needs: &[Need::Phi, Need::Passage],
        act: Box::new(notes),
    });
    steps.push(Step {
        id: "late-table",
        shows: "a table made a moment ago: its column is listed in settings.columns",
        needs: &[Need::Phi, Need::Passage],
        act: Box::new(late_table),
    });
    steps.push(Step {
        id: "dba-clear",
        shows: "a database administrator, whom no policy binds, sees clear values",
        needs: &[],
        act: Box::new(dba_clear),
    });
    steps
}

fn masked_select(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let text = "SELECT * FROM patients ORDER BY id";
    let said = scene.ask("analyst", text, script)?;
    let truth = scene.truth(text)?;
    let (rows, true_rows): (Vec<_>, Vec<_>) = (said.stdout.lines().collect(), truth.lines().collect());
    ensure!(rows.len() == true_rows.len(), "{} rows arrived of {}", rows.len(), true_rows.len());
    for (row, true_row) in rows.iter().zip(&true_rows).take(200) {
        let (cells, true_cells): (Vec<_>, Vec<_>) = (row.split('|').collect(), true_row.split('|').collect());
        ensure!(cells.first() == true_cells.first(), "the key of a row changed: {row}");
        ensure!(cells.len() == true_cells.len(), "a row has {} columns of {}", cells.len(), true_cells.len());
        let birth = cells.get(4).copied().unwrap_or_default();
        ensure!(birth.is_empty() || birth.ends_with("-01-01"), "a birth date arrives as `{birth}`");
    }
    scene.clear.none_at(&said)?;

    let described = format!("{text} \\gdesc");
    let types = scene.psql("analyst")?.open()?.ask(&described)?.stdout;
    let mut direct = scene.world.cluster.psql(crate::clinic::DATABASE);
    let output = feed(direct.args(["-f", "-"]), &format!("{described}\n"))?;
    ensure!(!types.is_empty() && types == output, "the types differ: {types} instead of {output}");
    script.note(format!("{} rows; the {} types are those of the table", rows.len(), types.lines().count()));
    Ok(())
}

fn go(way: &Way, scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let said = scene.ask("analyst", way.text, script)?;
    scene.clear.none_at(&said)?;
    match way.answer {
        Answer::Rows(count) => arrived(&said, count),
        Answer::Error(code) => {
            ensure!(
                said.stderr.contains(&format!("ERROR:  {code}: ")),
                "not the error of the server: {}",
                said.stderr.trim()
            );
            ensure!(said.stdout.trim().is_empty(), "rows arrived: {}", said.stdout.trim());
            Ok(())
        }
    }
}

fn arrived(said: &Said, count: usize) -> Result<()> {
    let rows = said.stdout.lines().count();
    ensure!(said.success && rows == count, "{rows} rows arrived instead of {count}: {}", said.stderr.trim());
    Ok(())
}

fn notes(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let said = scene.ask("analyst", "SELECT id, body FROM clinical_notes ORDER BY id LIMIT 400", script)?;
    ensure!(said.success, "no notes arrived: {}", said.stderr.trim());
    ensure!(said.stdout.contains("for") && said.stdout.contains("mg"), "the notes lost their sense");
    scene.clear.no_number_at(&said)
}

fn late_table(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let table = LATE_COLUMN.rsplit_once('.').map(|(table, _)| table).context("the column has a table")?;
    let make = format!("CREATE TABLE {table} (id integer PRIMARY KEY, label text)");
    let made = scene.ask("dba", &make, script)?;
    ensure!(made.success, "the table was not made: {}", made.stderr.trim());
    let fill = format!("INSERT INTO {table} SELECT id::integer, last_name || ' ' || ssn FROM patients WHERE id <= 5");
    let filled = scene.ask("dba", &fill, script)?;
    ensure!(filled.success, "the table was not filled: {}", filled.stderr.trim());
    let said = scene.ask("analyst", &format!("SELECT * FROM {table} ORDER BY id"), script)?;
    scene.clear.none_at(&said)?;
    arrived(&said, 5)
}

fn dba_clear(scene: &Scene<'_>, script: &mut Script) -> Result<()> {
    let text = "SELECT id, first_name, last_name, ssn, birth_date FROM patients ORDER BY id LIMIT 5";
    let said = scene.ask("dba", text, script)?;
    ensure!(said.stdout.trim_end() == scene.truth(text)?, "the rows differ from the table's");
    let found = scene.clear.found_in(&readable(&said.wire));
    // This is also the proof that the search for clear values finds them.
    ensure!(found.len() >= 15, "only {} clear values arrived", found.len());
    Ok(())
}

fn feed(command: &mut std::process::Command, text: &str) -> Result<String> {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("run psql")?;
    child.stdin.take().context("psql has no stdin")?.write_all(text.as_bytes()).context("write to psql")?;
    let output = child.wait_with_output().context("wait for psql")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
