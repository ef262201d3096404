/* Exact integers (fixnums of 63 bits, bignums beyond them) and flonums. No rationals: (/ 1 3) is a flonum. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bignum.h"

static double double_of(Value v) { return is_fixnum(v) ? (double)integer_of(v) : is_flonum(v) ? FLONUM(v) : big_to_double(v); }
static bool are_numbers(Value a, Value b) { return is_number(a) && is_number(b); }
static Value not_a_number(Machine* m, Value a, Value b) { return fail(m, "not a number", is_number(a) ? b : a); }

Value add(Machine* m, Value a, Value b) {
  intptr_t sum;
  if (is_fixnum(a) && is_fixnum(b) && !__builtin_add_overflow((intptr_t)a, (intptr_t)b, &sum)) return (Value)sum;
  if (!are_numbers(a, b)) return not_a_number(m, a, b);
  return is_flonum(a) || is_flonum(b) ? flonum(double_of(a) + double_of(b)) : big_sum(m, a, b, 1);
}
Value subtract(Machine* m, Value a, Value b) {
  intptr_t difference;
  if (is_fixnum(a) && is_fixnum(b) && !__builtin_sub_overflow((intptr_t)a, (intptr_t)b, &difference)) return (Value)difference;
  if (!are_numbers(a, b)) return not_a_number(m, a, b);
  return is_flonum(a) || is_flonum(b) ? flonum(double_of(a) - double_of(b)) : big_sum(m, a, b, -1);
}
Value multiply(Machine* m, Value a, Value b) {
  intptr_t product;
  if (is_fixnum(a) && is_fixnum(b) && !__builtin_mul_overflow((intptr_t)a, integer_of(b), &product)) return (Value)product;
  if (!are_numbers(a, b)) return not_a_number(m, a, b);
  return is_flonum(a) || is_flonum(b) ? flonum(double_of(a) * double_of(b)) : big_product(m, a, b);
}
int compare_numbers(Machine* m, Value a, Value b) {
  if (is_fixnum(a) && is_fixnum(b)) return (intptr_t)a < (intptr_t)b ? -1 : (intptr_t)a > (intptr_t)b;
  if (!are_numbers(a, b)) return (void)not_a_number(m, a, b), 2;
  if (!is_flonum(a) && !is_flonum(b)) return big_compare(a, b);
  const double x = double_of(a), y = double_of(b);
  return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
}

bool eqv(Value a, Value b) {
  return a == b || (is_flonum(a) && is_flonum(b) && FLONUM(a) == FLONUM(b)) || (is_bignum(a) && is_bignum(b) && big_compare(a, b) == 0);
}

bool equal(Value a, Value b) {
  for (;; a = cdr(a), b = cdr(b)) { /* along lists */
    if (eqv(a, b)) return true;
    if (tag_of(a) != tag_of(b)) return false;
    if (is_string(a)) return STRING(a)->length == STRING(b)->length && memcmp(STRING(a)->bytes, STRING(b)->bytes, STRING(a)->length) == 0;
    if (is_vector(a)) {
      if (VECTOR(a)->length != VECTOR(b)->length) return false;
      for (size_t i = 0; i < VECTOR(a)->length; ++i)
        if (!equal(VECTOR(a)->items[i], VECTOR(b)->items[i])) return false;
      return true;
    }
    if (!is_pair(a) || !equal(car(a), car(b))) return false;
  }
}

/* In a buffer of its own: `text` need not end. */
Value parse_number(Machine* m, const char* text, size_t length, int radix) {
  char buffer[64], *end;
  if (length > 17) { /* too long for a fixnum, perhaps */
    const Value integer = big_of_text(m, text, length, (unsigned)radix);
    if (integer != FALSE) return integer;
  }
  if (length == 0 || length >= sizeof buffer || (length == 1 && (*text == '+' || *text == '-'))) return FALSE;
  const char first = text[0] == '+' || text[0] == '-' ? text[1] : text[0];
  if (radix == 10 && !(first >= '0' && first <= '9') && first != '.') {
    if (length == 6 && memcmp(text, "+inf.0", 6) == 0) return flonum(INFINITY);
    if (length == 6 && memcmp(text, "-inf.0", 6) == 0) return flonum(-INFINITY);
    return FALSE;
  }
  memcpy(buffer, text, length);
  buffer[length] = 0;
  const long long n = strtoll(buffer, &end, radix);
  if (*end == 0) return fixnum((intptr_t)n);
  if (radix != 10 || strspn(buffer, "+-0123456789.eE") != length || strcmp(buffer, ".") == 0 || strcmp(buffer, "...") == 0) return FALSE;
  const double d = strtod(buffer, &end);
  return *end == 0 ? flonum(d) : FALSE;
}

