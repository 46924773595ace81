// What a run may be told beyond the plain loop: freezing, averages, early ends, fewer batches; and that being
// stopped by a signal at any moment changes nothing about any of it.
#include <doctest/doctest.h>

#include <csignal>
#include <set>

#include "apps/engine/slices.h"
#include "apps/train/fine_tuning.h"
#include "models/hugging_face.h"
#include "tensor/error.h"
#include "trainer_fixture.h"

using namespace sagitta;
using namespace sagitta::testing;
using Json = nlohmann::json;
namespace fs = std::filesystem;

namespace {

// Every feature that keeps something between steps.
TrainOptions eventful_options() {
  TrainOptions options = options_for(2);
  options.epochs = 4;
  options.freeze = "2";
  options.freeze_epochs = 2;
  options.lr_layer_decay = 0.7;
  options.ema = 0.8;
  options.mix = {.mixup = 0.3, .cutmix = 0.5};
  options.label_smoothing = 0.1;
  options.best_by = "auroc";
  options.keep_checkpoints = 2;
  return options;
}

std::vector<float> values_of(models::ImageClassifier& model, const std::string& prefix) {
  std::vector<float> all;
  for (const nn::NamedParameter& named : model.named_parameters())
    if (named.name.starts_with(prefix)) {
      const std::vector<float> values = to_host<float>(named.parameter->value());
      all.insert(all.end(), values.begin(), values.end());
    }
  REQUIRE(!all.empty());
  return all;
}

std::set<std::string> checkpoints(const RunDirectory& run) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(run.path() / "checkpoints"))
    names.insert(entry.path().filename().string());
  return names;
}

// What does not depend on the time that things took.
std::string results(const Run& run) {
  std::string text;
  for (const char* type : {"step", "epoch"})
    for (Json entry : run.log(type)) {
      for (const char* timing : {"images_per_second", "wait_share", "validation_seconds", "peak_memory_mb"})
        entry.erase(timing);
      text += entry.dump() + "\n";
    }
  return text;
}

}  // namespace

TEST_CASE("a run that signals stopped again and again ends bitwise as one that nothing disturbed") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  const TrainOptions options = eventful_options();
  Run whole(RunDirectory::create(folder / "whole"), options, data);
  REQUIRE(whole.trainer->run() == Trainer::Outcome::finished);

  RunDirectory::create(folder / "stopped");
  write_bytes(folder / "stopped/recipe.toml", "");
  // A part that begins with the signal makes one step; the last of them was stopped in the validation, and
  // more signals would not let it end.
  int stops = 0;
  for (; stops < 3 + 2; ++stops) {
    CAPTURE(stops);
    const StopSignal stop;
    Run part(RunDirectory::open(folder / "stopped"), options, data, cpu_backend(), DType::f32, &stop);
    if (part.directory.has_checkpoint()) part.trainer->resume();
    const int signal = stops % 2 == 0 ? SIGTERM : SIGINT;
    std::raise(signal);
    CHECK(std::string(stop.received()) == (signal == SIGTERM ? "SIGTERM" : "SIGINT"));
    CHECK(part.trainer->run() == Trainer::Outcome::stopped);
    CHECK(part.trainer->step() == std::min(stops + 1, 3));
    CHECK(part.trainer->epoch() == 1);
  }
  Run rest(RunDirectory::open(folder / "stopped"), options, data);
  rest.trainer->resume();
  CHECK(rest.trainer->run() == Trainer::Outcome::finished);
  CHECK(results(rest) == results(whole));
  for (const char* file :
       {"last/model.safetensors", "last/optimizer.safetensors", "best/model.safetensors"}) {
    CAPTURE(file);
    CHECK(read_bytes(folder / (std::string("stopped/") + file)) ==
          read_bytes(folder / (std::string("whole/") + file)));
  }
}

