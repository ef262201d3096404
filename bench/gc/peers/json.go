package main

// JSON documents parsed and dropped, in Go: the same parser and the same values as bench/gc/json.cc.

import (
	"os"
	"path/filepath"
	"sort"
	"strconv"
)

const kept = 100

type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

type value struct {
	next, first *value
	name, text  []byte
	number      float64
	kind        kind
}

type parser struct {
	text string
	at   int
}

func (p *parser) peek() byte {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; c {
		case ' ', '\n', '\t', '\r':
			p.at++
		default:
			return c
		}
	}
	return 0
}

func (p *parser) step(by int) {
	if p.at += by; p.at > len(p.text) {
		p.at = len(p.text)
	}
}

func (p *parser) value() *value {
	switch p.peek() {
	case '{':
		return p.members(object, '}')
	case '[':
		return p.members(list, ']')
	case '"':
		return &value{kind: text, text: p.string()}
	case 't':
		p.step(4)
		return &value{kind: boolean, number: 1}
	case 'f':
		p.step(5)
		return &value{kind: boolean}
	case 'n':
		p.step(4)
		return &value{kind: null}
	}
	begin := p.at
	for p.at < len(p.text) && (p.text[p.at] >= '+' && p.text[p.at] <= '9' && p.text[p.at] != ',' || p.text[p.at]|0x20 == 'e') {
		p.at++
	}
	v := &value{kind: number}
	v.number, _ = strconv.ParseFloat(p.text[begin:p.at], 64)
	if begin == p.at { // not JSON: no further
		p.at = len(p.text)
	}
	return v
}

func (p *parser) string() []byte {
	p.step(1)
	begin := p.at
	for p.at < len(p.text) && p.text[p.at] != '"' {
		if p.text[p.at] == '\\' {
			p.at++
		}
		p.step(1)
	}
	end := p.at
	p.step(1)
	if begin == end {
		return nil
	}
	return []byte(p.text[begin:end])
}

func (p *parser) members(k kind, end byte) *value {
	v := &value{kind: k}
	p.step(1)
	link := &v.first
	for p.at < len(p.text) && p.peek() != end {
		var name []byte
		if k == object {
			name = p.string()
			p.peek()
			p.step(1)
		}
		member := p.value()
		member.name = name
		*link = member
		link = &member.next
		if p.peek() == ',' {
			p.step(1)
		}
	}
	p.step(1)
	return v
}

func (v *value) count() int {
	n := 1
	for m := v.first; m != nil; m = m.next {
		n += m.count()
	}
	return n
}

func main() {
	p := newProgram("json")
	bytes := p.next("megabytes", 300) * 1000000
	paths, _ := filepath.Glob(filepath.Join(p.nextText("folder", "/usr/share/iso-codes/json"), "*.json"))
	p.check(len(paths) > 0, "no JSON files: install the package iso-codes")
	sort.Strings(paths)
	var texts []string
	for _, path := range paths {
		content, _ := os.ReadFile(path)
		texts = append(texts, string(content))
	}
	recent := make([]*value, kept)
	parsed, values := 0, 0
	p.restartClock()
	for i := 0; parsed < bytes; i++ {
		t := texts[i%len(texts)]
		document := (&parser{text: t}).value()
		values += document.count()
		parsed += len(t)
		recent[i%kept] = document
	}
	p.add("values", values)
	p.print()
}
