#include "apps/study/slice_features.h"

#include <algorithm>
#include <optional>

#include "apps/evaluate/study_ranges.h"
#include "apps/evaluate/test_time.h"
#include "data/fingerprint.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"
#include "tensor/safetensors.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char *kEmbeddings = "embeddings", *kLogits = "logits", *kKey = "sagitta_features";

// What the features are a function of, the pictures' contents being represented by their sizes and by how
// reslice says that they were cut.
std::string key_of(const SliceModel& model, const data::SliceSet& slices, std::int64_t variants) {
  data::Fingerprint key;
  key.add(model.fingerprint).add(fmt::format(" {}\n", variants));
  if (const fs::path settings = slices.root / "settings.json"; fs::exists(settings))
    key.add(read_text_file(settings));
  for (const data::SliceRecord& record : slices.records) {
    std::error_code missing;  // reading it will say so
    const auto bytes = fs::file_size(slices.root / record.file, missing);
    key.add(fmt::format("{} {} {} {}\n", record.study, record.file, record.x_mm, bytes));
  }
  return key.hex();
}

std::span<const float> row(const std::vector<float>& table, std::size_t index, std::int64_t width) {
  return std::span(table).subspan(index * static_cast<std::size_t>(width), static_cast<std::size_t>(width));
}

std::vector<std::int64_t> shape_of(const SliceFeatures& features, std::int64_t width) {
  return {static_cast<std::int64_t>(features.studies.size()), features.planes, features.variants, width};
}

void write_features(const fs::path& file, const std::string& key, const SliceFeatures& features) {
  const auto source = [&](const char* name, const std::vector<float>& values, std::int64_t width) {
    return safetensors::Source{
        .name = name, .dtype = "F32", .shape = shape_of(features, width), .bytes = [&values] {
          const auto bytes = std::as_bytes(std::span(values));
          return std::vector<std::byte>(bytes.begin(), bytes.end());
        }};
  };
  safetensors::write(file,
                     {source(kEmbeddings, features.embeddings, features.embedding_width),
                      source(kLogits, features.logits, features.logit_count())},
                     {{kKey, key}});
}

// Fills `features`, whose sizes say what is expected. False when the file is not what was written.
bool read_features(const fs::path& file, const std::string& key, SliceFeatures& features) {
  try {
    const safetensors::File opened = safetensors::File::open(file);
    const auto found = opened.metadata().find(kKey);
    const safetensors::Entry &embeddings = opened.at(kEmbeddings), &logits = opened.at(kLogits);
    if (found == opened.metadata().end() || found->second != key ||
        embeddings.shape != shape_of(features, features.embedding_width) ||
        logits.shape != shape_of(features, features.logit_count()))
      return false;
    features.embeddings = safetensors::values_of<float>(embeddings);
    features.logits = safetensors::values_of<float>(logits);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Everything but the values.
SliceFeatures features_to_be(const SliceModel& model, const data::SliceSet& slices,
                             const FeatureOptions& options) {
  return {.studies = slices.studies(),
          .planes = planes_of(slices),
          .variants = options.variants,
          .embedding_width = model.embedding_width(),
          .labels = model.model->config().labels,
          .embeddings = {},
          .logits = {}};
}

}  // namespace

std::span<const float> SliceFeatures::embedding(std::size_t study, std::int64_t plane,
                                                std::int64_t variant) const {
  const auto slice = static_cast<std::int64_t>(study) * planes + plane;
  return row(embeddings, static_cast<std::size_t>(slice * variants + variant), embedding_width);
}

std::span<const float> SliceFeatures::logits_of(std::size_t study, std::int64_t plane,
                                                std::int64_t variant) const {
  const auto slice = static_cast<std::int64_t>(study) * planes + plane;
  return row(logits, static_cast<std::size_t>(slice * variants + variant), logit_count());
}

std::int64_t planes_of(const data::SliceSet& slices) {
  const std::vector<StudyRange> ranges = study_ranges(slices);
  require(!ranges.empty(), "{}: holds no study", slices.root.string());
  const std::size_t planes = ranges.front().end;
  for (const StudyRange& range : ranges)
    require(range.end - range.begin == planes,
            "{}: study {} has {} slices, expected {} as the first one; cut all studies alike with reslice",
            slices.root.string(), slices.records[range.begin].study, range.end - range.begin, planes);
  return static_cast<std::int64_t>(planes);
}

SliceFeatures compute_slice_features(const SliceModel& model, const nn::Context& context,
                                     const data::SliceSet& slices, const FeatureOptions& options,
                                     const std::function<void(std::int64_t)>& progress) {
  SliceFeatures features = features_to_be(model, slices, options);
  data::LoaderOptions loading = model.input.loader;
  loading.batch_size = options.batch_size;
  loading.threads = options.threads;
  loading.variants = test_time_variants(static_cast<std::size_t>(options.variants));
  const PredictingModel predicting{
      .model = model.model.get(), .normalization = model.input.normalization, .gives_embeddings = true};
  Predictions predictions =
      std::move(predict_together({&predicting, 1}, context, slices, loading, [&](std::int64_t rows) {
                  if (progress) progress(rows / options.variants);
                }).front());
  features.embeddings = std::move(predictions.embeddings);
  features.logits = std::move(predictions.logits);
  return features;
}

SliceFeatures slice_features(const SliceModel& model, const nn::Context& context,
                             const data::SliceSet& slices, const FeatureOptions& options,
                             const fs::path& folder, const std::function<void(std::int64_t)>& progress) {
  const std::string key = key_of(model, slices, options.variants);
  const fs::path file = folder / (key + ".safetensors");
  SliceFeatures kept = features_to_be(model, slices, options);
  if (fs::exists(file) && read_features(file, key, kept)) return kept;
  SliceFeatures features = compute_slice_features(model, context, slices, options, progress);
  write_features(file, key, features);
  return features;
}

}  // namespace sagitta::apps
