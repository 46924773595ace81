#include "apps/train/train_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "apps/engine/recipe.h"
#include "data/slice_set.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Names = std::vector<std::string>;

void add_data_options(CLI::App& app, TrainOptions& o) {
  const std::string group = "Data";
  app.add_option("--data", o.data, "RSNA folder (train.csv, train_images/) or a folder written by reslice")
      ->group(group);
  app.add_option("--labels", o.labels, "what to predict: any of patient_overall, C1..C7")
      ->delimiter(',')
      ->check(CLI::IsMember(Names(data::kLabelNames.begin(), data::kLabelNames.end())))
      ->group(group)
      ->capture_default_str();
  app.add_option("--validation-fraction", o.validation_fraction,
                 "share of the patients that selects the best checkpoint")
      ->check(CLI::Range(0.0, 0.9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--test-fraction", o.test_fraction, "share of the patients kept for `evaluate`")
      ->check(CLI::Range(0.0, 0.9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--slices", o.slices, "sagittal planes per study, when --data holds studies")
      ->group(group)
      ->capture_default_str();
  app.add_option("--span-mm", o.span_mm, "from the first to the last plane [mm], when --data holds studies")
      ->group(group)
      ->capture_default_str();
  app.add_option("--window", o.window,
                 "names or CENTER/WIDTH [HU] (default: bone), when --data holds studies")
      ->group(group)
      ->capture_default_str();
  app.add_option("--channels", o.channels, "grey, windows or neighbors, when --data holds studies")
      ->check(CLI::IsMember(Names{"grey", "windows", "neighbors"}))
      ->group(group)
      ->capture_default_str();
}

void add_model_options(CLI::App& app, TrainOptions& o) {
  const std::string group = "Model";
  app.add_option("--arch", o.arch, "architecture name, e.g. resnet-50 or vit-base-patch16-384")
      ->group(group)
      ->capture_default_str();
  app.add_option("--weights", o.weights, "Hugging Face directory or .safetensors file to start from")
      ->group(group);
  app.add_option("--image-size", o.image_size,
                 "side of the network's input [pixels] (0: the architecture's own)")
      ->check(CLI::Range(0, 4096))
      ->group(group)
      ->capture_default_str();
  app.add_option("--dropout", o.dropout, "ViT: dropout probability of hidden and attention layers")
      ->check(CLI::Range(0.0, 0.99))
      ->group(group)
      ->capture_default_str();
  app.add_flag("--recompute", o.recompute, "ViT: save memory by running each block twice")->group(group);
}

void add_optimization_options(CLI::App& app, TrainOptions& o) {
  const std::string group = "Optimization";
  const auto positive = CLI::Range(std::int64_t{1}, std::int64_t{1} << 40);
  app.add_option("--epochs", o.epochs, "passes over the training slices")
      ->check(positive)
      ->group(group)
      ->capture_default_str();
  app.add_option("--batch-size", o.batch_size, "slices per forward pass")
      ->check(positive)
      ->group(group)
      ->capture_default_str();
  app.add_option("--accumulate", o.accumulate, "forward passes per optimizer step")
      ->check(positive)
      ->group(group)
      ->capture_default_str();
  app.add_option("--optimizer", o.optimizer, "sgd, adam or adamw")
      ->check(CLI::IsMember(Names{"sgd", "adam", "adamw"}))
      ->group(group)
      ->capture_default_str();
  app.add_option("--lr", o.lr, "highest learning rate")
      ->check(CLI::Range(0.0, 1e9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--momentum", o.momentum, "sgd")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group)
      ->capture_default_str();
  app.add_flag("--nesterov", o.nesterov, "sgd: Nesterov momentum")->group(group);
  app.add_option("--beta1", o.beta1, "adam, adamw")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group)
      ->capture_default_str();
  app.add_option("--beta2", o.beta2, "adam, adamw")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group)
      ->capture_default_str();
  app.add_option("--eps", o.eps, "adam, adamw")
      ->check(CLI::Range(1e-30, 1e9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--weight-decay", o.weight_decay, "weight decay")
      ->check(CLI::Range(0.0, 1e9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--decay-policy", o.decay_policy, "what decays: all, huggingface, torchvision or weights")
      ->check(CLI::IsMember(Names{"all", "huggingface", "torchvision", "weights"}))
      ->group(group)
      ->capture_default_str();
  app.add_option("--clip-norm", o.clip_norm, "clip the gradient to this L2 norm (0: do not)")
      ->check(CLI::Range(0.0, 1e9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--schedule", o.schedule, "constant, linear, cosine or step")
      ->check(CLI::IsMember(Names{"constant", "linear", "cosine", "step"}))
      ->group(group)
      ->capture_default_str();
  app.add_option("--schedule-unit", o.schedule_unit, "the learning rate changes every: step or epoch")
      ->check(CLI::IsMember(Names{"step", "epoch"}))
      ->group(group)
      ->capture_default_str();
  app.add_option("--warmup", o.warmup, "linear warm-up [schedule units]")
      ->check(CLI::Range(0.0, 1e9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--warmup-start", o.warmup_start, "factor of --lr at the start of the warm-up")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group)
      ->capture_default_str();
  app.add_option("--min-lr", o.min_lr, "learning rate at the end of linear and cosine")
      ->check(CLI::Range(0.0, 1e9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--step-size", o.step_size, "--schedule step: units between decays")
      ->check(CLI::Range(1e-30, 1e9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--gamma", o.gamma, "--schedule step: factor per decay")
      ->check(CLI::Range(1e-30, 1e9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--pos-weight", o.pos_weight,
                 "weight of positives in the loss: none, or balanced (negatives/positives)")
      ->check(CLI::IsMember(Names{"none", "balanced"}))
      ->group(group)
      ->capture_default_str();
}

void add_augmentation_options(CLI::App& app, TrainOptions& o) {
  const std::string group = "Augmentation (never up-down)";
  app.add_option("--rotation", o.augment.rotation_degrees, "within +- [degrees]")
      ->check(CLI::Range(0.0, 180.0))
      ->group(group)
      ->capture_default_str();
  app.add_option("--scale", o.augment.scale, "zoom within 1 +-")
      ->check(CLI::Range(0.0, 0.9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--shift", o.augment.shift, "within +- [of the side]")
      ->check(CLI::Range(0.0, 0.9))
      ->group(group)
      ->capture_default_str();
  app.add_option("--brightness", o.augment.brightness, "within +- [of the full range]")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group)
      ->capture_default_str();
  app.add_option("--contrast", o.augment.contrast, "gain within 1 +-")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group)
      ->capture_default_str();
  app.add_option("--flip", o.augment.flip, "probability of a left-right flip of the picture")
      ->check(CLI::Range(0.0, 1.0))
      ->group(group)
      ->capture_default_str();
}

}  // namespace

void add_train_options(CLI::App& app, TrainOptions& o) {
  app.set_config("--recipe", "",
                 "shipped recipe (" + fmt::format("{}", fmt::join(recipe_names(), ", ")) +
                     ") or TOML file; flags win over it")
      ->transform([](const std::string& name) {
        try {
          return find_recipe(name).string();
        } catch (const Error& error) {
          throw CLI::ValidationError(error.what());
        }
      });
  app.allow_config_extras(CLI::config_extras_mode::error);  // a misspelled key must not be passed over
  app.add_option("--out", o.out, "the run's directory; must not hold another run");
  app.add_option("--resume", o.resume, "go on with this run, with its own options")->configurable(false);
  add_data_options(app, o);
  add_model_options(app, o);
  add_optimization_options(app, o);
  add_augmentation_options(app, o);
  add_device_options(app, o.device);
  app.add_option("--seed", o.seed, "for the split, first values, order, augmentation and dropout")
      ->capture_default_str();
  app.add_option("--threads", o.threads, "for computing (0: one per processor)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--loader-threads", o.loader_threads, "for reading slices")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--checkpoint-steps", o.checkpoint_steps,
                 "write a checkpoint every N optimizer steps, besides each epoch's end (0: no others)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
      ->capture_default_str();
}

void check_train_options(const TrainOptions& o) {
  require(!o.out.empty(), "--out is missing: name the directory of the run");
  require(!o.data.empty(), "--data is missing: name an RSNA folder or a folder written by reslice");
  require(!o.arch.empty() || !o.weights.empty(), "--arch or --weights is needed");
  require(o.weights.empty() || std::filesystem::exists(o.weights), "--weights {}: no such file or directory",
          o.weights);
  require(!o.labels.empty(), "--labels is empty");
  require(o.validation_fraction > 0, "--validation-fraction is 0: the best checkpoint cannot be chosen");
  require(o.validation_fraction + o.test_fraction < 1,
          "--validation-fraction {} and --test-fraction {} leave nothing to train on", o.validation_fraction,
          o.test_fraction);
  require(!o.nesterov || o.momentum > 0, "--nesterov needs --momentum above 0");
}

nn::Schedule schedule_of(const TrainOptions& o) {
  nn::Schedule schedule{
      .kind = nn::parse_schedule_kind(o.schedule),
      .unit = o.schedule_unit == "step" ? nn::Schedule::Unit::step : nn::Schedule::Unit::epoch,
      .base = o.lr,
      .floor = o.min_lr,
      .warmup = o.warmup,
      .warmup_start = o.warmup_start,
      .total = static_cast<double>(o.epochs),
      .step_size = o.step_size,
      .gamma = o.gamma};
  return schedule;
}

nn::DecayPolicy decay_policy_of(const TrainOptions& o) {
  if (o.decay_policy == "all") return nn::DecayPolicy::all;
  if (o.decay_policy == "torchvision") return nn::DecayPolicy::torchvision;
  if (o.decay_policy == "weights") return nn::DecayPolicy::weights;
  return nn::DecayPolicy::huggingface;
}

}  // namespace sagitta::apps
