/* Integers that are no fixnums: sign and magnitude, the magnitude in limbs of 32 bits, the lowest first. Schoolbook algorithms; the division
   is Knuth's (The Art of Computer Programming 2, 4.3.1, algorithm D).

   A bignum is an object without references, written once. Operations make the result at its largest size, which is their only safepoint,
   then compute into it. Operands are roots meanwhile, and nothing moves, so pointers to their limbs stay good. */
#include "bignum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Either kind of integer, seen as limbs. */
typedef struct {
  int sign; /* of 0: 1 */
  size_t count;
  const uint32_t* limb;
  uint32_t own[2];
} Integer;

static void view(Value v, Integer* x) {
  if (is_bignum(v)) {
    *x = (Integer){.sign = BIGNUM(v)->sign, .count = BIGNUM(v)->count, .limb = BIGNUM(v)->limb};
    return;
  }
  const intptr_t n = integer_of(v);
  const uintptr_t magnitude = n < 0 ? -(uintptr_t)n : (uintptr_t)n;
  *x = (Integer){.sign = n < 0 ? -1 : 1, .own = {(uint32_t)magnitude, (uint32_t)(magnitude >> 32)}};
  x->limb = x->own;
  x->count = x->own[1] != 0 ? 2 : x->own[0] != 0;
}

/* `a` and `b` are roots until it is there. */
static Bignum* new_bignum(Machine* m, Value a, Value b, size_t limbs) {
  m->argument[0] = a;
  m->argument[1] = b;
  Bignum* r = new_bytes(sizeof(Bignum) + limbs * sizeof(uint32_t));
  r->header = fixnum(OBJECT_BIGNUM);
  r->count = limbs;
  return r;
}

/* Without leading zeros, and a fixnum if it is one. */
static Value normal(Bignum* r) {
  while (r->count > 0 && r->limb[r->count - 1] == 0) --r->count;
  if (r->count > 2) return (Value)r + TAG_OBJECT;
  const uint64_t magnitude = (r->count > 1 ? (uint64_t)r->limb[1] << 32 : 0) | (r->count > 0 ? r->limb[0] : 0);
  if (magnitude > (UINT64_C(1) << 62) - (r->sign > 0)) return (Value)r + TAG_OBJECT;
  return fixnum(r->sign < 0 ? -(intptr_t)magnitude : (intptr_t)magnitude);
}

/* ---- Magnitudes ---- */

static int compare_limbs(const Integer* x, const Integer* y) {
  if (x->count != y->count) return x->count < y->count ? -1 : 1;
  for (size_t i = x->count; i-- > 0;)
    if (x->limb[i] != y->limb[i]) return x->limb[i] < y->limb[i] ? -1 : 1;
  return 0;
}

/* r = x + y, of x->count + 1 limbs; x is not shorter. */
static void add_limbs(uint32_t* r, const Integer* x, const Integer* y) {
  uint64_t sum = 0;
  for (size_t i = 0; i < x->count; ++i, sum >>= 32) {
    sum += (uint64_t)x->limb[i] + (i < y->count ? y->limb[i] : 0);
    r[i] = (uint32_t)sum;
  }
  r[x->count] = (uint32_t)sum;
}

/* r = x - y, of x->count limbs; x is not less. */
static void subtract_limbs(uint32_t* r, const Integer* x, const Integer* y) {
  int64_t difference = 0;
  for (size_t i = 0; i < x->count; ++i, difference >>= 32) {
    difference += (int64_t)x->limb[i] - (i < y->count ? y->limb[i] : 0);
    r[i] = (uint32_t)difference;
  }
}

