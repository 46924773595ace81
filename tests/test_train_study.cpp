// train_study as a whole, on a data set that a test makes in a moment: it trains, stops, goes on bitwise, and
// refuses what does not fit together.
#include <doctest/doctest.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/study/slice_labels.h"
#include "apps/study/study_predictions.h"
#include "apps/study/study_trainer.h"
#include "nn/init.h"
#include "small_studies.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::apps;
using namespace sagitta::testing;
using Json = nlohmann::json;

namespace {

std::vector<std::string> run_arguments(const TempFolder& folder, const std::string& out) {
  return {"--slice-model",
          (folder / "slice").string(),
          "--data",
          (folder / "slices").string(),
          "--out",
          (folder / out).string(),
          "--epochs",
          "4",
          "--batch-size",
          "5",
          "--variants",
          "3",
          "--feature-dropout",
          "0.1",
          "--warmup",
          "2",
          "--hidden-size",
          "8",
          "--heads",
          "2",
          "--intermediate-size",
          "12",
          "--plane-dropout",
          "0.3",
          "--ema",
          "0.9",
          "--bootstrap",
          "50",
          "--device",
          "cpu",
          "--threads",
          "1",
          "--quiet",
          "--seed",
          "3"};
}

std::vector<Json> log_of(const std::filesystem::path& run) {
  std::istringstream lines(read_bytes(run / "metrics.jsonl"));
  std::vector<Json> entries;
  for (std::string line; std::getline(lines, line);) {
    entries.push_back(Json::parse(line));
    entries.back().erase("validation_seconds");
  }
  return entries;
}

}  // namespace

TEST_CASE("a run: trains, keeps the best, evaluates; begun again it ends bitwise the same") {
  const SmallFolder folder;
  REQUIRE(run_train_study(run_arguments(folder, "whole")) == 0);
  const std::filesystem::path whole = folder / "whole";
  const std::vector<Json> log = log_of(whole);
  CHECK(log.front()["type"] == "step");
  CHECK(log.back() == Json{{"type", "end"}, {"outcome", "finished"}, {"step", 12}});
  for (const char* file : {"best/model.safetensors", "best/config.json", "best/split.json", "recipe.toml",
                           "evaluation/evaluation.json", "evaluation/patients.csv",
                           "evaluation/predictions.csv", "run.json", "data.json", "report.html"})
    CHECK_MESSAGE(std::filesystem::exists(whole / file), file);
  const Json evaluation = Json::parse(read_bytes(whole / "evaluation/evaluation.json"));
  CHECK(evaluation["patients"]["rows"] == 6);
  CHECK(evaluation["comparisons"].size() == 4);
  CHECK(evaluation["slice_aggregations"]["rules"].size() == 4);
  CHECK(evaluation["rsna_log_loss"].is_number());

  // A run that lost all its checkpoints begins again.
  REQUIRE(run_train_study(run_arguments(folder, "cut")) == 0);
  const std::filesystem::path cut = folder / "cut";
  std::filesystem::remove_all(cut / "checkpoints");
  std::filesystem::remove(cut / "last");
  std::filesystem::remove(cut / "best");
  std::filesystem::create_directory(cut / "checkpoints");
  REQUIRE(run_train_study({"--resume", cut.string(), "--quiet"}) == 0);
  CHECK(read_bytes(cut / "last/model.safetensors") == read_bytes(whole / "last/model.safetensors"));
  CHECK(log_of(cut) == log);
}

TEST_CASE("the trainer stops after an epoch at a signal and goes on bitwise") {
  const TempFolder folder;
  write_slices(folder.path());
  const data::SliceSet slices = data::read_slice_set(folder.path());
  const std::vector<SliceFeatures> features{made_up_features(slices.studies(), 0)};
  const StudyData data(slices, features);
  StudyOptions options;
  options.epochs = 5;
  options.batch_size = 7;
  options.ema = 0.9;
  options.hidden_size = 8;
  options.heads = 2;
  options.quiet = true;
  const models::StudyConfig config{.planes = kPlanes,
                                   .embedding_width = 2,
                                   .slice_labels = features[0].labels,
                                   .slice_models = {{"a", "1"}},
                                   .labels = study_labels(),
                                   .members = 2,
                                   .hidden_size = 8,
                                   .num_hidden_layers = 1,
                                   .num_attention_heads = 2,
                                   .intermediate_size = 12,
                                   .hidden_dropout_prob = 0.2,
                                   .feature_dropout_prob = 0.2};
  options.keep_checkpoints = 10;
  // Trains in `run`, from its last checkpoint if it has one.
  const auto train = [&](RunDirectory& run, bool signaled) {
    const StopSignal stop;
    nn::Context context(cpu_backend());
    models::StudyModel model(config, context);
    nn::initialize(model, 1);
    StudyTrainer trainer(model, context, data, data, options, run, &stop);
    if (run.has_checkpoint()) trainer.resume();
    if (signaled) std::raise(SIGTERM);
    return trainer.run();
  };
  RunDirectory whole = RunDirectory::create(folder / "whole");
  CHECK(train(whole, false) == StudyTrainer::Outcome::finished);
  for (const int epochs : {1, 3}) {
    // What a kill leaves that hit the epoch after these.
    RunDirectory killed = RunDirectory::create(folder / fmt::format("killed{}", epochs));
    CHECK(train(killed, false) == StudyTrainer::Outcome::finished);
    const auto checkpoint = [](int epoch) { return fmt::format("checkpoints/step-{:08}", epoch * 4); };
    for (int later = epochs + 1; later <= 5; ++later)
      REQUIRE(std::filesystem::remove_all(killed.path() / checkpoint(later)) > 0);
    std::filesystem::remove(killed.last());
    std::filesystem::create_directory_symlink(checkpoint(epochs), killed.last());
    // The signal is obeyed between epochs, with nothing lost.
    CHECK(train(killed, true) == StudyTrainer::Outcome::stopped);
    CHECK(std::filesystem::read_symlink(killed.last()) == checkpoint(epochs));
    CHECK(train(killed, false) == StudyTrainer::Outcome::finished);
    for (const char* file : {"model.safetensors", "optimizer.safetensors"})
      CHECK(read_bytes(killed.last() / file) == read_bytes(whole.last() / file));
    CHECK(log_of(killed.path()) == log_of(whole.path()));
  }
}

