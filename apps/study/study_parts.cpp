#include "apps/study/study_parts.h"

#include <algorithm>
#include <set>

#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Names = std::set<std::string>;

constexpr const char* kRepair =
    "train the fold models with --split BASE/split.json --fold k/K for every k, and give all of them";

Names as_set(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

// What all splits have in this part.
Names common(const std::vector<StudySplit>& splits, std::vector<std::string> StudySplit::*part) {
  Names found = as_set(splits.front().*part);
  for (const StudySplit& split : splits) {
    const Names mine = as_set(split.*part);
    std::erase_if(found, [&](const std::string& study) { return !mine.contains(study); });
  }
  return found;
}

}  // namespace

StudyParts study_parts(const std::vector<StudySplit>& splits) {
  require(!splits.empty(), "study model: no slice model is given");
  if (splits.size() == 1) return {.split = splits.front(), .training = {splits.front().train}};
  const Names validation = common(splits, &StudySplit::validation), test = common(splits, &StudySplit::test);
  require(!validation.empty() && !test.empty(),
          "--slice-model: the models' splits have {} validation and {} test studies in common; {}",
          validation.size(), test.size(), kRepair);
  Names training;
  for (const StudySplit& split : splits)
    for (const auto* part : {&split.train, &split.validation, &split.test})
      for (const std::string& study : *part)
        if (!validation.contains(study) && !test.contains(study)) training.insert(study);
  StudyParts parts{.split = {.train = {training.begin(), training.end()},
                             .validation = {validation.begin(), validation.end()},
                             .test = {test.begin(), test.end()}},
                   .training = {}};
  Names spoken_for;
  for (const StudySplit& split : splits) {
    std::vector<std::string>& mine = parts.training.emplace_back();
    for (const std::string& study : split.test)
      if (training.contains(study)) mine.push_back(study);
    spoken_for.insert(mine.begin(), mine.end());
  }
  for (const std::string& study : training)
    require(spoken_for.contains(study), "--slice-model: study {} was held out by none of the {} models; {}",
            study, splits.size(), kRepair);
  return parts;
}

}  // namespace sagitta::apps
