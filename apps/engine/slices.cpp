#include "apps/engine/slices.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "apps/reslice/cut_slices.h"
#include "data/split.h"
#include "models/hugging_face.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

const std::string& SliceOrigins::patient_of(const std::string& study) const {
  const auto found = patients.find(study);
  return found == patients.end() ? study : found->second;
}

SliceOrigins origins_of(const data::SliceSet& slices) {
  const std::filesystem::path file = slices.root / "studies.json";
  SliceOrigins origins;
  if (!std::filesystem::exists(file)) return origins;
  try {
    const Json json = Json::parse(read_text_file(file, std::size_t{1} << 30));
    for (const Json& study : json.at("studies")) {
      const std::string name = study.at("study"), patient = study.value("patient", ""),
                        verdict = study.value("verdict", "");
      if (!patient.empty()) origins.patients[name] = patient;
      if (verdict == "refused") origins.refused.push_back({name, study.at("reasons")});
      origins.warned += verdict == "warn";
    }
  } catch (const Json::exception& error) {
    fail("{}: is damaged ({}); run reslice again", file.string(), error.what());
  }
  return origins;
}

data::SliceSet open_slices(const SliceSource& source) {
  const std::filesystem::path folder = source.data;
  require(std::filesystem::is_directory(folder), "--data {}: no such folder", source.data);
  if (std::filesystem::exists(folder / "manifest.csv")) return data::read_slice_set(folder);
  cut_slices(source);
  return data::read_slice_set(source.cache);
}

void keep_slice_settings(const data::SliceSet& slices, const std::filesystem::path& file) {
  const std::filesystem::path settings = slices.root / "settings.json";
  if (std::filesystem::exists(settings)) write_text_file(file, read_text_file(settings));
}

void adopt_slice_settings(SliceSource& source, const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return;
  try {
    const Json json = Json::parse(read_text_file(file));
    source.slices = json.at("planes");
    source.span_mm = json.at("span_mm");
    source.channels = json.at("channels");
    source.size = json.value("size", source.size);
    source.spacing_mm = json.value("spacing_mm", source.spacing_mm);
    source.window.clear();
    for (const Json& window : json.at("windows"))
      source.window += fmt::format("{}{}{}/{}", source.window.empty() ? "" : ",",
                                   window.value("function", "linear") == "linear" ? "" : "exact:",
                                   window.at("center").get<double>(), window.at("width").get<double>());
  } catch (const Json::exception& error) {
    fail("{}: is damaged ({})", file.string(), error.what());
  }
}

ModelSource source_of_model(const std::string& model, int input_size) {
  ModelSource own{.model = model, .source = {.data = {}, .cache = {}, .size = input_size}};
  adopt_slice_settings(own.source, std::filesystem::path(model) / "slices.json");
  return own;
}

SliceSource common_source(const std::vector<ModelSource>& sources, bool must_agree) {
  require(!sources.empty(), "no model is given");
  SliceSource all = sources.front().source;
  for (const auto& [model, own] : sources) {
    const bool same_scale =
        (own.size == 0) == (all.size == 0) && (own.size > 0 || own.spacing_mm == all.spacing_mm);
    require(!must_agree || (own.slices == all.slices && own.span_mm == all.span_mm &&
                            own.window == all.window && own.channels == all.channels && same_scale),
            "{}: was trained on slices cut otherwise than those of {} (planes, span, window, channels); "
            "leave one out, or evaluate both on slices that reslice has cut",
            model, sources.front().model);
    if (all.size > 0) all.size = std::max(all.size, own.size);
  }
  return all;
}

SliceSource source_for_models(const std::vector<std::string>& models, bool must_agree) {
  std::vector<ModelSource> sources;
  for (const std::string& model : models) {
    models::read_model_config(model);
    const auto size =
        models::read_preprocessor(std::filesystem::path(model) / "preprocessor_config.json").size;
    sources.push_back(source_of_model(model, static_cast<int>(size)));
  }
  return common_source(sources, must_agree);
}

