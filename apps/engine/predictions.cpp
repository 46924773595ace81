#include "apps/engine/predictions.h"

#include <algorithm>
#include <cmath>

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

Predictions predict(models::ImageClassifier& model, const nn::Context& context, const data::SliceSet& slices,
                    InputOptions options, const std::function<void(std::int64_t)>& progress) {
  data::LoaderOptions& loading = options.loader;
  loading.shuffle = loading.drop_last = false;
  loading.augment = {};
  Predictions result{.labels = loading.labels.size(), .logits = {}, .targets = {}};
  // One shape for all batches, so that one captured step serves them: the rows that a last, smaller batch
  // leaves over are computed and not looked at.
  const std::int64_t rows =
      std::clamp<std::int64_t>(static_cast<std::int64_t>(slices.records.size()), 1, loading.batch_size);
  Backend& backend = context.backend();
  ModelInput input(context, rows, loading.image_size, options.normalization);
  Tensor logits(backend, {rows, model.config().num_labels()}, DType::f32);
  const bool was_training = model.training();
  const autograd::NoGradient no_gradient;
  const nn::ConstantParameters constant(model);
  model.eval();
  const std::unique_ptr<Captured> forward = backend.capture(
      [&] { backend.convert(model.logits(autograd::Variable(input.normalize())).value(), logits); });

  std::optional<data::Batch> running;
  const auto collect = [&] {  // waits for the batch on the device
    if (!running) return;
    const std::vector<float> values = to_host<float>(logits.slice(0, running->size));
    result.logits.insert(result.logits.end(), values.begin(), values.end());
    result.targets.insert(result.targets.end(), running->labels.begin(), running->labels.end());
    if (progress) progress(static_cast<std::int64_t>(result.rows()));
  };
  data::Loader loader(slices, loading);
  loader.start(0);
  while (std::optional<data::Batch> batch = loader.next()) {
    input.upload(*batch);  // while the device still computes the batch before
    collect();
    forward->replay();
    running = std::move(batch);
  }
  collect();
  model.train(was_training);
  return result;
}

double mean_bce(const Predictions& predictions, std::span<const float> pos_weight) {
  double sum = 0;
  for (std::size_t i = 0; i < predictions.logits.size(); ++i) {
    const double x = predictions.logits[i], t = predictions.targets[i];
    const double p = pos_weight.empty() ? 1 : pos_weight[i % predictions.labels];
    // log(1 + exp(-x)) without overflow; see torch.nn.BCEWithLogitsLoss.
    const double softplus = std::log1p(std::exp(-std::abs(x))) + std::max(-x, 0.0);
    sum += (1 - t) * x + (1 + (p - 1) * t) * softplus;
  }
  return sum / static_cast<double>(predictions.logits.size());
}

}  // namespace sagitta::apps