TEST_CASE("a run goes on from any of its checkpoints and ends bitwise as it did") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = eventful_options();
  options.checkpoint_steps = 1;
  options.keep_checkpoints = 100;
  Run whole(RunDirectory::create(folder / "whole"), options, data);
  write_bytes(folder / "whole/recipe.toml", "");
  whole.trainer->run();
  const std::set<std::string> all = checkpoints(whole.directory);
  REQUIRE(all.size() == 4 * 3);  // a step's, but for the last of an epoch, which is the epoch's
  for (const std::string& checkpoint : all) {
    CAPTURE(checkpoint);
    // The run as it was when this was its last one.
    const fs::path part = folder / ("from-" + checkpoint);
    fs::copy(folder / "whole", part, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    for (const std::string& later : all)
      if (later > checkpoint) fs::remove_all(part / "checkpoints" / later);
    fs::remove(part / "last");
    fs::remove(part / "best");
    fs::create_directory_symlink(fs::path("checkpoints") / checkpoint, part / "last");
    Run rest(RunDirectory::open(part), options, data);
    rest.trainer->resume();
    CHECK(rest.trainer->run() == Trainer::Outcome::finished);
    CHECK(results(rest) == results(whole));
    for (const char* file : {"last/model.safetensors", "last/optimizer.safetensors"})
      CHECK(read_bytes(part / file) == read_bytes(folder / "whole" / file));
  }
}

TEST_CASE("frozen blocks keep their values and statistics until they are thawed") {
  for (const char* what : {"1", "2", "backbone"}) {
    CAPTURE(what);
    const TempFolder folder;
    const Trainer::Data data = make_data(folder, 13);
    TrainOptions options = options_for(1);
    options.freeze = what;
    options.epochs = 1;
    options.weight_decay = 0.1;
    Run run(RunDirectory::create(folder / "run"), options, data);
    const auto embeddings = values_of(*run.model, "vit.embeddings"),
               first = values_of(*run.model, "vit.encoder.layer.0"),
               second = values_of(*run.model, "vit.encoder.layer.1"),
               norm = values_of(*run.model, "vit.layernorm"), head = values_of(*run.model, "classifier");
    run.trainer->run();
    const std::string text = what;
    CHECK(values_of(*run.model, "vit.embeddings") == embeddings);
    CHECK((values_of(*run.model, "vit.encoder.layer.0") == first) == (text != "1"));
    CHECK((values_of(*run.model, "vit.encoder.layer.1") == second) == (text == "backbone"));
    CHECK((values_of(*run.model, "vit.layernorm") == norm) == (text == "backbone"));
    CHECK(values_of(*run.model, "classifier") != head);

    options.freeze_epochs = 1;
    options.epochs = 2;
    Run thawed(RunDirectory::create(folder / "thawed"), options, data);
    thawed.trainer->run();
    CHECK(values_of(*thawed.model, "vit.embeddings") != embeddings);
  }
  nn::Context context(cpu_backend());
  const auto model = models::make_classifier(small_vit(), context);
  for (const char* wrong : {"4", "-1", "head", "1.5", ""})
    CHECK_THROWS_WITH_AS(freeze(*model, wrong), doctest::Contains("--freeze"), Error);
}

TEST_CASE("an optimizer that begins anew when blocks are thawed makes the first step of a new one") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);  // 5 steps an epoch
  TrainOptions options = options_for(1);
  options.schedule = "constant";
  options.warmup = 0;
  options.freeze = "3";
  options.freeze_epochs = 1;
  options.checkpoint_steps = 1;
  options.keep_checkpoints = 100;
  Run run(RunDirectory::create(folder / "run"), options, data);
  run.trainer->run();
  const auto blocks_at = [&](int step) {
    nn::Context context(cpu_backend());
    const auto model = models::make_classifier(small_vit(), context);
    models::load_weights(*model, folder / fmt::format("run/checkpoints/step-{:08}", step));
    return values_of(*model, "vit.encoder");
  };
  const std::vector<float> first = blocks_at(1), before = blocks_at(5), after = blocks_at(6);
  CHECK(first == before);
  // Adam's first step moves every weight by the learning rate, whatever its gradient, but only with the bias
  // correction of a first step.
  double largest = 0;
  for (std::size_t i = 0; i < before.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(after[i]) - before[i]));
  CHECK(largest == doctest::Approx(options.lr).epsilon(1e-3));
}

