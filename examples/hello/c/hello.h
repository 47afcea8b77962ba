// What policy.c asks of facts.c, and short names for what the bindings call at length.
#ifndef HELLO_H
#define HELLO_H

#include "grille_sdk.h"

#define SESSION(method) grille_policy_context_method_session_##method
#define STATEMENT(method) grille_policy_sql_data_method_statement_##method
#define EXCHANGE(method) grille_policy_http_data_method_exchange_##method

typedef grille_policy_sql_data_borrow_statement_t statement_t;
typedef grille_policy_sql_data_borrow_columns_t columns_t;
typedef grille_policy_sql_data_borrow_result_shape_t shape_t;
typedef grille_policy_sql_data_result_column_t result_column_t;
typedef grille_policy_http_data_borrow_exchange_t exchange_t;
typedef grille_policy_http_data_exchange_plan_t exchange_plan_t;
typedef exports_grille_policy_sql_columns_list_treatment_t treatments_t;

// Everything that a handle says, as attributes of a finding.
void session_facts(grille_session_t session, grille_finding_t *finding);
void statement_facts(statement_t statement, grille_finding_t *finding);
void request_facts(exchange_t exchange, grille_finding_t *finding);
void response_facts(exchange_t exchange, grille_finding_t *finding);
void describe_column(const result_column_t *column, grille_text_t *text);

// Every import of the contract, asked once.
void import_facts(grille_finding_t *finding);

#endif
