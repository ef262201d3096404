// What clang++ compiles in tools/bench malloc: much of the standard library, templates to instantiate, code to optimise.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <regex>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace {

template <std::size_t N>
struct Step {
  std::variant<int, double, std::string, std::tuple<Step<N - 1>*, std::size_t>> value;
  std::map<std::string, std::vector<std::optional<int>>> table;

  std::size_t weigh() const {
    const auto own = std::visit([](const auto& v) { return sizeof(v); }, value);
    return std::accumulate(table.begin(), table.end(), own, [](std::size_t sum, const auto& entry) {
      return sum + entry.first.size() + N * entry.second.size();
    });
  }
};

template <>
struct Step<0> {
  std::size_t weigh() const { return 1; }
};

template <std::size_t... Ns>
std::size_t weigh_all(std::index_sequence<Ns...>) {
  std::vector<std::function<std::size_t()>> weighers;
  (weighers.emplace_back([] { return std::make_unique<Step<Ns>>()->weigh(); }), ...);
  std::sort(weighers.begin(), weighers.end(), [](const auto& a, const auto& b) { return a() < b(); });
  std::size_t sum = 0;
  for (const auto& weigher : weighers) sum += weigher();
  return sum;
}

std::unordered_map<std::string, int> count_words(const std::string& text) {
  static const std::regex word("([a-z]+)|([0-9]+(?:\\.[0-9]+)?)");
  std::unordered_map<std::string, int> counts;
  for (std::sregex_iterator i(text.begin(), text.end(), word), end; i != end; ++i) ++counts[i->str()];
  return counts;
}

}  // namespace

int main() {
  std::ostringstream text;
  text << weigh_all(std::make_index_sequence<6>()) << " steps";
  for (const auto& [word, count] : count_words(text.str())) std::cout << word << ' ' << count << '\n';
}
