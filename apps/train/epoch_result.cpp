#include "apps/train/epoch_result.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/engine/json_number.h"

namespace sagitta::apps {

std::string EpochResult::text(bool is_best) const {
  return fmt::format("training loss {:.4f}, validation loss {:.4f}, macro AUROC {:.3f}{}", training_loss,
                     validation_loss, areas.macro(), is_best ? " (best)" : "");
}

nlohmann::ordered_json EpochResult::json(const TrainerState& position,
                                         const std::vector<std::string>& labels) const {
  return {{"type", "epoch"},
          {"epoch", position.epoch + 1},
          {"step", position.optimizer_steps},
          {"training_loss", training_loss},
          {"validation_loss", validation_loss},
          {"validation_macro_auroc", number(areas.macro())},
          {"validation_auroc", areas.json(labels)},
          {"validation_seconds", validation_seconds}};
}

}  // namespace sagitta::apps
