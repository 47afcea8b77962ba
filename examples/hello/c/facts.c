#include "hello.h"

// Names as the contract writes them, in its order.
static const char *const FILTERS[] = {"absent", "all-rows", "effective"};
static const char *const TRANSACTIONS[] = {"idle", "open", "failed"};
static const char *const CERTAINTIES[] = {"exact", "derived", "unknown"};
static const char *const BODY_ERRORS[] = {"too-large", "not-buffered", "gone"};
static const char *const CLOCK_ERRORS[] = {"not-granted"};
static const char *const COUNTER_ERRORS[] = {"not-granted", "over-quota", "too-large"};
static const char *const KV_ERRORS[] = {"not-granted", "over-quota", "too-large"};
static const char *const LOOKUP_ERRORS[] = {"not-granted", "over-quota", "too-large", "timeout", "unavailable"};
static const char *const DETECT_ERRORS[] = {"too-large", "too-many"};

// ---- Attributes of one kind --------------------------------------------------------------------------------------

static void say(grille_finding_t *finding, const char *name, const char *value) {
  grille_attribute_owned(finding, name, grille_copy(value));
}

static void say_number(grille_finding_t *finding, const char *name, uint64_t value) {
  grille_text_t text = {0};
  grille_add_number(&text, value);
  grille_attribute_owned(finding, name, grille_end(&text));
}

static void say_flag(grille_finding_t *finding, const char *name, bool value) {
  say(finding, name, value ? "true" : "false");
}

static void say_option(grille_finding_t *finding, const char *name, bool is_some, grille_string_t value) {
  grille_attribute_owned(finding, name, is_some ? value : grille_copy("none"));
}

// Takes the bytes.
static void say_bytes(grille_finding_t *finding, const char *name, grille_list_u8_t bytes) {
  grille_text_t text = {0};
  grille_add_bytes(&text, bytes.ptr, bytes.len);
  grille_list_u8_free(&bytes);
  grille_attribute_owned(finding, name, grille_end(&text));
}

static void say_option_bytes(grille_finding_t *finding, const char *name, bool is_some, grille_list_u8_t bytes) {
  if (is_some) say_bytes(finding, name, bytes);
  else say(finding, name, "none");
}

// Takes the list.
static void say_list(grille_finding_t *finding, const char *name, grille_list_string_t list, const char *by) {
  grille_text_t text = {0};
  for (size_t at = 0; at < list.len; at++) {
    if (at > 0) grille_add(&text, by);
    grille_add_string(&text, list.ptr[at]);
  }
  grille_list_string_free(&list);
  grille_attribute_owned(finding, name, grille_end(&text));
}

// ---- session -----------------------------------------------------------------------------------------------------

static void say_session(grille_finding_t *finding, const char *name, grille_session_t session,
                        void method(grille_session_t, grille_string_t *)) {
  grille_string_t value;
  method(session, &value);
  grille_attribute_owned(finding, name, value);
}

void session_facts(grille_session_t session, grille_finding_t *finding) {
  grille_string_t tls;
  grille_list_string_t list;
  grille_policy_context_list_actor_t actors;
  grille_text_t text = {0};

  say_session(finding, "id", session, SESSION(id));
  say_session(finding, "target", session, SESSION(target));
  say_session(finding, "protocol", session, SESSION(protocol));
  SESSION(roles)(session, &list);
  say_list(finding, "roles", list, ",");
  say_flag(finding, "has-role", SESSION(has_role)(session, GRILLE("analyst")));
  say_session(finding, "listener", session, SESSION(listener));
  say_session(finding, "peer", session, SESSION(peer));
  say_session(finding, "client", session, SESSION(client));
  bool has_tls = SESSION(tls)(session, &tls);
  say_option(finding, "tls", has_tls, tls);
  say_session(finding, "issuer", session, SESSION(issuer));
  say_session(finding, "subject", session, SESSION(subject));
  SESSION(groups)(session, &list);
  say_list(finding, "groups", list, ",");
  SESSION(actors)(session, &actors);
  for (size_t at = 0; at < actors.len; at++) {
    if (at > 0) grille_add(&text, ",");
    grille_add_string(&text, actors.ptr[at].issuer);
    grille_add(&text, " ");
    grille_add_string(&text, actors.ptr[at].subject);
  }
  grille_policy_context_list_actor_free(&actors);
  grille_attribute_owned(finding, "actors", grille_end(&text));
  say_number(finding, "expires-at", SESSION(expires_at)(session));
  say_session(finding, "claims", session, SESSION(claims));
}

