#include "apps/explain/explain_app.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "apps/engine/drawing.h"
#include "apps/engine/progress.h"
#include "apps/engine/slices.h"
#include "apps/explain/example_files.h"
#include "apps/explain/pointing_game.h"
#include "apps/explain/truth.h"
#include "models/hugging_face.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kFinderSide = 64;  // pixels, enough to tell whether a box crosses a slice

bool is_crossed(const std::vector<std::uint8_t>& mask) {
  return std::find(mask.begin(), mask.end(), 1) != mask.end();
}

// A model with all that is needed to ask it about slices.
struct Respondent {
  Respondent(std::unique_ptr<models::ImageClassifier> asked, const nn::Context& where)
      : model(std::move(asked)), context(where) {}

  std::unique_ptr<models::ImageClassifier> model;
  const nn::Context& context;
  InputOptions input;
  HeatMethod method;
  data::SliceSet slices;
  std::vector<std::size_t> outputs;  // that are asked about

  std::size_t label_of(std::size_t output) const { return input.loader.labels[output]; }
  void ask(const std::string& title, const std::vector<HeatQuestion>& questions,
           const std::function<void(const HeatAnswer&)>& answer) {
    Progress progress(title, "images", static_cast<std::int64_t>(questions.size()));
    explain_slices(*model, context, slices.root, questions, input, method, [&](const HeatAnswer& given) {
      answer(given);
      progress.update(static_cast<std::int64_t>(given.question) + 1);
    });
  }
};

Respondent call(const ExplainOptions& options, nn::Context& context) {
  Respondent respondent(models::import_model(options.model, context), context);
  const models::ModelConfig& config = respondent.model->config();
  respondent.input =
      input_options(config, models::read_preprocessor(fs::path(options.model) / "preprocessor_config.json"));
  respondent.input.loader.batch_size = options.batch_size;
  respondent.input.loader.threads = options.threads;
  respondent.method = {models::parse_explain_method(options.method, config), options.grad_cam};
  const auto found = std::find(config.labels.begin(), config.labels.end(), options.label);
  require(options.label == "all" || found != config.labels.end(),
          "--label is {}, expected all or one of the model's: {}", options.label,
          fmt::join(config.labels, ", "));
  respondent.outputs.resize(options.label == "all" ? config.labels.size() : 1);
  std::iota(respondent.outputs.begin(), respondent.outputs.end(),
            options.label == "all" ? 0U : static_cast<std::size_t>(found - config.labels.begin()));
  SliceSource source{.data = options.data,
                     .cache = fs::path(options.out) / "slices",
                     .size = respondent.input.loader.image_size};
  adopt_slice_settings(source, fs::path(options.model) / "slices.json");
  respondent.slices =
      select_slices(open_slices(source), options.split, fs::path(options.model) / "split.json");
  return respondent;
}

void draw_examples(const ExplainOptions& options, Respondent& respondent, const Truth* truth) {
  const Predictions predictions =
      predict(*respondent.model, respondent.context, respondent.slices, respondent.input);
  Suits suits;
  if (truth)
    suits = [&](const data::SliceRecord& slice, std::size_t label) {
      return is_crossed(truth->mask(slice, label, kFinderSide));
    };
  std::vector<data::Image> pictures;
  const std::size_t count =
      write_examples(options.out,
                     {.model = *respondent.model,
                      .context = respondent.context,
                      .slices = respondent.slices,
                      .predictions = predictions,
                      .input = respondent.input,
                      .method = respondent.method,
                      .outputs = respondent.outputs,
                      .per_kind = options.examples,
                      .suits = suits},
                     [&](const Example& example, const HeatAnswer& answer) {
                       std::vector<std::uint8_t> mask;
                       if (truth)
                         mask = truth->mask(example.question.slice,
                                            respondent.label_of(example.question.output), kExampleSide);
                       pictures.push_back(example_picture(example, answer, mask));
                     });
  require(count > 0, "--data {}: there is no slice to show", options.data);
  data::write_png(fs::path(options.out) / "examples.png", tile(pictures, 3));
  fmt::print("written: {0}/examples.png, {0}/examples.json with {1} examples\n", options.out, count);
}

void play_pointing_game(const ExplainOptions& options, Respondent& respondent, const Truth& truth) {
  const int size = respondent.input.loader.image_size;
  std::vector<HeatQuestion> questions;
  std::vector<std::vector<std::uint8_t>> masks;
  for (const data::SliceRecord& slice : respondent.slices.records)
    for (const std::size_t output : respondent.outputs) {
      const std::size_t label = respondent.label_of(output);
      if (slice.labels[label] < 0.5F) continue;
      std::vector<std::uint8_t> mask = truth.mask(slice, label, size);
      if (!is_crossed(mask)) continue;
      questions.push_back({slice, output});
      masks.push_back(std::move(mask));
    }
  std::vector<PointingTrial> trials;
  respondent.ask("pointing", questions, [&](const HeatAnswer& answer) {
    const HeatQuestion& question = questions[answer.question];
    trials.push_back(pointing_trial(question.slice.study,
                                    data::kLabelNames[respondent.label_of(question.output)],
                                    std::move(masks[answer.question]), answer.heat, answer.pixels));
  });
  const std::vector<PointingScore> scores = score_pointing(trials);
  const Truth::Counts counts = truth.counts();
  fmt::print(
      "pointing game, {}: {} studies with boxes; in {} of them nobody can tell which vertebra a box belongs "
      "to\n{}",
      models::name_of(respondent.method.method), counts.with_boxes, counts.ambiguous,
      format_pointing(scores));
  const Json file{{"method", models::name_of(respondent.method.method)},
                  {"split", options.split},
                  {"studies_with_boxes", counts.with_boxes},
                  {"ambiguous_studies", counts.ambiguous},
                  {"scores", pointing_json(scores)}};
  write_text_file(fs::path(options.out) / "pointing_game.json", file.dump(2) + "\n");
  fmt::print("written: {}/pointing_game.json\n", options.out);
}

}  // namespace

void explain_model(const ExplainOptions& options) {
  const OpenedDevice device = open_device(options.device);
  nn::Context context(device.backend, device.dtype);
  std::error_code error;
  fs::create_directories(options.out, error);
  require(!error, "--out {}: cannot be created: {}", options.out, error.message());
  Respondent respondent = call(options, context);
  std::optional<Truth> truth;
  if (!options.ct.empty()) truth.emplace(options.ct, respondent.slices);
  if (options.examples > 0) draw_examples(options, respondent, truth ? &*truth : nullptr);
  if (truth) play_pointing_game(options, respondent, *truth);
}

}  // namespace sagitta::apps
