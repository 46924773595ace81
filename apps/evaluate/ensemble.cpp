#include "apps/evaluate/ensemble.h"

#include <algorithm>
#include <cmath>

#include "apps/evaluate/aggregation.h"
#include "apps/evaluate/test_time.h"
#include "models/hugging_face.h"
#include "tensor/error.h"

namespace sagitta::apps {

Ensemble::Ensemble(const std::vector<std::string>& directories, Backend& backend, DType dtype)
    : context_(std::make_unique<nn::Context>(backend, dtype)) {
  require(!directories.empty(), "ensemble: no model is given");
  for (const std::string& directory : directories) {
    auto model = models::import_model(directory, *context_);
    const models::Preprocessor preprocessor =
        models::read_preprocessor(std::filesystem::path(directory) / "preprocessor_config.json");
    InputOptions input = input_options(model->config(), preprocessor);
    require(members_.empty() || input.loader.labels == labels(),
            "{}: its labels differ from those of {}; models that are evaluated together need the same labels",
            directory, directories.front());
    members_.push_back({.model = std::move(model), .input = std::move(input)});
  }
}

std::vector<int> Ensemble::image_sizes() const {
  std::vector<int> sizes;
  for (const Member& member : members_)
    if (std::find(sizes.begin(), sizes.end(), member.input.loader.image_size) == sizes.end())
      sizes.push_back(member.input.loader.image_size);
  return sizes;
}

std::size_t Ensemble::passes() const { return image_sizes().size(); }

Predictions Ensemble::predict(const data::SliceSet& slices, const ReadingOptions& options,
                              const std::function<void(std::int64_t)>& progress) const {
  const auto variants = static_cast<std::int64_t>(options.variants);
  std::vector<Predictions> all;  // of every member, a row per slice and variant
  std::int64_t done = 0;
  for (const int size : image_sizes()) {
    std::vector<PredictingModel> models;
    for (const Member& member : members_)
      if (member.input.loader.image_size == size)
        models.push_back({.model = member.model.get(), .normalization = member.input.normalization});
    data::LoaderOptions loading;
    loading.batch_size = options.batch_size;
    loading.image_size = size;
    loading.variants = test_time_variants(options.variants);
    loading.threads = options.threads;
    loading.labels = labels();
    for (Predictions& one : predict_together(models, *context_, slices, loading, [&](std::int64_t rows) {
           if (progress) progress(done + rows / variants);
         }))
      all.push_back(std::move(one));
    done += static_cast<std::int64_t>(slices.records.size());
  }
  const std::size_t columns = labels().size();
  Predictions result{.labels = columns, .logits = {}, .targets = {}};
  std::vector<float> seen;
  for (std::size_t row = 0; row < slices.records.size(); ++row)
    for (std::size_t label = 0; label < columns; ++label) {
      seen.clear();
      for (const Predictions& one : all)
        for (std::size_t v = 0; v < options.variants; ++v)
          seen.push_back(one.logits[(row * options.variants + v) * columns + label]);
      require(std::all_of(seen.begin(), seen.end(), [](float logit) { return std::isfinite(logit); }),
              "{}: a model's answer is not a finite number; its weights are unusable",
              slices.records[row].file);
      result.logits.push_back(seen.size() == 1 ? seen[0] : static_cast<float>(logit_of_mean(seen)));
      result.targets.push_back(slices.records[row].labels[labels()[label]]);
    }
  return result;
}

}  // namespace sagitta::apps
