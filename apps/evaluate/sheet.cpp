#include "apps/evaluate/sheet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data/augment.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#include <stb_easy_font.h>
#pragma GCC diagnostic pop

namespace sagitta::apps {
namespace {

using Color = std::array<std::uint8_t, 3>;
constexpr Color kWhite{240, 240, 240}, kGreen{90, 220, 110}, kRed{255, 110, 90}, kGrey{150, 150, 150};

constexpr int kPicture = 224, kCaption = 40, kMargin = 8, kColumns = 6;

void fill_box(data::Image& image, int x0, int y0, int x1, int y1, Color color) {
  for (int y = std::max(0, y0); y < std::min(image.height, y1); ++y)
    for (int x = std::max(0, x0); x < std::min(image.width, x1); ++x)
      std::copy(color.begin(), color.end(),
                image.pixels.begin() + (static_cast<std::ptrdiff_t>(y) * image.width + x) * 3);
}

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

void draw_picture(data::Image& sheet, int x0, int y0, const data::Image& picture) {
  const data::Image square = data::letterbox(picture, kPicture);
  for (int y = 0; y < kPicture; ++y)
    for (int x = 0; x < kPicture; ++x)
      for (int c = 0; c < 3; ++c) {
        const std::size_t source = (static_cast<std::size_t>(y) * kPicture + x) * square.channels;
        const std::size_t target = (static_cast<std::size_t>(y0 + y) * sheet.width + (x0 + x)) * 3;
        sheet.pixels[target + c] = square.pixels[source + (square.channels == 3 ? c : 0)];
      }
}

}  // namespace

void draw_text(data::Image& image, int x, int y, const std::string& text, Color color, int scale) {
  // stb_easy_font gives quads of four vertices {x, y, z, color}; its letters are axis-parallel boxes.
  struct Vertex {
    float x, y, z;
    unsigned char color[4];
  };
  std::vector<Vertex> vertices(text.size() * 80 + 80);
  std::string letters = text;
  const int quads = stb_easy_font_print(0, 0, letters.data(), nullptr, vertices.data(),
                                        static_cast<int>(vertices.size() * sizeof(Vertex)));
  for (int q = 0; q < quads; ++q) {
    const Vertex& first = vertices[static_cast<std::size_t>(4 * q)];
    const Vertex& third = vertices[static_cast<std::size_t>(4 * q + 2)];
    const auto place = [&](float v) { return static_cast<int>(std::lround(v * static_cast<float>(scale))); };
    fill_box(image, x + place(first.x), y + place(first.y), x + place(third.x), y + place(third.y), color);
  }
}

data::Image contact_sheet(const data::SliceSet& slices, const Predictions& predictions,
                          const std::vector<std::size_t>& labels, double threshold) {
  const std::vector<float> probabilities = predictions.probabilities();
  const std::vector<Kind> kinds{{"Fractured, found with the highest probability", true, true},
                                {"Fractured, missed with the lowest probability", true, false},
                                {"Intact, alarmed with the highest probability", false, true},
                                {"Intact, with the lowest probability", false, false}};
  const int row_height = 24 + kPicture + kCaption;
  data::Image sheet{.width = kMargin + kColumns * (kPicture + kMargin),
                    .height = kMargin + static_cast<int>(kinds.size()) * row_height,
                    .channels = 3,
                    .pixels = {}};
  sheet.pixels.assign(static_cast<std::size_t>(sheet.width) * sheet.height * 3, 24);
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    const int top = kMargin + static_cast<int>(k) * row_height;
    draw_text(sheet, kMargin, top + 2, kinds[k].title, kWhite, 2);
    const std::vector<Example> examples = pick(slices, predictions, probabilities, kinds[k]);
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const data::SliceRecord& record = slices.records[examples[i].row];
      const int left = kMargin + static_cast<int>(i) * (kPicture + kMargin);
      draw_picture(sheet, left, top + 24, data::read_slice(slices, record));
      const bool predicted = examples[i].probability >= threshold;
      const std::string name = data::kLabelNames[labels[examples[i].label]];
      draw_text(sheet, left, top + 24 + kPicture + 4, fmt::format("{} {:.2f}", name, examples[i].probability),
                predicted == kinds[k].positive ? kGreen : kRed, 2);
      draw_text(sheet, left + 110, top + 24 + kPicture + 4, "true: " + truth_text(record, labels), kWhite);
      draw_text(sheet, left + 110, top + 24 + kPicture + 16,
                fmt::format(
                    "{} x {:.1f} mm",
                    record.study.substr(record.study.size() - std::min<std::size_t>(8, record.study.size())),
                    record.x_mm),
                kGrey);
    }
  }
  return sheet;
}

}  // namespace sagitta::apps
