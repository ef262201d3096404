/* The machine's instructions. Operands a, b, c are slots of the frame unless it says otherwise; k(x) is the
   constant x words behind the next instruction, +c where it jumps, counted from itself. */
#ifndef SCHEME_INSTRUCTIONS_H
#define SCHEME_INSTRUCTIONS_H

#include <stddef.h>

#define INSTRUCTIONS(X)                                                                                                                 \
  X(ENTER)       /* a parameters, b slots: of a procedure, first */                                                                     \
  X(ENTER_REST)  /* a parameters before the rest */                                                                                     \
  X(MOVE)        /* a = b */                                                                                                            \
  X(CONST)       /* a = k(b) */                                                                                                         \
  X(FREE)        /* a = free variable b */                                                                                              \
  X(FREE_BOX)    /* a = content of free variable b */                                                                                   \
  X(SET_FREE)    /* content of free variable a = b */                                                                                   \
  X(BOX)         /* a = box of a */                                                                                                     \
  X(UNBOX)       /* a = content of b */                                                                                                 \
  X(SET_BOX)     /* content of a = b */                                                                                                 \
  X(GLOBAL_REF)  /* a = value of symbol k(b) */                                                                                         \
  X(GLOBAL_SET)  /* value of symbol k(a) = b */                                                                                         \
  X(GLOBAL_DEF)                                                                                                                         \
  X(GLOBAL_ADD)  /* value of symbol k(a) += c, signed */                                                                                \
  X(CLOSURE)     /* a = procedure of code k(b); c CAPTUREs follow */                                                                    \
  X(CAPTURE)     /* a: 0 slot b, 1 free variable b */                                                                                   \
  X(PATCH)       /* free variable b of procedure a = c */                                                                               \
  X(OP_CALL)     /* a = (slot b-1, the c slots from b on), in a frame that begins at b */                                               \
  X(TAIL_CALL)   /* the same, for good */                                                                                               \
  X(CALL_GLOBAL) /* a = (CALL_SYMBOL's value, the c slots from b on) */                                                                 \
  X(TAIL_CALL_GLOBAL)                                                                                                                   \
  X(CALL_MOVE) X(CALL_CAR) X(CALL_CDR) /* CALL_GLOBAL with one argument, op c */                                                        \
  X(FIELD)       /* a = field of c. CALL_SYMBOL's value was the accessor CALL_PROCEDURE: if it is that no more, a call */               \
  X(PRIMITIVE_CALL) X(MAKE_RECORD) /* the same of a primitive and of a constructor, with the c slots from b on */                       \
  X(LIST)        /* a = list of the c slots below `live`, which it uses */                                                              \
  X(RETURN)      /* a */                                                                                                                \
  X(RETURN_CONST) /* k(b) */                                                                                                            \
  X(RETURN_CONS) /* b . c */                                                                                                            \
  X(JUMP)        /* +c */                                                                                                               \
  X(CONST_JUMP)  /* a = k(b), +c */                                                                                                     \
  X(LOOP)        /* +c, back, with a poll */                                                                                            \
  X(LOOP_MOVE) X(LOOP_CDR) /* a = op b, then LOOP c */                                                                                  \
  X(IF_TRUE) X(IF_FALSE) X(IF_NULL) X(IF_NOT_NULL) X(IF_PAIR) X(IF_NOT_PAIR) X(IF_ZERO) X(IF_NOT_ZERO) /* a, +c */                      \
  X(IF_EQ) X(IF_NOT_EQ) X(IF_LESS) X(IF_NOT_LESS) X(IF_AT_MOST) X(IF_NOT_AT_MOST) X(IF_SAME) X(IF_NOT_SAME) /* a, b, +c */              \
  X(IF_CAR_NULL) X(IF_CAR_NOT_NULL) X(IF_CAR_PAIR) X(IF_CAR_NOT_PAIR) /* part of a, +c */                                               \
  X(IF_CDR_NULL) X(IF_CDR_NOT_NULL) X(IF_CDR_PAIR) X(IF_CDR_NOT_PAIR)                                                                   \
  X(IF_CAR_EQ) X(IF_CAR_NOT_EQ) X(IF_CDR_EQ) X(IF_CDR_NOT_EQ) /* part of a, b, +c */                                                    \
  X(IF_STILL) X(IF_NOT_STILL) /* value of symbol k(b) is k(b+1), +c */                                                                  \
  X(IF_EQ_CONST) X(IF_NOT_EQ_CONST) /* a, k(b), +c */                                                                                   \
  X(IF_LESS_SMALL) X(IF_NOT_LESS_SMALL) X(IF_AT_MOST_SMALL) X(IF_NOT_AT_MOST_SMALL)                                                     \
  X(IF_GREATER_SMALL) X(IF_NOT_GREATER_SMALL) X(IF_AT_LEAST_SMALL) X(IF_NOT_AT_LEAST_SMALL)                                             \
  X(IF_SAME_SMALL) X(IF_NOT_SAME_SMALL) /* a, number b, signed, +c */                                                                   \
  X(MOVE_MOVE) X(MOVE_CAR) X(MOVE_CDR) X(CAR_MOVE) X(CAR_CAR) X(CAR_CDR) X(CDR_MOVE) X(CDR_CAR) X(CDR_CDR) /* a = op1 b, a+1 = op2 c */ \
  X(CONS) X(ADD) X(SUBTRACT) X(MULTIPLY) X(VECTOR_REF) /* a = b op c */                                                                 \
  X(QUOTIENT) X(REMAINDER)                                                                                                              \
  X(ADD_SMALL)   /* a = b + c, signed */                                                                                                \
  X(CAR) X(CDR) X(CADR) X(CDDR) X(CAAR) /* a = op b */                                                                                  \
  X(VECTOR_LENGTH)                                                                                                                      \
  X(VECTOR_SET)  /* a[b] = c */                                                                                                         \
  X(SET_CAR) X(SET_CDR) /* of a to b */                                                                                                 \
  X(RECORD_MAKE) X(RECORD_TEST) X(RECORD_GET) X(RECORD_PUT) X(PRIMITIVE) X(CONTINUE) X(APPLY) X(CALL_CC) X(UNDERFLOW) /* bodies of built-in procedures */

typedef enum {
#define NAME(name) name,
  INSTRUCTIONS(NAME)
#undef NAME
      INSTRUCTION_COUNT
} Op;

/* Words behind an instruction from which the program may come back, and a tail call: at a fixed place, so that the machine knows where a call goes on
   two loads after it knows where the call is. Until layout.c puts them there, operand b is the number of the symbol among the constants, behind
   which is the procedure. */
typedef enum { CALL_PROCEDURE, CALL_SYMBOL, CALL_WORDS } CallWord;
static inline size_t words_behind(Op op) { return op >= OP_CALL && op <= MAKE_RECORD ? CALL_WORDS : 0; }

#endif
