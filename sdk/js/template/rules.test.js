import assert from "node:assert/strict";
import { test } from "node:test";

import { problems, refusal } from "./rules.js";

test("only writers write", () => {
  assert.equal(refusal(false, false, "writers"), null);
  assert.equal(refusal(true, true, "writers"), null);
  assert.equal(refusal(true, false, "writers"), "only writers may write here; ask for the group");
});

test("wrong settings are named", () => {
  assert.deepEqual(problems({ group: "dba" }), []);
  assert.deepEqual(problems({ group: "", a: 1 }).map(({ pointer }) => pointer), ["/group", "/a"]);
});
