// Random walks: no proof, but they go deep in shapes too big to enumerate.
#pragma once
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>
#include "protocol.h"

namespace model {

struct WalkResult {
  u64 walks = 0, steps = 0;
  Fault found = Fault::none;
  std::vector<std::string> trace;
};

inline WalkResult walk(const Config& c, double seconds, int length, u64 seed, const int weights[3]) {
  Protocol p(c);
  WalkResult r;
  auto t0 = std::chrono::steady_clock::now();
  u64 rng = seed * 0x9e3779b97f4a7c15ull + 1;
  auto next = [&] {
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
  };
  std::vector<std::pair<State, Step>> way, options;
  for (;; ++r.walks) {
    if (std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count() > seconds) return r;
    State s = p.initial();
    way.clear();
    // each walk favours one thread or the collector for a while, so long stalls happen often
    int favoured = 0;
    u64 keep = 0;
    for (int i = 0; i < length; ++i, ++r.steps) {
      options.clear();
      if (!keep--) {
        favoured = int(next() % 4);
        keep = next() % 24;
      }
      p.successors(s, [&](const State& x, const Step& st) { options.push_back({x, st}); });
      if (options.empty()) break;
      std::size_t pick = next() % options.size();
      for (int tries = 0; tries < weights[0]; ++tries) {
        const Step& st = options[pick].second;
        int who = st.what[0] == 'T' ? st.a : 2;
        if (favoured == 3 || who == favoured) break;
        pick = next() % options.size();
      }
      way.push_back(options[pick]);
      if (options[pick].second.f != Fault::none) {
        r.found = options[pick].second.f;
        for (auto& [x, st] : way) {
          char b[160];
          std::snprintf(b, sizeof b, st.what, st.a, st.b, st.c);
          r.trace.push_back(b);
        }
        return r;
      }
      s = options[pick].first;
    }
  }
}

}  // namespace model
