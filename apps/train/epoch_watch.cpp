#include "apps/train/epoch_watch.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/engine/json_number.h"
#include "apps/train/not_finite.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

// Below this a loss scale cannot help: the gradient itself, not its multiple, is too large for f16.
constexpr double kSmallestLossScale = 0x1p-10;

// From here on waiting for data is worth a warning: share of the time, and how long it has been looked at.
constexpr double kLongWait = 0.1, kSecondsToJudge = 10;

}  // namespace

EpochWatch::EpochWatch(const Company& company, const TrainerState& position, std::int64_t batches)
    : company_(company),
      epoch_(position.epoch + 1),
      first_image_(position.batch * company.options.batch_size),
      images_(batches * company.options.batch_size),
      images_after_((company.options.epochs - epoch_) * images_),
      progress_(fmt::format("epoch {}/{}", epoch_, company.options.epochs), "images", images_, first_image_,
                company.options.session.quiet ? Progress::Voice::quiet : Progress::Voice::normal) {
  company_.notices.show_above(&progress_);
}

MeasuredBatch EpochWatch::measure(const LaunchedBatch& launched) {
  MeasuredBatch measured{.number = launched.number,
                         .optimizer_step = launched.optimizer_step,
                         .last_of_step = launched.last_of_step,
                         .learning_rate = launched.learning_rate,
                         .loss = company_.step.loss(),
                         .loss_scale = {}};
  require_finite(measured.loss, "loss", launched);
  if (!launched.last_of_step) return measured;
  measured.gradient_norm = company_.step.gradient_norm();
  measured.loss_scale = company_.step.loss_scale();
  if (!measured.loss_scale) require_finite(measured.gradient_norm, "gradient norm", launched);
  require(measured.loss_scale.value_or(1) >= kSmallestLossScale,
          "the gradient overflows fp16 whatever the loss scale, at epoch {}, step {}: training stopped; use "
          "--precision bf16",
          epoch_, launched.optimizer_step);
  return measured;
}

void EpochWatch::require_finite(double value, const char* what, const LaunchedBatch& launched) {
  if (!std::isfinite(value))
    fail_not_finite(what, value, epoch_, launched.optimizer_step, company_.run,
                    company_.step.first_not_finite(launched.pictures));
}

void EpochWatch::report(const MeasuredBatch& measured) {
  const std::int64_t done = measured.number * company_.options.batch_size;
  const double wait_share = seconds_waited_ / seconds();
  const double rate = static_cast<double>(done - first_image_) / seconds();
  const std::int64_t left = images_ - done + images_after_;
  const double memory = static_cast<double>(company_.context.backend().memory_use().peak);
  progress_.update(
      done, fmt::format("step {}  loss {:.4f}  lr {:.2e}  wait {:.0f}%  {}  run {} left",
                        measured.optimizer_step, measured.loss, measured.learning_rate, 100 * wait_share,
                        format_bytes(memory), format_duration(static_cast<double>(left) / rate)));
  if (wait_share > kLongWait && seconds() > kSecondsToJudge)
    company_.notices.warn_once(
        fmt::format("training waits for data {:.0f}% of the time", 100 * wait_share),
        "raise --loader-threads, or cut the slices to the network's size with reslice --size");
  if (measured.last_of_step && measured.optimizer_step % company_.options.log_every == 0)
    log(measured, rate, wait_share);
}

void EpochWatch::log(const MeasuredBatch& measured, double images_per_second, double wait_share) {
  nlohmann::ordered_json entry{{"type", "step"},
                               {"epoch", epoch_},
                               {"step", measured.optimizer_step},
                               {"loss", measured.loss},
                               {"lr", measured.learning_rate},
                               {"gradient_norm", number(measured.gradient_norm)},
                               {"images_per_second", images_per_second},
                               {"wait_share", wait_share}};
  if (measured.loss_scale) {
    entry["loss_scale"] = *measured.loss_scale;
    entry["skipped"] = !std::isfinite(measured.gradient_norm);
  }
  company_.log.add(entry);
}

}  // namespace sagitta::apps
