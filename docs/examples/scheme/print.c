/* Values to text. Allocates nothing, so it may hold what it likes in variables. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bignum.h"

int format_flonum(double d, char* out, size_t room) {
  if (isnan(d)) return snprintf(out, room, "+nan.0");
  if (isinf(d)) return snprintf(out, room, d > 0 ? "+inf.0" : "-inf.0");
  int length = 0;
  for (int digits = 15; digits <= 17; ++digits) { /* the shortest that reads back */
    length = snprintf(out, room, "%.*g", digits, d);
    if (strtod(out, NULL) == d) break;
  }
  if (strpbrk(out, ".e") == NULL && (size_t)length + 2 < room) length += snprintf(out + length, room - (size_t)length, ".0");
  return length;
}

static void print_string(FILE* out, Value v) {
  putc('"', out);
  for (size_t i = 0; i < STRING(v)->length; ++i) {
    const char c = STRING(v)->bytes[i];
    if (c == '"' || c == '\\') putc('\\', out);
    if (c == '\n') fputs("\\n", out);
    else putc(c, out);
  }
  putc('"', out);
}

static void print_char(FILE* out, Value v) {
  const unsigned c = code_of(v);
  if (c == ' ') fputs("#\\space", out);
  else if (c == '\n') fputs("#\\newline", out);
  else fprintf(out, "#\\%c", c);
}

static void print_list(FILE* out, Value v, PrintStyle style) {
  static const struct { const char *name, *mark; } marks[] = {{"quote", "'"}, {"quasiquote", "`"}, {"unquote", ","}, {"unquote-splicing", ",@"}};
  if (is_symbol(car(v)) && is_pair(cdr(v)) && cdr(cdr(v)) == NIL)
    for (size_t i = 0; i < sizeof marks / sizeof *marks; ++i)
      if (strcmp(STRING(SYMBOL(car(v))->name)->bytes, marks[i].name) == 0) {
        fputs(marks[i].mark, out);
        return print(out, car(cdr(v)), style);
      }
  putc('(', out);
  for (;; v = cdr(v)) {
    print(out, car(v), style);
    if (cdr(v) == NIL) break;
    if (!is_pair(cdr(v))) {
      fputs(" . ", out);
      print(out, cdr(v), style);
      break;
    }
    putc(' ', out);
  }
  putc(')', out);
}

static void print_object(FILE* out, Value v, PrintStyle style) {
  static const char* const names[] = {"box", "values", "record-type", "record", "hash-table", "promise", "weak-pair", "thread", "mutex", "alias", "macro", "error", "bignum"};
  Object* o = OBJECT(v);
  const intptr_t type = integer_of(o->header);
  if (type == OBJECT_RECORD) {
    fputs("#<", out);
    print(out, OBJECT(o->slot[0])->slot[0], DISPLAY);
    fputs(">", out);
  } else if (type == OBJECT_ERROR) {
    print(out, o->slot[0], DISPLAY);
    for (Value l = o->slot[1]; is_pair(l); l = cdr(l)) {
      putc(' ', out);
      print(out, car(l), WRITE);
    }
  } else if (type == OBJECT_BIGNUM) {
    char* text = big_text(v, 10);
    fputs(text, out);
    free(text);
  } else if (type == OBJECT_ALIAS) {
    print(out, o->slot[0], style);
  } else {
    fprintf(out, "#<%s>", names[type]);
  }
}

static void print_vector(FILE* out, Value v, PrintStyle style) {
  fputs("#(", out);
  for (size_t i = 0; i < VECTOR(v)->length; ++i) {
    if (i != 0) putc(' ', out);
    print(out, VECTOR(v)->items[i], style);
  }
  putc(')', out);
}

void print(FILE* out, Value v, PrintStyle style) {
  char number[40];
  switch (tag_of(v)) {
    case TAG_PAIR: print_list(out, v, style); return;
    case TAG_PROC: {
      const Value name = PROC(v)->code->name;
      fputs("#<procedure", out);
      if (is_symbol(name)) putc(' ', out), print(out, name, DISPLAY);
      putc('>', out);
      return;
    }
    case TAG_OBJECT: print_object(out, v, style); return;
    case TAG_FLONUM: format_flonum(FLONUM(v), number, sizeof number); fputs(number, out); return;
    case TAG_SYMBOL: fwrite(STRING(SYMBOL(v)->name)->bytes, 1, STRING(SYMBOL(v)->name)->length, out); return;
    case TAG_STRING:
      if (style == WRITE) print_string(out, v);
      else fwrite(STRING(v)->bytes, 1, STRING(v)->length, out);
      return;
    case TAG_VECTOR: print_vector(out, v, style); return;
    case TAG_IMMEDIATE:
      if (is_char(v)) {
        if (style == WRITE) print_char(out, v);
        else putc((int)code_of(v), out);
      } else {
        fputs(v == FALSE ? "#f" : v == TRUE ? "#t" : v == NIL ? "()" : v == END_OF_FILE ? "#<eof>" : "#<unspecified>", out);
      }
      return;
    default: fprintf(out, "%ld", (long)integer_of(v));
  }
}
