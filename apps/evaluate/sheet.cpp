#include "apps/evaluate/sheet.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/engine/drawing.h"
#include "data/augment.h"

namespace sagitta::apps {
namespace {

constexpr Color kWhite{240, 240, 240}, kGreen{90, 220, 110}, kRed{255, 110, 90}, kGrey{150, 150, 150};

constexpr int kPicture = 224, kCaption = 40, kMargin = 8, kColumns = 6;

struct Example {
  std::size_t row = 0;
  std::size_t label = 0;  // the label the slice is shown for
  double probability = 0;
};

struct Kind {
  std::string title;
  bool positive;
  bool highest_first;
};

// The first examples of a kind, at most one per study so that the sheet shows different patients.
std::vector<Example> pick(const data::SliceSet& slices, const Predictions& predictions,
                          const std::vector<float>& probabilities, const Kind& kind) {
  std::vector<Example> all;
  for (std::size_t i = 0; i < probabilities.size(); ++i)
    if ((predictions.targets[i] > 0.5F) == kind.positive)
      all.push_back({i / predictions.labels, i % predictions.labels, probabilities[i]});
  std::stable_sort(all.begin(), all.end(), [&](const Example& a, const Example& b) {
    return kind.highest_first ? a.probability > b.probability : a.probability < b.probability;
  });
  std::vector<Example> chosen;
  std::vector<std::string> studies;
  for (const Example& example : all) {
    const std::string& study = slices.records[example.row].study;
    if (static_cast<int>(chosen.size()) == kColumns) break;
    if (std::find(studies.begin(), studies.end(), study) != studies.end()) continue;
    studies.push_back(study);
    chosen.push_back(example);
  }
  return chosen;
}

std::string truth_text(const data::SliceRecord& record, const std::vector<std::size_t>& labels) {
  std::string text;
  for (std::size_t label : labels)
    if (record.labels[label] > 0.5F)
      text += (text.empty() ? "" : " ") + std::string(data::kLabelNames[label]);
  return text.empty() ? "none" : text;
}

}  // namespace

data::Image contact_sheet(const data::SliceSet& slices, const Predictions& predictions,
                          const std::vector<std::size_t>& labels, double threshold) {
  const std::vector<float> probabilities = predictions.probabilities();
  const std::vector<Kind> kinds{{"Fractured, found with the highest probability", true, true},
                                {"Fractured, missed with the lowest probability", true, false},
                                {"Intact, alarmed with the highest probability", false, true},
                                {"Intact, with the lowest probability", false, false}};
  const int row_height = 24 + kPicture + kCaption;
  data::Image sheet = blank_picture(kMargin + kColumns * (kPicture + kMargin),
                                    kMargin + static_cast<int>(kinds.size()) * row_height, 24);
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    const int top = kMargin + static_cast<int>(k) * row_height;
    draw_text(sheet, kMargin, top + 2, kinds[k].title, kWhite, 2);
    const std::vector<Example> examples = pick(slices, predictions, probabilities, kinds[k]);
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const data::SliceRecord& record = slices.records[examples[i].row];
      const int left = kMargin + static_cast<int>(i) * (kPicture + kMargin);
      paste(sheet, data::letterbox(data::read_slice(slices, record), kPicture), left, top + 24);
      const bool predicted = examples[i].probability >= threshold;
      const std::string name = data::kLabelNames[labels[examples[i].label]];
      draw_text(sheet, left, top + 24 + kPicture + 4, fmt::format("{} {:.2f}", name, examples[i].probability),
                predicted == kinds[k].positive ? kGreen : kRed, 2);
      draw_text(sheet, left + 110, top + 24 + kPicture + 4, "true: " + truth_text(record, labels), kWhite);
      draw_text(sheet, left + 110, top + 24 + kPicture + 16, data::caption_of(record), kGrey);
    }
  }
  return sheet;
}

}  // namespace sagitta::apps
