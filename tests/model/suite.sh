#!/bin/sh
# usage: suite.sh MODEL SUITE [MAX_SECONDS]
# Explores every case of the file SUITE, prints a line for each, and fails if any verdict differs from the one the file wants.
# MAX_SECONDS limits each case; a case cut short by it counts as wrong. A line "always OPTIONS" holds for the cases after it.
set -uf
model=$1 suite=$2 limit=${3:-460}
cases=0 wrong=0 always=

verdict_of() {
  case $1 in
    'holds '*) echo holds ;;
    'FAILS '*'| REACHABLE OBJECT FREED |'*) echo lost ;;
    'FAILS '*'| GREY OBJECT AFTER TERMINATION |'*) echo late ;;
    'FAILS '*'| GARBAGE KEPT BY A FULL CYCLE |'*) echo leak ;;
    'FAILS '*'| DANGLING POINTER LOADED |'*) echo dangling ;;
    'FAILS '*'| BLOCK HANDED OUT TWICE |'*) echo twice ;;
    'FAILS '*'| RESERVED BLOCKS DO NOT EXIST |'*) echo missing ;;
    'FAILS '*'| BLOCK OR DESCRIPTOR LOST |'*) echo lost ;;
    'FAILS '*'| PAGES GIVEN BACK TOO EARLY OR TWICE |'*) echo early ;;
    'FAILS '*'| RECYCLED DESCRIPTOR TOUCHED |'*) echo stale ;;
    'FAILS '*'| SPAN LINKED WRONGLY |'*) echo links ;;
    'FAILS '*'| COUNT OF EMPTY SPANS IS OFF |'*) echo drift ;;
    'FAILS '*'| DOUBLE FREE REPORTED WITHOUT ONE |'*) echo alarm ;;
    'FAILS '*'| DOUBLE FREE UNNOTICED |'*) echo unreported ;;
    'FAILS '*'| DEADLOCK |'*) echo deadlock ;;
    'FAILS '*'| HALF A CHANGE IN THE CHILD |'*) echo torn ;;
    'FAILS '*'| A CYCLE UNDER WAY IN THE CHILD |'*) echo half ;;
    'FAILS '*'| A LOST THREAD HAS A RECORD |'*) echo record ;;
    'FAILS '*'| A LOST THREAD'"'"'S SPAN COLLECTED |'*) echo orphan ;;
    'FAILS '*'| DESTRUCTOR OF WHAT IS NOT WHOLE |'*) echo unmade ;;
    'FAILS '*'| GARBAGE KEPT BY TWO FULL CYCLES |'*) echo leak ;;
    'FAILS '*'| SNAPSHOT BEFORE HANDSHAKE 1 |'*) echo early ;;
    'FAILS '*'| PERFORMED TWICE |'*) echo performed ;;
    'FAILS '*'| NOT PERFORMED |'*) echo missed ;;
    'FAILS '*'| PERFORMED ON A THREAD THAT RUNS |'*) echo unsafe ;;
    'FAILS '*'| A THREAD RUNS IN A STOPPED WORLD |'*) echo awake ;;
    'FAILS '*'| MEMORY OF A THREAD THAT IS GONE IS TOUCHED |'*) echo vanished ;;
    'FAILS '*'| PART OF ANOTHER POOL USED |'*) echo mixed ;;
    'FAILS '*'| PART TOUCHED THAT WAS FREED |'*) echo freed ;;
    'FAILS '*'| PART USED BY TWO THREADS |'*) echo shared ;;
    'FAILS '*'| PART THAT NOBODY TAKES OVER |'*) echo kept ;;
    'FAILS '*'| REACHABLE OBJECT DESTROYED |'*) echo destroyed ;;
    'FAILS '*'| DESTRUCTOR RUN TWICE |'*) echo twice ;;
    'FAILS '*'| DESTRUCTOR NEVER RUN |'*) echo never ;;
    'FAILS '*'| LOCKED WHAT IS DESTROYED |'*) echo revived ;;
    'FAILS '*'| CALLBACK BEFORE ITS OBJECT HAS GONE |'*) echo callback ;;
    'FAILS '*'| TERMINATION WITHOUT END |'*) echo endless ;;
    'FAILS '*'| WAITED TOO SHORT |'*) echo short ;;
    'FAILS '*'| MORE RUN THAN QUEUED |'*) echo counted ;;
    'no fault found (bounded)'*) echo bounded ;;
    *) echo nothing ;;
  esac
}

while read -r want options || [ -n "$want" ]; do
  case $want in '' | '#'*) continue ;; always) always=$options; continue ;; esac
  cases=$((cases + 1))
  # Split into words on purpose; the case's own options come later and so win.
  out=$("$model" -q $always $options max_seconds="$limit" </dev/null)
  got=$(verdict_of "$out")
  if [ "$got" = "$want" ]; then
    echo "ok    $want | ${out#*| }"
  else
    wrong=$((wrong + 1))
    echo "WRONG wanted $want, got $got: $options | $out"
  fi
done <"$suite" || exit 1

echo "$cases cases, $wrong wrong"
[ "$cases" -gt 0 ] && [ "$wrong" -eq 0 ]
