// EpochWatch: what is seen of an epoch while it runs. Every batch is measured once the device has computed
// it, must be finite, and is shown on the progress line and logged; waiting for data is noticed. The
// trainer's loop calls it and goes on with the device's next batch in between.
#pragma once
#include <chrono>
#include <optional>

#include "apps/engine/progress.h"
#include "apps/events/run_log.h"
#include "apps/train/notices.h"
#include "apps/train/train_step.h"
#include "apps/train/trainer_state.h"

namespace sagitta::apps {

// A batch that the device was given.
struct LaunchedBatch {
  std::int64_t number = 0;          // in the epoch, from 1
  std::int64_t optimizer_step = 0;  // it belongs to, from 1
  bool last_of_step = false;
  double learning_rate = 0;
  data::Batch pictures = {};
};

// What came of one.
struct MeasuredBatch {
  std::int64_t number = 0, optimizer_step = 0;
  bool last_of_step = false;
  double learning_rate = 0;
  double loss = 0;
  double gradient_norm = 0;          // of the last batch of a step
  std::optional<double> loss_scale;  // likewise, where there is one
};

class EpochWatch {
 public:
  // Who is watched, and who is told; all must outlive this.
  struct Company {
    TrainStep& step;
    nn::Context& context;
    const TrainOptions& options;
    RunDirectory& run;
    RunLog& log;
    Notices& notices;
  };
  // From `position` on, in an epoch of this many batches.
  EpochWatch(const Company& company, const TrainerState& position, std::int64_t batches);
  ~EpochWatch() { company_.notices.show_above(nullptr); }
  EpochWatch(const EpochWatch&) = delete;
  EpochWatch& operator=(const EpochWatch&) = delete;

  // The loader let the loop wait.
  void waited(double seconds) { seconds_waited_ += seconds; }
  // Waits for the device. Throws Error, naming the op that began it, unless all is finite.
  MeasuredBatch measure(const LaunchedBatch& launched);
  void report(const MeasuredBatch& measured);

 private:
  using Clock = std::chrono::steady_clock;
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  void require_finite(double value, const char* what, const LaunchedBatch& launched);
  void log(const MeasuredBatch& measured, double images_per_second, double wait_share);

  Company company_;
  std::int64_t epoch_;         // from 1
  std::int64_t first_image_;   // of the epoch, where this program took it up
  std::int64_t images_;        // of the epoch
  std::int64_t images_after_;  // of the epochs that follow
  Progress progress_;
  Clock::time_point start_ = Clock::now();
  double seconds_waited_ = 0;
};

}  // namespace sagitta::apps
