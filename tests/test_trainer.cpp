// The trainer against the plain loop that it stands for: load, normalize, forward, backward, update, one
// after the other. Its captured steps, its early uploads and its late reading of losses must not show in the
// results.
#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "tensor/error.h"
#include "trainer_fixture.h"

using namespace sagitta;
using namespace sagitta::testing;
using Json = nlohmann::json;

namespace {

struct PlainRun {
  std::vector<double> losses, norms;  // of each optimizer step: the loss of its last batch, as the log has it
  std::vector<std::vector<float>> values;
};

PlainRun plain_run(const TrainOptions& options, const Trainer::Data& data) {
  nn::Context context(cpu_backend());
  const auto model = models::make_classifier(small_vit(), context);
  nn::initialize(*model, 3);
  nn::ParameterArena arena(*model, options.weight_decay, decay_policy_of(options));
  nn::Adam adam(arena,
                {.beta1 = options.beta1, .beta2 = options.beta2, .eps = options.eps, .decoupled = true});
  InputOptions input = input_options(model->config(), preprocessor());
  input.loader.batch_size = options.batch_size;
  input.loader.shuffle = input.loader.drop_last = true;
  input.loader.augment = options.augment;
  input.loader.seed = options.seed;
  data::Loader loader(data.train, input.loader);
  const std::int64_t batches = loader.batches_per_epoch();
  const std::int64_t steps = (batches + options.accumulate - 1) / options.accumulate;
  nn::Schedule schedule = schedule_of(options);
  schedule.total *= static_cast<double>(steps);
  Tensor state = context.step_state();
  PlainRun run;
  std::uint32_t micro_step = 0;
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    loader.start(epoch);
    for (std::int64_t i = 1; i <= batches; ++i) {
      const data::Batch batch = *loader.next();
      Tensor pixels(cpu_backend(), {batch.size, kSide, kSide, 3}, DType::f32);
      cpu_backend().normalize_image(input.normalization,
                                    from_host(cpu_backend(), pixels.shape(), batch.pixels),
                                    from_host(cpu_backend(), {batch.size, 3}, batch.crop), pixels);
      const auto step = static_cast<std::int64_t>(run.losses.size());
      nn::write_step_state(state, {.seed = options.seed,
                                   .micro_step = micro_step++,
                                   .optimizer_step = static_cast<std::uint32_t>(step + 1),
                                   .learning_rate = schedule.at(step, steps)});
      const autograd::Variable loss = autograd::bce_with_logits(
          model->logits(autograd::Variable(pixels)), from_host(cpu_backend(), {batch.size, 2}, batch.labels));
      autograd::backward(autograd::scale(loss, 1.0 / static_cast<double>(options.accumulate)));
      if (i % options.accumulate != 0 && i != batches) continue;
      adam.step(state);
      run.losses.push_back(scalar_of(loss.value()));
      run.norms.push_back(adam.gradient_norm());
      run.values.push_back(to_host<float>(arena.values()));
    }
  }
  return run;
}

}  // namespace

TEST_CASE("the trainer makes bitwise the steps of the plain loop and logs each under its own number") {
  for (const std::int64_t accumulate : {1, 2, 3}) {
    CAPTURE(accumulate);
    const TempFolder folder;
    const Trainer::Data data = make_data(folder, 13);  // 5 batches: the last group of 2 or 3 is short
    const TrainOptions options = options_for(accumulate);
    const PlainRun plain = plain_run(options, data);
    Run run(RunDirectory::create(folder / "run"), options, data);
    run.trainer->run();
    const std::vector<Json> steps = run.log("step");
    REQUIRE(steps.size() == plain.losses.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      CAPTURE(i);
      CHECK(steps[i]["step"] == i + 1);
      CHECK(steps[i]["epoch"] == (i < steps.size() / 2 ? 1 : 2));
      CHECK(steps[i]["loss"] == plain.losses[i]);
      CHECK(steps[i]["gradient_norm"] == plain.norms[i]);
    }
    CHECK(run.log("epoch").size() == 2);
    // The arena pads between parameters; compared without the padding, in the order of the parameters.
    nn::Context context(cpu_backend());
    const auto other = models::make_classifier(small_vit(), context);
    nn::ParameterArena arena(*other, 0, nn::DecayPolicy::all);
    cpu_backend().write(plain.values.back().data(), arena.values());
    CHECK(values_of(*run.model) == values_of(*other));
  }
}

