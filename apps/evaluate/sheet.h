// A contact sheet: example slices with truth and prediction, as one picture to look at.
#pragma once
#include <string>
#include <vector>

#include "apps/engine/predictions.h"
#include "data/image.h"
#include "data/slice_set.h"

namespace sagitta::apps {

// Slices of one row's kind: the model's surest hits, its worst misses, its worst false alarms, and quiet
// negatives. `labels` are indices into data::kLabelNames.
data::Image contact_sheet(const data::SliceSet& slices, const Predictions& predictions,
                          const std::vector<std::size_t>& labels, double threshold);

// Writes `text` in a small stroke font, upper left corner at (x, y), 10 pixels high at scale 1; clipped to
// the picture.
void draw_text(data::Image& image, int x, int y, const std::string& text, std::array<std::uint8_t, 3> color,
               int scale = 1);

}  // namespace sagitta::apps
