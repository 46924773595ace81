#include "apps/train/trainer_state.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tensor/atomic_file.h"
#include "tensor/error.h"
#include "tensor/safetensors.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kStateFile = "trainer_state.json";
constexpr const char* kTensorsFile = "optimizer.safetensors";

}  // namespace

bool TrainerState::settle_best(double value) {
  const bool is_best = best_epoch < 0 || value < best_value;
  if (!is_best) return false;
  best_value = std::isnan(value) ? std::numeric_limits<double>::max() : value;
  best_epoch = epoch;
  return true;
}

bool TrainerState::is_finished(std::int64_t epochs, std::int64_t patience) const {
  const bool is_patient = patience == 0 || best_epoch < 0 || epoch - 1 - best_epoch < patience;
  return epoch >= epochs || !is_patient;
}

NamedTensors tensors_to_keep(nn::Optimizer& optimizer, nn::MovingAverage* average) {
  NamedTensors tensors = optimizer.state();
  if (!average) return tensors;
  const NamedTensors averaged = average->state();
  tensors.insert(tensors.end(), averaged.begin(), averaged.end());
  return tensors;
}

void write_trainer_state(const std::filesystem::path& directory, const NamedTensors& tensors,
                         const TrainerState& state) {
  std::vector<safetensors::Source> sources;
  for (const auto& [name, tensor] : tensors) sources.push_back(safetensors::source_of(name, tensor));
  safetensors::write(directory / kTensorsFile, std::move(sources));
  const Json json{{"epoch", state.epoch},
                  {"batch", state.batch},
                  {"optimizer_steps", state.optimizer_steps},
                  {"micro_steps", state.micro_steps},
                  {"best_value", state.best_value},
                  {"best_epoch", state.best_epoch},
                  {"sum_of_losses", state.sum_of_losses},
                  {"log_bytes", state.log_bytes}};
  write_text_file(directory / kStateFile, json.dump(2) + "\n");
}

void read_trainer_tensors(const std::filesystem::path& directory, const NamedTensors& tensors) {
  const safetensors::File file = safetensors::File::open(directory / kTensorsFile);
  for (auto [name, tensor] : tensors) safetensors::read_into(file.at(name), tensor);
}

TrainerState read_trainer_state(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / kStateFile;
  try {
    const Json json = Json::parse(read_text_file(file));
    return {.epoch = json.at("epoch"),
            .batch = json.at("batch"),
            .optimizer_steps = json.at("optimizer_steps"),
            .micro_steps = json.at("micro_steps"),
            .best_value = json.at("best_value"),
            .best_epoch = json.at("best_epoch"),
            .sum_of_losses = json.at("sum_of_losses"),
            .log_bytes = json.at("log_bytes")};
  } catch (const Json::exception& error) {
    fail("{}: is damaged ({}); resume from another checkpoint", file.string(), error.what());
  }
}

}  // namespace sagitta::apps
