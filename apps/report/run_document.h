// A run directory as one JSON document, which is all that the page of a report knows. Everything comes from
// files that the run and `evaluate` wrote, so a report can be made again at any time, and while the run goes
// on.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace sagitta::apps {

// {name, state, metrics: {steps, epochs, steps_per_point}, evaluations: [{name, result, examples}], data,
// record, recipe, settings}. What the run does not have (yet) is null or empty. `name` stands in headings and
// legends. Throws Error if `run` is no run, or a file is damaged.
nlohmann::ordered_json run_document(const std::filesystem::path& run, const std::string& name);

}  // namespace sagitta::apps
