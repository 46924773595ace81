// What `evaluate` does between its flags and its files.
#pragma once
#include <string>
#include <vector>

#include "apps/engine/device.h"
#include "apps/evaluate/evaluation.h"
#include "apps/evaluate/scores.h"

namespace sagitta::apps {

struct EvaluateOptions {
  std::vector<std::string> models, compare;
  std::string data, out, split = "test", rule = "mean";
  DeviceOptions device;
  ScoringOptions scoring;  // its rule is read from `rule`
  EvaluationOptions statistics;
  int examples = 6;    // of each kind with heat maps, by the first model; 0: none
  bool quiet = false;  // prints no tables
};

// Predicts, evaluates, prints the tables and writes the results, each file whole or not at all. Throws Error.
void run_evaluate(EvaluateOptions options);

}  // namespace sagitta::apps
