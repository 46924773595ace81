// A number of a log or a result: null in JSON unless it is finite.
#pragma once
#include <cmath>
#include <nlohmann/json.hpp>

namespace sagitta::apps {

inline nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

}  // namespace sagitta::apps
