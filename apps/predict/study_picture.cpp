#include "apps/predict/study_picture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "apps/engine/drawing.h"
#include "apps/evaluate/aggregation.h"
#include "apps/explain/overlay.h"
#include "apps/predict/plane_axes.h"
#include "data/augment.h"
#include "data/slice_set.h"

namespace sagitta::apps {
namespace {

constexpr int kMargin = 20, kSide = 384, kGap = 16, kAxis = 66, kCaption = 30, kTicks = 44;
constexpr int kHeader = 112, kFooter = 48, kBars = 300, kBarHeight = 34;
constexpr std::uint8_t kBackground = 20;
constexpr Color kText{235, 235, 235}, kQuiet{150, 150, 150}, kTrack{52, 52, 52}, kBar{120, 150, 190},
    kStandsOut{249, 140, 10}, kWarning{255, 205, 90};
constexpr std::size_t kMostPlanes = 3, kNameEnd = 12;

// The plane as people look at it, grey: of three channels the middle one, which of `neighbors` is the plane
// itself and of `windows` the one between soft tissue and bone.
data::Image grey_of(const data::Image& picture) {
  if (picture.channels == 1) return picture;
  data::Image grey{.width = picture.width, .height = picture.height, .channels = 1, .pixels = {}};
  for (std::size_t i = 1; i < picture.pixels.size(); i += 3) grey.pixels.push_back(picture.pixels[i]);
  return grey;
}

// No model is as sure as 0.00 or 1.00 would say.
std::string probability_text(double p) {
  return p >= 0.995 ? ">0.99" : p < 0.005 ? "<0.01" : fmt::format("{:.2f}", p);
}

// LPS: x grows to the patient's left.
std::string place_text(const nlohmann::ordered_json& record, std::size_t picture) {
  const double off = record["planes_x_mm"][picture].get<double>() - record["midline_x_mm"].get<double>();
  if (std::abs(off) < 0.05) return "in the midline";
  return fmt::format("{:.1f} mm {} of midline", std::abs(off), off > 0 ? "left" : "right");
}

void draw_horizontal_axis(data::Image& image, const MmScale& scale, int left, int below) {
  for (const int mm : scale.ticks(kSide)) {
    const int x = left + static_cast<int>(std::lround(scale.pixel_at(mm)));
    const std::string text = std::to_string(mm);
    fill_box(image, x, below, x + 1, below + 5, kQuiet);
    draw_text(image, x - text_width(text, 2) / 2, below + 9, text, kQuiet, 2);
  }
}

void draw_vertical_axis(data::Image& image, const MmScale& scale, int left, int top) {
  for (const int mm : scale.ticks(kSide)) {
    const int y = top + static_cast<int>(std::lround(scale.pixel_at(mm)));
    const std::string text = std::to_string(mm);
    fill_box(image, left - 5, y, left, y + 1, kQuiet);
    draw_text(image, left - 9 - text_width(text, 2), y - 8, text, kQuiet, 2);
  }
  draw_text(image, left - 9 - text_width("mm", 2), top + kSide + 9, "mm", kQuiet, 2);
}

// Anterior, posterior, head, foot: where the edges of a sagittal plane point.
void draw_directions(data::Image& image, int left, int top) {
  const auto letter = [&](const char* text, int x, int y) {
    draw_text(image, left + x + 1, top + y + 1, text, {0, 0, 0}, 2);
    draw_text(image, left + x, top + y, text, kText, 2);
  };
  letter("A", 6, kSide / 2 - 8);
  letter("P", kSide - 18, kSide / 2 - 8);
  letter("H", kSide / 2 - 6, 5);
  letter("F", kSide / 2 - 6, kSide - 22);
}

void draw_plane(data::Image& image, const StudyCut& cut, const StudyPrediction& prediction,
                const StudyPredictor& predictor, const ShownPlane& shown, int top) {
  const data::Image plane = data::letterbox(grey_of(cut.pictures[shown.picture]), kSide);
  const PlaneAxes axes = plane_axes(cut.grid, kSide);
  const int left = kMargin + kAxis, right = left + kSide + kGap, pictures = top + kCaption;
  const double p = probability_of(prediction.slice_logit(shown.picture, shown.output));
  draw_text(image, left, top + 4,
            fmt::format("{} {}, {}", prediction.labels[shown.output], probability_text(p),
                        place_text(cut.record, shown.picture)),
            kText, 2);
  draw_text(image, right, top + 4, "where the model looked", kText, 2);
  paste(image, plane, left, pictures);
  paste(image, overlay(plane, predictor.heat(cut, shown.picture, shown.output, kSide)), right, pictures);
  for (const int x : {left, right}) {
    draw_directions(image, x, pictures);
    draw_horizontal_axis(image, axes.y, x, pictures + kSide);
  }
  draw_vertical_axis(image, axes.z, left, pictures);
}

void draw_bars(data::Image& image, const StudyPrediction& prediction, const std::vector<ShownPlane>& shown,
               int left, int top) {
  constexpr int kTrackLeft = 56, kTrackWidth = 150, kTrackHeight = 16;
  draw_text(image, left, top + 4, "the study", kText, 2);
  int y = top + kCaption + 6;
  for (std::size_t label = 0; label < data::kLabelNames.size(); ++label, y += kBarHeight) {
    const bool is_shown = std::any_of(shown.begin(), shown.end(), [&](const ShownPlane& plane) {
      return prediction.labels[plane.output] == data::kLabelNames[label];
    });
    const std::optional<double>& p = prediction.probabilities[label];
    const int track = left + kTrackLeft, length = p ? static_cast<int>(std::lround(*p * kTrackWidth)) : 0;
    const Color text = p ? kText : kQuiet;
    draw_text(image, left, y, label == 0 ? "any" : data::kLabelNames[label], text, 2);
    fill_box(image, track, y - 1, track + kTrackWidth, y - 1 + kTrackHeight, kTrack);
    fill_box(image, track, y - 1, track + length, y - 1 + kTrackHeight, is_shown ? kStandsOut : kBar);
    draw_text(image, track + kTrackWidth + 12, y, p ? probability_text(*p) : "none", text, 2);
  }
}

void draw_heat_legend(data::Image& image, int left, int top) {
  constexpr int kWidth = 180;
  draw_text(image, left, top, "heat", kText, 2);
  for (int x = 0; x < kWidth; ++x)
    fill_box(image, left + 60 + x, top - 1, left + 61 + x, top + 15,
             heat_color(static_cast<float>(x) / (kWidth - 1)));
  draw_text(image, left + 60, top + 24, "less", kQuiet, 2);
  draw_text(image, left + 60 + kWidth - text_width("more", 2), top + 24, "more", kQuiet, 2);
}

// What the series is, without anything that names a patient.
std::string series_text(const nlohmann::ordered_json& record) {
  std::string text =
      fmt::format("CT: {} slices, {:.2f} mm apart, pixels of {:.2f} mm", record["ct_slices"].get<int>(),
                  record["spacing_mm"]["median"].get<double>(), record["pixel_mm"][1].get<double>());
  if (const double tilt = record["tilt_degrees"]; tilt > 0.1)
    text += fmt::format(", tilted by {:.1f} degrees", tilt);
  return text + (record["verdict"] == "warn" ? " (with reservations)" : "");
}

std::string end_of(const std::string& name) {
  return name.size() <= kNameEnd ? name : "..." + name.substr(name.size() - kNameEnd);
}

}  // namespace

std::vector<ShownPlane> planes_to_show(const StudyPrediction& prediction) {
  std::vector<std::size_t> outputs(prediction.labels.size());
  std::iota(outputs.begin(), outputs.end(), std::size_t{0});
  if (outputs.size() > 1)
    std::erase_if(outputs, [&](std::size_t o) { return prediction.labels[o] == data::kLabelNames[0]; });
  std::stable_sort(outputs.begin(), outputs.end(),
                   [&](std::size_t a, std::size_t b) { return prediction.study[a] > prediction.study[b]; });
  const double most = probability_of(prediction.study[outputs.front()]);
  std::vector<ShownPlane> shown;
  for (const std::size_t output : outputs) {
    if (shown.size() == kMostPlanes || probability_of(prediction.study[output]) < most / 2) break;
    ShownPlane plane{.picture = 0, .output = output};
    for (std::size_t k = 1; k < prediction.slices.size() / prediction.labels.size(); ++k)
      if (prediction.slice_logit(k, output) > prediction.slice_logit(plane.picture, output))
        plane.picture = k;
    shown.push_back(plane);
  }
  return shown;
}

data::Image study_picture(const StudyCut& cut, const StudyPrediction& prediction,
                          const StudyPredictor& predictor, const std::string& how) {
  const std::vector<ShownPlane> shown = planes_to_show(prediction);
  constexpr int kRow = kCaption + kSide + kTicks;
  const int bars = kMargin + kAxis + 2 * kSide + kGap + 30;
  data::Image image = blank_picture(bars + kBars + kMargin,
                                    kHeader + static_cast<int>(shown.size()) * kRow + kFooter, kBackground);
  draw_text(image, kMargin, 18, "Estimated probability of fracture, study " + end_of(cut.record["study"]),
            kText, 2);
  draw_text(image, kMargin, 44, series_text(cut.record), kQuiet, 2);
  draw_text(image, kMargin, 68, "Prediction: " + how, kQuiet, 2);
  for (std::size_t row = 0; row < shown.size(); ++row)
    draw_plane(image, cut, prediction, predictor, shown[row], kHeader + static_cast<int>(row) * kRow);
  draw_bars(image, prediction, shown, bars, kHeader);
  draw_heat_legend(image, bars, kHeader + kCaption + 8 * kBarHeight + 24);
  draw_text(image, kMargin, image.height - kFooter + 14, kNotice, kWarning, 2);
  return image;
}

}  // namespace sagitta::apps