TEST_CASE("a loss that is not finite stops the run at its step, before a checkpoint is made of it") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = options_for(1);
  options.warmup = 0;
  options.optimizer = "sgd";
  options.lr = 1e9;
  options.checkpoint_steps = 1;
  Run run(RunDirectory::create(folder / "run"), options, data);
  std::string message;
  try {
    run.trainer->run();
  } catch (const Error& error) {
    message = error.what();
  }
  const std::size_t logged = run.log("step").size();
  CAPTURE(message);
  REQUIRE(logged >= 1);
  CHECK(message.find(fmt::format("step {}:", logged + 1)) != std::string::npos);
  CHECK(message.find("the last good checkpoint is") != std::string::npos);
  CHECK(message.find("where it began: NaN guard: ") != std::string::npos);
  CHECK(std::filesystem::read_symlink(run.directory.last()).filename() == fmt::format("step-{:08}", logged));
  for (const Json& step : run.log("step")) CHECK(step["loss"].is_number());
}

TEST_CASE("a run that stopped anywhere ends with the log and the weights of an undisturbed one") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = options_for(1);
  options.checkpoint_steps = 1;
  // What does not depend on the time that things took.
  const auto results = [](const Run& run, const std::string& type) {
    std::vector<Json> entries = run.log(type);
    for (Json& entry : entries)
      for (const char* timing : {"images_per_second", "wait_share", "validation_seconds", "peak_memory_mb"})
        entry.erase(timing);
    return entries;
  };
  Run whole(RunDirectory::create(folder / "whole"), options, data);
  whole.trainer->run();
  int without_checkpoint = 0;
  for (const data::SliceRecord& record : data.train.records) {
    CAPTURE(record.file);
    // The run stops at the batch that holds this picture: in its first epoch, at any of its steps.
    const std::filesystem::path parts = folder / ("parts-" + record.study);
    const std::string picture = read_bytes(folder / record.file);
    std::filesystem::remove(folder / record.file);
    CHECK_THROWS_AS(Run(RunDirectory::create(parts), options, data).trainer->run(), Error);
    write_bytes(folder / record.file, picture);
    write_bytes(parts / "recipe.toml", "");
    Run resumed(RunDirectory::open(parts), options, data);
    if (resumed.directory.has_checkpoint())
      resumed.trainer->resume();
    else
      ++without_checkpoint;
    resumed.trainer->run();
    for (const char* type : {"step", "epoch"}) CHECK(results(resumed, type) == results(whole, type));
    CHECK(read_bytes(resumed.directory.last() / "model.safetensors") ==
          read_bytes(whole.directory.last() / "model.safetensors"));
  }
  CHECK(without_checkpoint == options.batch_size);  // the pictures of the first batch
}

TEST_CASE("predictions do not depend on how the slices fall into batches") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  nn::Context context(cpu_backend());
  const auto model = models::make_classifier(small_vit(), context);
  nn::initialize(*model, 3);
  InputOptions input = input_options(model->config(), preprocessor());
  std::vector<float> first;
  for (const std::int64_t batch_size : {10, 1, 3, 4, 64}) {
    CAPTURE(batch_size);
    input.loader.batch_size = batch_size;
    std::int64_t done = 0;
    const Predictions predictions =
        predict(*model, context, data.train, input, [&](std::int64_t count) { done = count; });
    CHECK(done == 10);
    REQUIRE(predictions.rows() == 10);
    for (std::size_t i = 0; i < 10; ++i) CHECK(predictions.targets[2 * i] == static_cast<float>(i % 2));
    if (first.empty()) first = predictions.logits;
    for (std::size_t i = 0; i < first.size(); ++i)
      CHECK(predictions.logits[i] == doctest::Approx(first[i]).epsilon(1e-5));
  }
  CHECK(model->training());
}