// ---- statement ---------------------------------------------------------------------------------------------------

static void add_column_name(grille_text_t *text, const grille_policy_sql_data_column_name_t *name) {
  grille_add_string(text, name->schema);
  grille_add(text, ".");
  grille_add_string(text, name->table);
  grille_add(text, ".");
  grille_add_string(text, name->column);
}

static void say_relations(statement_t statement, grille_finding_t *finding) {
  grille_policy_sql_data_list_relation_use_t relations;
  grille_text_t text = {0};
  STATEMENT(relations)(statement, &relations);
  for (size_t at = 0; at < relations.len; at++) {
    if (at > 0) grille_add(&text, ",");
    grille_add_string(&text, relations.ptr[at].schema);
    grille_add(&text, ".");
    grille_add_string(&text, relations.ptr[at].name);
    grille_add(&text, relations.ptr[at].is_written ? ":w" : ":r");
  }
  grille_policy_sql_data_list_relation_use_free(&relations);
  grille_attribute_owned(finding, "relations", grille_end(&text));
}

static void say_columns(statement_t statement, grille_finding_t *finding) {
  grille_policy_sql_data_list_column_use_t columns;
  grille_text_t text = {0};
  STATEMENT(columns)(statement, &columns);
  for (size_t at = 0; at < columns.len; at++) {
    if (at > 0) grille_add(&text, ",");
    add_column_name(&text, &columns.ptr[at].column);
    grille_add(&text, ":");
    grille_add_string(&text, columns.ptr[at].usage);
  }
  grille_policy_sql_data_list_column_use_free(&columns);
  grille_attribute_owned(finding, "columns", grille_end(&text));
}

static void say_functions(statement_t statement, grille_finding_t *finding) {
  grille_policy_sql_data_list_function_use_t functions;
  grille_text_t text = {0};
  STATEMENT(functions)(statement, &functions);
  for (size_t at = 0; at < functions.len; at++) {
    if (at > 0) grille_add(&text, ",");
    grille_add_string(&text, functions.ptr[at].name);
    grille_add(&text, functions.ptr[at].is_known ? ":known" : ":unknown");
  }
  grille_policy_sql_data_list_function_use_free(&functions);
  grille_attribute_owned(finding, "functions", grille_end(&text));
}

static void say_writes(statement_t statement, grille_finding_t *finding) {
  grille_policy_sql_data_list_write_t writes;
  grille_text_t text = {0};
  STATEMENT(writes)(statement, &writes);
  for (size_t at = 0; at < writes.len; at++) {
    if (at > 0) grille_add(&text, ",");
    grille_add_string(&text, writes.ptr[at].kind);
    grille_add(&text, " ");
    grille_add_string(&text, writes.ptr[at].schema);
    grille_add(&text, ".");
    grille_add_string(&text, writes.ptr[at].table);
    grille_add(&text, " ");
    grille_add(&text, FILTERS[writes.ptr[at].filter]);
  }
  grille_policy_sql_data_list_write_free(&writes);
  grille_attribute_owned(finding, "writes", grille_end(&text));
}

