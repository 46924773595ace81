// Which synthetic patients are fractured where: the frequencies of the RSNA 2022 training set, dealt by
// quota. Invariant: overall is the OR of C1..C7; a pure function of its arguments.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace sagitta::data {

// Share of positive studies among the 2,019 of the published train.csv.
inline constexpr std::array<double, 7> kRsnaPrevalence = {0.0723, 0.1412, 0.0362, 0.0535,
                                                          0.0802, 0.1372, 0.1947};
inline constexpr double kRsnaOverallPrevalence = 0.4760;

// C1..C7 of every study. Each label is positive in round(scale * prevalence * studies) of them, at least one
// and at most half, and neighbors are more often fractured together, as in the real set; at most 0.7 of the
// studies are fractured at all. With fewer than two studies there may be no fracture. Throws Error unless 0 <
// scale <= 10 and studies > 0.
std::vector<std::array<int, 7>> sample_labels(int studies, double scale, std::uint64_t seed);

}  // namespace sagitta::data
