#include "apps/explain/example_files.h"

#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/explain/overlay.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

data::Image slice_picture(const HeatAnswer& answer) {
  return without_needless_color({.width = answer.size,
                                 .height = answer.size,
                                 .channels = 3,
                                 .pixels = {answer.pixels.begin(), answer.pixels.end()}});
}

Json example_json(const Example& example, const std::vector<std::size_t>& labels) {
  const data::SliceRecord& slice = example.question.slice;
  Json truth = Json::array();
  for (const std::size_t label : labels)
    if (slice.labels[label] > 0.5F) truth.push_back(data::kLabelNames[label]);
  return {{"kind", example.kind}, {"label", example.label}, {"probability", example.probability},
          {"truth", truth},       {"study", slice.study},   {"slice", slice.file},
          {"x_mm", slice.x_mm}};
}

}  // namespace

std::size_t write_examples(const fs::path& folder, const ExampleRequest& request,
                           const std::function<void(const Example&, const HeatAnswer&)>& visit) {
  const std::vector<std::size_t>& labels = request.input.loader.labels;
  std::vector<std::size_t> outputs = request.outputs;
  if (outputs.empty()) {
    outputs.resize(labels.size());
    std::iota(outputs.begin(), outputs.end(), std::size_t{0});
  }
  const std::vector<Example> examples =
      telling_examples(request.slices, request.predictions, labels, outputs, request.per_kind, request.suits);
  std::error_code error;
  fs::create_directories(folder / "examples", error);
  require(!error, "{}: cannot be created: {}", (folder / "examples").string(), error.message());
  std::vector<HeatQuestion> questions;
  for (const Example& example : examples) questions.push_back(example.question);
  Json list = Json::array();
  explain_slices(request.model, request.context, request.slices.root, questions, request.input,
                 request.method, [&](const HeatAnswer& answer) {
                   const Example& example = examples[answer.question];
                   Json entry = example_json(example, labels);
                   entry["picture"] = fmt::format("examples/{}-slice.png", answer.question);
                   entry["heat"] = fmt::format("examples/{}-heat.png", answer.question);
                   data::write_png(folder / entry["picture"].get<std::string>(), slice_picture(answer));
                   data::write_png(folder / entry["heat"].get<std::string>(),
                                   heat_layer(answer.heat, answer.size, answer.size));
                   list.push_back(std::move(entry));
                   if (visit) visit(example, answer);
                 });
  const Json file{{"method", models::name_of(request.method.method)}, {"examples", list}};
  write_text_file(folder / "examples.json", file.dump(2) + "\n");
  return examples.size();
}

}  // namespace sagitta::apps
