#include "data/window.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "data/grey_level.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

constexpr NamedWindow kWindows[] = {
    {"bone", {400, 1800}},       // the usual bone window of this data set's users
    {"bone_wide", {500, 2500}},  // keeps cortical bone from saturating
    {"bone_soft", {400, 650}},   // cancellous bone in detail
    {"soft_tissue", {80, 300}},  // hematoma, muscle
    {"spine", {40, 400}},        // discs and cord
    {"lung", {-600, 1500}},
};

bool parse_number(std::string_view text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

}  // namespace

std::span<const NamedWindow> named_windows() { return kWindows; }

std::uint8_t Window::grey(double hu) const {
  const double level =
      function == WindowFunction::linear
          ? (width > 1 ? (hu - (center - 0.5)) / (width - 1) + 0.5 : (hu > center - 0.5 ? 1.0 : 0.0))
          : (hu - center) / width + 0.5;
  return grey_level(std::clamp(level, 0.0, 1.0) * 255);
}

Window parse_window(std::string_view text) {
  for (const NamedWindow& named : kWindows)
    if (text == named.name) return named.window;
  Window window;
  std::string_view numbers = text;
  if (numbers.starts_with("exact:")) {
    numbers.remove_prefix(6);
    window.function = WindowFunction::linear_exact;
  }
  const std::size_t slash = numbers.find('/');
  const double least = window.function == WindowFunction::linear ? 1 : 1e-6;
  if (slash != std::string_view::npos && parse_number(numbers.substr(0, slash), window.center) &&
      parse_number(numbers.substr(slash + 1), window.width) && window.width >= least)
    return window;
  std::string names;
  for (const NamedWindow& named : kWindows) names += fmt::format("{}, ", named.name);
  fail("window: '{}' is unknown, expected {}or CENTER/WIDTH in HU such as 400/1800", text, names);
}

std::vector<std::uint8_t> to_grey(std::span<const float> hu, const Window& window) {
  std::vector<std::uint8_t> grey(hu.size());
  std::transform(hu.begin(), hu.end(), grey.begin(), [&](float value) { return window.grey(value); });
  return grey;
}

}  // namespace sagitta::data
