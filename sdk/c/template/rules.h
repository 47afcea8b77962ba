// What the policy thinks, over plain data: tests/rules_test.c runs it without a gateway.
#ifndef RULES_H
#define RULES_H

#include <stdbool.h>

static inline bool is_refused(bool writes, bool is_writer) { return writes && !is_writer; }

#endif
