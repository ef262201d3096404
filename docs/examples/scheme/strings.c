/* Strings of bytes, characters, symbols. */
#include <ctype.h>
#include <string.h>

#include "scheme.h"

#define PRIMITIVE(name) static Value name(Machine* m, Value* a, int n)
#define UNUSED (void)m, (void)a, (void)n
#define WANT_STRING(v) \
  if (!is_string(v)) return (void)n, fail(m, "not a string", v)
#define WANT_CHAR(v) \
  if (!is_char(v)) return (void)n, fail(m, "not a character", v)

/* A new string out of heap strings: allocated first, copied after, since strings do not move. */
static Value fresh(Machine* m, size_t length) { return make_string(m, NULL, length); }

PRIMITIVE(p_string_length) { WANT_STRING(a[0]); return fixnum((intptr_t)STRING(a[0])->length); }
PRIMITIVE(p_string_ref) {
  WANT_STRING(a[0]);
  if (!is_fixnum(a[1]) || (size_t)integer_of(a[1]) >= STRING(a[0])->length) return fail(m, "index out of range", a[1]);
  return character((unsigned char)STRING(a[0])->bytes[integer_of(a[1])]);
}
PRIMITIVE(p_string_set) {
  WANT_STRING(a[0]);
  WANT_CHAR(a[2]);
  if (!is_fixnum(a[1]) || (size_t)integer_of(a[1]) >= STRING(a[0])->length) return fail(m, "index out of range", a[1]);
  STRING(a[0])->bytes[integer_of(a[1])] = (char)code_of(a[2]);
  return UNSPECIFIED;
}
PRIMITIVE(p_make_string) {
  if (!is_fixnum(a[0]) || integer_of(a[0]) < 0) return fail(m, "not a length", a[0]);
  const Value s = fresh(m, (size_t)integer_of(a[0]));
  if (n > 1) memset(STRING(s)->bytes, (int)code_of(a[1]), STRING(s)->length);
  return s;
}
PRIMITIVE(p_string) {
  const Value s = fresh(m, (size_t)n);
  for (int i = 0; i < n; ++i) STRING(s)->bytes[i] = (char)code_of(a[i]);
  return s;
}
PRIMITIVE(p_string_append) {
  size_t length = 0;
  for (int i = 0; i < n; ++i) {
    WANT_STRING(a[i]);
    length += STRING(a[i])->length;
  }
  const Value s = fresh(m, length);
  char* to = STRING(s)->bytes;
  for (int i = 0; i < n; to += STRING(a[i])->length, ++i) memcpy(to, STRING(a[i])->bytes, STRING(a[i])->length);
  return s;
}
PRIMITIVE(p_substring) {
  WANT_STRING(a[0]);
  const size_t length = STRING(a[0])->length, from = n > 1 ? (size_t)integer_of(a[1]) : 0, to = n > 2 ? (size_t)integer_of(a[2]) : length;
  if (from > to || to > length) return fail(m, "index out of range", a[n - 1]);
  const Value s = fresh(m, to - from);
  memcpy(STRING(s)->bytes, STRING(a[0])->bytes + from, to - from);
  return s;
}

