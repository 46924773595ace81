// What `predict` leaves behind about each study, and how an interrupted batch knows what is done:
//   OUT/studies/<study>.json  OUT/pictures/<study>.png  OUT/secondary-captures/<study>.dcm
// Invariants: a study's JSON is written last, so one that is there is whole; all studies of a folder were
// predicted with the settings and models of its settings.json; nothing but the secondary capture names a
// patient.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/predict/study_predictor.h"

namespace sagitta::apps {

// Which of the files are wanted.
struct WantedFiles {
  bool picture = true, secondary_capture = false;
};

class StudyFiles {
 public:
  // Makes the folder. Throws Error when an earlier run left other settings in it, or it cannot be written.
  StudyFiles(std::filesystem::path out, nlohmann::ordered_json settings, WantedFiles wanted);

  const std::filesystem::path& folder() const { return out_; }
  const nlohmann::ordered_json& settings() const { return settings_; }
  WantedFiles wanted() const { return wanted_; }

  // Relative to the folder.
  static std::filesystem::path json_of(const std::string& study);
  static std::filesystem::path picture_of(const std::string& study);
  static std::filesystem::path capture_of(const std::string& study);

  // The record of a study that was predicted before, with all wanted files; null if there is none. Refused
  // studies are looked at again: they may have been repaired.
  nlohmann::ordered_json finished(const std::string& study) const;
  // Removes what there is of a study, its JSON first, before it is done again.
  void discard(const std::string& study) const;
  void write(const nlohmann::ordered_json& record) const;

 private:
  std::filesystem::path out_;
  nlohmann::ordered_json settings_;
  WantedFiles wanted_;
};

// A study's record: of StudyCut::record what does not tell the patient, and the prediction.
nlohmann::ordered_json record_of(const StudyCut& cut, const StudyPrediction& prediction);
nlohmann::ordered_json record_of_refused(const StudyCut& cut);

// The probabilities of a record that record_of() made; a JSON exception if they are none.
LabelProbabilities probabilities_in(const nlohmann::ordered_json& record);

}  // namespace sagitta::apps
