#include "cuda/emulator/schedule.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>

#include "tensor/error.h"

namespace sagitta::cuda::emulator {
namespace {

std::uint32_t environment_number(const char* name, std::uint32_t otherwise) {
  const char* const text = std::getenv(name);
  if (!text) return otherwise;
  std::uint32_t value = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  require(error == std::errc{} && stop == end, "emulator: {} is '{}', expected a number", name, text);
  return value;
}

}  // namespace

Order Order::from_environment() {
  const std::uint32_t number = environment_number("SAGITTA_EMULATOR_SCHEDULE", 0);
  require(number <= 2, "emulator: SAGITTA_EMULATOR_SCHEDULE is {}, expected 0, 1 or 2", number);
  return {static_cast<Schedule>(number), environment_number("SAGITTA_EMULATOR_SEED", 1)};
}

std::uint32_t Order::choose(std::uint32_t bound) {
  random_ = random_ * 1664525U + 1013904223U;
  return static_cast<std::uint32_t>((std::uint64_t{random_} * bound) >> 32);
}

void Order::arrange(std::span<unsigned> threads) {
  std::iota(threads.begin(), threads.end(), 0U);
  if (descending()) std::reverse(threads.begin(), threads.end());
  if (random())
    for (auto i = static_cast<std::uint32_t>(threads.size()); i > 1; --i)
      std::swap(threads[i - 1], threads[choose(i)]);
}

}  // namespace sagitta::cuda::emulator
