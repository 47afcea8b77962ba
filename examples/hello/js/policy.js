// `hello` in JavaScript: every hook, every method of every handle and every import, once.

import clock from "grille:policy/clock@0.1.0";
import counters from "grille:policy/counters@0.1.0";
import detect from "grille:policy/detect@0.1.0";
import kv from "grille:policy/kv@0.1.0";
import log from "grille:policy/log@0.1.0";
import lookup from "grille:policy/lookup@0.1.0";

import { ALLOW, KEEP, TRANSFORM, block, every, finding, mask, opinion, review, said, utf8 } from "./grille.js";

const AT_ONCE = 100;

let greeting = "hello";

export const lifecycle = {
  validate(settings) {
    return problems(JSON.parse(settings));
  },

  configure(text) {
    const settings = JSON.parse(text);
    const [problem] = problems(settings);
    if (problem) throw problem.message;
    greeting = settings.greeting ?? greeting;
  },
};

function problems(settings) {
  return Object.keys(settings)
    .sort()
    .filter((key) => key !== "greeting" || typeof settings[key] !== "string")
    .map((key) => ({
      pointer: "/" + key.replaceAll("~", "~0").replaceAll("/", "~1"),
      message: key === "greeting" ? "must be a text" : "is unknown",
    }));
}

export const session = {
  open(session) {
    log.write("info", `${greeting}: a session opens`);
    if (session.hasGroup("strangers")) return opinion(block("stranger", "high", `${greeting}, stranger`));
    const who = finding("who", "info", `${greeting}, ${session.displayName()}`, {
      id: session.id(),
      target: session.target(),
      protocol: session.protocol(),
      roles: session.roles().join(","),
      "has-role": session.hasRole("analyst"),
      listener: session.listener(),
      peer: session.peer(),
      client: session.client(),
      tls: session.tls() ?? "none",
      issuer: session.issuer(),
      subject: session.subject(),
      groups: session.groups().join(","),
      actors: session.actors().map((actor) => `${actor.issuer} ${actor.subject}`).join(","),
      "expires-at": session.expiresAt(),
      claims: session.claims(),
    });
    return opinion(ALLOW, who);
  },
};

export const sql = {
  judge(session, statement) {
    if (statement.hasKind("DROP TABLE")) return opinion(block("drop", "critical", `${greeting}, no`));
    if (statement.hasEffect("write")) {
      const quorums = [{ groups: ["reviewers"], people: 2 }];
      return opinion(review(`${greeting}, look at this`, { quorums, holdMs: 1000, holdInTransaction: true }));
    }
    const text = statement.text();
    const findings = [finding("what", "low", text, statementFacts(statement))];
    if (text.includes("imports")) findings.push(finding("imports", "medium", "imports", imports()));
    return opinion(ALLOW, ...findings);
  },
};

function statementFacts(statement) {
  const parameter = statement.parameter(0);
  const value = parameter?.value ? utf8(parameter.value) : "NULL";
  const list = (items, text, by = ",") => items.map(text).join(by);
  return {
    fingerprint: statement.fingerprint(),
    count: statement.statementCount(),
    kinds: statement.kinds().join(","),
    effects: statement.effects().join(","),
    relations: list(statement.relations(), (used) => `${used.schema}.${used.name}:${used.isWritten ? "w" : "r"}`),
    columns: list(statement.columns(), (used) => `${fullName(used.column)}:${used.usage}`),
    functions: list(statement.functions(), (used) => `${used.name}:${used.isKnown ? "known" : "unknown"}`),
    writes: list(statement.writes(), (write) => `${write.kind} ${write.schema}.${write.table} ${write.filter}`),
    unknown: statement.unknown().join(";"),
    parameters: statement.parameterCount(),
    first: parameter ? `${parameter.typeOid}:${parameter.isBinary ? "binary" : "text"}:${value}` : "none",
    transaction: statement.transaction(),
  };
}

