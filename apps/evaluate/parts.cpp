#include "apps/evaluate/parts.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "apps/engine/slices.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;

using Names = std::set<std::string>;

fs::path split_file(const std::string& model) { return fs::path(model) / "split.json"; }

Names as_set(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

// The studies that every one of the models holds out for validation; a model without a split holds out none.
std::vector<std::string> common_validation(const std::vector<std::string>& models) {
  Names common;
  for (std::size_t i = 0; i < models.size(); ++i) {
    if (!fs::exists(split_file(models[i]))) return {};
    Names mine = as_set(read_split(split_file(models[i])).validation);
    if (i == 0) common = std::move(mine);
    std::erase_if(common, [&](const std::string& study) { return i > 0 && !mine.contains(study); });
  }
  return {common.begin(), common.end()};
}

EvaluationPart one_part(const data::SliceSet& labeled, const std::vector<std::string>& models,
                        const std::string& split) {
  const auto studies_of = [&](const std::string& model) {
    return select_slices(labeled, split, split_file(model)).studies();
  };
  EvaluationPart part{.models = models, .studies = studies_of(models.front()), .fitting = {}};
  for (const std::string& model : models)
    require(split == "all" || as_set(studies_of(model)) == as_set(part.studies),
            "--split {}: {} and {} split the studies differently; --split out-of-fold predicts each study by "
            "the models that have not seen it",
            split, models.front(), model);
  part.fitting = common_validation(models);
  return part;
}

std::vector<EvaluationPart> folds(const data::SliceSet& labeled, const std::vector<std::string>& models) {
  std::vector<Names> held_out;
  for (const std::string& model : models) {
    require(fs::exists(split_file(model)),
            "--split {}: {} is missing; it says which studies the model has not seen", kOutOfFold,
            split_file(model).string());
    held_out.push_back(as_set(read_split(split_file(model)).test));
  }
  std::map<std::vector<std::size_t>, std::vector<std::string>>
      studies_of;  // by the models that held them out
  std::vector<std::string> nobodys;
  for (const std::string& study : labeled.studies()) {
    std::vector<std::size_t> predictors;
    for (std::size_t i = 0; i < models.size(); ++i)
      if (held_out[i].contains(study)) predictors.push_back(i);
    if (predictors.empty())
      nobodys.push_back(study);
    else
      studies_of[predictors].push_back(study);
  }
  require(
      nobodys.empty(),
      "--split {}: {} of {} studies are in no model's test part, the first is {}; give a model of every fold",
      kOutOfFold, nobodys.size(), labeled.studies().size(), nobodys.empty() ? "" : nobodys.front());
  std::vector<EvaluationPart> parts;
  for (auto& [predictors, studies] : studies_of) {
    EvaluationPart part{.models = {}, .studies = std::move(studies), .fitting = {}};
    for (std::size_t i : predictors) part.models.push_back(models[i]);
    part.fitting = common_validation(part.models);
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace

std::vector<EvaluationPart> evaluation_parts(const data::SliceSet& labeled,
                                             const std::vector<std::string>& models,
                                             const std::string& split) {
  require(!models.empty(), "evaluate: no model is given");
  if (split == kOutOfFold) return folds(labeled, models);
  return {one_part(labeled, models, split)};
}

data::SliceSet evaluated_slices(const data::SliceSet& labeled, const std::vector<EvaluationPart>& parts) {
  std::vector<std::string> studies;
  for (const EvaluationPart& part : parts)
    studies.insert(studies.end(), part.studies.begin(), part.studies.end());
  return labeled.of_studies(studies);
}

}  // namespace sagitta::apps
