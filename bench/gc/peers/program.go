package main

// The frame of bench/gc/program.h for the peers in Go: the same arguments, checks and random numbers.

import (
	"fmt"
	"os"
	"strconv"
)

type program struct {
	name  string
	taken int
	*report
}

func newProgram(name string) *program { return &program{name: name, report: newReport(name)} }

// The next argument of the command line, or otherwise. It becomes part of the report.
func (p *program) next(key string, otherwise int) int {
	if p.taken++; len(os.Args) > p.taken {
		value, err := strconv.Atoi(os.Args[p.taken])
		p.check(err == nil, "an argument is not what it should be")
		otherwise = value
	}
	p.add(key, otherwise)
	return otherwise
}

func (p *program) nextNumber(key string, otherwise float64) float64 {
	value, err := strconv.ParseFloat(p.nextText(key, strconv.FormatFloat(otherwise, 'g', -1, 64)), 64)
	p.check(err == nil, "an argument is not what it should be")
	return value
}

func (p *program) nextText(key, otherwise string) string {
	if p.taken++; len(os.Args) > p.taken {
		otherwise = os.Args[p.taken]
	}
	p.add(key, otherwise)
	return otherwise
}

func (p *program) check(right bool, what string) {
	if !right {
		fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, what)
		os.Exit(1)
	}
}

// SplitMix64.
type splitMix uint64

func (s *splitMix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
