/* Text to data. Everything it makes is kept (see keep_from), so that it may hold values in variables. */
#include <ctype.h>
#include <string.h>

#include "scheme.h"

static Value problem(Reader* r, const char* what) {
  r->problem = what;
  return END_OF_FILE;
}

static bool is_delimiter(int c) { return isspace(c) || c == '(' || c == ')' || c == '[' || c == ']' || c == '"' || c == ';' || c == '\''; }

static void skip_block_comment(Reader* r) {
  for (int depth = 1; depth > 0 && r->at + 1 < r->end; ++r->at) {
    if (r->at[0] == '#' && r->at[1] == '|') ++depth, ++r->at;
    else if (r->at[0] == '|' && r->at[1] == '#') --depth, ++r->at;
  }
}

static void skip_blanks(Machine* m, Reader* r) {
  while (r->at < r->end) {
    if (*r->at == '\n') ++r->line;
    if (isspace((unsigned char)*r->at)) ++r->at;
    else if (*r->at == ';') while (r->at < r->end && *r->at != '\n') ++r->at;
    else if (r->at + 1 < r->end && r->at[0] == '#' && r->at[1] == '|') r->at += 2, skip_block_comment(r);
    else if (r->at + 1 < r->end && r->at[0] == '#' && r->at[1] == ';') r->at += 2, read_datum(m, r);
    else return;
  }
}

static Value read_list(Machine* m, Reader* r, char close) {
  Value first = NIL, last = NIL;
  for (;;) {
    skip_blanks(m, r);
    if (r->at == r->end) return problem(r, "a list does not end");
    if (*r->at == ')' || *r->at == ']') {
      if (*r->at++ != close) return problem(r, "parentheses do not match");
      return first;
    }
    if (*r->at == '.' && r->at + 1 < r->end && is_delimiter((unsigned char)r->at[1]) && last != NIL) {
      ++r->at;
      store(&PAIR(last)->cdr, read_datum(m, r));
      continue;
    }
    Value item = read_datum(m, r);
    if (r->problem != NULL) return END_OF_FILE;
    Value pair = cons(m, item, NIL);
    if (last == NIL) first = pair;
    else store(&PAIR(last)->cdr, pair);
    last = pair;
  }
}

static Value read_string(Machine* m, Reader* r) {
  char buffer[4096];
  size_t length = 0;
  for (; r->at < r->end && *r->at != '"'; ++r->at) {
    char c = *r->at;
    if (c == '\n') ++r->line;
    if (c == '\\' && r->at + 1 < r->end) {
      c = *++r->at;
      c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == '0' ? '\0' : c;
    }
    if (length == sizeof buffer) return problem(r, "a string is too long");
    buffer[length++] = c;
  }
  if (r->at == r->end) return problem(r, "a string does not end");
  ++r->at;
  return make_string(m, buffer, length);
}

static Value read_char(Reader* r, const char* text, size_t length) {
  static const struct { const char* name; unsigned c; } names[] = {
      {"space", ' '}, {"newline", '\n'}, {"tab", '\t'}, {"nul", 0}, {"null", 0}, {"return", '\r'}, {"linefeed", '\n'}, {"altmode", 27}, {"escape", 27}, {"delete", 127}, {"alarm", 7}, {"backspace", 8}};
  if (length == 1) return character((unsigned char)*text);
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
    if (strlen(names[i].name) == length && memcmp(names[i].name, text, length) == 0) return character(names[i].c);
  return problem(r, "an unknown character");
}

static Value quoted(Machine* m, Reader* r, const char* name) {
  Value datum = read_datum(m, r);
  return r->problem != NULL ? END_OF_FILE : cons(m, intern(m, name), cons(m, datum, NIL));
}

static Value vector_of(Machine* m, Value list) {
  size_t length = 0;
  for (Value l = list; is_pair(l); l = cdr(l)) ++length;
  Value v = make_vector(m, length, FALSE);
  for (size_t i = 0; i < length; ++i, list = cdr(list)) store(&VECTOR(v)->items[i], car(list));
  return v;
}

static Value read_token(Machine* m, Reader* r) {
  const char* from = r->at;
  if (from[0] == '#' && from + 1 < r->end && from[1] == '\\') {
    r->at = from + 3 < r->end ? from + 3 : r->end; /* at least one character, delimiter or not */
    while (r->at < r->end && !is_delimiter((unsigned char)*r->at)) ++r->at;
    return read_char(r, from + 2, (size_t)(r->at - from - 2));
  }
  while (r->at < r->end && !is_delimiter((unsigned char)*r->at)) ++r->at;
  size_t length = (size_t)(r->at - from);
  if (from[0] == '#') {
    if ((length == 2 && from[1] == 't') || (length == 5 && memcmp(from, "#true", 5) == 0)) return TRUE;
    if ((length == 2 && from[1] == 'f') || (length == 6 && memcmp(from, "#false", 6) == 0)) return FALSE;
    if (length > 2 && (from[1] == 'x' || from[1] == 'b')) {
      const Value number = parse_number(m, from + 2, length - 2, from[1] == 'x' ? 16 : 2);
      keep(m, number);
      return number;
    }
    return problem(r, "an unknown # syntax");
  }
  Value number = parse_number(m, from, length, 10);
  if (number != FALSE) {
    keep(m, number);
    return number;
  }
  if (from[0] == '|' && length > 1) ++from, length -= 2;
  return intern_bytes(m, from, length);
}

Value read_datum(Machine* m, Reader* r) {
  skip_blanks(m, r);
  if (r->at == r->end) return END_OF_FILE;
  switch (*r->at) {
    case '(': ++r->at; return read_list(m, r, ')');
    case '[': ++r->at; return read_list(m, r, ']');
    case ')': case ']': return problem(r, "a parenthesis too many");
    case '\'': ++r->at; return quoted(m, r, "quote");
    case '`': ++r->at; return quoted(m, r, "quasiquote");
    case ',':
      if (r->at + 1 < r->end && r->at[1] == '@') { r->at += 2; return quoted(m, r, "unquote-splicing"); }
      ++r->at;
      return quoted(m, r, "unquote");
    case '"': ++r->at; return read_string(m, r);
    case '#':
      if (r->at + 1 < r->end && r->at[1] == '(') {
        r->at += 2;
        Value list = read_list(m, r, ')');
        return r->problem != NULL ? END_OF_FILE : vector_of(m, list);
      }
      return read_token(m, r);
    default: return read_token(m, r);
  }
}