/* ---- Primitives ---- */

#define PRIMITIVE(name) static Value name(Machine* m, Value* a, int n)
#define UNUSED (void)m, (void)a, (void)n

static Value fold(Machine* m, Value* a, int n, Value start, Value (*f)(Machine*, Value, Value)) {
  Value result = start;
  for (int i = 0; i < n && m->error == NULL; ++i) {
    result = f(m, result, a[i]); /* arguments are safe; the result is a root of nobody, but the next call takes it before it allocates */
  }
  return result;
}
PRIMITIVE(p_add) { return fold(m, a, n, fixnum(0), add); }
PRIMITIVE(p_multiply) { return fold(m, a, n, fixnum(1), multiply); }
PRIMITIVE(p_subtract) { return n == 1 ? subtract(m, fixnum(0), a[0]) : fold(m, a + 1, n - 1, a[0], subtract); }
typedef enum { QUOTIENT, REMAINDER, MODULO } Division;
static Value divide(Machine* m, Value x, Value y, Division what) {
  if (!is_number(x) || !is_number(y)) return not_a_number(m, x, y);
  if (is_flonum(x) || is_flonum(y)) {
    const double p = double_of(x), q = double_of(y);
    return flonum(what == QUOTIENT ? trunc(p / q) : what == REMAINDER ? fmod(p, q) : p - q * floor(p / q));
  }
  if (y == fixnum(0)) return fail(m, "division by zero", x);
  if (what == QUOTIENT) return big_division(m, x, y, BIG_QUOTIENT);
  const Value rest = big_division(m, x, y, BIG_REMAINDER);
  const bool other_side = rest != fixnum(0) && (big_compare(rest, fixnum(0)) < 0) != (big_compare(y, fixnum(0)) < 0);
  return what == MODULO && other_side ? big_sum(m, rest, y, 1) : rest;
}
Value quotient(Machine* m, Value a, Value b) {
  if (is_fixnum(a) && is_fixnum(b) && integer_of(b) > 0) return fixnum(integer_of(a) / integer_of(b));
  return divide(m, a, b, QUOTIENT);
}
Value remainder_of(Machine* m, Value a, Value b) {
  if (is_fixnum(a) && is_fixnum(b) && integer_of(b) > 0) return fixnum(integer_of(a) % integer_of(b));
  return divide(m, a, b, REMAINDER);
}
static Value modulo(Machine* m, Value a, Value b) {
  if (!is_fixnum(a) || !is_fixnum(b) || integer_of(b) <= 0) return divide(m, a, b, MODULO);
  const intptr_t rest = integer_of(a) % integer_of(b);
  return fixnum(rest < 0 ? rest + integer_of(b) : rest);
}

PRIMITIVE(p_divide) {
  Value x = n == 1 ? fixnum(1) : a[0], y = n == 1 ? a[0] : a[1];
  if (n > 2) return fail(m, "/ takes two numbers", fixnum(n));
  if (!are_numbers(x, y)) return not_a_number(m, x, y);
  if (y == fixnum(0)) return fail(m, "division by zero", x);
  if (is_integer(x) && is_integer(y) && remainder_of(m, x, y) == fixnum(0)) return quotient(m, x, y);
  return flonum(double_of(x) / double_of(y));
}

static Value compare_all(Machine* m, Value* a, int n, bool (*holds)(int)) {
  for (int i = 0; i + 1 < n; ++i) {
    const int order = compare_numbers(m, a[i], a[i + 1]);
    if (m->error != NULL || order == 2 || !holds(order)) return FALSE;
  }
  return TRUE;
}
static bool is_less(int o) { return o < 0; }
static bool is_greater(int o) { return o > 0; }
static bool is_same(int o) { return o == 0; }
static bool is_at_most(int o) { return o <= 0; }
static bool is_at_least(int o) { return o >= 0; }
PRIMITIVE(p_less) { return compare_all(m, a, n, is_less); }
PRIMITIVE(p_greater) { return compare_all(m, a, n, is_greater); }
PRIMITIVE(p_same) { return compare_all(m, a, n, is_same); }
PRIMITIVE(p_at_most) { return compare_all(m, a, n, is_at_most); }
PRIMITIVE(p_at_least) { return compare_all(m, a, n, is_at_least); }

