// The slices that tell most about a model - what it found, missed and raised false alarms about - as
// pictures: the slice beside the same slice under heat.
#pragma once
#include <string>
#include <vector>

#include "apps/explain/heat_maps.h"
#include "data/image.h"

namespace sagitta::apps {

struct Example {
  std::string kind;  // "found", "missed", "alarm"
  HeatQuestion question;
  std::string label;  // name of the output
  float probability = 0;
};

// May this true slice of the label (an index into data::kLabelNames) be shown?
using Suits = std::function<bool(const data::SliceRecord& slice, std::size_t label)>;

// Of the label's true slices those with the highest (found) and lowest (missed) probability, of the others
// those with the highest (alarm): `per_kind` of each over all `outputs` (columns of the predictions), at most
// one per study and kind. `predictions` has one row per record of `slices`; `labels` are its outputs' indices
// into data::kLabelNames. `suits`, where given, chooses among the true ones: those where the fracture is
// known to be in the slice, since a slice carries the labels of its whole study.
std::vector<Example> telling_examples(const data::SliceSet& slices, const Predictions& predictions,
                                      const std::vector<std::size_t>& labels,
                                      const std::vector<std::size_t>& outputs, int per_kind,
                                      const Suits& suits = {});

// Pixels per side of the two pictures in example_picture().
inline constexpr int kExampleSide = 336;

// The slice and, to its right, the slice under heat with what it is below; `mask` [kExampleSide,
// kExampleSide], where it is not empty, is outlined in both.
data::Image example_picture(const Example& example, const HeatAnswer& answer,
                            const std::vector<std::uint8_t>& mask);

}  // namespace sagitta::apps
