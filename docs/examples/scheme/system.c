/* Output, time, the collector, and what the prelude needs of the machine. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <time.h>

#include "scheme.h"

#define PRIMITIVE(name) static Value name(Machine* m, Value* a, int n)
#define UNUSED (void)m, (void)a, (void)n

PRIMITIVE(p_display) { UNUSED; print(stdout, a[0], DISPLAY); return UNSPECIFIED; }
PRIMITIVE(p_write) { UNUSED; print(stdout, a[0], WRITE); return UNSPECIFIED; }
PRIMITIVE(p_write_char) { UNUSED; putc((int)code_of(a[0]), stdout); return UNSPECIFIED; }
PRIMITIVE(p_newline) { UNUSED; putc('\n', stdout); return UNSPECIFIED; }
PRIMITIVE(p_flush) { UNUSED; fflush(stdout); return UNSPECIFIED; }
PRIMITIVE(p_report) { /* of an exception that nobody has handled */
  UNUSED;
  fflush(stdout);
  fputs("scheme: ", stderr);
  print(stderr, a[0], DISPLAY);
  fputc('\n', stderr);
  return UNSPECIFIED;
}
PRIMITIVE(p_exit) {
  (void)m;
  fflush(stdout);
  exit(n == 0 || a[0] == TRUE ? 0 : is_fixnum(a[0]) ? (int)integer_of(a[0]) : 1);
}
PRIMITIVE(p_current_jiffy) {
  struct timespec now;
  UNUSED;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return fixnum((intptr_t)now.tv_sec * 1000000000 + now.tv_nsec);
}
PRIMITIVE(p_jiffies) { UNUSED; return fixnum(1000000000); }
PRIMITIVE(p_collect) { UNUSED; lull_collect(); return UNSPECIFIED; }

PRIMITIVE(p_winders) { UNUSED; return m->winders; }
PRIMITIVE(p_set_winders) { UNUSED; m->winders = a[0]; return UNSPECIFIED; }
PRIMITIVE(p_handlers) { UNUSED; return m->handlers; }
PRIMITIVE(p_set_handlers) { UNUSED; m->handlers = a[0]; return UNSPECIFIED; }
PRIMITIVE(p_winders_of) { UNUSED; return PROC(a[0])->free[KONT_WINDERS]; }
PRIMITIVE(p_void) { UNUSED; return UNSPECIFIED; }

PRIMITIVE(p_compile) { /* a datum to a procedure without arguments; eval is (lambda (x) ((%compile x))) */
  size_t mark;
  (void)n;
  keep_from(m, &mark);
  Code* code = compile(m, a[0]);
  keep_until(m, mark);
  if (code == NULL) return UNSPECIFIED;
  m->temporary[0] = (Value)code;
  Procedure* p = (Procedure*)new_words(1);
  lull_initialize(&p->code, (void*)m->temporary[0]);
  return (Value)p + TAG_PROC;
}

void define_system(Machine* m) {
  static const struct { const char* name; Primitive f; int least, most; } all[] = {
      {"display", p_display, 1, 2}, {"write", p_write, 1, 2}, {"write-char", p_write_char, 1, 2}, {"newline", p_newline, 0, 1},
      {"flush-output", p_flush, 0, 1}, {"%report", p_report, 1, 1}, {"exit", p_exit, 0, 1}, {"current-jiffy", p_current_jiffy, 0, 0},
      {"jiffies-per-second", p_jiffies, 0, 0}, {"collect-garbage", p_collect, 0, 0}, {"%winders", p_winders, 0, 0},
      {"%set-winders!", p_set_winders, 1, 1}, {"%handlers", p_handlers, 0, 0}, {"%set-handlers!", p_set_handlers, 1, 1},
      {"%winders-of", p_winders_of, 1, 1}, {"void", p_void, 0, 0}, {"%compile", p_compile, 1, 1}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) define(m, all[i].name, all[i].f, all[i].least, all[i].most);
}
