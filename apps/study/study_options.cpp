#include "apps/study/study_options.h"

#include "apps/engine/option_group.h"
#include "apps/engine/recipe.h"
#include "apps/evaluate/test_time.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

const CLI::Range kPositive(std::int64_t{1}, std::int64_t{1} << 30);
const CLI::Range kCount(std::int64_t{0}, std::int64_t{1} << 30);
const CLI::Range kBelowOne(0.0, 0.99);
const CLI::Range kAmount(0.0, 1e9);

void add_data_options(CLI::App& app, StudyOptions& o) {
  OptionGroup group(app, "Data");
  group
      .add("--slice-model", o.slice_models,
           "checkpoint of train_resnet or train_vit, e.g. RUN/best; of several fold models each gives "
           "features of the training studies that it has not seen")
      ->type_name("DIR");
  group.add("--data", o.data, "folder written by reslice, cut as for the slice models")->type_name("DIR");
  group.add("--variants", o.variants,
            "fixed changes under which training slices are looked at; each epoch takes one of them",
            CLI::Range(std::int64_t{1}, static_cast<std::int64_t>(kMostTestTimeVariants)));
  group.add("--feature-batch", o.feature_batch, "slices per forward pass of a slice model", kPositive);
}

void add_model_options(CLI::App& app, StudyOptions& o) {
  OptionGroup group(app, "Model");
  group.add("--members", o.members, "transformers that are trained independently and averaged", kPositive);
  group.add("--hidden-size", o.hidden_size, "width of a token", kPositive);
  group.add("--layers", o.layers, "transformer blocks", CLI::Range(0, 100));
  group.add("--heads", o.heads, "of attention", kPositive);
  group.add("--intermediate-size", o.intermediate_size, "width inside a block's MLP", kPositive);
  group.add("--dropout", o.dropout, "probability in hidden and attention layers", kBelowOne);
  group.add("--feature-dropout", o.feature_dropout, "probability that a feature of a slice is left out",
            kBelowOne);
  group.add("--plane-dropout", o.plane_dropout, "probability that a slice is left out", kBelowOne);
}

void add_optimization_options(CLI::App& app, StudyOptions& o) {
  OptionGroup group(app, "Optimization (AdamW, cosine schedule)");
  group.add("--epochs", o.epochs, "passes over the training studies", kPositive);
  group.add("--batch-size", o.batch_size, "studies per step", kPositive);
  group.add("--lr", o.lr, "highest learning rate", kAmount);
  group.add("--weight-decay", o.weight_decay, "of all but biases and norms", kAmount);
  group.add("--warmup", o.warmup, "linear warm-up [steps]", kAmount);
  group.add("--clip-norm", o.clip_norm, "clip the gradient to this L2 norm (0: do not)", kAmount);
  group.add("--ema", o.ema,
            "decay per step of the moving average of the weights, which is then what is validated and kept "
            "(0: none)",
            CLI::Range(0.0, 0.999999));
  group.add("--patience", o.patience, "end after N epochs without a better one (0: train all epochs)",
            kCount);
}

void add_run_options(CLI::App& app, StudyOptions& o) {
  OptionGroup group(app, "Run");
  group.add("--seed", o.seed, "for first values, order, changes and dropout");
  group.add("--threads", o.threads, "for computing (0: one per processor)", CLI::Range(0, 1024));
  group.add("--loader-threads", o.loader_threads, "for reading slices", CLI::Range(1, 256));
  group.add("--keep-checkpoints", o.keep_checkpoints, "keep the last N checkpoints besides the best",
            kPositive);
  group.add("--bootstrap", o.bootstrap, "samples of patients for the intervals of the evaluation (0: none)",
            CLI::Range(std::int64_t{0}, std::int64_t{1000000}));
  group.add_flag("--quiet", o.quiet, "no progress on stderr, only warnings and errors")->configurable(false);
}

}  // namespace

void add_study_options(CLI::App& app, StudyOptions& o) {
  add_run_directory_options(app, o.out, o.resume);
  add_data_options(app, o);
  add_model_options(app, o);
  add_optimization_options(app, o);
  add_device_options(app, o.device);
  add_run_options(app, o);
}

void check_study_options(const StudyOptions& o) {
  require(!o.out.empty(), "--out is missing: name the directory of the run");
  require(!o.data.empty(), "--data is missing: name a folder written by reslice");
  require(!o.slice_models.empty(), "--slice-model is missing: name a checkpoint, e.g. RUN/best");
  require(o.hidden_size % o.heads == 0, "--hidden-size {} is not a multiple of --heads {}", o.hidden_size,
          o.heads);
}

nn::Schedule schedule_of(const StudyOptions& o) {
  return {.kind = nn::Schedule::Kind::cosine, .base = o.lr, .warmup = o.warmup};
}

}  // namespace sagitta::apps
