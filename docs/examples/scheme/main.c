/* scheme [--stats] FILE ...: runs programs. */
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

static char* contents_of(const char* path, size_t* length) {
  FILE* file = fopen(path, "rb");
  char* text = NULL;
  if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
    *length = (size_t)ftell(file);
    rewind(file);
    text = malloc(*length + 1);
    if (text != NULL && fread(text, 1, *length, file) != *length) text = NULL;
  }
  if (text == NULL) {
    fprintf(stderr, "scheme: cannot read %s\n", path);
    exit(66);
  }
  fclose(file);
  return text;
}

/* Reads a datum and compiles it; UNBOUND at the end of the text. */
static Value next_procedure(Machine* m, Reader* r, const char* path) {
  size_t mark;
  m->error = NULL;
  keep_from(m, &mark);
  const Value datum = read_datum(m, r);
  Code* code = datum == END_OF_FILE ? NULL : compile(m, datum);
  keep_until(m, mark);
  if (r->problem != NULL || m->error != NULL) {
    fprintf(stderr, "%s:%d: %s", path, r->line, r->problem != NULL ? r->problem : m->error);
    if (r->problem == NULL) fputs(": ", stderr), print(stderr, m->irritant, WRITE);
    fputc('\n', stderr);
    exit(65);
  }
  if (code == NULL) return UNBOUND;
  m->temporary[0] = (Value)code;
  Procedure* p = (Procedure*)new_words(1);
  lull_initialize(&p->code, (void*)m->temporary[0]);
  return (Value)p + TAG_PROC;
}

static void load(Machine* m, const char* path) {
  size_t length;
  char* text = contents_of(path, &length);
  Reader r = {text, text + length, 1, NULL};
  for (Value procedure; (procedure = next_procedure(m, &r, path)) != UNBOUND;) run(m, procedure);
  free(text);
}

static void print_statistics(void) {
  lull_stats s;
  lull_read_stats(&s);
  fprintf(stderr, "cycles %u young %u pauses %lu p50_us %.1f p99_us %.1f max_us %.1f cpu_max_us %.1f slow_max_us %.1f gc_cpu_s %.3f heap_mb %.1f mapped_mb %.1f allocated_mb %.0f\n",
          s.cycles, s.young_cycles, (unsigned long)s.pauses, (double)s.pause_p50_ns / 1e3, (double)s.pause_p99_ns / 1e3, (double)s.pause_max_ns / 1e3,
          (double)s.pause_cpu_max_ns / 1e3, (double)s.slow_max_ns / 1e3, s.gc_cpu_seconds, (double)s.heap_bytes / 1e6, (double)s.mapped_bytes / 1e6, (double)s.total_bytes / 1e6);
}

int main(int argc, char** argv) {
  static Machine machine;
  bool statistics = false;
  if (lull_use_precise_roots() != 0) return 70;
  lull_attach_thread();
  if (getenv("LULL_MIN_HEAP") == NULL) lull_set_min_heap(32 << 20); /* a program builds up so much without a cycle on the way */
  make_kinds();
  start_machine(&machine);
  make_special_procedures(&machine);
  define_special_forms(&machine);
  define_numbers(&machine);
  define_lists(&machine);
  define_strings(&machine);
  define_tables(&machine);
  define_threads(&machine);
  define_system(&machine);
  load(&machine, SCHEME_PRELUDE);
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--stats") == 0) statistics = true;
    else load(&machine, argv[i]);
  }
  fflush(stdout);
  if (statistics) print_statistics();
  end_machine(&machine);
  return 0;
}
