#include "apps/predict/study_files.h"

#include <fstream>

#include "apps/evaluate/aggregation.h"
#include "data/slice_set.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  require(!error, "--out {}: cannot be created: {}", folder.string(), error.message());
}

// A loss of power leaves files that were not flushed empty.
bool is_there(const fs::path& file) {
  std::error_code missing;
  return fs::file_size(file, missing) > 0 && !missing;
}

std::string difference(const Json& before, const Json& now) {
  std::string changed;
  for (const auto& [key, value] : now.items())
    if (!before.is_object() || !before.contains(key) || before[key] != value)
      changed += (changed.empty() ? "" : ", ") + key;
  return changed.empty() ? "settings.json is of another version" : changed;
}

// Facts about the series; the patient's hash and the pictures' grid stay out.
Json series_facts(const Json& record) {
  Json facts = Json::object();
  for (const char* key : {"ct_slices", "rows", "columns", "pixel_mm", "spacing_mm", "tilt_degrees",
                          "oblique_degrees", "transfer_syntax", "hu", "midline_x_mm"})
    if (record.contains(key)) facts[key] = record[key];
  return facts;
}

}  // namespace

StudyFiles::StudyFiles(fs::path out, Json settings, WantedFiles wanted)
    : out_(std::move(out)), settings_(std::move(settings)), wanted_(wanted) {
  make_folder(out_);
  const fs::path file = out_ / "settings.json";
  if (fs::exists(file)) {
    const Json before = Json::parse(read_text_file(file), nullptr, false);
    require(before == settings_,
            "--out {}: holds predictions made otherwise ({}); choose another folder or delete this one",
            out_.string(), difference(before, settings_));
  } else {
    write_text_file(file, json_text(settings_, 1));
  }
  make_folder(out_ / "studies");
  if (wanted_.picture) make_folder(out_ / "pictures");
  if (wanted_.secondary_capture) make_folder(out_ / "secondary-captures");
}

fs::path StudyFiles::json_of(const std::string& study) { return fs::path("studies") / (study + ".json"); }
fs::path StudyFiles::picture_of(const std::string& study) { return fs::path("pictures") / (study + ".png"); }
fs::path StudyFiles::capture_of(const std::string& study) {
  return fs::path("secondary-captures") / (study + ".dcm");
}

Json StudyFiles::finished(const std::string& study) const {
  std::ifstream stream(out_ / json_of(study));
  if (!stream) return nullptr;
  try {
    Json record = Json::parse(stream);
    if (record.at("study") != study || record.at("settings") != settings_ ||
        record.at("verdict") == "refused")
      return nullptr;
    probabilities_in(record);
    if (wanted_.picture && !is_there(out_ / picture_of(study))) return nullptr;
    if (wanted_.secondary_capture && !is_there(out_ / capture_of(study))) return nullptr;
    record.erase("settings");
    return record;
  } catch (const Json::exception&) {
    return nullptr;  // damaged: the study is done again
  }
}

void StudyFiles::discard(const std::string& study) const {
  for (const fs::path& file : {json_of(study), picture_of(study), capture_of(study)}) {
    std::error_code error;
    fs::remove(out_ / file, error);
    require(!error, "{}: cannot be removed: {}", (out_ / file).string(), error.message());
  }
}

void StudyFiles::write(const Json& record) const {
  Json file = record;
  file["settings"] = settings_;
  write_text_file(out_ / json_of(record["study"]), json_text(file, 1));
}

Json record_of_refused(const StudyCut& cut) {
  return {{"study", cut.record["study"]},
          {"verdict", cut.record["verdict"]},
          {"reasons", cut.record["reasons"]},
          {"series", series_facts(cut.record)}};
}

Json record_of(const StudyCut& cut, const StudyPrediction& prediction) {
  Json record = record_of_refused(cut);
  Json probabilities = Json::object();
  for (std::size_t label = 0; label < data::kLabelNames.size(); ++label)
    if (const auto& p = prediction.probabilities[label]) probabilities[data::kLabelNames[label]] = *p;
  record["probabilities"] = probabilities;
  record["overall_was_derived"] = prediction.overall_was_derived;
  record["slices"] = Json::array();
  const std::size_t outputs = prediction.labels.size();
  for (std::size_t k = 0; k < cut.pictures.size(); ++k) {
    Json logits = Json::object(), chances = Json::object();
    for (std::size_t output = 0; output < outputs; ++output) {
      const float logit = prediction.slice_logit(k, output);
      logits[prediction.labels[output]] = logit;
      chances[prediction.labels[output]] = probability_of(logit);
    }
    record["slices"].push_back(
        {{"x_mm", cut.record["planes_x_mm"][k]}, {"logits", logits}, {"probabilities", chances}});
  }
  return record;
}

LabelProbabilities probabilities_in(const Json& record) {
  LabelProbabilities result;
  const Json& probabilities = record.at("probabilities");
  for (std::size_t label = 0; label < result.size(); ++label)
    if (const auto found = probabilities.find(data::kLabelNames[label]); found != probabilities.end())
      result[label] = found->get<double>();
  return result;
}

}  // namespace sagitta::apps
