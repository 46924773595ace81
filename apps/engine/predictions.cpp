#include "apps/engine/predictions.h"

#include <algorithm>
#include <cmath>

#include "nn/parameter.h"
#include "tensor/error.h"

namespace sagitta::apps {

data::LoaderOptions input_options(const models::ModelConfig& config,
                                  const models::Preprocessor& preprocessor) {
  data::LoaderOptions options;
  options.image_size = static_cast<int>(preprocessor.size);
  for (std::size_t c = 0; c < 3; ++c) {
    options.normalization.mean[c] = static_cast<float>(preprocessor.mean[c]);
    options.normalization.std[c] = static_cast<float>(preprocessor.std[c]);
  }
  for (const std::string& label : config.labels) {
    const auto found = std::find(data::kLabelNames.begin(), data::kLabelNames.end(), label);
    require(found != data::kLabelNames.end(), "model: its label '{}' is none of patient_overall, C1..C7",
            label);
    options.labels.push_back(static_cast<std::size_t>(found - data::kLabelNames.begin()));
  }
  return options;
}

std::vector<float> Predictions::probabilities() const {
  std::vector<float> result;
  result.reserve(logits.size());
  for (float logit : logits) result.push_back(elementwise::Sigmoid::f(logit));
  return result;
}

Predictions predict(models::ImageClassifier& model, const data::SliceSet& slices, data::LoaderOptions options,
                    const std::function<void(std::int64_t)>& progress) {
  options.shuffle = options.drop_last = false;
  options.augment = {};
  Predictions result{.labels = options.labels.size(), .logits = {}, .targets = {}};
  const bool was_training = model.training();
  const autograd::NoGradient no_gradient;
  const nn::NamedParameter first = model.named_parameters().front();
  Backend& backend = first.parameter->value().backend();
  data::Loader loader(slices, options);
  model.eval();
  loader.start(0);
  std::int64_t done = 0;
  while (std::optional<data::Batch> batch = loader.next()) {
    const Tensor pixels =
        from_host(backend, {batch->size, options.image_size, options.image_size, 3}, batch->pixels);
    const std::vector<float> logits = to_host<float>(model.logits(autograd::Variable(pixels)).value());
    result.logits.insert(result.logits.end(), logits.begin(), logits.end());
    result.targets.insert(result.targets.end(), batch->labels.begin(), batch->labels.end());
    if (progress) progress(done += batch->size);
  }
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
