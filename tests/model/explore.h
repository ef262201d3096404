// Breadth-first search over all reachable states, so the first violation found has the fewest steps.
//
// A model has the types State, Key (a packed State), Step and Fault, and: initial(), successors(state, emit), pack(),
// unpack(), and kDeadlock, the fault of a state that no step leaves.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace model {

template <class Fault>
struct Result {
  bool complete = false;  // every reachable state was seen
  Fault found = Fault::none;
  std::size_t states = 0, edges = 0;
  int depth = 0;
  double seconds = 0;
  std::vector<std::string> trace;
};

struct Limits {
  std::size_t states = 120'000'000;
  double seconds = 460;
  bool quick = false;
};

template <class Model>
class Explorer {
  using State = typename Model::State;
  using Step = typename Model::Step;
  using Fault = typename Model::Fault;
  using Key = typename Model::Key;

 public:
  Explorer(const Model& p, const Limits& l) : p_(p), lim_(l) { table_.assign(1u << 20, 0); }

  Result<Fault> run() {
    auto t0 = std::chrono::steady_clock::now();
    auto elapsed = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    };
    Result<Fault> r;
    insert(p_.pack(p_.initial()), 0);
    std::size_t level_end = count_;
    for (std::size_t i = 0; i < count_; ++i) {
      if (i == level_end) {
        ++r.depth;
        level_end = count_;
      }
      if ((i & 0xffff) == 0 && (elapsed() > lim_.seconds || count_ > lim_.states)) {
        finish(r, elapsed());
        return r;
      }
      State s = p_.unpack(at(i));
      Fault bad = Fault::none;
      Step bad_step{};
      State bad_state{};
      bool any = false;
      p_.successors(s, [&](const State& x, const Step& st) {
        any = true;
        ++r.edges;
        if (st.f != Fault::none) {
          if (bad == Fault::none) {
            bad = st.f;
            bad_step = st;
            bad_state = x;
          }
          return;
        }
        if (bad == Fault::none) insert(p_.pack(x), i);
      });
      if (!any && bad == Fault::none) {
        r.trace = path(i);
        r.trace.push_back("DEADLOCK");
        r.found = Model::kDeadlock;
        finish(r, elapsed());
        return r;
      }
      if (bad != Fault::none) {
        r.found = bad;
        r.trace = path(i, &bad);
        finish(r, elapsed());
        return r;
      }
    }
    r.complete = true;
    finish(r, elapsed());
    return r;
  }

 private:
  static constexpr std::size_t kBlock = 1u << 18;
  Model p_;
  Limits lim_;
  std::vector<std::unique_ptr<Key[]>> blocks_;
  std::vector<std::unique_ptr<std::uint32_t[]>> parents_;
  std::vector<std::uint32_t> table_;  // index + 1
  std::size_t count_ = 0;

  const Key& at(std::size_t i) const { return blocks_[i / kBlock][i % kBlock]; }
  void finish(Result<Fault>& r, double t) {
    r.states = count_;
    r.seconds = t;
  }

  void insert(const Key& p, std::size_t parent) {
    std::size_t mask = table_.size() - 1, h = p.hash() & mask;
    while (table_[h]) {
      if (at(table_[h] - 1) == p) return;
      h = (h + 1) & mask;
    }
    if (count_ % kBlock == 0) {
      blocks_.emplace_back(new Key[kBlock]);
      parents_.emplace_back(new std::uint32_t[kBlock]);
    }
    blocks_[count_ / kBlock][count_ % kBlock] = p;
    parents_[count_ / kBlock][count_ % kBlock] = std::uint32_t(parent);
    table_[h] = std::uint32_t(++count_);
    if (count_ * 3 > table_.size() * 2) grow();
  }
  void grow() {
    std::size_t size = table_.size() * 2;
    std::vector<std::uint32_t>().swap(table_);
    table_.assign(size, 0);
    for (std::size_t i = 0; i < count_; ++i) {
      std::size_t h = at(i).hash() & (size - 1);
      while (table_[h]) h = (h + 1) & (size - 1);
      table_[h] = std::uint32_t(i + 1);
    }
  }

  // replay from the start with stable object names
  std::vector<std::string> path(std::size_t i, const Fault* bad = nullptr) {
    std::vector<std::size_t> way;
    for (;; i = parents_[i / kBlock][i % kBlock]) {
      way.push_back(i);
      if (i == 0) break;
    }
    std::reverse(way.begin(), way.end());
    std::vector<std::string> out;
    State s = p_.initial();
    auto text = [](const Step& st) {
      char b[160];
      std::snprintf(b, sizeof b, st.what, st.a, st.b, st.c);
      return std::string(b);
    };
    for (std::size_t k = 1; k < way.size(); ++k) {
      bool hit = false;
      State next{};
      std::string line;
      p_.successors(s, [&](const State& x, const Step& st) {
        if (hit || st.f != Fault::none || !(p_.pack(x) == at(way[k]))) return;
        hit = true;
        next = x;
        line = text(st);
      });
      if (!hit) {
        out.push_back("(replay lost its way)");
        return out;
      }
      s = next;
      out.push_back(line);
    }
    if (bad) {
      std::string line;
      p_.successors(s, [&](const State&, const Step& st) {
        if (line.empty() && st.f == *bad) line = text(st);
      });
      out.push_back(line + "   <-- " + name(*bad));
    }
    return out;
  }
};

}  // namespace model
