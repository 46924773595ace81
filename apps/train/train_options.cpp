#include "apps/train/train_options.h"

#include <charconv>
#include <filesystem>

#include "apps/engine/option_group.h"
#include "apps/engine/recipe.h"
#include "data/slice_set.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

const CLI::Range kPositive(std::int64_t{1}, std::int64_t{1} << 40);
const CLI::Range kCount(std::int64_t{0}, std::int64_t{1} << 40);
const CLI::Range kShare(0.0, 1.0);
const CLI::Range kAmount(0.0, 1e9);
const CLI::Range kAboveZero(1e-30, 1e9);

void add_data_options(CLI::App& app, TrainOptions& o) {
  OptionGroup group(app, "Data");
  group.add("--data", o.data, "RSNA folder (train.csv, train_images/) or a folder written by reslice")
      ->type_name("DIR");
  group.add("--labels", o.labels, "what to predict: any of patient_overall, C1..C7")
      ->delimiter(',')
      ->check(CLI::IsMember(Names(data::kLabelNames.begin(), data::kLabelNames.end())));
  group.add("--validation-fraction", o.validation_fraction,
            "share of the patients that selects the best checkpoint", CLI::Range(0.0, 0.9));
  group.add("--test-fraction", o.test_fraction, "share of the patients kept for `evaluate`",
            CLI::Range(0.0, 0.9));
  group.add(
      "--fold", o.fold,
      "k/K: cross-validation by patient; part k of K is kept for `evaluate` in place of --test-fraction");
  group
      .add("--split", o.split,
           "split.json of another run, to split alike; with --fold, part k of K of its training patients is "
           "added to its test part")
      ->type_name("FILE");
  group
      .add("--split-seed", o.split_seed,
           "seed of the split alone, so that runs of several seeds share their test part (default: --seed)")
      ->type_name("UINT");
  group.add("--slices", o.slices, "sagittal planes per study, when --data holds studies");
  group.add("--span-mm", o.span_mm, "from the first to the last plane [mm], when --data holds studies");
  group.add("--window", o.window, "names or CENTER/WIDTH [HU] (default: bone), when --data holds studies");
  group.add("--channels", o.channels, "grey, windows or neighbors, when --data holds studies",
            CLI::IsMember(Names{"grey", "windows", "neighbors"}));
}

void add_model_options(CLI::App& app, TrainOptions& o) {
  OptionGroup group(app, "Model");
  group.add("--arch", o.arch, "architecture name, e.g. resnet-50 or vit-base-patch16-384");
  group.add("--weights", o.weights, "Hugging Face directory or .safetensors file to start from")
      ->type_name("FILE");
  group.add("--image-size", o.image_size, "side of the network's input [pixels] (0: the architecture's own)",
            CLI::Range(0, 4096));
  group.add("--layers", o.layers, "ViT from random values: number of blocks (0: the architecture's own)",
            CLI::Range(0, 1000));
  group.add("--initializer-range", o.initializer_range,
            "ViT from random values: their standard deviation (0: the architecture's own, 0.02)",
            CLI::Range(0.0, 1.0));
  group.add("--dropout", o.dropout, "ViT: dropout probability of hidden and attention layers",
            CLI::Range(0.0, 0.99));
  group.add_flag("--recompute", o.recompute, "ViT: save memory by running each block twice");
}

void add_fine_tuning_options(CLI::App& app, TrainOptions& o) {
  OptionGroup group(app, "Fine-tuning");
  group.add(
      "--freeze", o.freeze,
      "do not train: none, backbone (all but the last layer), or N: the first N blocks, the stem being one");
  group.add("--freeze-epochs", o.freeze_epochs,
            "train what --freeze froze after N epochs, with a fresh optimizer (0: never)", kCount);
  group.add("--lr-layer-decay", o.lr_layer_decay,
            "factor of the learning rate per block from the last layer towards the input",
            CLI::Range(0.01, 1.0));
}

