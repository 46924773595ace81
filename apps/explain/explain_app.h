// The work of the program `explain`: pictures of where a model looks, and the pointing game.
#pragma once
#include <cstdint>
#include <string>

#include "apps/engine/device.h"
#include "models/explain.h"

namespace sagitta::apps {

struct ExplainOptions {
  std::string model;            // directory of a checkpoint
  std::string data;             // RSNA folder, or a folder written by reslice
  std::string ct;               // RSNA folder with train_bounding_boxes.csv; empty: no pointing game
  std::string out;              // folder for all that is written
  std::string split = "test";   // or validation, train, all
  std::string method = "auto";  // see models::parse_explain_method
  models::GradCamOptions grad_cam;
  std::string label = "all";  // or the name of one output
  DeviceOptions device;
  int examples = 6;  // pictures of each kind; 0: none
  std::int64_t batch_size = 16;
  int threads = 2;  // for reading slices
};

// Writes examples.png, examples.json and one picture per example, and with `ct` pointing_game.json; prints
// the game's table. Throws Error, naming flag or file, when something is missing or does not fit.
void explain_model(const ExplainOptions& options);

}  // namespace sagitta::apps