/* q = u / v, the remainder in u[0 ... k-1]. u has n + 1 limbs, v k >= 2 of them, the highest with its top bit set; q n - k + 1. */
static void divide_limbs(uint32_t* q, uint32_t* u, size_t n, const uint32_t* v, size_t k) {
  for (size_t j = n - k + 1; j-- > 0;) {
    const uint64_t top = (uint64_t)u[j + k] << 32 | u[j + k - 1];
    uint64_t guess = top / v[k - 1], rest = top % v[k - 1]; /* at most 2 too large */
    while (guess >> 32 != 0 || guess * v[k - 2] > (rest << 32 | u[j + k - 2])) {
      --guess;
      rest += v[k - 1];
      if (rest >> 32 != 0) break;
    }
    uint64_t carry = 0;
    int64_t difference = 0;
    for (size_t i = 0; i < k; ++i, difference >>= 32) {
      const uint64_t product = guess * v[i] + carry;
      carry = product >> 32;
      difference += (int64_t)u[i + j] - (int64_t)(product & UINT32_MAX);
      u[i + j] = (uint32_t)difference;
    }
    difference += (int64_t)u[j + k] - (int64_t)carry;
    u[j + k] = (uint32_t)difference;
    if (difference < 0) { /* it was 1 too large */
      --guess;
      uint64_t sum = 0;
      for (size_t i = 0; i < k; ++i, sum >>= 32) {
        sum += (uint64_t)u[i + j] + v[i];
        u[i + j] = (uint32_t)sum;
      }
      u[j + k] += (uint32_t)sum;
    }
    q[j] = (uint32_t)guess;
  }
}

/* limbs /= divisor; the remainder. */
static uint32_t divide_by_limb(uint32_t* limb, size_t count, uint32_t divisor) {
  uint64_t rest = 0;
  for (size_t i = count; i-- > 0;) {
    rest = rest << 32 | limb[i];
    limb[i] = (uint32_t)(rest / divisor);
    rest %= divisor;
  }
  return (uint32_t)rest;
}

static void shift_left(uint32_t* to, const uint32_t* from, size_t count, unsigned bits) { /* to has one limb more */
  uint64_t carry = 0;
  for (size_t i = 0; i < count; ++i, carry >>= 32) {
    carry |= (uint64_t)from[i] << bits;
    to[i] = (uint32_t)carry;
  }
  to[count] = (uint32_t)carry;
}
static void shift_right(uint32_t* limb, size_t count, unsigned bits) {
  for (size_t i = 0; i < count; ++i) limb[i] = (uint32_t)(((uint64_t)(i + 1 < count ? limb[i + 1] : 0) << 32 | limb[i]) >> bits);
}

static uint32_t* scratch(size_t limbs) {
  uint32_t* p = malloc((limbs + 1) * sizeof *p);
  if (p == NULL) out_of_memory();
  return p;
}

/* ---- Operations; of integers of either kind ---- */

int big_compare(Value a, Value b) {
  Integer x, y;
  view(a, &x);
  view(b, &y);
  return x.sign != y.sign ? x.sign : compare_limbs(&x, &y) * x.sign;
}

Value big_sum(Machine* m, Value a, Value b, int sign_of_b) {
  Integer x, y;
  view(a, &x);
  view(b, &y);
  y.sign *= sign_of_b;
  Bignum* r = new_bignum(m, a, b, (x.count > y.count ? x.count : y.count) + 1);
  const bool swapped = compare_limbs(&x, &y) < 0;
  const Integer *large = swapped ? &y : &x, *small = swapped ? &x : &y;
  r->sign = large->sign;
  r->count = large->count + (x.sign == y.sign);
  if (x.sign == y.sign) add_limbs(r->limb, large, small);
  else subtract_limbs(r->limb, large, small);
  return normal(r);
}

Value big_product(Machine* m, Value a, Value b) {
  Integer x, y;
  view(a, &x);
  view(b, &y);
  Bignum* r = new_bignum(m, a, b, x.count + y.count);
  r->sign = x.sign * y.sign;
  memset(r->limb, 0, r->count * sizeof *r->limb);
  for (size_t i = 0; i < x.count; ++i) {
    uint64_t carry = 0;
    for (size_t j = 0; j < y.count; ++j, carry >>= 32) {
      carry += (uint64_t)x.limb[i] * y.limb[j] + r->limb[i + j];
      r->limb[i + j] = (uint32_t)carry;
    }
    r->limb[i + y.count] = (uint32_t)carry;
  }
  return normal(r);
}

