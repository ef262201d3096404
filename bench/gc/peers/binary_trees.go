package main

// Binary trees in Go: the same work as bench/gc/binary_trees.cc. go build binary_trees.go report.go
//
//	binary_trees_go [depth = 21] [threads = 1]

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

const minDepth = 4

type node struct{ left, right *node }

func build(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{build(depth - 1), build(depth - 1)}
}

func (n *node) count() int64 {
	if n.left == nil {
		return 1
	}
	return 1 + n.left.count() + n.right.count()
}

// The share of one goroutine of `threads`: trees number `first`, `first + threads`, ...
func buildShortLived(maxDepth, first, threads int) int64 {
	nodes := int64(0)
	for depth := minDepth; depth <= maxDepth; depth += 2 {
		trees := 1 << (maxDepth - depth + minDepth)
		for i := first; i < trees; i += threads {
			nodes += build(depth).count()
		}
	}
	return nodes
}

func buildShortLivedOnAll(maxDepth, threads int) int64 {
	var nodes int64
	var others sync.WaitGroup
	for t := 1; t < threads; t++ {
		others.Add(1)
		go func(t int) {
			defer others.Done()
			atomic.AddInt64(&nodes, buildShortLived(maxDepth, t, threads))
		}(t)
	}
	atomic.AddInt64(&nodes, buildShortLived(maxDepth, 0, threads))
	others.Wait()
	return nodes
}

func nodesOf(depth int) int64 { return 2<<depth - 1 }

func shortLivedNodes(maxDepth int) int64 {
	nodes := int64(0)
	for depth := minDepth; depth <= maxDepth; depth += 2 {
		nodes += 1 << (maxDepth - depth + minDepth) * nodesOf(depth)
	}
	return nodes
}

func check(what string, nodes, expected int64) {
	if nodes != expected {
		fmt.Fprintf(os.Stderr, "binary_trees: %s: %d nodes, but %d were made\n", what, nodes, expected)
		os.Exit(1)
	}
}

func argument(i, otherwise int) int {
	if len(os.Args) <= i {
		return otherwise
	}
	value, err := strconv.Atoi(os.Args[i])
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	depth, threads := argument(1, 21), argument(2, 1)
	r := newReport("binary_trees")
	check("stretch tree", build(depth+1).count(), nodesOf(depth+1))
	longLived := build(depth)
	check("short-lived trees", buildShortLivedOnAll(depth, threads), shortLivedNodes(depth))
	check("long-lived tree", longLived.count(), nodesOf(depth))
	r.add("depth", depth)
	r.add("threads", threads)
	r.print()
}
