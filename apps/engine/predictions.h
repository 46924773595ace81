// Running a classifier over slices without recording a graph.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/loader.h"
#include "models/classifier.h"
#include "models/preprocessor.h"

namespace sagitta::apps {

// How the slices of a model are read.
struct InputOptions {
  data::LoaderOptions loader;  // image size, and which labels of the data set are the model's outputs
  ImageParams normalization;
};
// Throws Error if an output of the model is none of data::kLabelNames.
InputOptions input_options(const models::ModelConfig& config, const models::Preprocessor& preprocessor);

// Row-major [slices, labels] tables, in the order of the slice set.
struct Predictions {
  std::size_t labels = 0;
  std::vector<float> logits;
  std::vector<float> targets;
  std::vector<float> embeddings = {};  // [rows, width], of a model that was asked for them; empty otherwise

  std::size_t rows() const { return labels == 0 ? 0 : logits.size() / labels; }
  std::vector<float> probabilities() const;  // sigmoid of the logits
};

// Runs the model, which was built in `context`, in evaluation mode (and leaves it in the mode it was in). The
// options are taken as given except that nothing is shuffled, dropped or augmented at random; with
// loader.variants there is a row per slice and variant. `progress` is called with the number of rows done.
Predictions predict(models::ImageClassifier& model, const nn::Context& context, const data::SliceSet& slices,
                    InputOptions options, const std::function<void(std::int64_t)>& progress = {});

// One of several models that look at the same pictures.
struct PredictingModel {
  models::ImageClassifier* model = nullptr;
  ImageParams normalization;
  bool gives_embeddings = false;  // what its last layer reads is wanted, too
};
// The same for several models of one context, input size and list of labels: every slice is read once for all
// of them. One table per model.
std::vector<Predictions> predict_together(std::span<const PredictingModel> models, const nn::Context& context,
                                          const data::SliceSet& slices, data::LoaderOptions loading,
                                          const std::function<void(std::int64_t)>& progress = {});

// Mean binary cross-entropy of each row, in f64; pos_weight has one factor per label, or none.
std::vector<double> row_losses(const Predictions& predictions, std::span<const float> pos_weight = {});
// The same of the whole table.
double mean_bce(const Predictions& predictions, std::span<const float> pos_weight = {});

}  // namespace sagitta::apps
