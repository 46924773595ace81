#include "data/phantom_labels.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/counter_random.h"
#include "data/shuffle.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

constexpr std::uint32_t kSlotStream = 0xDA7D0000u, kPatientStream = 0xDA7E0000u;

template <class T>
std::vector<T> in_random_order(const std::vector<T>& values, random::Key key) {
  std::vector<T> result;
  for (const std::size_t i : shuffled(values.size(), key)) result.push_back(values[i]);
  return result;
}

// How much more likely a level is fractured where these already are.
double affinity(const std::array<int, 7>& labels, int level) {
  if (labels[level]) return 0;
  double weight = 1;
  for (int other = std::max(0, level - 1); other <= std::min(6, level + 1); ++other)
    weight += 5 * labels[other];
  return weight / (1 + 0.5 * std::accumulate(labels.begin(), labels.end(), 0));
}

}  // namespace

std::vector<std::array<int, 7>> sample_labels(int studies, double scale, std::uint64_t seed) {
  require(studies > 0, "phantom: studies is {}, expected at least 1", studies);
  require(scale > 0 && scale <= 10, "phantom: prevalence scale is {}, expected above 0 and at most 10",
          scale);
  CounterRandom random(seed, 2);
  std::vector<int> slots;  // one entry per positive label
  for (int level = 0; level < 7; ++level) {
    const int quota = static_cast<int>(std::lround(scale * kRsnaPrevalence[level] * studies));
    slots.insert(slots.end(),
                 static_cast<std::size_t>(std::clamp(quota, std::min(1, studies / 2), studies / 2)), level);
  }
  slots = in_random_order(slots, {seed, kSlotStream, 0});
  const double fractured_share = std::min(0.7, scale * kRsnaOverallPrevalence);
  const int at_least = studies / 2 > 0 ? 1 : 0;  // so that there is a fracture to find
  const int fractured = std::clamp(static_cast<int>(std::lround(fractured_share * studies)), at_least,
                                   std::min(static_cast<int>(slots.size()), std::max(studies - 1, 0)));
  std::vector<std::array<int, 7>> labels(static_cast<std::size_t>(studies));
  for (int i = 0; i < fractured; ++i) labels[i][slots[i]] = 1;
  for (std::size_t i = static_cast<std::size_t>(fractured); i < slots.size(); ++i) {
    double total = 0;
    for (int s = 0; s < fractured; ++s) total += affinity(labels[s], slots[i]);
    double pick = random.uniform(0, total);
    for (int s = 0; s < fractured && total > 0; ++s) {
      pick -= affinity(labels[s], slots[i]);
      if (pick >= 0) continue;
      labels[s][slots[i]] = 1;
      break;
    }
  }
  return in_random_order(labels, {seed, kPatientStream, 0});
}

}  // namespace sagitta::data
