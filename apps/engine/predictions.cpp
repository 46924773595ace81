#include "apps/engine/predictions.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "apps/engine/model_input.h"
#include "nn/constant_parameters.h"
#include "tensor/error.h"

namespace sagitta::apps {

InputOptions input_options(const models::ModelConfig& config, const models::Preprocessor& preprocessor) {
  InputOptions options;
  options.loader.image_size = static_cast<int>(preprocessor.size);
  for (std::size_t c = 0; c < 3; ++c) {
    options.normalization.mean[c] = static_cast<float>(preprocessor.mean[c]);
    options.normalization.std[c] = static_cast<float>(preprocessor.std[c]);
  }
  for (const std::string& label : config.labels) {
    const auto found = std::find(data::kLabelNames.begin(), data::kLabelNames.end(), label);
    require(found != data::kLabelNames.end(), "model: its label '{}' is none of patient_overall, C1..C7",
            label);
    options.loader.labels.push_back(static_cast<std::size_t>(found - data::kLabelNames.begin()));
  }
  return options;
}

std::vector<float> Predictions::probabilities() const {
  std::vector<float> result;
  result.reserve(logits.size());
  for (float logit : logits) result.push_back(elementwise::Sigmoid::f(logit));
  return result;
}

namespace {

// A model with fixed memory for batches of one shape, so that one captured step serves them all: the rows
// that a last, smaller batch leaves over are computed and not looked at.
class BatchForward {
 public:
  BatchForward(const PredictingModel& predicting, const nn::Context& context, std::int64_t rows,
               std::int64_t image_size)
      : model_(*predicting.model),
        was_training_(model_.training()),
        constant_(model_),
        input_(context, rows, image_size, predicting.normalization),
        logits_(context.backend(), {rows, model_.config().num_labels()}, DType::f32) {
    model_.eval();
    Backend& backend = context.backend();
    if (predicting.gives_embeddings)
      embeddings_ = Tensor(backend, {rows, model_.config().feature_width()}, DType::f32);
    forward_ = backend.capture([this, &backend] {
      const autograd::Variable embedding = model_.embedding(autograd::Variable(input_.normalize()));
      if (embeddings_) backend.convert(embedding.value(), embeddings_);
      backend.convert(model_.classify(embedding).value(), logits_);
    });
  }
  ~BatchForward() { model_.train(was_training_); }
  BatchForward(const BatchForward&) = delete;
  BatchForward& operator=(const BatchForward&) = delete;

  void upload(const data::Batch& batch) { input_.upload(batch); }
  void launch() { forward_->replay(); }
  // Waits for the device.
  void collect(std::int64_t rows, Predictions& into) const {
    append(logits_.slice(0, rows), into.logits);
    if (embeddings_) append(embeddings_.slice(0, rows), into.embeddings);
  }

 private:
  static void append(const Tensor& rows, std::vector<float>& into) {
    const std::vector<float> values = to_host<float>(rows);
    into.insert(into.end(), values.begin(), values.end());
  }

  models::ImageClassifier& model_;
  bool was_training_;
  nn::ConstantParameters constant_;
  ModelInput input_;
  Tensor logits_;      // f32 [rows, labels]
  Tensor embeddings_;  // f32 [rows, width], or empty
  std::unique_ptr<Captured> forward_;
};

}  // namespace

std::vector<Predictions> predict_together(std::span<const PredictingModel> models, const nn::Context& context,
                                          const data::SliceSet& slices, data::LoaderOptions loading,
                                          const std::function<void(std::int64_t)>& progress) {
  loading.shuffle = loading.drop_last = false;
  loading.augment = {};
  const auto per_slice = static_cast<std::int64_t>(std::max<std::size_t>(1, loading.variants.size()));
  const std::int64_t rows = std::clamp<std::int64_t>(
      static_cast<std::int64_t>(slices.records.size()) * per_slice, 1, loading.batch_size);
  const autograd::NoGradient no_gradient;
  std::deque<BatchForward> forwards;
  for (const PredictingModel& model : models) forwards.emplace_back(model, context, rows, loading.image_size);
  std::vector<Predictions> results(
      models.size(), {.labels = loading.labels.size(), .logits = {}, .targets = {}, .embeddings = {}});

  std::optional<data::Batch> running;
  const auto collect = [&](std::size_t i) {
    if (!running) return;
    forwards[i].collect(running->size, results[i]);
    results[i].targets.insert(results[i].targets.end(), running->labels.begin(), running->labels.end());
  };
  data::Loader loader(slices, loading);
  loader.start(0);
  while (std::optional<data::Batch> batch = loader.next()) {
    for (std::size_t i = 0; i < forwards.size(); ++i) {
      forwards[i].upload(*batch);  // while the device still computes the batch before
      collect(i);
      forwards[i].launch();
    }
    if (running && progress) progress(static_cast<std::int64_t>(results.back().rows()));
    running = std::move(batch);
  }
  for (std::size_t i = 0; i < forwards.size(); ++i) collect(i);
  if (running && progress) progress(static_cast<std::int64_t>(results.back().rows()));
  return results;
}

Predictions predict(models::ImageClassifier& model, const nn::Context& context, const data::SliceSet& slices,
                    InputOptions options, const std::function<void(std::int64_t)>& progress) {
  const PredictingModel one{.model = &model, .normalization = options.normalization};
  return std::move(predict_together({&one, 1}, context, slices, std::move(options.loader), progress).front());
}

namespace {

// Of entry i of the table.
double bce(const Predictions& predictions, std::span<const float> pos_weight, std::size_t i) {
  const double x = predictions.logits[i], t = predictions.targets[i];
  const double p = pos_weight.empty() ? 1 : pos_weight[i % predictions.labels];
  // log(1 + exp(-x)) without overflow; see torch.nn.BCEWithLogitsLoss.
  const double softplus = std::log1p(std::exp(-std::abs(x))) + std::max(-x, 0.0);
  return (1 - t) * x + (1 + (p - 1) * t) * softplus;
}

}  // namespace

std::vector<double> row_losses(const Predictions& predictions, std::span<const float> pos_weight) {
  std::vector<double> losses(predictions.rows());
  for (std::size_t i = 0; i < predictions.logits.size(); ++i)
    losses[i / predictions.labels] +=
        bce(predictions, pos_weight, i) / static_cast<double>(predictions.labels);
  return losses;
}

double mean_bce(const Predictions& predictions, std::span<const float> pos_weight) {
  double sum = 0;
  for (std::size_t i = 0; i < predictions.logits.size(); ++i) sum += bce(predictions, pos_weight, i);
  return sum / static_cast<double>(predictions.logits.size());
}

}  // namespace sagitta::apps
