// node's pg against the gateway: the simple protocol without parameters, unnamed and named extended with them, text.
"use strict";

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");

const SSN = /\b\d{3}-\d{2}-\d{4}\b/;
const REFUSED = "DELETE FROM intake_drafts";
const HELD = "UPDATE intake_drafts SET state = 'all'";

function settings(account) {
  const password = process.env[account.toUpperCase()];
  const root = process.env.PGSSLROOTCERT;
  const ssl = root ? { ca: readFileSync(root), servername: "localhost" } : false;
  return { ssl, host: "127.0.0.1", port: Number(process.env.GRILLE_PORT), user: account, password, database: "clinic" };
}

async function connect(account) {
  const client = new Client(settings(account));
  await client.connect();
  return client;
}

async function refused(promise, code) {
  await assert.rejects(promise, (error) => error.code === code);
}

async function maskedColumns(analyst) {
  const text = "SELECT id, ssn, state, birth_date::text FROM patients WHERE id <= 5 ORDER BY id";
  const simple = await analyst.query(text);
  const unnamed = await analyst.query(text.replace("5", "$1"), [5]);
  const named = { name: "patients", text: text.replace("5", "$1"), values: [5] };
  const binary = await analyst.query({ text: text.replace("5", "$1"), values: [5], binary: true });
  for (const result of [simple, unnamed, await analyst.query(named), await analyst.query(named), binary]) {
    assert.equal(result.rows.length, 5);
    assert.ok(result.rows.every((row) => row.ssn === "[redacted]" && row.state.length === 2), result.rows[0]);
  }
  const several = await analyst.query("SELECT ssn FROM patients LIMIT 1; SELECT 7 AS seven");
  assert.deepEqual(several.map((result) => result.rows), [[{ ssn: "[redacted]" }], [{ seven: 7 }]]);
}

async function refusalInATransaction(analyst) {
  for (const values of [undefined, []]) {
    await analyst.query("BEGIN");
    await analyst.query("INSERT INTO intake_drafts VALUES ($1, 'desk', current_date, 'open')", [9001]);
    await refused(analyst.query({ text: REFUSED, values }), "42501");
    await refused(analyst.query("SELECT 1"), "25P02");
    await analyst.query("ROLLBACK");
    const { rows } = await analyst.query("SELECT count(*)::int AS drafts FROM intake_drafts");
    assert.deepEqual(rows, [{ drafts: 300 }]);
  }
  await refused(analyst.query({ name: "refused", text: `${REFUSED} WHERE $1`, values: [true] }), "42501");
}

// pg sends the next query when the last one is answered; queued ones must each get their own answer.
async function queueWithAnErrorInItsMiddle(analyst) {
  const queued = [1, 0, 2, 0, 3].map((number) => analyst.query("SELECT 6 / $1::int AS share", [number]));
  const settled = await Promise.allSettled(queued);
  assert.deepEqual(settled.map((one) => one.value?.rows[0].share ?? one.reason.code), [6, "22012", 3, "22012", 2]);
}

async function cursors(analyst) {
  const cursor = analyst.query(new Cursor("SELECT id, ssn FROM patients WHERE id > $1 ORDER BY id", ["100"]));
  for (const expected of ["101", "351", "601"]) {
    const rows = await cursor.read(250);
    assert.equal(rows.length, 250);
    assert.equal(rows[0].id, expected);
    assert.ok(rows.every((row) => row.ssn === "[redacted]"));
  }
  await cursor.close();
}

async function holdThenCancel(analyst) {
  const noticed = new Promise((heard) => analyst.once("notice", heard));
  const held = analyst.query(HELD);
  await noticed;
  const canceller = new Client(settings("analyst"));
  canceller.cancel(analyst, analyst._activeQuery ?? analyst.activeQuery);
  await refused(held, "57014");
  assert.equal((await analyst.query("SELECT 1 AS one")).rows[0].one, 1);
}

async function pool() {
  const pool = new Pool({ ...settings("analyst"), max: 4 });
  const numbers = Array.from({ length: 40 }, (_, index) => index + 1);
  const asked = numbers.map((id) => pool.query({ name: "one", text: "SELECT ssn FROM patients WHERE id = $1", values: [id] }));
  assert.ok((await Promise.all(asked)).every((result) => result.rows[0].ssn === "[redacted]"));
  await pool.end();
}

async function tour() {
  const analyst = await connect("analyst");
  const dba = await connect("dba");
  await maskedColumns(analyst);
  await refusalInATransaction(analyst);
  await queueWithAnErrorInItsMiddle(analyst);
  await cursors(analyst);
  await holdThenCancel(analyst);
  await pool();
  assert.match((await dba.query("SELECT ssn FROM patients WHERE id = $1", [1])).rows[0].ssn, SSN);
  await analyst.end();
  await dba.end();
  await refused(new Client({ ...settings("analyst"), password: "not-a-token" }).connect(), "28P01");
  console.log("all of it holds");
}

tour().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
