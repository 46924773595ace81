// The parts of a run: recipes, run directory, and the competition's metric.
#include <doctest/doctest.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/engine/drawing.h"
#include "apps/engine/predictions.h"
#include "apps/engine/run_directory.h"
#include "apps/engine/slices.h"
#include "apps/train/train_options.h"
#include "data/rsna_metric.h"
#include "temp_folder.h"
#include "tensor/cpu_options.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::apps;
using sagitta::testing::TempFolder;

namespace {

TrainOptions parse(std::vector<std::string> arguments) {
  TrainOptions options;
  CLI::App app;
  add_train_options(app, options);
  std::reverse(arguments.begin(), arguments.end());
  app.parse(arguments);
  return options;
}

std::string recipe_file(const std::string& name) {
  return SAGITTA_SOURCE_DIR + std::string("/apps/recipes/") + name + ".toml";
}

// Two studies of two slices; the first is fractured at C2.
data::SliceSet small_set() {
  data::SliceSet set;
  for (int i = 0; i < 4; ++i) {
    data::SliceRecord record{.file = "x.png", .study = i < 2 ? "a" : "b", .labeled = true};
    if (i < 2) record.labels = {1, 0, 1, 0, 0, 0, 0, 0};
    set.records.push_back(record);
  }
  return set;
}

float logit(double p) { return static_cast<float>(std::log(p / (1 - p))); }

}  // namespace

TEST_CASE("the RSNA recipes are exactly as documented") {
  const TrainOptions resnet = parse({"--recipe", recipe_file("resnet50-rsna")});
  CHECK(resnet.arch == "resnet-50");
  CHECK(resnet.optimizer == "sgd");
  CHECK(resnet.momentum == 0.9);
  CHECK(resnet.lr == 0.5);
  CHECK(resnet.weight_decay == 2e-5);
  CHECK(resnet.batch_size == 24);
  CHECK(resnet.epochs == 100);
  CHECK(resnet.image_size == 224);
  const nn::Schedule cosine = schedule_of(resnet);
  CHECK(cosine.at(0, 10) == doctest::Approx(0.005));     // linear from 0.01
  CHECK(cosine.at(5 * 10, 10) == doctest::Approx(0.5));  // after 5 epochs
  CHECK(cosine.at(99 * 10, 10) == doctest::Approx(0.25 * (1 + std::cos(std::acos(-1.0) * 94 / 95))));

  const TrainOptions vit = parse({"--recipe", recipe_file("vit-b16-384-rsna")});
  CHECK(vit.arch == "vit-base-patch16-384");
  CHECK(vit.optimizer == "adam");
  CHECK(vit.lr == 3e-5);
  CHECK(vit.beta1 == 0.9);
  CHECK(vit.beta2 == 0.999);
  CHECK(vit.eps == 1e-8);
  CHECK(vit.batch_size == 12);
  CHECK(vit.epochs == 10);
  CHECK(vit.image_size == 384);
  CHECK(schedule_of(vit).kind == nn::Schedule::Kind::linear);
}

TEST_CASE("every shipped recipe parses and its schedule starts and ends as it should") {
  int recipes = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(SAGITTA_SOURCE_DIR + std::string("/apps/recipes"))) {
    CAPTURE(entry.path().string());
    TrainOptions options = parse({"--recipe", entry.path().string(), "--data", "d", "--out", "o"});
    CHECK_NOTHROW(check_train_options(options));
    CHECK(schedule_of(options).at(0, 100) <= options.lr);
    ++recipes;
  }
  CHECK(recipes >= 6);
}

