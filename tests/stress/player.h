// One thread of a run: random operations on the shared graph, from a seed.
#pragma once

#include <functional>
#include <random>

#include "tests/stress/world.h"

namespace lull::stress {

struct Habits {
  bool may_start_threads = true;  // attaching a thread needs memory
  bool many_mappings = false;     // large objects more often
  std::function<void()> pause;    // on a fiber: another one's turn; holds no lock
};

class Player {
 public:
  Player(std::uint64_t seed, const Habits& habits) : random_(seed), habits_(habits) {}
  void play(int steps);

 private:
  std::size_t pick(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  void step();
  void pause();  // on a fiber

  // Walking. Each hands out an object that is on this thread's stack from then on, or nothing.
  Held take_from_root();
  Held take_from_slot();
  Held follow(const Held& from);
  Held find();
  Held read_edge(const Held& holder, std::size_t i);
  Held cut_edge(const Held& holder, std::size_t i);
  std::size_t edges_of(const Held& holder);

  // Making and linking.
  Held make_any();
  Held make_shape(Shape shape);
  void set_edge(const Held& holder, std::size_t i, const Held& target);
  void set_root(std::size_t i, const Held& target);
  void put_anywhere(const Held& held);
  std::size_t any_offset(const Held& target);

  // Operations.
  void insert();
  void link();
  void cut();
  void use_slots();
  void watch();
  void use_ephemerons();
  void await_end();
  void destroy_own();
  void replace_array();
  void hold_for_a_while();
  void hold_deep_down(int depth);
  void hold_across_a_jump();
  void hold_across_an_exception();
  void exchange_block();
  void start_thread();
  void use_map();  // and those below: player_beside.cc
  void use_pool();
  void use_strand();
  void use_shelf();
  void end_unnoticed();
  void collect();
  void make_garbage();

  std::mt19937_64 random_;
  Habits habits_;
};

}  // namespace lull::stress
