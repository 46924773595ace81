#include "data/split.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "data/shuffle.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

constexpr std::size_t kLabels = 8;
// The random stream of the split, apart from the loader's and the layers'.
constexpr std::uint32_t kSplitStream = 0xDA7C0000u;

struct Patient {
  std::array<int, kLabels> labels{};
  std::vector<std::string> studies;
  bool dealt = false;
};

std::vector<Patient> gather_patients(const std::vector<SplitStudy>& studies, std::uint64_t seed) {
  std::map<std::string, Patient> by_name;
  std::set<std::string> seen;
  for (const auto& study : studies) {
    require(seen.insert(study.study).second, "split: study {} is listed twice", study.study);
    Patient& patient = by_name[study.patient];
    patient.studies.push_back(study.study);
    for (std::size_t i = 0; i < kLabels; ++i) patient.labels[i] |= study.labels[i] == 1;
  }
  std::vector<Patient> sorted;
  for (auto& [name, patient] : by_name) sorted.push_back(std::move(patient));
  std::vector<Patient> patients;
  for (const std::size_t i : shuffled(sorted.size(), {seed, kSplitStream, 0}))
    patients.push_back(std::move(sorted[i]));
  return patients;
}

// Whole numbers proportional to `fractions` that sum to `total`, each at least 1 (largest remainders).
std::vector<int> shares(const std::vector<double>& fractions, int total) {
  const int parts = static_cast<int>(fractions.size());
  std::vector<int> share(parts, 1);
  for (int given = parts; given < total; ++given) {
    int neediest = 0;
    for (int part = 1; part < parts; ++part) {
      const auto lack = [&](int p) { return fractions[p] * total - share[p]; };
      if (lack(part) > lack(neediest)) neediest = part;
    }
    ++share[neediest];
  }
  return share;
}

}  // namespace

std::vector<std::vector<std::string>> split_studies(const std::vector<SplitStudy>& studies,
                                                    std::vector<double> fractions, std::uint64_t seed) {
  require(!fractions.empty(), "split: fractions are empty, expected at least one");
  for (double f : fractions)
    require(std::isfinite(f) && f > 0, "split: a fraction is {}, expected above 0", f);
  const double sum = std::accumulate(fractions.begin(), fractions.end(), 0.0);
  for (double& f : fractions) f /= sum;

  std::vector<Patient> patients = gather_patients(studies, seed);
  const std::size_t parts = fractions.size();
  require(patients.size() >= parts,
          "split: {} patients cannot fill {} parts; add studies or ask for fewer parts", patients.size(),
          parts);
  std::vector<int> room = shares(fractions, static_cast<int>(patients.size()));
  std::vector<std::array<double, kLabels>> wanted(parts);
  std::array<int, kLabels> left{};
  for (const auto& patient : patients)
    for (std::size_t i = 0; i < kLabels; ++i) left[i] += patient.labels[i];
  const std::array<int, kLabels> total = left;
  for (std::size_t part = 0; part < parts; ++part)
    for (std::size_t i = 0; i < kLabels; ++i) wanted[part][i] = fractions[part] * left[i];

  std::vector<std::vector<std::string>> result(parts);
  const auto deal = [&](Patient& patient, std::size_t part) {
    patient.dealt = true;
    --room[part];
    for (std::size_t i = 0; i < kLabels; ++i) {
      wanted[part][i] -= patient.labels[i];
      left[i] -= patient.labels[i];
    }
    std::move(patient.studies.begin(), patient.studies.end(), std::back_inserter(result[part]));
  };
  while (true) {
    std::size_t rarest = kLabels;
    for (std::size_t i = 0; i < kLabels; ++i)
      if (left[i] > 0 && (rarest == kLabels || left[i] < left[rarest])) rarest = i;
    if (rarest == kLabels) break;
    for (Patient& patient : patients) {
      if (patient.dealt || !patient.labels[rarest]) continue;
      std::size_t best = parts;
      for (std::size_t part = 0; part < parts; ++part) {
        // Among parts that lack this label equally, the one that lacks the patient's other labels most.
        const auto key = [&](std::size_t p) {
          double others = 0;
          for (std::size_t i = 0; i < kLabels; ++i)
            others += patient.labels[i] * wanted[p][i] / std::max(total[i], 1);
          return std::tuple(wanted[p][rarest], others, room[p]);
        };
        if (room[part] > 0 && (best == parts || key(part) > key(best))) best = part;
      }
      deal(patient, best);
    }
  }
  for (Patient& patient : patients) {
    if (patient.dealt) continue;
    deal(patient, static_cast<std::size_t>(std::max_element(room.begin(), room.end()) - room.begin()));
  }
  for (auto& part : result) std::sort(part.begin(), part.end());
  return result;
}

std::vector<std::vector<std::string>> split_studies(const std::vector<StudyLabels>& studies,
                                                    const std::vector<double>& fractions,
                                                    std::uint64_t seed) {
  std::vector<SplitStudy> items;
  for (const auto& study : studies) {
    SplitStudy& item = items.emplace_back(SplitStudy{study.study, study.study, {study.overall}});
    std::copy(study.c.begin(), study.c.end(), item.labels.begin() + 1);
  }
  return split_studies(items, fractions, seed);
}

}  // namespace sagitta::data