namespace {

std::vector<data::SplitStudy> labeled_studies(const data::SliceSet& slices) {
  const SliceOrigins origins = origins_of(slices);
  std::vector<data::SplitStudy> studies;
  std::unordered_set<std::string> seen;
  for (const data::SliceRecord& record : slices.records) {
    if (!record.labeled || !seen.insert(record.study).second) continue;
    data::SplitStudy study{.study = record.study, .patient = origins.patient_of(record.study), .labels = {}};
    for (std::size_t i = 0; i < study.labels.size(); ++i) study.labels[i] = record.labels[i] > 0.5F ? 1 : 0;
    studies.push_back(std::move(study));
  }
  require(!studies.empty(), "{}: no study has labels; a train.csv is needed beside train_images/",
          slices.root.string());
  return studies;
}

// The test part first, then the validation part out of what the fold leaves.
StudySplit split_fold(std::vector<data::SplitStudy> studies, const SplitOptions& options) {
  const std::vector<double> equal(static_cast<std::size_t>(options.folds), 1);
  auto folds = data::split_studies(studies, equal, options.seed);
  std::vector<std::string> test = std::move(folds.at(static_cast<std::size_t>(options.fold - 1)));
  std::erase_if(studies, [&](const data::SplitStudy& study) {
    return std::binary_search(test.begin(), test.end(), study.study);
  });
  const double left = 1 - 1.0 / options.folds;
  require(options.validation_fraction < left,
          "--validation-fraction {} and --fold {}/{} leave nothing to train on", options.validation_fraction,
          options.fold, options.folds);
  auto parts = data::split_studies(studies, {left - options.validation_fraction, options.validation_fraction},
                                   options.seed);
  return {std::move(parts[0]), std::move(parts[1]), std::move(test)};
}

}  // namespace

StudySplit split_slices(const data::SliceSet& slices, const SplitOptions& options) {
  std::vector<data::SplitStudy> studies = labeled_studies(slices);
  if (options.folds > 0) return split_fold(std::move(studies), options);
  std::vector<double> fractions{1 - options.validation_fraction - options.test_fraction,
                                options.validation_fraction};
  if (options.test_fraction > 0) fractions.push_back(options.test_fraction);
  auto parts = data::split_studies(studies, fractions, options.seed);
  parts.resize(3);
  return {std::move(parts[0]), std::move(parts[1]), std::move(parts[2])};
}

StudySplit hold_out_fold(const data::SliceSet& slices, StudySplit split, const SplitOptions& options) {
  require(options.fold >= 1 && options.fold <= options.folds, "split: fold {} of {}", options.fold,
          options.folds);
  std::vector<data::SplitStudy> training = labeled_studies(slices);
  const std::unordered_set<std::string> members(split.train.begin(), split.train.end());
  std::erase_if(training, [&](const data::SplitStudy& study) { return !members.contains(study.study); });
  require(training.size() == members.size(),
          "{}: has {} of the {} training studies that the split names; give the slices that were split",
          slices.root.string(), training.size(), members.size());
  const std::vector<double> equal(static_cast<std::size_t>(options.folds), 1);
  auto folds = data::split_studies(training, equal, options.seed);
  const std::vector<std::string>& held_out = folds.at(static_cast<std::size_t>(options.fold - 1));
  std::erase_if(split.train, [&](const std::string& study) {
    return std::binary_search(held_out.begin(), held_out.end(), study);
  });
  split.test.insert(split.test.end(), held_out.begin(), held_out.end());
  std::sort(split.test.begin(), split.test.end());
  return split;
}

data::SliceSet select_slices(const data::SliceSet& slices, const std::string& part,
                             const std::filesystem::path& split_file) {
  data::SliceSet labeled = slices;
  std::erase_if(labeled.records, [](const data::SliceRecord& record) { return !record.labeled; });
  require(!labeled.records.empty(), "{}: no slice has labels, there is nothing to compare with",
          slices.root.string());
  if (part == "all") return labeled;
  require(std::filesystem::exists(split_file),
          "--split {}: {} is missing; use --split all for data that the model has never seen", part,
          split_file.string());
  const StudySplit split = read_split(split_file);
  const auto& studies = part == "test" ? split.test : part == "train" ? split.train : split.validation;
  data::SliceSet chosen = labeled.of_studies(studies);
  require(!chosen.records.empty(), "--split {}: none of its {} studies is in {}", part, studies.size(),
          slices.root.string());
  return chosen;
}

void keep_origin(const std::filesystem::path& run, const std::filesystem::path& model) {
  for (const char* name : {"split.json", "slices.json"})
    if (std::filesystem::exists(run / name)) std::filesystem::copy_file(run / name, model / name);
}

void write_split(const std::filesystem::path& path, const StudySplit& split) {
  const Json json{{"train", split.train}, {"validation", split.validation}, {"test", split.test}};
  write_text_file(path, json.dump(1) + "\n");
}

StudySplit read_split(const std::filesystem::path& path) {
  try {
    const Json json = Json::parse(read_text_file(path));
    return {json.at("train"), json.at("validation"), json.at("test")};
  } catch (const Json::exception& error) {
    fail("{}: is damaged ({})", path.string(), error.what());
  }
}

}  // namespace sagitta::apps
