// `hello` in C: every hook, every method of every handle and every import, once. What the handles say is in facts.c.
#include "hello.h"

static const char DEFAULT_GREETING[] = "hello";
static grille_string_t greeting = {(uint8_t *)DEFAULT_GREETING, sizeof DEFAULT_GREETING - 1};

// The greeting, and what follows it.
static grille_string_t greet(const char *more) {
  grille_text_t text = {0};
  grille_add_string(&text, greeting);
  grille_add(&text, more);
  return grille_end(&text);
}

// ---- lifecycle ---------------------------------------------------------------------------------------------------

static int by_pointer(const void *one, const void *two) {
  const exports_grille_policy_lifecycle_problem_t *a = one, *b = two;
  size_t shorter = a->pointer.len < b->pointer.len ? a->pointer.len : b->pointer.len;
  int order = memcmp(a->pointer.ptr, b->pointer.ptr, shorter);
  return order != 0 ? order : (a->pointer.len > b->pointer.len) - (a->pointer.len < b->pointer.len);
}

// What is wrong, and the greeting if there is one.
static void read_settings(grille_string_t *settings, grille_problems_t *problems, grille_string_t *found) {
  grille_setting_t setting;
  size_t at = 0;
  while (grille_next_setting(*settings, &at, &setting)) {
    bool is_greeting = grille_is(setting.key, "greeting");
    if (!is_greeting) grille_problem(problems, setting.key, "is unknown");
    else if (!setting.is_text) grille_problem(problems, setting.key, "must be a text");
    if (is_greeting && setting.is_text) *found = setting.value;
    else grille_string_free(&setting.value);
    grille_string_free(&setting.key);
  }
  if (problems->len > 1) qsort(problems->ptr, problems->len, sizeof *problems->ptr, by_pointer);
}

void exports_grille_policy_lifecycle_validate(grille_string_t *settings, grille_problems_t *ret) {
  grille_string_t found = {0};
  *ret = (grille_problems_t){0};
  read_settings(settings, ret, &found);
  grille_string_free(&found);
  grille_string_free(settings);
}

bool exports_grille_policy_lifecycle_configure(grille_string_t *settings, grille_string_t *err) {
  grille_string_t found = {.ptr = NULL, .len = SIZE_MAX};
  grille_problems_t problems = {0};
  read_settings(settings, &problems, &found);
  grille_string_free(settings);
  if (problems.len > 0) {
    grille_string_dup_n(err, (const char *)problems.ptr[0].message.ptr, problems.ptr[0].message.len);
    exports_grille_policy_lifecycle_list_problem_free(&problems);
    return false;
  }
  if (found.len != SIZE_MAX) greeting = found;
  return true;
}

// ---- session and sql ---------------------------------------------------------------------------------------------

void exports_grille_policy_session_open(grille_session_t session, grille_opinion_t *ret) {
  *ret = (grille_opinion_t){0};
  grille_string_t line = greet(": a session opens");
  grille_policy_log_write(GRILLE_POLICY_LOG_LEVEL_INFO, &line);
  grille_string_free(&line);
  if (SESSION(has_group)(session, GRILLE("strangers"))) {
    ret->verdict = grille_block_owned("stranger", GRILLE_HIGH, greet(", stranger"));
    return;
  }
  grille_text_t message = {0};
  grille_string_t name;
  SESSION(display_name)(session, &name);
  grille_add_string(&message, greeting);
  grille_add(&message, ", ");
  grille_add_string(&message, name);
  grille_string_free(&name);
  grille_finding_t who = grille_finding_owned("who", GRILLE_INFO, grille_end(&message));
  session_facts(session, &who);
  *grille_push(&ret->findings) = who;
}

void exports_grille_policy_sql_judge(grille_session_t session, statement_t statement, grille_opinion_t *ret) {
  (void)session;
  *ret = (grille_opinion_t){0};
  if (STATEMENT(has_kind)(statement, GRILLE("DROP TABLE"))) {
    ret->verdict = grille_block_owned("drop", GRILLE_CRITICAL, greet(", no"));
    return;
  }
  if (STATEMENT(has_effect)(statement, GRILLE("write"))) {
    ret->verdict = grille_review_owned(greet(", look at this"));
    grille_policy_types_terms_t *terms = &ret->verdict.val.review;
    grille_policy_types_quorum_t *quorum = grille_push(&terms->quorums);
    *grille_push(&quorum->groups) = grille_copy("reviewers");
    quorum->people = 2;
    terms->hold_ms = (grille_option_u32_t){.is_some = true, .val = 1000};
    terms->hold_in_transaction = true;
    return;
  }
  grille_string_t text;
  STATEMENT(text)(statement, &text);
  bool asks = grille_contains(text, "imports");
  grille_finding_t what = grille_finding_owned("what", GRILLE_LOW, text);
  statement_facts(statement, &what);
  *grille_push(&ret->findings) = what;
  if (asks) {
    grille_finding_t imports = grille_finding_owned("imports", GRILLE_MEDIUM, grille_copy("imports"));
    import_facts(&imports);
    *grille_push(&ret->findings) = imports;
  }
}

// ---- sql-columns and sql-result ----------------------------------------------------------------------------------

static const uint32_t AT_ONCE = 100;

static grille_treatment_t column_treatment(const grille_policy_sql_data_base_column_t *column) {
  if (grille_is(column->column, "ssn")) return grille_mask_with("token", "class", "ssn");
  if (grille_is(column->type_name, "date")) return grille_mask("year");
  if (grille_contains(column->comment, "secret")) return grille_mask("null");
  if (column->key == GRILLE_POLICY_SQL_DATA_KEY_KIND_FOREIGN) return grille_mask("redact");
  return (grille_treatment_t){.tag = GRILLE_POLICY_TYPES_TREATMENT_KEEP};
}

