#include "apps/explain/examples.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "apps/engine/drawing.h"
#include "apps/explain/overlay.h"
#include "data/augment.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

constexpr int kCaption = 32, kMargin = 6;
constexpr std::uint8_t kBackground = 24;
constexpr Color kText{235, 235, 235}, kBox{80, 220, 255};

struct Kind {
  const char* name;
  bool positive, highest_first;
};
constexpr Kind kKinds[] = {{"found", true, true}, {"missed", true, false}, {"alarm", false, true}};

}  // namespace

std::vector<Example> telling_examples(const data::SliceSet& slices, const Predictions& predictions,
                                      const std::vector<std::size_t>& labels,
                                      const std::vector<std::size_t>& outputs, int per_kind,
                                      const Suits& suits) {
  require(predictions.rows() == slices.records.size(), "examples: {} predictions for {} slices",
          predictions.rows(), slices.records.size());
  const std::vector<float> probabilities = predictions.probabilities();
  std::vector<Example> examples;
  for (const Kind& kind : kKinds) {
    std::vector<Example> all;
    for (std::size_t row = 0; row < slices.records.size(); ++row)
      for (const std::size_t output : outputs) {
        const std::size_t at = row * predictions.labels + output;
        if ((predictions.targets[at] > 0.5F) != kind.positive) continue;
        if (!kind.positive || !suits || suits(slices.records[row], labels[output]))
          all.push_back({kind.name,
                         {slices.records[row], output},
                         data::kLabelNames[labels[output]],
                         probabilities[at]});
      }
    std::stable_sort(all.begin(), all.end(), [&](const Example& a, const Example& b) {
      return kind.highest_first ? a.probability > b.probability : a.probability < b.probability;
    });
    std::set<std::string> studies;
    for (const Example& example : all) {
      if (static_cast<int>(studies.size()) == per_kind) break;
      if (studies.insert(example.question.slice.study).second) examples.push_back(example);
    }
  }
  return examples;
}

data::Image example_picture(const Example& example, const HeatAnswer& answer,
                            const std::vector<std::uint8_t>& mask) {
  const data::Image seen{.width = answer.size,
                         .height = answer.size,
                         .channels = 3,
                         .pixels = {answer.pixels.begin(), answer.pixels.end()}};
  data::Image slice = data::letterbox(seen, kExampleSide);
  data::Image heated = overlay(slice, enlarged_heat(answer.heat, answer.size, kExampleSide));
  if (!mask.empty()) {
    outline(slice, mask, kBox);
    outline(heated, mask, kBox);
  }
  data::Image picture =
      blank_picture(2 * kExampleSide + 3 * kMargin, kExampleSide + kMargin + kCaption, kBackground);
  paste(picture, slice, kMargin, kMargin);
  paste(picture, heated, kExampleSide + 2 * kMargin, kMargin);
  draw_text(picture, kMargin, kExampleSide + kMargin + 8,
            fmt::format("{} {} {:.2f}", example.label, example.kind, example.probability), kText, 2);
  draw_text(picture, kExampleSide + 2 * kMargin, kExampleSide + kMargin + 12,
            data::caption_of(example.question.slice), kText);
  return picture;
}

}  // namespace sagitta::apps
