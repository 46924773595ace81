// The lines of metrics.jsonl as columns to draw: {steps: {name: [values]}, epochs: {...}, steps_per_point}.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace sagitta::apps {

// Steps beyond some thousand are averaged in groups of `steps_per_point`. A last line that is cut off (the
// run was killed, or is writing it) is left out; any other line that is no JSON throws Error. `end` receives
// the last line of type "end", or null.
nlohmann::ordered_json metric_columns(const std::filesystem::path& metrics_jsonl,
                                      nlohmann::ordered_json& end);

}  // namespace sagitta::apps
