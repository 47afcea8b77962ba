// What the policy thinks, over plain data: rules.test.js runs it without a gateway.

export const GROUP = "writers";

// What is wrong with the settings.
export function problems(settings) {
  const found = [];
  for (const [key, value] of Object.entries(settings)) {
    if (key !== "group") found.push({ pointer: `/${key}`, message: "is unknown; there is `group`" });
    else if (typeof value !== "string" || value === "") {
      found.push({ pointer: "/group", message: "must be the name of a group" });
    }
  }
  return found;
}

// Why not, if so; else null.
export function refusal(writes, isWriter, group) {
  return writes && !isWriter ? `only ${group} may write here; ask for the group` : null;
}
