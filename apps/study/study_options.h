// What a run of train_study is: every option in one struct; a recipe sets them, flags win.
#pragma once
#include <CLI/App.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "apps/engine/device.h"
#include "nn/schedule.h"

namespace sagitta::apps {

struct StudyOptions {
  // What to learn from, and where the run goes.
  std::vector<std::string> slice_models;
  std::string data;
  std::string out;
  std::string resume;

  // Features.
  std::int64_t variants = 1;
  std::int64_t feature_batch = 32;

  // Model.
  std::int64_t members = 5, hidden_size = 64, layers = 1, heads = 8, intermediate_size = 128;
  double dropout = 0.1, feature_dropout = 0, plane_dropout = 0;

  // Optimization.
  std::int64_t epochs = 40, batch_size = 32;
  double lr = 1e-3, weight_decay = 0.05, warmup = 50, clip_norm = 1, ema = 0;
  std::int64_t patience = 20;

  // The run itself.
  DeviceOptions device;
  std::uint64_t seed = 0;
  int threads = 0, loader_threads = 2;
  std::int64_t keep_checkpoints = 1;
  std::int64_t bootstrap = 2000;

  // How the program behaves; no part of the run.
  bool quiet = false;
};

// Declares the options with units and defaults, and --recipe.
void add_study_options(CLI::App& app, StudyOptions& options);
// Throws Error for what is missing or contradicts itself, naming the flag.
void check_study_options(const StudyOptions& options);

// Cosine with warm-up in steps; the total is filled in by the trainer.
nn::Schedule schedule_of(const StudyOptions& options);

}  // namespace sagitta::apps