TEST_CASE("flags win over the recipe, and the resolved recipe gives the same options again") {
  TrainOptions options;
  CLI::App app;
  add_train_options(app, options);
  std::vector<std::string> arguments{"--recipe",  recipe_file("resnet50-rsna"),
                                     "--lr",      "0.1",
                                     "--out",     "o",
                                     "--data",    "d",
                                     "--labels",  "C2,C5",
                                     "--nesterov"};
  std::reverse(arguments.begin(), arguments.end());
  app.parse(arguments);
  CHECK(options.lr == 0.1);
  CHECK(options.weight_decay == 2e-5);

  const TempFolder folder;
  testing::write_bytes(folder / "recipe.toml", app.config_to_str(true));
  const TrainOptions again = parse({"--recipe", (folder / "recipe.toml").string()});
  CHECK(again.lr == options.lr);
  CHECK(again.weight_decay == options.weight_decay);
  CHECK(again.eps == options.eps);
  CHECK(again.labels == std::vector<std::string>{"C2", "C5"});
  CHECK(again.nesterov);
  CHECK(again.schedule == "cosine");
  CHECK(again.window == options.window);
  CHECK(again.batch_size == 24);
  CHECK(again.device.device == "auto");
  CHECK(again.device.precision == "f32");
}

TEST_CASE("contradicting options are refused with the flag's name") {
  TrainOptions options;
  options.out = "o", options.data = "d", options.arch = "resnet-18";
  CHECK_NOTHROW(check_train_options(options));
  options.validation_fraction = 0.6, options.test_fraction = 0.6;
  CHECK_THROWS_WITH_AS(check_train_options(options), doctest::Contains("--test-fraction"), Error);
  CHECK_THROWS_AS(parse({"--recipe", "no-such-recipe"}), CLI::ParseError);
  CHECK_THROWS_AS(parse({"--lr", "-1"}), CLI::ParseError);
  const TempFolder folder;
  testing::write_bytes(folder / "bad.toml", "learning-rate = 3\n");
  CHECK_THROWS_AS(parse({"--recipe", (folder / "bad.toml").string()}), CLI::ParseError);
}

TEST_CASE("the device is chosen from what the machine has, and what it lacks is said with the flag") {
  const std::string none = "there is no NVIDIA GPU in this machine";
  const Device cpu{}, first{Device::Kind::cuda, 0}, second{Device::Kind::cuda, 1};
  CHECK(choose_device({}, 0, none) == cpu);
  CHECK(choose_device({}, 2, "") == first);
  CHECK(choose_device({.device = "cpu"}, 2, "") == cpu);
  CHECK(choose_device({.device = "cuda"}, 2, "") == first);
  CHECK(choose_device({.device = "cuda:1", .precision = "bf16"}, 2, "") == second);
  CHECK(choose_device({.precision = "fp16"}, 1, "") == first);
  CHECK_THROWS_WITH_AS(choose_device({.device = "cuda"}, 0, none),
                       "--device cuda: there is no NVIDIA GPU in this machine", Error);
  CHECK_THROWS_WITH_AS(choose_device({.device = "cuda:2"}, 2, ""), doctest::Contains("has 2 GPU"), Error);
  for (const char* precision : {"tf32", "bf16", "fp16"}) {
    CHECK_THROWS_WITH_AS(choose_device({.precision = precision}, 0, none),
                         doctest::Contains("use --precision f32"), Error);
    CHECK_THROWS_WITH_AS(choose_device({.device = "cpu", .precision = precision}, 1, ""),
                         doctest::Contains("this is --device cpu"), Error);
  }
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{"--device", "gpu"},
                                                {"--device", "cuda:"},
                                                {"--device", "cuda:x"},
                                                {"--device", "cuda:99999999999"},
                                                {"--precision", "f16"},
                                                {"--attention", "flash"},
                                                {"--conv-algo", "fft"}})
    CHECK_THROWS_AS(parse(wrong), CLI::ParseError);
  CHECK(parse({"--device", "cuda:3", "--precision", "fp16"}).device.device == "cuda:3");
}

TEST_CASE("the algorithm of convolutions is chosen by name, and a run's recipe holds it") {
  CHECK(parse({}).device.conv_algo == "auto");
  CHECK_THROWS_WITH_AS(parse({"--conv-algo", "fft"}), doctest::Contains("{auto,direct,winograd2,winograd4}"),
                       CLI::ParseError);
  const ConvAlgorithm before = conv_algorithm();
  for (const auto& [name, algorithm] : {std::pair{"direct", ConvAlgorithm::direct},
                                        {"winograd2", ConvAlgorithm::winograd2},
                                        {"winograd4", ConvAlgorithm::winograd4},
                                        {"auto", ConvAlgorithm::automatic}}) {
    CAPTURE(name);
    TrainOptions options;
    CLI::App app;
    add_train_options(app, options);
    app.parse(std::vector<std::string>{name, "--conv-algo", "cpu", "--device"});  // the last first
    const TempFolder folder;
    testing::write_bytes(folder / "recipe.toml", app.config_to_str(true));
    const DeviceOptions again = parse({"--recipe", (folder / "recipe.toml").string()}).device;
    CHECK(again.conv_algo == name);
    open_device(again);
    CHECK(conv_algorithm() == algorithm);
  }
  set_conv_algorithm(before);
}

