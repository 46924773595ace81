// CallPlace: where in the step and in the model a backend call is made, for traces and messages.
// An op without parameters, such as a pooling, has no layer; the last one before it tells where to look.
#pragma once
#include <string>

#include "apps/observe/layer_names.h"
#include "apps/observe/step_phases.h"

namespace sagitta::apps {

struct CallPlace {
  StepPhases::Phase phase;
  std::string_view layer;  // the call's own, or the last one before it in the same phase; may be empty
  bool is_own = false;

  std::string text() const;  // "step 3, forward, layer encoder.layer.0.output", what is known of it
};

class CallPlaces {
 public:
  // Both must outlive this.
  CallPlaces(const LayerNames& names, const StepPhases& phases) : names_(names), phases_(phases) {}

  // To be asked once for every call, in their order.
  CallPlace of(const BackendCall& call);

 private:
  const LayerNames& names_;
  const StepPhases& phases_;
  StepPhases::Phase last_phase_;
  std::string_view last_layer_;
};

}  // namespace sagitta::apps