static int compare(Value x, Value y) {
  const String *s = STRING(x), *t = STRING(y);
  const int order = memcmp(s->bytes, t->bytes, s->length < t->length ? s->length : t->length);
  return order != 0 ? order : s->length < t->length ? -1 : s->length > t->length;
}
PRIMITIVE(p_string_same) { WANT_STRING(a[0]); WANT_STRING(a[1]); return boolean(compare(a[0], a[1]) == 0); }
PRIMITIVE(p_string_less) { WANT_STRING(a[0]); WANT_STRING(a[1]); return boolean(compare(a[0], a[1]) < 0); }
PRIMITIVE(p_string_to_symbol) { WANT_STRING(a[0]); return intern_bytes(m, STRING(a[0])->bytes, STRING(a[0])->length); }
PRIMITIVE(p_symbol_to_string) { return (void)n, is_symbol(a[0]) ? SYMBOL(a[0])->name : fail(m, "not a symbol", a[0]); }
PRIMITIVE(p_string_to_list) {
  WANT_STRING(a[0]);
  m->temporary[0] = NIL;
  for (size_t i = STRING(a[0])->length; i > 0; --i)
    m->temporary[0] = cons(m, character((unsigned char)STRING(a[0])->bytes[i - 1]), m->temporary[0]);
  return m->temporary[0];
}
PRIMITIVE(p_list_to_string) {
  (void)n;
  size_t length = 0;
  for (Value l = a[0]; is_pair(l); l = cdr(l)) ++length;
  const Value s = fresh(m, length);
  Value l = a[0];
  for (size_t i = 0; i < length; ++i, l = cdr(l)) STRING(s)->bytes[i] = (char)code_of(car(l));
  return s;
}
PRIMITIVE(p_gensym) {
  static unsigned long count;
  char name[32];
  UNUSED;
  const int length = snprintf(name, sizeof name, " g%lu", __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED));
  return intern_bytes(m, name, (size_t)length);
}

PRIMITIVE(p_char_to_integer) { WANT_CHAR(a[0]); return fixnum((intptr_t)code_of(a[0])); }
PRIMITIVE(p_integer_to_char) { UNUSED; return character((unsigned)integer_of(a[0])); }
PRIMITIVE(p_char_same) { WANT_CHAR(a[0]); return boolean(a[0] == a[1]); }
PRIMITIVE(p_char_less) { WANT_CHAR(a[0]); WANT_CHAR(a[1]); return boolean(code_of(a[0]) < code_of(a[1])); }
PRIMITIVE(p_char_upcase) { WANT_CHAR(a[0]); return character((unsigned)toupper((int)code_of(a[0]))); }
PRIMITIVE(p_char_downcase) { WANT_CHAR(a[0]); return character((unsigned)tolower((int)code_of(a[0]))); }
PRIMITIVE(p_is_alphabetic) { WANT_CHAR(a[0]); return boolean(isalpha((int)code_of(a[0])) != 0); }
PRIMITIVE(p_is_numeric) { WANT_CHAR(a[0]); return boolean(isdigit((int)code_of(a[0])) != 0); }
PRIMITIVE(p_is_whitespace) { WANT_CHAR(a[0]); return boolean(isspace((int)code_of(a[0])) != 0); }

void define_strings(Machine* m) {
  static const struct { const char* name; Primitive f; int least, most; } all[] = {
      {"string-length", p_string_length, 1, 1}, {"string-ref", p_string_ref, 2, 2}, {"string-set!", p_string_set, 3, 3},
      {"make-string", p_make_string, 1, 2}, {"string", p_string, 0, -1}, {"string-append", p_string_append, 0, -1},
      {"substring", p_substring, 2, 3}, {"string-copy", p_substring, 1, 3}, {"string=?", p_string_same, 2, 2}, {"string<?", p_string_less, 2, 2},
      {"string->symbol", p_string_to_symbol, 1, 1}, {"symbol->string", p_symbol_to_string, 1, 1}, {"string->list", p_string_to_list, 1, 1},
      {"list->string", p_list_to_string, 1, 1}, {"gensym", p_gensym, 0, 1}, {"char->integer", p_char_to_integer, 1, 1},
      {"integer->char", p_integer_to_char, 1, 1}, {"char=?", p_char_same, 2, 2}, {"char<?", p_char_less, 2, 2},
      {"char-upcase", p_char_upcase, 1, 1}, {"char-downcase", p_char_downcase, 1, 1}, {"char-alphabetic?", p_is_alphabetic, 1, 1},
      {"char-numeric?", p_is_numeric, 1, 1}, {"char-whitespace?", p_is_whitespace, 1, 1}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) define(m, all[i].name, all[i].f, all[i].least, all[i].most);
}