TEST_CASE("a run keeps its last and best checkpoints and nothing half-written") {
  const TempFolder folder;
  RunDirectory run = RunDirectory::create(folder / "run");
  const auto fill = [](const std::filesystem::path& directory) {
    testing::write_bytes(directory / "x", "1");
  };
  testing::write_bytes(folder / "run/recipe.toml", "");
  CHECK_THROWS_WITH_AS(RunDirectory::create(folder / "run"), doctest::Contains("--resume"), Error);
  CHECK_FALSE(run.has_checkpoint());
  // Without a checkpoint a run begins again, and so does its log.
  run.log({{"a", 0}});
  CHECK(RunDirectory::open(folder / "run").log_bytes() == 0);
  run.write_checkpoint(1, true, fill);
  run.write_checkpoint(2, false, fill);
  run.write_checkpoint(3, false, fill);
  CHECK(std::filesystem::exists(run.best() / "x"));
  CHECK(std::filesystem::read_symlink(run.best()).filename() == "step-00000001");
  CHECK(std::filesystem::read_symlink(run.last()).filename() == "step-00000003");
  CHECK_FALSE(std::filesystem::exists(folder / "run/checkpoints/step-00000002"));
  // A failure while writing leaves both links where they were, and nothing else; what a kill leaves over goes
  // when the run is opened again.
  CHECK_THROWS(run.write_checkpoint(4, true, [](const std::filesystem::path&) { fail("disk full"); }));
  CHECK(std::filesystem::read_symlink(run.last()).filename() == "step-00000003");
  CHECK_FALSE(std::filesystem::exists(folder / "run/checkpoints/step-00000004.part"));
  std::filesystem::create_directory(folder / "run/checkpoints/step-00000004.part");
  RunDirectory again = RunDirectory::open(folder / "run");
  CHECK_FALSE(std::filesystem::exists(folder / "run/checkpoints/step-00000004.part"));
  again.log({{"a", 1}});
  const std::int64_t size = again.log_bytes();
  again.log({{"a", 2}});
  again.truncate_log(size);
  CHECK(testing::read_bytes(folder / "run/metrics.jsonl") == "{\"a\":1}\n");
  CHECK_THROWS_AS(RunDirectory::open(folder / "elsewhere"), Error);
}

TEST_CASE("a split is written once and read back") {
  const TempFolder folder;
  write_split(folder / "split.json", {{"a", "b"}, {"c"}, {}});
  const StudySplit split = read_split(folder / "split.json");
  CHECK(split.train == std::vector<std::string>{"a", "b"});
  CHECK(split.test.empty());
  testing::write_bytes(folder / "split.json", "{\"train\": 3}");
  CHECK_THROWS_AS(read_split(folder / "split.json"), Error);
  write_split(folder / "split.json", {{"a"}, {"b"}, {}});
  CHECK(select_slices(small_set(), "train", folder / "split.json").records.size() == 2);
  CHECK_THROWS_WITH_AS(select_slices(small_set(), "test", folder / "split.json"),
                       doctest::Contains("--split test"), Error);
  CHECK_THROWS_WITH_AS(select_slices(small_set(), "test", folder / "none.json"),
                       doctest::Contains("--split all"), Error);
}

