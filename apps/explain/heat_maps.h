// Heat maps of slices on disk: models::explain() behind the same loading and normalization that the model was
// trained with.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "apps/engine/predictions.h"
#include "models/explain.h"

namespace sagitta::apps {

// Where does the model look in this slice for this of its outputs?
struct HeatQuestion {
  data::SliceRecord slice;
  std::size_t output = 0;  // column of the logits
};

// One answer; all spans are valid during the call only.
struct HeatAnswer {
  std::size_t question = 0;
  int size = 0;                          // of the network's input, pixels per side
  std::span<const std::uint8_t> pixels;  // [size, size, 3], what the network saw before normalization
  std::span<const float> heat;           // [size, size], as explain() gives it
};

// How they are asked.
struct HeatMethod {
  models::ExplainMethod method = models::ExplainMethod::grad_cam;
  models::GradCamOptions grad_cam;
};

// Asks all questions in order, options.loader.batch_size at a time; slices are below `root`.
void explain_slices(models::ImageClassifier& model, const nn::Context& context,
                    const std::filesystem::path& root, const std::vector<HeatQuestion>& questions,
                    InputOptions options, const HeatMethod& method,
                    const std::function<void(const HeatAnswer&)>& answer);

// A map [size, size] on side x side pixels, bilinearly, with 1 as its largest value again (0 stays 0).
std::vector<float> enlarged_heat(std::span<const float> heat, int size, int side);

}  // namespace sagitta::apps
