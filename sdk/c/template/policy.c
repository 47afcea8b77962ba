// {{name}}: lets only one group write.
#include "grille_sdk.h"
#include "rules.h"

// One instance serves one session; `configure` is the first call on each.
static char group[256] = "writers";

// Reads the settings; answers the new group, if there is one, in `found`.
static void read_settings(grille_string_t settings, grille_problems_t *problems, char found[sizeof group]) {
  grille_setting_t setting;
  size_t at = 0;
  while (grille_next_setting(settings, &at, &setting)) {
    if (!grille_is(setting.key, "group")) {
      grille_problem(problems, setting.key, "is unknown; there is `group`");
    } else if (!setting.is_text || setting.value.len == 0 || setting.value.len >= sizeof group) {
      grille_problem(problems, setting.key, "must be the name of a group");
    } else {
      memcpy(found, setting.value.ptr, setting.value.len);
      found[setting.value.len] = '\0';
    }
    grille_string_free(&setting.key);
    grille_string_free(&setting.value);
  }
}

void exports_grille_policy_lifecycle_validate(grille_string_t *settings, grille_problems_t *ret) {
  char found[sizeof group];
  *ret = (grille_problems_t){0};
  read_settings(*settings, ret, found);
  grille_string_free(settings);
}

bool exports_grille_policy_lifecycle_configure(grille_string_t *settings, grille_string_t *err) {
  grille_problems_t problems = {0};
  read_settings(*settings, &problems, group);
  grille_string_free(settings);
  if (problems.len == 0) return true;
  grille_string_dup_n(err, (const char *)problems.ptr[0].message.ptr, problems.ptr[0].message.len);
  exports_grille_policy_lifecycle_list_problem_free(&problems);
  return false;
}

void exports_grille_policy_sql_judge(grille_session_t session, grille_policy_sql_data_borrow_statement_t statement,
                                     grille_opinion_t *ret) {
  // All zero: allow, and nothing noticed.
  *ret = (grille_opinion_t){0};
  bool writes = grille_policy_sql_data_method_statement_has_effect(statement, GRILLE("write"));
  grille_string_t name = {(uint8_t *)group, strlen(group)};
  if (!is_refused(writes, grille_policy_context_method_session_has_group(session, &name))) return;
  grille_text_t message = {0};
  grille_add(&message, "only ");
  grille_add(&message, group);
  grille_add(&message, " may write here; ask for the group");
  ret->verdict = grille_block_owned("writers-only", GRILLE_MEDIUM, grille_end(&message));
}
