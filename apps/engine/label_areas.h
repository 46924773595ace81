// LabelAreas: the areas under the ROC curve that a run logs after each epoch.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "apps/engine/predictions.h"

namespace sagitta::apps {

struct LabelAreas {
  std::vector<double> areas;  // per label; NaN where there is one class only

  double macro() const;  // mean over the labels that have one
  nlohmann::ordered_json json(const std::vector<std::string>& labels) const;
};
LabelAreas label_areas(const Predictions& predictions);

}  // namespace sagitta::apps
