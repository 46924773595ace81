#include "apps/train/trainer_state.h"

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
