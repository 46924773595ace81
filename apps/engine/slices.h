// Where the slices of a run come from, and which patients are for training, validation and test.
// Invariant: a study is in exactly one part; the split is written once and read back ever after, so a
// checkpoint always knows which patients it has never seen.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/slice_set.h"

namespace sagitta::apps {

// What to cut when a folder holds studies instead of slices; see `reslice --help`.
struct SliceSource {
  std::string data;             // RSNA folder, or a folder written by reslice
  std::filesystem::path cache;  // where slices cut on the fly go
  int slices = 25;
  double span_mm = 40;
  std::string window = {};  // empty: the usual one of `channels`
  std::string channels = "grey";
  int size = 224;           // pixels per side of slices cut on the fly; 0: as large as the study
  double spacing_mm = 0.5;  // between pixels where the size is 0
};

// The slices of a folder written by reslice; studies are cut into `cache` first (and only once).
data::SliceSet open_slices(const SliceSource& source);

// Copies what reslice noted about how the slices were made (its settings.json) to `file`, so that a model
// knows what it was trained on. Slices that came without settings leave no file.
void keep_slice_settings(const data::SliceSet& slices, const std::filesystem::path& file);
// Sets all of `source` but data and cache as kept in `file`; without the file nothing changes.
void adopt_slice_settings(SliceSource& source, const std::filesystem::path& file);

// How the slices of a model (a directory) were cut, as its slices.json says; one without the file saw the
// usual ones, of the size of its input [pixels per side].
struct ModelSource {
  std::string model;
  SliceSource source;
};
ModelSource source_of_model(const std::string& model, int input_size);

// Slices for all of these models. Models that differ in nothing but the size get the largest. Throws Error,
// naming the directory, when `must_agree` and they were cut otherwise.
SliceSource common_source(const std::vector<ModelSource>& sources, bool must_agree = true);
// The same for models of slices. Throws Error, naming the directory, when one is no model.
SliceSource source_for_models(const std::vector<std::string>& models, bool must_agree = true);

// What reslice noted in studies.json about the studies that the slices come from.
struct SliceOrigins {
  struct Refused {
    std::string study;
    std::vector<std::string> reasons;
  };
  std::unordered_map<std::string, std::string> patients;  // by study: a hash, never a name
  std::vector<Refused> refused;
  int warned = 0;  // studies that are used, but not without reservation

  // A study without a note is a patient of its own, as in the RSNA data set.
  const std::string& patient_of(const std::string& study) const;
};
// Empty for slices that came without the file. Throws Error if it is damaged.
SliceOrigins origins_of(const data::SliceSet& slices);

// Study names per part.
struct StudySplit {
  std::vector<std::string> train, validation, test;
};

struct SplitOptions {
  double validation_fraction = 0.15;  // of all patients
  double test_fraction = 0.15;        // of all patients; 0 leaves the part empty
  int fold = 0,
      folds = 0;  // folds > 0: cross-validation, the test part is fold 1..folds in place of a fraction
  std::uint64_t seed = 0;
};

// Splits the labeled studies by patient, stratified. With folds, the test parts of all folds of a seed make a
// partition. Throws Error when there are too few studies.
StudySplit split_slices(const data::SliceSet& slices, const SplitOptions& options);

// Cross-validation inside a split: fold `options.fold` of the training patients goes over to the test part;
// validation and test keep what they had. A model of each fold has not seen its part of the training
// patients, and none has seen the test patients. Throws Error when the split names studies that `slices`
// lacks.
StudySplit hold_out_fold(const data::SliceSet& slices, StudySplit split, const SplitOptions& options);

// The labeled slices of one part of a split ("train", "validation", "test"), or of all studies ("all").
// Throws Error, with the remedy, when `split_file` is missing or none of the part's studies is there.
data::SliceSet select_slices(const data::SliceSet& slices, const std::string& part,
                             const std::filesystem::path& split_file);

// Copies split.json and slices.json, which a run keeps, beside a model of it: which patients it has never
// seen, and how its slices were cut. `evaluate` needs both.
void keep_origin(const std::filesystem::path& run, const std::filesystem::path& model);

void write_split(const std::filesystem::path& path, const StudySplit& split);
StudySplit read_split(const std::filesystem::path& path);

}  // namespace sagitta::apps