static void say_first_parameter(statement_t statement, grille_finding_t *finding) {
  grille_policy_sql_data_parameter_t parameter;
  grille_text_t text = {0};
  if (!STATEMENT(parameter)(statement, 0, &parameter)) {
    say(finding, "first", "none");
    return;
  }
  grille_add_number(&text, parameter.type_oid);
  grille_add(&text, parameter.is_binary ? ":binary:" : ":text:");
  if (parameter.value.is_some) grille_add_bytes(&text, parameter.value.val.ptr, parameter.value.val.len);
  else grille_add(&text, "NULL");
  grille_policy_sql_data_parameter_free(&parameter);
  grille_attribute_owned(finding, "first", grille_end(&text));
}

void statement_facts(statement_t statement, grille_finding_t *finding) {
  grille_string_t fingerprint;
  grille_list_string_t list;

  STATEMENT(fingerprint)(statement, &fingerprint);
  grille_attribute_owned(finding, "fingerprint", fingerprint);
  say_number(finding, "count", STATEMENT(statement_count)(statement));
  STATEMENT(kinds)(statement, &list);
  say_list(finding, "kinds", list, ",");
  STATEMENT(effects)(statement, &list);
  say_list(finding, "effects", list, ",");
  say_relations(statement, finding);
  say_columns(statement, finding);
  say_functions(statement, finding);
  say_writes(statement, finding);
  STATEMENT(unknown)(statement, &list);
  say_list(finding, "unknown", list, ";");
  say_number(finding, "parameters", STATEMENT(parameter_count)(statement));
  say_first_parameter(statement, finding);
  say(finding, "transaction", TRANSACTIONS[STATEMENT(transaction)(statement)]);
}

// ---- result shape ------------------------------------------------------------------------------------------------

void describe_column(const result_column_t *column, grille_text_t *text) {
  grille_add_string(text, column->name);
  grille_add(text, ":");
  grille_add_number(text, column->type_oid);
  grille_add(text, ":");
  grille_add_string(text, column->type_name);
  grille_add(text, ":");
  for (size_t at = 0; at < column->origins.len; at++) {
    if (at > 0) grille_add(text, "+");
    add_column_name(text, &column->origins.ptr[at]);
  }
  grille_add(text, ":");
  grille_add(text, CERTAINTIES[column->certainty]);
}

// ---- exchange ----------------------------------------------------------------------------------------------------

// Takes the headers.
static void say_headers(grille_finding_t *finding, grille_policy_http_data_list_header_t headers) {
  grille_text_t text = {0};
  for (size_t at = 0; at < headers.len; at++) {
    if (at > 0) grille_add(&text, ";");
    grille_add_string(&text, headers.ptr[at].name);
    grille_add(&text, "=");
    grille_add_bytes(&text, headers.ptr[at].value.ptr, headers.ptr[at].value.len);
  }
  grille_policy_http_data_list_header_free(&headers);
  grille_attribute_owned(finding, "headers", grille_end(&text));
}

static void say_query(exchange_t exchange, grille_finding_t *finding) {
  grille_list_tuple2_string_string_t query;
  grille_text_t text = {0};
  EXCHANGE(query)(exchange, &query);
  for (size_t at = 0; at < query.len; at++) {
    if (at > 0) grille_add(&text, "&");
    grille_add_string(&text, query.ptr[at].f0);
    grille_add(&text, "=");
    grille_add_string(&text, query.ptr[at].f1);
  }
  grille_list_tuple2_string_string_free(&query);
  grille_attribute_owned(finding, "query", grille_end(&text));
}

void request_facts(exchange_t exchange, grille_finding_t *finding) {
  grille_string_t value;
  grille_list_u8_t bytes;
  grille_policy_http_data_list_header_t headers;
  grille_policy_http_data_body_error_t error;
  uint16_t status;

  EXCHANGE(authority)(exchange, &value);
  grille_attribute_owned(finding, "authority", value);
  say_query(exchange, finding);
  bool is_some = EXCHANGE(query_value)(exchange, GRILLE("q"), &value);
  say_option(finding, "q", is_some, value);
  is_some = EXCHANGE(endpoint)(exchange, &value);
  say_option(finding, "endpoint", is_some, value);
  EXCHANGE(request_headers)(exchange, &headers);
  say_headers(finding, headers);
  is_some = EXCHANGE(request_header)(exchange, GRILLE("accept"), &bytes);
  say_option_bytes(finding, "accept", is_some, bytes);
  if (EXCHANGE(request_body)(exchange, 1024, &bytes, &error)) say_bytes(finding, "body", bytes);
  else say(finding, "body", BODY_ERRORS[error.tag]);
  if (EXCHANGE(status)(exchange, &status)) say_number(finding, "status", status);
  else say(finding, "status", "none");
}