Value big_division(Machine* m, Value a, Value b, BigDivision what) {
  Integer x, y;
  view(a, &x);
  view(b, &y);
  if (compare_limbs(&x, &y) < 0) return what == BIG_QUOTIENT ? fixnum(0) : a;
  const size_t n = x.count, k = y.count;
  Bignum* r = new_bignum(m, a, b, what == BIG_QUOTIENT ? n - k + 1 : k);
  r->sign = what == BIG_QUOTIENT ? x.sign * y.sign : x.sign;
  uint32_t *u = scratch(n + 1), *v = scratch(k), *q = scratch(n - k + 1);
  if (k == 1) {
    memcpy(u, x.limb, n * sizeof *u);
    const uint32_t rest = divide_by_limb(u, n, y.limb[0]);
    memcpy(q, u, n * sizeof *q);
    u[0] = rest;
  } else {
    const unsigned shift = (unsigned)__builtin_clz(y.limb[k - 1]);
    shift_left(v, y.limb, k, shift); /* its highest limb is 0 then */
    shift_left(u, x.limb, n, shift);
    divide_limbs(q, u, n, v, k);
    shift_right(u, k, shift);
  }
  memcpy(r->limb, what == BIG_QUOTIENT ? q : u, r->count * sizeof *r->limb);
  free(u);
  free(v);
  free(q);
  return normal(r);
}

/* ---- To and from doubles and text ---- */

/* The upper 64 bits, the lowest of them set if one below is: rounding that rounds right. */
double big_to_double(Value a) {
  Integer x;
  view(a, &x);
  uint64_t top = 0;
  size_t taken = 0;
  for (; taken < 2 && taken < x.count; ++taken) top = top << 32 | x.limb[x.count - 1 - taken];
  int exponent = 32 * (int)(x.count - taken);
  if (x.count > 2) {
    const int shift = __builtin_clzll(top);
    const uint32_t next = x.limb[x.count - 3];
    if (shift != 0) top = top << shift | next >> (32 - shift);
    exponent -= shift;
    bool more = (uint32_t)(next << shift) != 0;
    for (size_t i = 0; i + 3 < x.count; ++i) more |= x.limb[i] != 0;
    top |= more;
  }
  return ldexp((double)top, exponent) * x.sign;
}

Value big_of_double(Machine* m, double d) {
  int exponent;
  const double fraction = frexp(fabs(d), &exponent);
  const uint64_t mantissa = (uint64_t)ldexp(fraction, 53);
  const int shift = exponent - 53;
  if (shift < 0) return fixnum((intptr_t)d); /* below 2^53 */
  Bignum* r = new_bignum(m, 0, 0, (size_t)shift / 32 + 3);
  r->sign = d < 0 ? -1 : 1;
  memset(r->limb, 0, r->count * sizeof *r->limb);
  const uint32_t parts[2] = {(uint32_t)mantissa, (uint32_t)(mantissa >> 32)};
  shift_left(r->limb + shift / 32, parts, 2, (unsigned)shift % 32);
  return normal(r);
}

char* big_text(Value a, unsigned radix) {
  Integer x;
  view(a, &x);
  uint32_t* rest = scratch(x.count);
  memcpy(rest, x.limb, x.count * sizeof *rest);
  const size_t room = x.count * 32 + 3; /* the digits of radix 2, a sign, the end */
  char* text = malloc(room);
  if (text == NULL) out_of_memory();
  char* at = text + room;
  *--at = 0;
  for (size_t count = x.count; count > 0;) {
    *--at = "0123456789abcdefghijklmnopqrstuvwxyz"[divide_by_limb(rest, count, radix)];
    while (count > 0 && rest[count - 1] == 0) --count;
  }
  if (x.sign < 0) *--at = '-';
  memmove(text, at, (size_t)(text + room - at));
  free(rest);
  return text;
}

/* Digits, after a sign perhaps; FALSE: something else. */
Value big_of_text(Machine* m, const char* text, size_t length, unsigned radix) {
  size_t i = *text == '-' || *text == '+';
  if (i == length) return FALSE;
  Bignum* r = new_bignum(m, 0, 0, length / 5 + 1); /* more than enough up to radix 36 */
  r->sign = *text == '-' ? -1 : 1;
  memset(r->limb, 0, r->count * sizeof *r->limb);
  size_t used = 1;
  for (; i < length; ++i) {
    const unsigned digit = text[i] >= '0' && text[i] <= '9' ? (unsigned)(text[i] - '0') : (text[i] | 32) >= 'a' && (text[i] | 32) <= 'z' ? (unsigned)((text[i] | 32) - 'a' + 10) : 99;
    if (digit >= radix) return FALSE;
    uint64_t carry = digit;
    for (size_t k = 0; k < used; ++k, carry >>= 32) {
      carry += (uint64_t)r->limb[k] * radix;
      r->limb[k] = (uint32_t)carry;
    }
    if (carry != 0) r->limb[used++] = (uint32_t)carry;
  }
  return normal(r);
}
