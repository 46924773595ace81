// Splitting studies into parts (training / validation / test, or k folds) without leaking a patient from one
// to another. Invariant: every study is in exactly one part, all studies of a patient in the same one; the
// result depends on the names, labels and seed only, not on the order of the input.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/rsna_csv.h"

namespace sagitta::data {

struct SplitStudy {
  std::string study;
  std::string patient;          // studies that share it stay together
  std::array<int, 8> labels{};  // patient_overall, C1..C7: 1 positive, 0 negative, -1 unknown
};

// One part per entry of `fractions` (each > 0; they are divided by their sum), with the names sorted in each
// part. Stratified after Sechidis et al. 2011, "On the stratification of multi-label data": the rarest label
// is dealt first, to the part that still lacks it most. Part sizes, in patients, are within one of their
// share, and no part is empty unless there are fewer patients than parts, which throws Error.
std::vector<std::vector<std::string>> split_studies(const std::vector<SplitStudy>& studies,
                                                    std::vector<double> fractions, std::uint64_t seed);

// The same for train.csv, where every study is a patient of its own.
std::vector<std::vector<std::string>> split_studies(const std::vector<StudyLabels>& studies,
                                                    const std::vector<double>& fractions, std::uint64_t seed);

}  // namespace sagitta::data