void response_facts(exchange_t exchange, grille_finding_t *finding) {
  grille_list_u8_t bytes;
  grille_policy_http_data_list_header_t headers;
  grille_policy_http_data_body_error_t error;

  EXCHANGE(response_headers)(exchange, &headers);
  say_headers(finding, headers);
  bool is_some = EXCHANGE(response_header)(exchange, GRILLE("content-type"), &bytes);
  say_option_bytes(finding, "type", is_some, bytes);
  if (EXCHANGE(response_body)(exchange, 1024, &bytes, &error)) say_bytes(finding, "body", bytes);
  else say(finding, "body", BODY_ERRORS[error.tag]);
}

// ---- imports -----------------------------------------------------------------------------------------------------

static void say_hits(grille_finding_t *finding) {
  grille_list_string_t texts = {GRILLE("SSN 123-45-6789"), 1};
  grille_policy_detect_list_hit_t hits;
  grille_policy_detect_detect_error_t error;
  grille_text_t text = {0};
  if (!grille_policy_detect_scan(&texts, &hits, &error)) {
    say(finding, "detect", DETECT_ERRORS[error.tag]);
    return;
  }
  for (size_t at = 0; at < hits.len; at++) {
    if (at > 0) grille_add(&text, ",");
    grille_add_string(&text, hits.ptr[at].kind);
    grille_add(&text, ":");
    grille_add_number(&text, hits.ptr[at].start);
    grille_add(&text, "-");
    grille_add_number(&text, hits.ptr[at].end);
  }
  grille_policy_detect_list_hit_free(&hits);
  grille_attribute_owned(finding, "detect", grille_end(&text));
}

void import_facts(grille_finding_t *finding) {
  grille_policy_clock_clock_error_t clock_error;
  grille_policy_counters_counter_error_t counter_error;
  grille_policy_kv_kv_error_t kv_error;
  grille_policy_lookup_lookup_error_t lookup_error;
  grille_list_u8_t value = {(uint8_t *)"v", 1};
  grille_option_list_u8_t found;
  uint64_t number;
  bool taken;

  say(finding, "clock", grille_policy_clock_now_ms(&number, &clock_error) ? "ok" : CLOCK_ERRORS[clock_error.tag]);
  if (grille_policy_counters_add(GRILLE("n"), 2, 60000, &number, &counter_error)) say_number(finding, "add", number);
  else say(finding, "add", COUNTER_ERRORS[counter_error.tag]);
  if (grille_policy_counters_take(GRILLE("b"), 1, 1, 1, &taken, &counter_error)) say_flag(finding, "take", taken);
  else say(finding, "take", COUNTER_ERRORS[counter_error.tag]);
  say(finding, "set", grille_policy_kv_set(GRILLE("k"), &value, NULL, &kv_error) ? "ok" : KV_ERRORS[kv_error.tag]);
  if (grille_policy_kv_get(GRILLE("k"), &found, &kv_error))
    say_option_bytes(finding, "get", found.is_some, found.val);
  else say(finding, "get", KV_ERRORS[kv_error.tag]);
  say(finding, "delete", grille_policy_kv_delete(GRILLE("k"), &kv_error) ? "ok" : KV_ERRORS[kv_error.tag]);
  if (grille_policy_lookup_fetch(GRILLE("directory"), GRILLE("key"), &found, &lookup_error))
    say_option_bytes(finding, "lookup", found.is_some, found.val);
  else say(finding, "lookup", LOOKUP_ERRORS[lookup_error.tag]);
  say_hits(finding);
}
