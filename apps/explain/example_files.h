// The examples of an evaluation as files: FOLDER/examples.json, and for each example the slice as the network
// saw it and the heat to lay over it. What `explain` and `evaluate` leave, and a report shows.
//   {"method": "grad-cam", "examples": [{"kind": "found", "label": "C5", "probability": 0.93, "truth":
//   ["C5"],
//     "study", "slice", "x_mm", "picture": "examples/0-slice.png", "heat": "examples/0-heat.png"}, ...]}
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "apps/explain/examples.h"
#include "apps/explain/heat_maps.h"

namespace sagitta::apps {

struct ExampleRequest {
  models::ImageClassifier& model;
  const nn::Context& context;
  const data::SliceSet& slices;
  const Predictions& predictions;  // one row per record of the slices
  InputOptions input;
  HeatMethod method;
  std::vector<std::size_t> outputs;  // that are asked about; empty: all
  int per_kind = 6;
  Suits suits = {};  // as in telling_examples()
};

// Chooses the examples, asks the model about them and writes the files, the JSON last. `visit`, where given,
// sees every example on the way. Returns their number. Throws Error when a file cannot be written.
std::size_t write_examples(const std::filesystem::path& folder, const ExampleRequest& request,
                           const std::function<void(const Example&, const HeatAnswer&)>& visit = {});

}  // namespace sagitta::apps