TEST_CASE("studies of one patient stay in one part of the split") {
  const TempFolder folder;
  data::SliceSet set;
  set.root = folder.path();
  std::string json;
  for (int i = 0; i < 12; ++i) {
    const std::string study = "s" + std::to_string(i);
    set.records.push_back({.file = "x.png", .study = study, .labeled = true});
    json += (i ? "," : "") + std::string("{\"study\": \"") + study + "\", \"patient\": \"p" +
            std::to_string(i / 3) + "\"}";
  }
  testing::write_bytes(folder / "studies.json", "{\"studies\": [" + json + "]}");
  const StudySplit split = split_slices(set, {.validation_fraction = 0.25, .test_fraction = 0.25, .seed = 4});
  for (const auto& part : {split.train, split.validation, split.test}) {
    REQUIRE_FALSE(part.empty());
    for (const std::string& study : part) {
      const int patient = std::stoi(study.substr(1)) / 3;
      for (int sibling = 3 * patient; sibling < 3 * patient + 3; ++sibling)
        CHECK(std::find(part.begin(), part.end(), "s" + std::to_string(sibling)) != part.end());
    }
  }
  testing::write_bytes(folder / "studies.json", "{");
  CHECK_THROWS_WITH_AS(split_slices(set, {.validation_fraction = 0.25, .test_fraction = 0.25, .seed = 4}),
                       doctest::Contains("studies.json"), Error);
}

TEST_CASE("mean binary cross-entropy: weighted positives, and logits far out without overflow") {
  const Predictions predictions{
      .labels = 1, .logits = {logit(0.9), logit(0.2), logit(0.3), logit(0.1)}, .targets = {1, 1, 0, 0}};
  CHECK(mean_bce(predictions) ==
        doctest::Approx(-(std::log(0.9) + std::log(0.2) + std::log(0.7) + std::log(0.9)) / 4).epsilon(1e-5));
  const Predictions far{.labels = 1, .logits = {200, -200}, .targets = {0, 1}};
  CHECK(mean_bce(far, std::vector<float>{3}) == doctest::Approx((200 + 3 * 200) / 2.0));
}

TEST_CASE("the competition's metric is normalized per exam") {
  std::vector<data::ExamPrediction> exams(2);
  exams[0].truth = {1, 0, 1, 0, 0, 0, 0, 0};
  for (auto& exam : exams) exam.probability.fill(0.5F);
  CHECK(data::rsna_log_loss(exams) == doctest::Approx(std::log(2.0)));
  exams[0].probability = {0.8F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F};
  // Exam 0 weighs 14 + 2 + 6 = 22, of which 14 are patient_overall.
  const double expected = ((-14 * std::log(0.8) + 8 * std::log(2.0)) / 22 + std::log(2.0)) / 2;
  CHECK(data::rsna_log_loss(exams) == doctest::Approx(expected).epsilon(1e-6));
  exams[0].probability.fill(0), exams[1].probability.fill(1);
  CHECK(data::rsna_log_loss(exams) == doctest::Approx(-std::log(1e-15) * (16.0 / 22 + 1) / 2).epsilon(0.02));
  CHECK(std::isnan(data::rsna_log_loss({})));
}

TEST_CASE("no constant beats the best constant") {
  std::vector<data::ExamPrediction> exams(7);
  for (std::size_t i = 0; i < exams.size(); ++i) {
    exams[i].truth[0] = i % 2 == 0;
    if (i % 2 == 0) exams[i].truth[1 + i % 7] = 1;
  }
  const auto loss_of = [&](const std::array<float, 8>& constant) {
    for (auto& exam : exams) exam.probability = constant;
    return data::rsna_log_loss(exams);
  };
  const std::array<float, 8> best = data::best_constant(exams);
  const double reached = loss_of(best);
  for (std::size_t j = 0; j < 8; ++j)
    for (const float change : {-0.02F, 0.02F}) {
      std::array<float, 8> other = best;
      other[j] = std::min(0.99F, std::max(0.01F, other[j] + change));
      CHECK(loss_of(other) >= reached - 1e-9);
    }
}

TEST_CASE("text is drawn inside the picture and clipped at its border") {
  data::Image image{.width = 40, .height = 20, .channels = 3, .pixels = std::vector<std::uint8_t>(2400, 0)};
  draw_text(image, 2, 2, "C2", {255, 0, 0});
  int red = 0;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) red += image.pixels[i] == 255;
  CHECK(red > 15);
  CHECK_NOTHROW(draw_text(image, 30, 15, "far too long for this picture", {255, 255, 255}, 3));
}
