/* Integers beyond fixnums. Results are fixnums whenever they can be. Operations are safepoints for which their arguments are roots. */
#ifndef SCHEME_BIGNUM_H
#define SCHEME_BIGNUM_H

#include "scheme.h"

typedef enum { BIG_QUOTIENT, BIG_REMAINDER } BigDivision; /* truncated */

int big_compare(Value a, Value b); /* -1, 0, 1 */
Value big_sum(Machine* m, Value a, Value b, int sign_of_b);
Value big_product(Machine* m, Value a, Value b);
Value big_division(Machine* m, Value a, Value b, BigDivision what); /* b is not 0 */
double big_to_double(Value a);
Value big_of_double(Machine* m, double d);      /* finite, without a fraction */
char* big_text(Value a, unsigned radix);        /* to be freed */
Value big_of_text(Machine* m, const char* text, size_t length, unsigned radix);

#endif
