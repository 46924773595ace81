// What a training run is: every option of train_resnet and train_vit, in one struct.
// A recipe (TOML) sets options, flags on the command line win; the resolved set is written to RUN/recipe.toml
// and can be given again as a recipe.
#pragma once
#include <CLI/App.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "apps/engine/device.h"
#include "apps/engine/slices.h"
#include "data/augment.h"
#include "data/mix.h"
#include "nn/arena.h"
#include "nn/schedule.h"
#include "tensor/op_params.h"

namespace sagitta::apps {

struct TrainOptions {
  // What to learn from, and where the run goes.
  std::string data;
  std::string out;
  std::string resume;
  std::string weights;  // Hugging Face directory or file; empty: random first values
  std::vector<std::string> labels{"C1", "C2", "C3", "C4", "C5", "C6", "C7"};
  double validation_fraction = 0.15, test_fraction = 0.15;
  std::string fold;        // "k/K": cross-validation, test part k of K; empty: one split by the fractions
  std::string split;       // file of an earlier split to take over; --fold then divides its training part
  std::string split_seed;  // a number; empty: `seed`

  // Slices, when `data` is a folder of studies rather than of slices.
  int slices = 25;
  double span_mm = 40;
  std::string window;  // empty: the usual one of `channels`
  std::string channels = "grey";

  // Model.
  std::string arch;
  int image_size = 0;            // 0: the architecture's own
  std::int64_t layers = 0;       // ViT: blocks; 0: as many as the architecture has
  double initializer_range = 0;  // ViT: standard deviation of first values; 0: the architecture's own
  double dropout = 0;            // ViT: hidden and attention dropout
  bool recompute = false;

  // Fine-tuning.
  std::string freeze = "none";     // none, backbone, or how many blocks from the input on
  std::int64_t freeze_epochs = 0;  // 0: for the whole run
  double lr_layer_decay = 1;       // factor of the learning rate per block towards the input

  // Optimization.
  std::int64_t epochs = 10, batch_size = 16, accumulate = 1;
  std::string optimizer = "adamw";
  double lr = 3e-4, momentum = 0.9, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0, clip_norm = 0;
  bool nesterov = false;
  std::string decay_policy = "huggingface";
  std::string schedule = "cosine", schedule_unit = "step";
  double warmup = 0, warmup_start = 0, min_lr = 0, step_size = 30, gamma = 0.1;
  std::string pos_weight = "none";
  double label_smoothing = 0;
  double ema = 0;  // decay of the moving average of the weights; 0: none
  data::AugmentOptions augment;
  data::MixOptions mix;

  // The run itself.
  DeviceOptions device;
  std::uint64_t seed = 0;
  int threads = 0, loader_threads = 2;
  std::int64_t checkpoint_steps = 0;  // besides the end of each epoch; 0: no others
  std::int64_t keep_checkpoints = 1;
  std::string best_by = "loss";  // of the validation: loss or auroc
  std::int64_t patience = 0;     // epochs without a better one until the run ends; 0: all epochs
  std::int64_t log_every = 1;    // steps
  std::int64_t limit_batches = 0;
  bool overfit_batch = false;

  // How this start of the program behaves; no part of the run.
  struct Session {
    bool quiet = false;
    std::string trace, graph;  // files; empty: none
    std::int64_t trace_steps = 3;
    bool find_lr = false;
  } session;
};

// Declares the options with units and defaults, and --recipe. `directory` is where named recipes lie.
void add_train_options(CLI::App& app, TrainOptions& options);

// Throws Error for values that contradict each other, naming the flag.
void check_train_options(const TrainOptions& options);

// The part and the number of parts of --fold; {0, 0} without it.
struct Fold {
  int part = 0, parts = 0;  // part from 1
};
Fold fold_of(const TrainOptions& options);
// How the patients are split where no earlier split is taken over.
SplitOptions split_options_of(const TrainOptions& options);

nn::Schedule schedule_of(const TrainOptions& options);
nn::DecayPolicy decay_policy_of(const TrainOptions& options);

}  // namespace sagitta::apps