PRIMITIVE(p_quotient) { return (void)n, quotient(m, a[0], a[1]); }
PRIMITIVE(p_remainder) { return (void)n, remainder_of(m, a[0], a[1]); }
PRIMITIVE(p_modulo) { return (void)n, modulo(m, a[0], a[1]); }

static Value extreme(Machine* m, Value* a, int n, int wanted) {
  Value best = a[0];
  bool inexact = is_flonum(a[0]);
  for (int i = 1; i < n; ++i) {
    if (compare_numbers(m, a[i], best) == wanted) best = a[i];
    inexact |= is_flonum(a[i]);
  }
  return inexact && !is_flonum(best) && is_number(best) ? flonum(double_of(best)) : best;
}
PRIMITIVE(p_max) { return extreme(m, a, n, 1); }
PRIMITIVE(p_min) { return extreme(m, a, n, -1); }

PRIMITIVE(p_is_number) { UNUSED; return boolean(is_number(a[0])); }
PRIMITIVE(p_is_integer) { UNUSED; return boolean(is_integer(a[0]) || (is_flonum(a[0]) && FLONUM(a[0]) == floor(FLONUM(a[0])))); }
PRIMITIVE(p_is_exact) { UNUSED; return boolean(is_integer(a[0])); }
PRIMITIVE(p_is_inexact) { UNUSED; return boolean(is_flonum(a[0])); }
PRIMITIVE(p_is_zero) { UNUSED; return boolean(a[0] == fixnum(0) || (is_flonum(a[0]) && FLONUM(a[0]) == 0)); }
PRIMITIVE(p_is_positive) { return (void)n, boolean(compare_numbers(m, a[0], fixnum(0)) == 1); }
PRIMITIVE(p_is_negative) { return (void)n, boolean(compare_numbers(m, a[0], fixnum(0)) == -1); }
static Value is_odd(Machine* m, Value v, bool wanted) {
  if (!is_integer(v)) return fail(m, "not an integer", v);
  return boolean(((is_fixnum(v) ? integer_of(v) : (intptr_t)BIGNUM(v)->limb[0]) & 1) == wanted);
}
PRIMITIVE(p_is_odd) { return (void)n, is_odd(m, a[0], true); }
PRIMITIVE(p_is_even) { return (void)n, is_odd(m, a[0], false); }
PRIMITIVE(p_inexact) { return (void)n, is_integer(a[0]) ? flonum(double_of(a[0])) : is_flonum(a[0]) ? a[0] : fail(m, "not a number", a[0]); }
PRIMITIVE(p_exact) {
  (void)n;
  if (!is_flonum(a[0])) return is_integer(a[0]) ? a[0] : fail(m, "not a number", a[0]);
  return isfinite(FLONUM(a[0])) ? big_of_double(m, trunc(FLONUM(a[0]))) : fail(m, "not finite", a[0]);
}

#define FLOAT_FUNCTION(name, f)                                                                            \
  PRIMITIVE(name) { return (void)n, is_number(a[0]) ? flonum(f(double_of(a[0]))) : fail(m, "not a number", a[0]); }
#define ROUNDING(name, f) \
  PRIMITIVE(name) { return (void)n, is_integer(a[0]) ? a[0] : is_flonum(a[0]) ? flonum(f(FLONUM(a[0]))) : fail(m, "not a number", a[0]); }