void add_optimization_options(CLI::App& app, TrainOptions& o) {
  OptionGroup group(app, "Optimization");
  group.add("--epochs", o.epochs, "passes over the training slices", kPositive);
  group.add("--batch-size", o.batch_size, "slices per forward pass", kPositive);
  group.add("--accumulate", o.accumulate, "forward passes per optimizer step", kPositive);
  group.add("--optimizer", o.optimizer, "sgd, adam or adamw", CLI::IsMember(Names{"sgd", "adam", "adamw"}));
  group.add("--lr", o.lr, "highest learning rate", kAmount);
  group.add("--momentum", o.momentum, "sgd", kShare);
  group.add_flag("--nesterov", o.nesterov, "sgd: Nesterov momentum");
  group.add("--beta1", o.beta1, "adam, adamw", kShare);
  group.add("--beta2", o.beta2, "adam, adamw", kShare);
  group.add("--eps", o.eps, "adam, adamw", kAboveZero);
  group.add("--weight-decay", o.weight_decay, "weight decay", kAmount);
  group.add("--decay-policy", o.decay_policy, "what decays: all, huggingface, torchvision or weights",
            CLI::IsMember(Names{"all", "huggingface", "torchvision", "weights"}));
  group.add("--clip-norm", o.clip_norm, "clip the gradient to this L2 norm (0: do not)", kAmount);
  group.add("--schedule", o.schedule, "constant, linear, cosine or step",
            CLI::IsMember(Names{"constant", "linear", "cosine", "step"}));
  group.add("--schedule-unit", o.schedule_unit, "the learning rate changes every: step or epoch",
            CLI::IsMember(Names{"step", "epoch"}));
  group.add("--warmup", o.warmup, "linear warm-up [schedule units]", kAmount);
  group.add("--warmup-start", o.warmup_start, "factor of --lr at the start of the warm-up", kShare);
  group.add("--min-lr", o.min_lr, "learning rate at the end of linear and cosine", kAmount);
  group.add("--step-size", o.step_size, "--schedule step: units between decays", kAboveZero);
  group.add("--gamma", o.gamma, "--schedule step: factor per decay", kAboveZero);
  group.add("--pos-weight", o.pos_weight,
            "weight of positives in the loss: none, or balanced (negatives/positives)",
            CLI::IsMember(Names{"none", "balanced"}));
  group.add("--label-smoothing", o.label_smoothing,
            "move the labels 0 and 1 by half of this towards each other", CLI::Range(0.0, 0.9));
  group.add("--ema", o.ema,
            "decay per step of the moving average of the weights, which is then what is validated and "
            "exported (0: none)",
            CLI::Range(0.0, 0.999999));
}

void add_augmentation_options(CLI::App& app, TrainOptions& o) {
  OptionGroup group(app, "Augmentation (never up-down)");
  group.add("--rotation", o.augment.rotation_degrees, "within +- [degrees]", CLI::Range(0.0, 180.0));
  group.add("--scale", o.augment.scale, "zoom within 1 +-", CLI::Range(0.0, 0.9));
  group.add("--shift", o.augment.shift, "within +- [of the side]", CLI::Range(0.0, 0.9));
  group.add("--brightness", o.augment.brightness, "within +- [of the full range]", kShare);
  group.add("--contrast", o.augment.contrast, "gain within 1 +-", kShare);
  group.add("--flip", o.augment.flip, "probability of a left-right flip of the picture", kShare);
  group.add("--mixup", o.mix.mixup, "alpha of mixup: blend pairs of slices and their labels (0: do not)",
            CLI::Range(0.0, 100.0));
  group.add("--cutmix", o.mix.cutmix, "alpha of CutMix: exchange rectangles of pairs of slices (0: do not)",
            CLI::Range(0.0, 100.0));
}

void add_run_options(CLI::App& app, TrainOptions& o) {
  OptionGroup group(app, "Run");
  group.add("--seed", o.seed,
            "for first values, order, augmentation and dropout; and for the split, without --split-seed");
  group.add("--threads", o.threads, "for computing (0: one per processor)", CLI::Range(0, 1024));
  group.add("--loader-threads", o.loader_threads, "for reading slices", CLI::Range(1, 256));
  group.add("--checkpoint-steps", o.checkpoint_steps,
            "write a checkpoint every N optimizer steps, besides each epoch's end (0: no others)", kCount);
  group.add("--keep-checkpoints", o.keep_checkpoints, "keep the last N checkpoints besides the best",
            kPositive);
  group.add("--best-by", o.best_by, "what makes the best checkpoint: validation loss or macro auroc",
            CLI::IsMember(Names{"loss", "auroc"}));
  group.add("--patience", o.patience, "end after N epochs without a better one (0: train all epochs)",
            kCount);
  group.add("--log-every", o.log_every, "write the loss to metrics.jsonl every N steps", kPositive);
  group.add("--limit-batches", o.limit_batches,
            "for debugging: at most N batches of an epoch and of a validation (0: all)", kCount);
  group.add_flag(
      "--overfit-batch", o.overfit_batch,
      "for debugging: train and validate on one batch, without augmentation; its loss must go to 0");
}

