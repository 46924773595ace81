#include "apps/engine/label_areas.h"

#include "apps/engine/json_number.h"
#include "nn/metrics.h"

namespace sagitta::apps {

double LabelAreas::macro() const { return nn::mean_defined(areas); }

nlohmann::ordered_json LabelAreas::json(const std::vector<std::string>& labels) const {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < areas.size(); ++i) object[labels[i]] = number(areas[i]);
  return object;
}

LabelAreas label_areas(const Predictions& predictions) {
  LabelAreas result;
  const std::vector<float> probabilities = predictions.probabilities();
  for (std::size_t label = 0; label < predictions.labels; ++label)
    result.areas.push_back(nn::auroc(nn::column(probabilities, predictions.labels, label),
                                     nn::column(predictions.targets, predictions.labels, label)));
  return result;
}

}  // namespace sagitta::apps