TEST_CASE("what does not fit together is refused with a remedy, before anything is written") {
  const SmallFolder folder;
  const auto fails = [&](const std::vector<std::pair<std::string, std::string>>& changes) {
    std::vector<std::string> arguments = run_arguments(folder, "refused");
    for (const auto& [flag, value] : changes) {
      const auto found = std::find(arguments.begin(), arguments.end(), flag);
      if (found != arguments.end())
        *(found + 1) = value;
      else
        arguments.insert(arguments.end(), {flag, value});
    }
    const int code = run_train_study(arguments);
    CHECK_FALSE(std::filesystem::exists(folder / "refused"));
    return code;
  };
  write_slice_model(folder / "no-split", 4, small_split(), kSide);
  std::filesystem::remove(folder / "no-split/split.json");
  CHECK(fails({{"--slice-model", (folder / "no-split").string()}}) == 1);
  write_slice_model(folder / "no-test", 4, {names(0, 12), names(12, 24), {}}, kSide);
  CHECK(fails({{"--slice-model", (folder / "no-test").string()}}) == 1);
  CHECK(fails({{"--slice-model", (folder / "nowhere").string()}}) == 1);
  write_slices(folder / "fewer", 20);
  CHECK(fails({{"--data", (folder / "fewer").string()}}) == 1);
  CHECK(fails({{"--heads", "3"}}) == 1);
  CHECK(fails({{"--layers", "-1"}}) == 2);
  // One study with another number of slices.
  write_slices(folder / "uneven");
  std::string manifest = read_bytes(folder / "uneven/manifest.csv");
  manifest.erase(manifest.rfind("slices/"));
  write_bytes(folder / "uneven/manifest.csv", manifest);
  const data::SliceSet uneven = data::read_slice_set(folder / "uneven");
  CHECK(contains(error_of([&] { planes_of(uneven); }), "study study23 has 2 slices, expected 3"));
  CHECK(fails({{"--data", (folder / "uneven").string()}}) == 1);
}

TEST_CASE("a run does not go on with another slice model") {
  const SmallFolder folder;
  REQUIRE(run_train_study(run_arguments(folder, "run")) == 0);
  write_slice_model(folder / "slice", 9, small_split(), kSide);
  CHECK(run_train_study({"--resume", (folder / "run").string(), "--quiet"}) == 1);
}

TEST_CASE("two fold models: every training study by the one that held it out, the rest by both") {
  const SmallFolder folder;
  const data::SliceSet slices = data::read_slice_set(folder / "slices");
  std::vector<std::string> arguments = run_arguments(folder, "folds");
  arguments.erase(arguments.begin(), arguments.begin() + 2);
  for (int fold = 1; fold <= 2; ++fold) {
    const std::string name = fmt::format("fold{}", fold);
    write_slice_model(folder / name, static_cast<std::uint64_t>(fold),
                      hold_out_fold(slices, small_split(), {.fold = fold, .folds = 2, .seed = 1}), kSide);
    arguments.insert(arguments.end(), {"--slice-model", (folder / name).string()});
  }
  REQUIRE(run_train_study(arguments) == 0);
  const models::StudyConfig config = models::read_study_config(folder / "folds/best/config.json");
  CHECK(config.slice_models.size() == 2);
  CHECK(config.feature_width() == 2 * (6 + 7));
  const StudySplit split = read_split(folder / "folds/split.json");
  CHECK(split.train == small_split().train);
  CHECK(split.test == small_split().test);
}
