// Short ways to say the common answers, above the bindings of `wit-bindgen c --rename-world grille`. A plugin carries
// its own copy of this file.
//
// Who frees what: a text or a list that an import answers is yours; the generated `..._free` gives it back. What a hook
// answers lies on the heap, and the bindings free it. So these functions copy what they are given, unless their name
// ends in `_owned`: then they take it.
#ifndef GRILLE_SDK_H
#define GRILLE_SDK_H

#include "grille.h"

#include <stdlib.h>
#include <string.h>

typedef grille_policy_types_severity_t grille_severity_t;
typedef grille_policy_types_finding_t grille_finding_t;
typedef grille_policy_types_list_finding_t grille_findings_t;
typedef grille_policy_types_verdict_t grille_verdict_t;
typedef grille_policy_types_opinion_t grille_opinion_t;
typedef grille_policy_types_treatment_t grille_treatment_t;
typedef grille_policy_types_batch_t grille_batch_t;
typedef grille_policy_context_borrow_session_t grille_session_t;
typedef exports_grille_policy_lifecycle_list_problem_t grille_problems_t;

enum { GRILLE_INFO, GRILLE_LOW, GRILLE_MEDIUM, GRILLE_HIGH, GRILLE_CRITICAL };

// A literal as an argument of an import: `grille_policy_..._has_role(session, GRILLE("analyst"))`.
#define GRILLE(literal) (&(grille_string_t){(uint8_t *)(literal), sizeof(literal) - 1})

// Memory, or a trap: the host answers a trap with a block, which beats an answer made of nothing.
static inline void *grille_resize(void *old, size_t size) {
  void *new = realloc(old, size);
  if (new == NULL && size > 0) __builtin_trap();
  return new;
}

// One more place at the end of a list of the bindings, all zero. Answers its address.
#define grille_push(list)                                                                             \
  ((list)->ptr = grille_resize((list)->ptr, ((list)->len + 1) * sizeof *(list)->ptr),                 \
   memset(&(list)->ptr[(list)->len], 0, sizeof *(list)->ptr), &(list)->ptr[(list)->len++])

// ---- Texts -----------------------------------------------------------------------------------------------------

// A text that grows. Begin with `grille_text_t text = {0}`.
typedef struct {
  char *ptr;
  size_t len, room;
} grille_text_t;

static inline void grille_add_n(grille_text_t *text, const void *bytes, size_t len) {
  if (text->len + len > text->room) {
    text->room = (text->len + len) * 2;
    text->ptr = grille_resize(text->ptr, text->room);
  }
  if (len > 0) memcpy(text->ptr + text->len, bytes, len);
  text->len += len;
}

static inline void grille_add(grille_text_t *text, const char *words) { grille_add_n(text, words, strlen(words)); }

static inline void grille_add_string(grille_text_t *text, grille_string_t string) {
  grille_add_n(text, string.ptr, string.len);
}

// Without stdio, which would bring WASI along.
static inline void grille_add_number(grille_text_t *text, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  grille_add_n(text, digits + at, sizeof digits - at);
}

// Bytes from outside: texts that cross must be UTF-8, so what is none becomes U+FFFD.
static inline void grille_add_bytes(grille_text_t *text, const uint8_t *bytes, size_t len) {
  for (size_t at = 0; at < len;) {
    uint8_t lead = bytes[at];
    size_t more = lead < 0x80 ? 0 : lead < 0xc2 ? 9 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : 9;
    // The first byte that follows is narrower where overlong forms, surrogates or too big numbers would begin.
    uint8_t least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    size_t found = 0;
    while (more != 9 && found < more && at + 1 + found < len) {
      uint8_t next = bytes[at + 1 + found];
      if (next < least || next > most) break;
      least = 0x80, most = 0xbf, found++;
    }
    if (found == more) grille_add_n(text, bytes + at, 1 + found);
    else grille_add(text, "\xef\xbf\xbd");
    at += 1 + found;
  }
}

// Hands the text over; `text` is empty again.
static inline grille_string_t grille_end(grille_text_t *text) {
  grille_string_t string = {(uint8_t *)text->ptr, text->len};
  // The bindings free only what has a length.
  if (text->len == 0) free(text->ptr), string.ptr = NULL;
  *text = (grille_text_t){0};
  return string;
}

static inline grille_string_t grille_copy(const char *words) {
  grille_text_t text = {0};
  grille_add(&text, words);
  return grille_end(&text);
}

static inline bool grille_is(grille_string_t string, const char *words) {
  return string.len == strlen(words) && memcmp(string.ptr, words, string.len) == 0;
}

static inline bool grille_begins(grille_string_t string, const char *words) {
  return string.len >= strlen(words) && memcmp(string.ptr, words, strlen(words)) == 0;
}

static inline bool grille_contains(grille_string_t string, const char *words) {
  size_t len = strlen(words);
  for (size_t at = 0; at + len <= string.len; at++)
    if (memcmp(string.ptr + at, words, len) == 0) return true;
  return false;
}

// ---- Answers: begin with one that is all zero, which allows, finds nothing and keeps everything ----------------

static inline grille_finding_t grille_finding_owned(const char *rule, grille_severity_t severity, grille_string_t message) {
  return (grille_finding_t){.rule = grille_copy(rule), .severity = severity, .message = message};
}

static inline void grille_attribute_owned(grille_finding_t *finding, const char *name, grille_string_t value) {
  *grille_push(&finding->attributes) = (grille_tuple2_string_string_t){grille_copy(name), value};
}

