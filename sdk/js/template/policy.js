// {{name}}: lets only one group write.

import { block, opinion } from "./grille.js";
import { GROUP, problems, refusal } from "./rules.js";

// One instance serves one session; `configure` is the first call on each.
let group = GROUP;

export const lifecycle = {
  validate(settings) {
    return problems(JSON.parse(settings));
  },

  configure(text) {
    const settings = JSON.parse(text);
    const [problem] = problems(settings);
    if (problem) throw problem.message;
    group = settings.group ?? GROUP;
  },
};

export const sql = {
  judge(session, statement) {
    const message = refusal(statement.hasEffect("write"), session.hasGroup(group), group);
    return message === null ? opinion() : opinion(block("writers-only", "medium", message));
  },
};