TEST_CASE("learning rates shrink towards the input by a factor per block") {
  nn::Context context(cpu_backend());
  const auto model = models::make_classifier(small_vit(), context);
  const nn::ParameterArena::Rate rate = layer_rates(*model, 0.5);
  for (const nn::NamedParameter& named : model->named_parameters()) {
    CAPTURE(named.name);
    const double expected = named.name.starts_with("vit.embeddings")        ? 0.125
                            : named.name.starts_with("vit.encoder.layer.0") ? 0.25
                            : named.name.starts_with("vit.encoder.layer.1") ? 0.5
                                                                            : 1;
    CHECK(rate(*named.parameter) == expected);
  }
  CHECK_FALSE(layer_rates(*model, 1));
  CHECK(models::make_classifier(models::config_for("resnet-50"), context)->blocks().size() == 1 + 16);
}

TEST_CASE("the average of the weights is what is validated and exported, and the trained ones go on") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = options_for(1);
  Run plain(RunDirectory::create(folder / "plain"), options, data);
  plain.trainer->run();
  options.ema = 0.9;
  Run averaged(RunDirectory::create(folder / "averaged"), options, data);
  averaged.trainer->run();
  CHECK(values_of(*averaged.model, "vit") == values_of(*plain.model, "vit"));
  for (const char* type : {"step"}) CHECK(averaged.log(type).size() == plain.log(type).size());
  CHECK(averaged.log("epoch")[1]["validation_loss"] != plain.log("epoch")[1]["validation_loss"]);
  nn::Context context(cpu_backend());
  const auto exported = models::make_classifier(small_vit(), context);
  models::load_weights(*exported, averaged.directory.last());
  CHECK(values_of(*exported, "vit") != values_of(*plain.model, "vit"));
}

TEST_CASE("training ends early without a better epoch, and a resumed run does not begin again") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = options_for(1);
  options.epochs = 30;
  options.lr = 0;  // nothing improves after the first epoch
  options.patience = 3;
  Run run(RunDirectory::create(folder / "run"), options, data);
  run.trainer->run();
  CHECK(run.log("epoch").size() == 4);
  write_bytes(folder / "run/recipe.toml", "");
  Run again(RunDirectory::open(folder / "run"), options, data);
  again.trainer->resume();
  again.trainer->run();
  CHECK(again.log("epoch").size() == 4);
}

TEST_CASE("the last checkpoints are kept, and the best by what was asked for") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = options_for(1);
  options.epochs = 6;
  options.lr = 0;
  options.keep_checkpoints = 3;
  for (const char* best_by : {"loss", "auroc"}) {
    options.best_by = best_by;
    Run run(RunDirectory::create(folder / best_by), options, data);
    run.trainer->run();
    CHECK(checkpoints(run.directory) ==
          std::set<std::string>{"step-00000005", "step-00000020", "step-00000025", "step-00000030"});
    CHECK(fs::read_symlink(run.directory.best()).filename() == "step-00000005");
    CHECK(run.trainer->best_epoch() == 1);
    // What a kill leaves half done goes; what was kept stays.
    fs::create_directory(run.directory.path() / "checkpoints/step-00000031.part");
    write_bytes(run.directory.path() / "recipe.toml", "");
    CHECK(checkpoints(RunDirectory::open(run.directory.path())).size() == 4);
  }
}

TEST_CASE("fewer batches and fewer lines of log, when asked for") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = options_for(1);
  options.log_every = 2;
  Run logged(RunDirectory::create(folder / "logged"), options, data);
  logged.trainer->run();
  std::vector<int> steps;
  for (const Json& entry : logged.log("step")) steps.push_back(entry["step"]);
  CHECK(steps == std::vector<int>{2, 4, 6, 8, 10});
  options.log_every = 1;
  options.limit_batches = 3;
  Run limited(RunDirectory::create(folder / "limited"), options, data);
  limited.trainer->run();
  CHECK(limited.log("step").size() == 6);
}