static inline grille_verdict_t grille_block_owned(const char *rule, grille_severity_t severity, grille_string_t message) {
  grille_verdict_t verdict = {.tag = GRILLE_POLICY_TYPES_VERDICT_BLOCK};
  verdict.val.block = grille_finding_owned(rule, severity, message);
  return verdict;
}

static inline grille_verdict_t grille_block(const char *rule, grille_severity_t severity, const char *message) {
  return grille_block_owned(rule, severity, grille_copy(message));
}

// One of the configured reviewers decides; tighten `verdict.val.review` as you like.
static inline grille_verdict_t grille_review_owned(grille_string_t reason) {
  grille_verdict_t verdict = {.tag = GRILLE_POLICY_TYPES_VERDICT_REVIEW};
  verdict.val.review = (grille_policy_types_terms_t){.reason = reason};
  return verdict;
}

static inline grille_treatment_t grille_mask(const char *masker) {
  grille_treatment_t treatment = {.tag = GRILLE_POLICY_TYPES_TREATMENT_MASK};
  treatment.val.mask = (grille_policy_types_masker_t){.name = grille_copy(masker)};
  return treatment;
}

static inline grille_treatment_t grille_mask_with(const char *masker, const char *parameter, const char *value) {
  grille_treatment_t treatment = grille_mask(masker);
  *grille_push(&treatment.val.mask.parameters) =
      (grille_tuple2_string_string_t){grille_copy(parameter), grille_copy(value)};
  return treatment;
}

// ---- Settings: the host hands out a JSON object that it has parsed, so this only finds its way in it ------------

// One member of the settings. The texts are yours.
typedef struct {
  grille_string_t key;
  bool is_text;
  // The text itself where it is one, else the value as JSON.
  grille_string_t value;
} grille_setting_t;

static inline bool grille_is_space(uint8_t byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }

// The end of a JSON string or of any other value.
static inline const uint8_t *grille_skip(const uint8_t *at, const uint8_t *end) {
  size_t depth = 0;
  do {
    if (at == end) return end;
    if (*at == '"') {
      for (at++; at < end && *at != '"'; at++)
        if (*at == '\\' && at + 1 < end) at++;
      if (at < end) at++;
    } else if (*at == '{' || *at == '[') {
      depth++, at++;
    } else if (*at == '}' || *at == ']') {
      depth--, at++;
    } else {
      do at++;
      while (at < end && !strchr("\"{}[], \n\r\t", *at));
    }
  } while (depth > 0);
  return at;
}

static inline uint32_t grille_hex4(const uint8_t *at) {
  uint32_t value = 0;
  for (int digit = 0; digit < 4; digit++)
    value = value * 16 + (at[digit] <= '9' ? at[digit] - '0' : (at[digit] | 0x20) - 'a' + 10);
  return value;
}

// A JSON string between its quotes, without its escapes.
static inline grille_string_t grille_unescape(const uint8_t *at, const uint8_t *end) {
  grille_text_t text = {0};
  while (at < end) {
    if (*at != '\\' || at + 1 == end) {
      grille_add_n(&text, at++, 1);
      continue;
    }
    static const char escapes[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    const char *escape = strchr(escapes, at[1]);
    if (escape != NULL) {
      grille_add_n(&text, &means[escape - escapes], 1);
      at += 2;
      continue;
    }
    if (end - at < 6) break;
    uint32_t point = grille_hex4(at + 2);
    at += 6;
    if (point >= 0xd800 && point < 0xdc00 && end - at >= 6) {
      point = 0x10000 + ((point - 0xd800) << 10) + (grille_hex4(at + 2) - 0xdc00);
      at += 6;
    }
    uint8_t utf8[4];
    size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t left = len; left-- > 1; point >>= 6) utf8[left] = (uint8_t)(0x80 | (point & 0x3f));
    utf8[0] = (uint8_t)((len == 1 ? 0 : 0xf00 >> len & 0xff) | point);
    grille_add_bytes(&text, utf8, len);
  }
  return grille_end(&text);
}

// The member at `*at`, which starts at 0 and moves on. False at the end.
static inline bool grille_next_setting(grille_string_t settings, size_t *at, grille_setting_t *setting) {
  const uint8_t *end = settings.ptr + settings.len, *here = settings.ptr + *at;
  while (here < end && *here != '"') here++;
  if (here == end) return false;
  const uint8_t *value = grille_skip(here, end);
  setting->key = grille_unescape(here + 1, value - 1);
  while (value < end && (grille_is_space(*value) || *value == ':')) value++;
  const uint8_t *after = grille_skip(value, end);
  setting->is_text = value < end && *value == '"';
  if (setting->is_text) {
    setting->value = grille_unescape(value + 1, after - 1);
  } else {
    grille_text_t json = {0};
    grille_add_n(&json, value, (size_t)(after - value));
    setting->value = grille_end(&json);
  }
  *at = (size_t)(after - settings.ptr);
  return true;
}

static inline void grille_problem(grille_problems_t *problems, grille_string_t key, const char *message) {
  grille_text_t pointer = {0};
  grille_add(&pointer, "/");
  for (size_t at = 0; at < key.len; at++) {
    if (key.ptr[at] == '~') grille_add(&pointer, "~0");
    else if (key.ptr[at] == '/') grille_add(&pointer, "~1");
    else grille_add_n(&pointer, &key.ptr[at], 1);
  }
  *grille_push(problems) = (exports_grille_policy_lifecycle_problem_t){grille_end(&pointer), grille_copy(message)};
}

#endif
