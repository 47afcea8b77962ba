// Short ways to say the common answers. A plugin carries its own copy of this file.

export const ALLOW = { tag: "allow" };
export const KEEP = { tag: "keep" };
export const TRANSFORM = { tag: "transform" };

// Something noticed: `finding("what", "low", "a sentence", { count: 2 })`.
export function finding(rule, severity, message, facts = {}) {
  const attributes = Object.entries(facts).map(([name, value]) => [name, String(value)]);
  return { rule, severity, message, attributes };
}

// A verdict: refuse; the caller reads the message.
export function block(rule, severity, message) {
  return { tag: "block", val: finding(rule, severity, message) };
}

// A verdict: people decide. A quorum is `{ groups, people }`; without any, one reviewer.
export function review(reason, { quorums = [], holdMs = null, holdInTransaction = false } = {}) {
  return { tag: "review", val: { quorums, holdMs, holdInTransaction, reason } };
}

// What `session` and `sql` answer. A plan needs `treatments` besides: `{ ...opinion(ALLOW), treatments: [] }`.
export function opinion(verdict = ALLOW, ...findings) {
  return { verdict, findings };
}

// A treatment: `mask("token", { class: "ssn" })`.
export function mask(name, parameters = {}) {
  const pairs = Object.entries(parameters).map(([parameter, value]) => [parameter, String(value)]);
  return { tag: "mask", val: { name, parameters: pairs } };
}

// The columns behind a handle, in order.
export function* every(columns, atOnce = 256) {
  for (let start = 0; start < columns.len(); start += atOnce) yield* columns.range(start, atOnce);
}

// The answer of a call that may fail, or the error's name as the contract writes it: `not-granted`.
export function said(ask) {
  try {
    return String(ask());
  } catch (error) {
    const name = error?.payload?.tag ?? error?.tag;
    if (name === undefined) throw error;
    return name;
  }
}

// Bytes as text, for QuickJS has no TextDecoder. What is no UTF-8 becomes U+FFFD.
export function utf8(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at++];
    if (lead < 0x80) {
      text += String.fromCharCode(lead);
      continue;
    }
    const more = lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xf0 && lead < 0xf5 ? 3 : 0;
    // The first continuation byte is narrower where overlong forms, surrogates or too big numbers would begin.
    let least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    let most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    let point = lead & (0x3f >> more);
    let left = more;
    while (left > 0 && bytes[at] >= least && bytes[at] <= most) {
      point = (point << 6) | (bytes[at++] & 0x3f);
      [least, most, left] = [0x80, 0xbf, left - 1];
    }
    text += more > 0 && left === 0 ? String.fromCodePoint(point) : "\ufffd";
  }
  return text;
}
