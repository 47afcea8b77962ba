// cc -I. -o rules_test tests/rules_test.c && ./rules_test
#include "rules.h"

#include <assert.h>

int main(void) {
  assert(!is_refused(false, false));
  assert(!is_refused(true, true));
  assert(is_refused(true, false));
  return 0;
}
