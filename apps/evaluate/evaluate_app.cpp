#include "apps/evaluate/evaluate_app.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "apps/engine/slices.h"
#include "apps/evaluate/evaluation_files.h"
#include "apps/evaluate/score_files.h"
#include "apps/explain/example_files.h"
#include "models/hugging_face.h"
#include "models/preprocessor.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// What `--compare` names: models, which are one ensemble, and folders of earlier evaluations.
struct Compared {
  std::vector<std::string> models, earlier;
};

Compared compared(const std::vector<std::string>& names) {
  Compared result;
  for (const std::string& name : names)
    (fs::exists(fs::path(name) / "predictions.csv") ? result.earlier : result.models).push_back(name);
  return result;
}

// Where the slices come from, cut as for the models' training where --data holds studies. Wrong models are
// found here, before hours of cutting.
SliceSource slice_source(const EvaluateOptions& options) {
  std::vector<std::string> models = options.models;
  for (const std::string& model : compared(options.compare).models) models.push_back(model);
  SliceSource source = source_for_models(models, !fs::exists(fs::path(options.data) / "manifest.csv"));
  source.data = options.data;
  source.cache = fs::path(options.out) / "slices";
  return source;
}

std::string aggregator_of_fold(std::size_t fold) { return fmt::format("aggregator-{}.json", fold); }

void write_results(const EvaluateOptions& options, const Scores& scores, const Evaluation& evaluation) {
  const fs::path out = options.out;
  // Of an earlier evaluation with more folds.
  for (std::size_t fold = 1; fs::remove(out / aggregator_of_fold(fold)); ++fold) continue;
  Json json{{"models", options.models},
            {"data", options.data},
            {"split", options.split},
            {"aggregation", name_of(scores.parts.front().aggregator.rule())},
            {"tta", options.scoring.reading.variants},
            {"parts", Json::array()}};
  for (std::size_t i = 0; i < scores.parts.size(); ++i) {
    const auto& [part, aggregator] = scores.parts[i];
    // Out of fold, every part has its own.
    const std::string name = scores.parts.size() == 1 ? "aggregator.json" : aggregator_of_fold(i + 1);
    aggregator.save(out / name);
    json["parts"].push_back({{"models", part.models},
                             {"studies", part.studies.size()},
                             {"aggregator_file", name},
                             {"aggregator", aggregator.json()}});
  }
  write_evaluation(out, std::move(json), scores, evaluation);
  if (!options.quiet)
    fmt::print("written: {}/evaluation.json, predictions.csv, patients.csv, examples.png, examples.json\n",
               options.out);
}

// Where the first model of a part looked in the slices that tell most. Out of fold no model has predicted
// them all.
void write_heat_examples(const EvaluateOptions& options, const Scores& scores, const OpenedDevice& device) {
  if (options.examples == 0 || scores.parts.size() != 1) return;
  const fs::path directory = scores.parts.front().part.models.front();
  nn::Context context(device.backend, device.dtype);
  const auto model = models::import_model(directory, context);
  InputOptions input =
      input_options(model->config(), models::read_preprocessor(directory / "preprocessor_config.json"));
  input.loader.batch_size = options.scoring.reading.batch_size;
  input.loader.threads = options.scoring.reading.threads;
  write_examples(options.out,
                 {.model = *model,
                  .context = context,
                  .slices = scores.slices,
                  .predictions = scores.by_slice,
                  .input = input,
                  .method = {.method = models::explain_methods(model->config()).front(), .grad_cam = {}},
                  .outputs = {},
                  .per_kind = options.examples});
}

void note_unfitted_labels(const Scores& scores) {
  for (const ScoredPart& scored : scores.parts)
    if (const std::vector<std::string> labels = scored.aggregator.unfitted_labels(); !labels.empty())
      fmt::print("note: too few studies to learn an aggregation for {}: the mean is used\n",
                 fmt::join(labels, ", "));
}

}  // namespace

void run_evaluate(EvaluateOptions options) {
  if (options.out.empty()) {
    require(options.models.size() == 1, "--out: name a folder for the results of several models");
    options.out = (fs::path(options.models.front()) / "evaluation").string();
  }
  options.scoring.rule = parse_aggregation_rule(options.rule);
  options.statistics.bootstrap.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const OpenedDevice device = open_device(options.device);
  const data::SliceSet labeled = select_slices(open_slices(slice_source(options)), "all", {});
  // All that can be wrong is found before the models run.
  const std::vector<EvaluationPart> parts = evaluation_parts(labeled, options.models, options.split);
  const data::SliceSet evaluated = evaluated_slices(labeled, parts);
  const Compared others = compared(options.compare);
  std::vector<EvaluationPart> other_parts;
  if (!others.models.empty()) {
    other_parts = evaluation_parts(labeled, others.models, options.split);
    require_same_slices(evaluated, evaluated_slices(labeled, other_parts), others.models.front());
  }
  std::vector<Scores> other_scores;
  const std::vector<std::string> labels = models::read_model_config(options.models.front()).labels;
  for (const std::string& folder : others.earlier)
    other_scores.push_back(with_labels(read_scores(folder, evaluated), labels));
  std::error_code error;
  fs::create_directories(options.out, error);
  require(!error, "--out {}: cannot be created: {}", options.out, error.message());
  const auto score = [&](const std::vector<EvaluationPart>& of) {
    return score_parts(labeled, of, device.backend, device.dtype, options.scoring);
  };
  const Scores scores = score(parts);
  note_unfitted_labels(scores);
  if (!other_parts.empty()) other_scores.push_back(score(other_parts));
  const Evaluation evaluation = evaluate(scores, other_scores, options.statistics);
  if (!options.quiet) fmt::print("{}", format_evaluation(evaluation));
  write_heat_examples(options, scores, device);
  write_results(options, scores, evaluation);
}

}  // namespace sagitta::apps