void exports_grille_policy_sql_columns_classify(grille_session_t session, columns_t columns, treatments_t *ret) {
  (void)session;
  *ret = (treatments_t){0};
  uint32_t all = grille_policy_sql_data_method_columns_len(columns);
  for (uint32_t start = 0; start < all; start += AT_ONCE) {
    grille_policy_sql_data_list_base_column_t some;
    grille_policy_sql_data_method_columns_range(columns, start, AT_ONCE, &some);
    for (size_t at = 0; at < some.len; at++) *grille_push(ret) = column_treatment(&some.ptr[at]);
    grille_policy_sql_data_list_base_column_free(&some);
  }
}

static grille_treatment_t result_treatment(const result_column_t *column) {
  if (grille_is(column->name, "shout")) return (grille_treatment_t){.tag = GRILLE_POLICY_TYPES_TREATMENT_TRANSFORM};
  if (column->certainty == GRILLE_POLICY_SQL_DATA_CERTAINTY_DERIVED) return grille_mask("redact");
  return (grille_treatment_t){.tag = GRILLE_POLICY_TYPES_TREATMENT_KEEP};
}

void exports_grille_policy_sql_result_plan(grille_session_t session, shape_t shape,
                                           exports_grille_policy_sql_result_result_plan_t *ret) {
  (void)session;
  *ret = (exports_grille_policy_sql_result_result_plan_t){0};
  uint32_t all = grille_policy_sql_data_method_result_shape_len(shape);
  grille_text_t described = {0}, message = {0};
  bool is_opaque = false;
  for (uint32_t start = 0; start < all; start += AT_ONCE) {
    grille_policy_sql_data_list_result_column_t some;
    grille_policy_sql_data_method_result_shape_range(shape, start, AT_ONCE, &some);
    for (size_t at = 0; at < some.len; at++) {
      if (described.len > 0) grille_add(&described, ",");
      describe_column(&some.ptr[at], &described);
      is_opaque |= some.ptr[at].certainty == GRILLE_POLICY_SQL_DATA_CERTAINTY_UNKNOWN;
      *grille_push(&ret->treatments) = result_treatment(&some.ptr[at]);
    }
    grille_policy_sql_data_list_result_column_free(&some);
  }
  if (is_opaque) ret->verdict = grille_block_owned("opaque", GRILLE_HIGH, greet(", unclear"));
  grille_add_number(&message, all);
  grille_add(&message, " columns");
  grille_finding_t shown = grille_finding_owned("shape", GRILLE_INFO, grille_end(&message));
  grille_attribute_owned(&shown, "columns", grille_end(&described));
  *grille_push(&ret->findings) = shown;
}

// ---- http-request and http-response ------------------------------------------------------------------------------

void exports_grille_policy_http_request_judge(grille_session_t session, exchange_t exchange, exchange_plan_t *ret) {
  (void)session;
  *ret = (exchange_plan_t){0};
  grille_string_t path, method;
  EXCHANGE(path)(exchange, &path);
  EXCHANGE(method)(exchange, &method);
  if (grille_begins(path, "/secret")) ret->verdict = grille_block_owned("secret", GRILLE_HIGH, greet(", no"));
  grille_text_t message = {0};
  grille_add_string(&message, method);
  grille_add(&message, " ");
  grille_add_string(&message, path);
  grille_string_free(&path);
  grille_string_free(&method);
  grille_finding_t request = grille_finding_owned("request", GRILLE_INFO, grille_end(&message));
  request_facts(exchange, &request);
  *grille_push(&ret->findings) = request;
  *grille_push(&ret->treatments) =
      (grille_policy_http_data_place_treatment_t){grille_copy("/name"), grille_mask("redact")};
}

void exports_grille_policy_http_response_judge(grille_session_t session, exchange_t exchange, exchange_plan_t *ret) {
  (void)session;
  *ret = (exchange_plan_t){0};
  uint16_t status = 0;
  EXCHANGE(status)(exchange, &status);
  if (status >= 500) ret->verdict = grille_block_owned("broken", GRILLE_MEDIUM, greet(", broken"));
  grille_text_t message = {0};
  grille_add_number(&message, status);
  grille_finding_t response = grille_finding_owned("response", GRILLE_INFO, grille_end(&message));
  response_facts(exchange, &response);
  *grille_push(&ret->findings) = response;
  *grille_push(&ret->treatments) = (grille_policy_http_data_place_treatment_t){
      grille_copy("/entry/*/name"), {.tag = GRILLE_POLICY_TYPES_TREATMENT_TRANSFORM}};
}

// ---- sql-values and http-values ----------------------------------------------------------------------------------

// What came is on the heap already and may go back as it is.
static void in_capitals(grille_batch_t *values, grille_batch_t *ret) {
  for (size_t at = 0; at < values->blob.len; at++) {
    uint8_t byte = values->blob.ptr[at];
    if (byte >= 'a' && byte <= 'z') values->blob.ptr[at] = (uint8_t)(byte - 'a' + 'A');
  }
  *ret = *values;
}

void exports_grille_policy_sql_values_transform(grille_session_t session, shape_t shape, uint32_t column,
                                                grille_batch_t *values, grille_batch_t *ret) {
  (void)session, (void)shape, (void)column;
  in_capitals(values, ret);
}

void exports_grille_policy_http_values_transform(grille_session_t session, exchange_t exchange, grille_string_t *place,
                                                 grille_batch_t *values, grille_batch_t *ret) {
  (void)session, (void)exchange;
  grille_string_free(place);
  in_capitals(values, ret);
}
