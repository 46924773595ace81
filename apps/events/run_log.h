// RunLog: what a run tells of itself while it goes on, in metrics.jsonl and, from the same entries, in
// TensorBoard's events under RUN/events. Invariant: every number of metrics.jsonl is a scalar of the events,
// of the same step.
#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "apps/engine/predictions.h"
#include "apps/engine/run_directory.h"
#include "apps/events/event_file.h"

namespace sagitta::apps {

class RunLog {
 public:
  // Events of earlier starts that are after `last_step` count no more: their steps are made again.
  RunLog(RunDirectory& run, std::int64_t last_step);

  // An entry is {type, step, numbers...}. A number x of type t is the scalar t/x, one inside an object o is
  // t/o/x; null is left out, true is 1. Throws Error when the run directory cannot be written.
  void add(const nlohmann::ordered_json& entry);
  // A precision-recall curve per label.
  void add_predictions(std::int64_t step, const Predictions& predictions,
                       const std::vector<std::string>& labels);
  void add_image(std::int64_t step, const std::string& tag, const data::Image& image);
  // The run came to its end.
  void end();

 private:
  RunDirectory& run_;
  std::unique_ptr<EventFile> events_;
};

}  // namespace sagitta::apps
