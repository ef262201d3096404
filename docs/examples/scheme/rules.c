/* syntax-rules. A macro's template names that are no pattern variables become aliases: fresh identifiers that mean, unless the expansion binds
   them, what the name meant where the macro was defined (Clinger and Rees 1991, by renaming). */
#include <string.h>

#include "compiler.h"

/* OBJECT_MACRO: ellipsis, literals, rules, scope; OBJECT_ALIAS: identifier, scope. Scopes are arena pointers: fixnums to everybody else. */
enum { ELLIPSIS, LITERALS, RULES, SCOPE };

static Value pointer_value(const void* p) { return (Value)p; }
static Scope* scope_of(Value object, int slot) { return (Scope*)OBJECT(object)->slot[slot]; }

Value make_macro(Compiler* c, Value rules, Scope* scope) {
  if (!is_pair(rules) || !is_identifier(car(rules)) || strcmp(STRING(SYMBOL(symbol_of(car(rules)))->name)->bytes, "syntax-rules") != 0 || !is_pair(cdr(rules)))
    syntax_error(c, "syntax-rules is wanted", rules);
  Value rest = cdr(rules), ellipsis = intern(c->m, "...");
  if (is_identifier(car(rest))) ellipsis = car(rest), rest = cdr(rest);
  Value macro = make_object(c->m, OBJECT_MACRO, 4);
  Object* o = OBJECT(macro);
  initialize(&o->slot[ELLIPSIS], ellipsis);
  initialize(&o->slot[LITERALS], car(rest));
  initialize(&o->slot[RULES], cdr(rest));
  initialize(&o->slot[SCOPE], pointer_value(scope));
  return macro;
}

/* What pattern variables stand for; with depth 0 a form, otherwise a list of Matches, one for each repetition. */
typedef struct Match { Value name, form; struct Match** repetitions; int count; bool repeated; struct Match* next; } Match;

typedef struct { Compiler* c; Value macro; Scope* use; } Expansion;

static bool is_ellipsis(const Expansion* e, Value v) {
  const Value ellipsis = OBJECT(e->macro)->slot[ELLIPSIS];
  return is_identifier(v) && (v == ellipsis || symbol_of(v) == symbol_of(ellipsis));
}
static bool is_literal(const Expansion* e, Value v) {
  for (Value l = OBJECT(e->macro)->slot[LITERALS]; is_pair(l); l = cdr(l))
    if (car(l) == v) return true;
  return false;
}
static bool same_meaning(Value a, Scope* in_a, Value b, Scope* in_b) {
  if (!is_identifier(a) || !is_identifier(b)) return false;
  const Denotation x = look_up(a, in_a), y = look_up(b, in_b);
  return x.variable == y.variable && (x.variable != NULL || symbol_of(a) == symbol_of(b));
}

static Match* bind(const Expansion* e, Value name, Value form, Match* next) {
  Match* match = arena(e->c, sizeof *match);
  *match = (Match){.name = name, .form = form, .next = next};
  return match;
}

static int length_of(Value list) {
  int n = 0;
  for (; is_pair(list); list = cdr(list)) ++n;
  return n;
}

static bool match(const Expansion* e, Value pattern, Value form, Match** found);

static void collect_names(const Expansion* e, Value pattern, Match** found) {
  if (is_identifier(pattern)) {
    if (!is_ellipsis(e, pattern) && !is_literal(e, pattern)) {
      *found = bind(e, pattern, NIL, *found);
      (*found)->repeated = true;
    }
  } else if (is_pair(pattern)) {
    collect_names(e, car(pattern), found);
    collect_names(e, cdr(pattern), found);
  } else if (is_vector(pattern)) {
    for (size_t i = 0; i < VECTOR(pattern)->length; ++i) collect_names(e, VECTOR(pattern)->items[i], found);
  }
}

/* (pattern ... . rest): as many forms as leave enough for the rest. */
static bool match_repeated(const Expansion* e, Value pattern, Value form, Match** found) {
  const Value rest = cdr(cdr(pattern));
  const int count = length_of(form) - length_of(rest);
  if (count < 0) return false;
  Match* names = NULL;
  collect_names(e, car(pattern), &names);
  Match** each = arena(e->c, sizeof *each * (size_t)(count + 1));
  for (int i = 0; i < count; ++i, form = cdr(form))
    if (!match(e, car(pattern), car(form), &each[i])) return false;
  Match* last = NULL;
  for (Match* n = names; n != NULL; n = n->next) {
    n->repetitions = each;
    n->count = count;
    last = n;
  }
  if (last != NULL) {
    last->next = *found;
    *found = names;
  }
  return match(e, rest, form, found);
}

static Value list_of_vector(const Expansion* e, Value vector) {
  Value list = NIL;
  for (size_t i = VECTOR(vector)->length; i > 0; --i) list = cons(e->c->m, VECTOR(vector)->items[i - 1], list);
  return list;
}