function imports() {
  const text = (found) => (found ? utf8(found) : "none");
  const hits = (found) => found.map((hit) => `${hit.kind}:${hit.start}-${hit.end}`).join(",");
  return {
    clock: said(() => clock.nowMs() && "ok"),
    add: said(() => counters.add("n", 2, 60000)),
    take: said(() => counters.take("b", 1, 1, 1)),
    set: said(() => kv.set("k", new Uint8Array([0x76]), null) ?? "ok"),
    get: said(() => text(kv.get("k"))),
    delete: said(() => kv.delete("k") ?? "ok"),
    lookup: said(() => text(lookup.fetch("directory", "key"))),
    detect: said(() => hits(detect.scan(["SSN 123-45-6789"]))),
  };
}

export const sqlColumns = {
  classify(session, columns) {
    return [...every(columns, AT_ONCE)].map((column) => {
      if (column.column === "ssn") return mask("token", { class: "ssn" });
      if (column.typeName === "date") return mask("year");
      if (column.comment.includes("secret")) return mask("null");
      return column.key === "foreign" ? mask("redact") : KEEP;
    });
  },
};

export const sqlResult = {
  plan(session, shape) {
    const columns = [...every(shape, AT_ONCE)];
    const isOpaque = columns.some((column) => column.certainty === "unknown");
    const verdict = isOpaque ? block("opaque", "high", `${greeting}, unclear`) : ALLOW;
    const described = columns.map((column) => {
      const origins = column.origins.map(fullName).join("+");
      return `${column.name}:${column.typeOid}:${column.typeName}:${origins}:${column.certainty}`;
    });
    const treatments = columns.map((column) => {
      if (column.name === "shout") return TRANSFORM;
      return column.certainty === "derived" ? mask("redact") : KEEP;
    });
    const found = finding("shape", "info", `${columns.length} columns`, { columns: described.join(",") });
    return { verdict, findings: [found], treatments };
  },
};

export const sqlValues = {
  transform(session, shape, column, values) {
    return inCapitals(values);
  },
};

export const httpRequest = {
  judge(session, exchange) {
    const path = exchange.path();
    const verdict = path.startsWith("/secret") ? block("secret", "high", `${greeting}, no`) : ALLOW;
    const accept = exchange.requestHeader("accept");
    const request = finding("request", "info", `${exchange.method()} ${path}`, {
      authority: exchange.authority(),
      query: exchange.query().map(([name, value]) => `${name}=${value}`).join("&"),
      q: exchange.queryValue("q") ?? "none",
      endpoint: exchange.endpoint() ?? "none",
      headers: headers(exchange.requestHeaders()),
      accept: accept ? utf8(accept) : "none",
      body: said(() => utf8(exchange.requestBody(1024))),
      status: exchange.status() ?? "none",
    });
    return { ...opinion(verdict, request), treatments: [{ place: "/name", treatment: mask("redact") }] };
  },
};

export const httpResponse = {
  judge(session, exchange) {
    const status = exchange.status() ?? 0;
    const verdict = status >= 500 ? block("broken", "medium", `${greeting}, broken`) : ALLOW;
    const type = exchange.responseHeader("content-type");
    const response = finding("response", "info", String(status), {
      headers: headers(exchange.responseHeaders()),
      type: type ? utf8(type) : "none",
      body: said(() => utf8(exchange.responseBody(1024))),
    });
    return { ...opinion(verdict, response), treatments: [{ place: "/entry/*/name", treatment: TRANSFORM }] };
  },
};

export const httpValues = {
  transform(session, exchange, place, values) {
    return inCapitals(values);
  },
};

function inCapitals(values) {
  return { ...values, blob: values.blob.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte)) };
}

function headers(fields) {
  return fields.map((field) => `${field.name}=${utf8(field.value)}`).join(";");
}

function fullName(column) {
  return `${column.schema}.${column.table}.${column.column}`;
}