FLOAT_FUNCTION(p_exp, exp)
FLOAT_FUNCTION(p_log, log)
FLOAT_FUNCTION(p_sin, sin)
FLOAT_FUNCTION(p_cos, cos)
FLOAT_FUNCTION(p_atan, atan)
ROUNDING(p_floor, floor)
ROUNDING(p_ceiling, ceil)
ROUNDING(p_truncate, trunc)
ROUNDING(p_round, nearbyint)
PRIMITIVE(p_sqrt) {
  (void)n;
  if (!is_number(a[0])) return fail(m, "not a number", a[0]);
  const double root = sqrt(double_of(a[0]));
  const Value exact = is_integer(a[0]) && root == floor(root) && root < 4e18 ? fixnum((intptr_t)root) : FALSE;
  return exact != FALSE && eqv(multiply(m, exact, exact), a[0]) ? exact : flonum(root);
}
PRIMITIVE(p_expt) {
  (void)n;
  if (is_integer(a[0]) && is_fixnum(a[1]) && integer_of(a[1]) >= 0) {
    Value result = fixnum(1);
    for (intptr_t i = integer_of(a[1]); i > 0 && m->error == NULL; --i) result = multiply(m, result, a[0]);
    return result;
  }
  return are_numbers(a[0], a[1]) ? flonum(pow(double_of(a[0]), double_of(a[1]))) : not_a_number(m, a[0], a[1]);
}
PRIMITIVE(p_abs) { return (void)n, compare_numbers(m, a[0], fixnum(0)) == -1 ? subtract(m, fixnum(0), a[0]) : a[0]; }
PRIMITIVE(p_number_to_string) {
  char short_text[80];
  if (is_flonum(a[0])) return make_string(m, short_text, (size_t)format_flonum(FLONUM(a[0]), short_text, sizeof short_text));
  if (!is_integer(a[0])) return fail(m, "not a number", a[0]);
  if (a[0] == fixnum(0)) return make_string(m, "0", 1);
  const intptr_t radix = n > 1 && is_fixnum(a[1]) ? integer_of(a[1]) : 10;
  if (radix < 2 || radix > 36) return fail(m, "not a radix", a[1]);
  char* text = big_text(a[0], (unsigned)radix);
  const Value string = make_string(m, text, strlen(text));
  free(text);
  return string;
}
PRIMITIVE(p_string_to_number) {
  if (!is_string(a[0])) return fail(m, "not a string", a[0]);
  return parse_number(m, STRING(a[0])->bytes, STRING(a[0])->length, n > 1 ? (int)integer_of(a[1]) : 10);
}

void define_numbers(Machine* m) {
  static const struct { const char* name; Primitive f; int least, most; } all[] = {
      {"+", p_add, 0, -1}, {"*", p_multiply, 0, -1}, {"-", p_subtract, 1, -1}, {"/", p_divide, 1, -1}, {"<", p_less, 1, -1},
      {">", p_greater, 1, -1}, {"=", p_same, 1, -1}, {"<=", p_at_most, 1, -1}, {">=", p_at_least, 1, -1}, {"quotient", p_quotient, 2, 2},
      {"remainder", p_remainder, 2, 2}, {"modulo", p_modulo, 2, 2}, {"max", p_max, 1, -1}, {"min", p_min, 1, -1},
      {"number?", p_is_number, 1, 1}, {"real?", p_is_number, 1, 1}, {"integer?", p_is_integer, 1, 1}, {"exact?", p_is_exact, 1, 1},
      {"exact-integer?", p_is_exact, 1, 1}, {"inexact?", p_is_inexact, 1, 1}, {"zero?", p_is_zero, 1, 1}, {"positive?", p_is_positive, 1, 1},
      {"negative?", p_is_negative, 1, 1}, {"odd?", p_is_odd, 1, 1}, {"even?", p_is_even, 1, 1}, {"inexact", p_inexact, 1, 1},
      {"exact->inexact", p_inexact, 1, 1}, {"exact", p_exact, 1, 1}, {"inexact->exact", p_exact, 1, 1}, {"exp", p_exp, 1, 1},
      {"log", p_log, 1, 1}, {"sin", p_sin, 1, 1}, {"cos", p_cos, 1, 1}, {"atan", p_atan, 1, 1}, {"floor", p_floor, 1, 1},
      {"ceiling", p_ceiling, 1, 1}, {"truncate", p_truncate, 1, 1}, {"round", p_round, 1, 1}, {"sqrt", p_sqrt, 1, 1}, {"expt", p_expt, 2, 2},
      {"abs", p_abs, 1, 1}, {"number->string", p_number_to_string, 1, 2}, {"string->number", p_string_to_number, 1, 2}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) define(m, all[i].name, all[i].f, all[i].least, all[i].most);
}
