#include "apps/observe/call_place.h"

#include <fmt/format.h>

namespace sagitta::apps {

std::string CallPlace::text() const {
  std::string text;
  const auto append = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (phase.step >= 0) append(fmt::format("step {}", phase.step));
  if (!phase.name.empty() && phase.name != StepPhases::kStep) append(std::string(phase.name));
  if (!layer.empty()) append(fmt::format("{} {}", is_own ? "layer" : "after layer", layer));
  return text;
}

CallPlace CallPlaces::of(const BackendCall& call) {
  const StepPhases::Phase phase = phases_.current();
  if (phase.name != last_phase_.name || phase.step != last_phase_.step) last_layer_ = {};
  last_phase_ = phase;
  const std::string_view own = names_.layer_of(call);
  if (!own.empty()) last_layer_ = own;
  return {phase, last_layer_, !own.empty()};
}

}  // namespace sagitta::apps