TEST_CASE("a run directory that was taken away is missed, and a checkpoint that fails leaves the last one") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  const TrainOptions options = options_for(1);
  Run run(RunDirectory::create(folder / "run"), options, data);
  fs::rename(folder / "run", folder / "elsewhere");
  CHECK_THROWS_WITH_AS(run.trainer->run(), doctest::Contains("was removed or moved"), Error);
  CHECK_FALSE(fs::exists(folder / "run"));

  RunDirectory directory = RunDirectory::create(folder / "failing");
  const auto write = [](const std::string& text) {
    return [text](const fs::path& path) { write_bytes(path / "file", text); };
  };
  directory.write_checkpoint(1, true, write("good"));
  CHECK_THROWS_AS(directory.write_checkpoint(2, true,
                                             [](const fs::path& path) {
                                               write_bytes(path / "file", "half");
                                               fail("disk full");
                                             }),
                  Error);
  CHECK(checkpoints(directory) == std::set<std::string>{"step-00000001"});
  CHECK(read_bytes(directory.best() / "file") == "good");
  // The same step again: of an epoch's end, after a signal came during its validation.
  directory.write_checkpoint(1, false, write("again"));
  CHECK(read_bytes(directory.last() / "file") == "again");
  CHECK(read_bytes(directory.best() / "file") == "good");
}

TEST_CASE("a step that goes wrong is made again op by op, and the first wrong op is named") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  for (const std::int64_t accumulate : {1, 2}) {
    CAPTURE(accumulate);
    Run run(RunDirectory::create(folder / std::to_string(accumulate)), options_for(accumulate), data);
    for (const nn::NamedParameter& named : run.model->named_parameters())
      if (named.name == "vit.encoder.layer.1.layernorm_after.weight")
        named.parameter->assign(std::vector<double>(12, std::numeric_limits<double>::infinity()));
    CHECK_THROWS_WITH_AS(run.trainer->run(),
                         doctest::Contains("layer vit.encoder.layer.1.layernorm_after gave"), Error);
  }
}

TEST_CASE("a trace and a picture of the graph come of a run, and change nothing about it") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = options_for(1);
  Run plain(RunDirectory::create(folder / "plain"), options, data);
  plain.trainer->run();
  options.session.trace = (folder / "trace.json").string();
  options.session.trace_steps = 2;
  options.session.graph = (folder / "graph.dot").string();
  Run watched(RunDirectory::create(folder / "watched"), options, data);
  watched.trainer->run();
  CHECK(values_of(*watched.model, "vit") == values_of(*plain.model, "vit"));
  CHECK(results(watched) == results(plain));
  const Json trace = Json::parse(read_bytes(folder / "trace.json"));
  std::set<std::string> names;
  int updates = 0;
  for (const Json& event : trace.at("traceEvents")) {
    names.insert(event.at("name").get<std::string>());
    updates += event.at("ph") == "X" && event.at("name") == "update";
  }
  CHECK(updates == 2);
  for (const char* name : {"data wait", "upload", "forward", "backward", "attention", "adam"}) {
    CAPTURE(name);
    CHECK(names.contains(name));
  }
  CHECK(read_bytes(folder / "graph.dot").find("Attention") != std::string::npos);
}

TEST_CASE("the range test finds where the loss falls, and stops where it explodes") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  Run run(RunDirectory::create(folder / "run"), options_for(1), data);
  const std::vector<LrTrial> trials = run.trainer->find_learning_rate();
  REQUIRE(trials.size() > 20);
  CHECK(trials.size() <= 100);
  CHECK(trials.front().learning_rate == doctest::Approx(1e-7));
  for (std::size_t i = 1; i < trials.size(); ++i)
    CHECK(trials[i].learning_rate > trials[i - 1].learning_rate);
  write_lr_finder(folder.path(), trials);
  CHECK(Json::parse(read_bytes(folder / "lr_finder.json"))["loss"].size() == trials.size());
  CHECK(read_bytes(folder / "lr_finder.html").find("lr_finder") != std::string::npos);

  // A loss that falls fastest at 1e-3, and a rise after it.
  std::vector<LrTrial> made;
  for (double x = -6; x <= 0; x += 0.1) {
    const double loss = x < -1 ? 1 - 0.5 / (1 + std::exp(-6 * (x + 3))) : 3 + x;
    made.push_back({std::pow(10, x), loss, loss});
  }
  CHECK(std::log10(steepest_rate(made)) == doctest::Approx(-3).epsilon(0.02));
  for (LrTrial& trial : made) trial.smoothed = trial.learning_rate;  // rises from the start
  CHECK(steepest_rate(made) == 0);
}