static bool match(const Expansion* e, Value pattern, Value form, Match** found) {
  if (is_identifier(pattern)) {
    if (is_literal(e, pattern)) return same_meaning(form, e->use, pattern, scope_of(e->macro, SCOPE));
    if (strcmp(STRING(SYMBOL(symbol_of(pattern))->name)->bytes, "_") != 0) *found = bind(e, pattern, form, *found);
    return true;
  }
  if (is_pair(pattern)) {
    if (is_pair(cdr(pattern)) && is_ellipsis(e, car(cdr(pattern)))) return match_repeated(e, pattern, form, found);
    return is_pair(form) && match(e, car(pattern), car(form), found) && match(e, cdr(pattern), cdr(form), found);
  }
  if (is_vector(pattern)) return is_vector(form) && match(e, list_of_vector(e, pattern), list_of_vector(e, form), found);
  return equal(pattern, form);
}

/* ---- Templates ---- */

typedef struct Renamed { Value name, alias; struct Renamed* next; } Renamed;

static Match* find(Match* found, Value name) {
  while (found != NULL && found->name != name) found = found->next;
  return found;
}

static Value rename_name(const Expansion* e, Value name, Renamed** renamed) {
  for (Renamed* r = *renamed; r != NULL; r = r->next)
    if (r->name == name) return r->alias;
  Value alias = make_object(e->c->m, OBJECT_ALIAS, 2);
  initialize(&OBJECT(alias)->slot[0], name);
  initialize(&OBJECT(alias)->slot[1], OBJECT(e->macro)->slot[SCOPE]);
  Renamed* r = arena(e->c, sizeof *r);
  *r = (Renamed){name, alias, *renamed};
  *renamed = r;
  return alias;
}

/* The repetitions that the variables of a template have; -1: none of them is repeated. */
static int repetitions_of(const Expansion* e, Value template, Match* found, Match*** each) {
  if (is_identifier(template)) {
    const Match* m = find(found, template);
    if (m == NULL || !m->repeated) return -1;
    *each = m->repetitions;
    return m->count;
  }
  if (is_vector(template)) template = list_of_vector(e, template);
  if (!is_pair(template)) return -1;
  const int first = repetitions_of(e, car(template), found, each);
  return first >= 0 ? first : repetitions_of(e, cdr(template), found, each);
}

/* Variables that repeat along with the one that was found come from their own list of the same length. */
static Match* in_repetition(const Expansion* e, Value template, Match* found, int i, Match* result) {
  if (is_identifier(template)) {
    const Match* m = find(found, template);
    if (m == NULL || !m->repeated || i >= m->count) return result;
    const Match* inner = find(m->repetitions[i], template);
    if (inner == NULL) return result;
    Match* copy = arena(e->c, sizeof *copy);
    *copy = *inner;
    copy->next = result;
    return copy;
  }
  if (is_vector(template)) template = list_of_vector(e, template);
  if (!is_pair(template)) return result;
  return in_repetition(e, cdr(template), found, i, in_repetition(e, car(template), found, i, result));
}

static Value fill(const Expansion* e, Value template, Match* found, Renamed** renamed, bool literally);

static Value append(const Expansion* e, Value a, Value b) { return is_pair(a) ? cons(e->c->m, car(a), append(e, cdr(a), b)) : b; }

static Value fill_repeated(const Expansion* e, Value template, int depth, Match* found, Renamed** renamed) {
  Match** each = NULL;
  const int count = repetitions_of(e, template, found, &each);
  if (count < 0) syntax_error(e->c, "nothing repeats before an ellipsis", template);
  Value result = NIL;
  for (int i = count; i > 0; --i) {
    Match* inner = in_repetition(e, template, found, i - 1, found);
    result = depth > 1 ? append(e, fill_repeated(e, template, depth - 1, inner, renamed), result)
                       : cons(e->c->m, fill(e, template, inner, renamed, false), result);
  }
  return result;
}

static Value vector_of_list(const Expansion* e, Value list) {
  Value v = make_vector(e->c->m, (size_t)length_of(list), FALSE);
  for (size_t i = 0; is_pair(list); list = cdr(list)) store(&VECTOR(v)->items[i++], car(list));
  return v;
}

static Value fill(const Expansion* e, Value template, Match* found, Renamed** renamed, bool literally) {
  if (is_identifier(template)) {
    const Match* m = find(found, template);
    return m != NULL ? m->form : rename_name(e, template, renamed);
  }
  if (is_vector(template)) return vector_of_list(e, fill(e, list_of_vector(e, template), found, renamed, literally));
  if (!is_pair(template)) return template;
  if (!literally && is_ellipsis(e, car(template)) && is_pair(cdr(template))) return fill(e, car(cdr(template)), found, renamed, true);
  Value rest = cdr(template);
  int depth = 0;
  while (!literally && is_pair(rest) && is_ellipsis(e, car(rest))) ++depth, rest = cdr(rest);
  if (depth == 0) {
    Value first = fill(e, car(template), found, renamed, literally);
    return cons(e->c->m, first, fill(e, rest, found, renamed, literally));
  }
  Value repeated = fill_repeated(e, car(template), depth, found, renamed);
  return append(e, repeated, fill(e, rest, found, renamed, literally));
}

Value expand(Compiler* c, Value macro, Value form, Scope* scope) {
  const Expansion e = {c, macro, scope};
  for (Value rules = OBJECT(macro)->slot[RULES]; is_pair(rules); rules = cdr(rules)) {
    Match* found = NULL;
    Renamed* renamed = NULL;
    if (match(&e, cdr(car(car(rules))), cdr(form), &found)) return fill(&e, car(cdr(car(rules))), found, &renamed, false);
  }
  syntax_error(c, "no rule of the macro matches", form);
}