void add_session_options(CLI::App& app, TrainOptions::Session& o) {
  OptionGroup group(app, "This start of the program");
  const auto once = [](CLI::Option* option) { option->configurable(false); };
  once(group.add_flag("--quiet", o.quiet, "no progress on stderr, only warnings and errors"));
  once(group
           .add("--trace", o.trace,
                "write a trace of a few steps for ui.perfetto.dev or chrome://tracing to this file")
           ->type_name("FILE"));
  once(
      group.add("--trace-steps", o.trace_steps, "steps in the trace; it begins after two others", kPositive));
  once(group.add("--graph", o.graph, "draw the autograd graph of a step as .svg, .png, .pdf or .dot")
           ->type_name("FILE"));
  once(group.add_flag(
      "--find-lr", o.find_lr,
      "do not train: try learning rates from 1e-7 up, write OUT/lr_finder.html and suggest one"));
}

}  // namespace

void add_train_options(CLI::App& app, TrainOptions& o) {
  add_run_directory_options(app, o.out, o.resume);
  add_data_options(app, o);
  add_model_options(app, o);
  add_fine_tuning_options(app, o);
  add_optimization_options(app, o);
  add_augmentation_options(app, o);
  add_device_options(app, o.device);
  add_run_options(app, o);
  add_session_options(app, o.session);
}

void check_train_options(const TrainOptions& o) {
  require(!o.out.empty(), "--out is missing: name the directory of the run");
  require(!o.data.empty(), "--data is missing: name an RSNA folder or a folder written by reslice");
  require(!o.arch.empty() || !o.weights.empty(), "--arch or --weights is needed");
  require(o.weights.empty() || std::filesystem::exists(o.weights), "--weights {}: no such file or directory",
          o.weights);
  require(!o.labels.empty(), "--labels is empty");
  require(o.validation_fraction > 0, "--validation-fraction is 0: the best checkpoint cannot be chosen");
  require(!o.fold.empty() || o.validation_fraction + o.test_fraction < 1,
          "--validation-fraction {} and --test-fraction {} leave nothing to train on", o.validation_fraction,
          o.test_fraction);
  require(!o.nesterov || o.momentum > 0, "--nesterov needs --momentum above 0");
  require(o.freeze != "none" || o.freeze_epochs == 0, "--freeze-epochs needs --freeze");
  require(o.split.empty() || !o.resume.empty() || std::filesystem::is_regular_file(o.split),
          "--split {}: no such file", o.split);
  (void)split_options_of(o);
}

Fold fold_of(const TrainOptions& o) {
  if (o.fold.empty()) return {};
  Fold fold;
  const char *begin = o.fold.data(), *end = begin + o.fold.size();
  const auto part = std::from_chars(begin, end, fold.part);
  const bool slash = part.ec == std::errc() && part.ptr != end && *part.ptr == '/';
  const auto parts = slash ? std::from_chars(part.ptr + 1, end, fold.parts) : part;
  require(slash && parts.ec == std::errc() && parts.ptr == end && fold.parts >= 2 && fold.part >= 1 &&
              fold.part <= fold.parts,
          "--fold is '{}', expected k/K with 1 <= k <= K and K >= 2, for instance 1/5", o.fold);
  return fold;
}

SplitOptions split_options_of(const TrainOptions& o) {
  const Fold fold = fold_of(o);
  SplitOptions split{.validation_fraction = o.validation_fraction,
                     .test_fraction = o.test_fraction,
                     .fold = fold.part,
                     .folds = fold.parts,
                     .seed = o.seed};
  if (o.split_seed.empty()) return split;
  const char *begin = o.split_seed.data(), *end = begin + o.split_seed.size();
  const auto [stop, error] = std::from_chars(begin, end, split.seed);
  require(error == std::errc() && stop == end, "--split-seed is '{}', expected a whole number from 0 on",
          o.split_seed);
  return split;
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
