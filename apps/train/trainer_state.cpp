#include "apps/train/trainer_state.h"

#include <nlohmann/json.hpp>

#include "tensor/atomic_file.h"
#include "tensor/error.h"
#include "tensor/safetensors.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kStateFile = "trainer_state.json";
constexpr const char* kMomentsFile = "optimizer.safetensors";

}  // namespace

void write_trainer_state(const std::filesystem::path& directory, nn::Optimizer& optimizer,
                         const TrainerState& state) {
  std::vector<safetensors::Source> sources;
  for (const auto& [name, tensor] : optimizer.state())
    sources.push_back(safetensors::source_of(name, tensor));
  safetensors::write(directory / kMomentsFile, std::move(sources));
  const Json json{{"epoch", state.epoch},
                  {"batch", state.batch},
                  {"optimizer_steps", state.optimizer_steps},
                  {"micro_steps", state.micro_steps},
                  {"best_validation_loss", state.best_validation_loss},
                  {"best_epoch", state.best_epoch},
                  {"sum_of_losses", state.sum_of_losses},
                  {"log_bytes", state.log_bytes}};
  write_text_file(directory / kStateFile, json.dump(2) + "\n");
}

TrainerState read_trainer_state(const std::filesystem::path& directory, nn::Optimizer& optimizer) {
  const safetensors::File moments = safetensors::File::open(directory / kMomentsFile);
  for (auto& [name, tensor] : optimizer.state()) safetensors::read_into(moments.at(name), tensor);
  const std::filesystem::path file = directory / kStateFile;
  try {
    const Json json = Json::parse(read_text_file(file));
    return {.epoch = json.at("epoch"),
            .batch = json.at("batch"),
            .optimizer_steps = json.at("optimizer_steps"),
            .micro_steps = json.at("micro_steps"),
            .best_validation_loss = json.at("best_validation_loss"),
            .best_epoch = json.at("best_epoch"),
            .sum_of_losses = json.at("sum_of_losses"),
            .log_bytes = json.at("log_bytes")};
  } catch (const Json::exception& error) {
    fail("{}: is damaged ({}); resume from another checkpoint", file.string(), error.what());
  }
}

}  // namespace sagitta::apps
