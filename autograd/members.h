// The members of a plain struct, one after the other: how the graph finds the tensors that an op saved
// without every op listing them a second time.
#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

namespace sagitta::autograd {

// Stands for a value of any type in the question of how many members there are to initialize.
struct AnyValue {
  template <class T>
  operator T() const;
};

template <class T, std::size_t... I>
constexpr bool takes_values(std::index_sequence<I...>) {
  return requires { T{(static_cast<void>(I), AnyValue())...}; };
}

// The number of members of the aggregate T, at most `Most`.
template <class T, std::size_t Most>
constexpr std::size_t member_count() {
  if constexpr (Most == 0 || takes_values<T>(std::make_index_sequence<Most>()))
    return Most;
  else
    return member_count<T, Most - 1>();
}

// Calls visit(member) for every member of an aggregate of at most seven.
template <class T, class Visit>
void for_each_member(const T& value, Visit&& visit) {
  static_assert(std::is_aggregate_v<T>, "the struct of an op has members and no constructor");
  constexpr std::size_t kCount = member_count<T, 8>();
  static_assert(kCount < 8, "an op saves at most seven members");
  const auto visit_all = [&](const auto&... members) { (visit(members), ...); };
  if constexpr (kCount == 1) {
    const auto& [a] = value;
    visit_all(a);
  } else if constexpr (kCount == 2) {
    const auto& [a, b] = value;
    visit_all(a, b);
  } else if constexpr (kCount == 3) {
    const auto& [a, b, c] = value;
    visit_all(a, b, c);
  } else if constexpr (kCount == 4) {
    const auto& [a, b, c, d] = value;
    visit_all(a, b, c, d);
  } else if constexpr (kCount == 5) {
    const auto& [a, b, c, d, e] = value;
    visit_all(a, b, c, d, e);
  } else if constexpr (kCount == 6) {
    const auto& [a, b, c, d, e, f] = value;
    visit_all(a, b, c, d, e, f);
  } else if constexpr (kCount == 7) {
    const auto& [a, b, c, d, e, f, g] = value;
    visit_all(a, b, c, d, e, f, g);
  }
}

}  // namespace sagitta::autograd
