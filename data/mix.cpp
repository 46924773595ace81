#include "data/mix.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/grey_level.h"

namespace sagitta::data {
namespace {

// Gamma(shape, 1) for shape >= 1 (Marsaglia and Tsang, "A simple method for generating gamma variables",
// 2000).
double gamma_number(double shape, CounterRandom& random) {
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    // A standard normal number (Box and Muller).
    const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
    const double x = radius * std::cos(2 * std::numbers::pi * random.uniform());
    const double v = std::pow(1 + c * x, 3), u = 1 - random.uniform();
    if (v > 0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

// One row of two pictures as the network will see it: a mirrored picture is read from its end.
class PairRow {
 public:
  PairRow(Batch& batch, std::size_t first, std::size_t second, int y)
      : width_(batch.side), sides_{side(batch, first, y), side(batch, second, y)} {}
  // The three bytes at column x of the first (0) or the second picture (1).
  std::uint8_t* at(int which, int x) const {
    const Side& side = sides_[which];
    return side.row + 3 * (side.mirrored ? width_ - 1 - x : x);
  }

 private:
  struct Side {
    std::uint8_t* row;
    bool mirrored;
  };
  static Side side(Batch& batch, std::size_t picture, int y) {
    const auto bytes = static_cast<std::size_t>(batch.side) * 3;
    return {batch.pixels.data() +
                (picture * static_cast<std::size_t>(batch.side) + static_cast<std::size_t>(y)) * bytes,
            batch.crop[picture * 3 + 2] != 0};
  }
  int width_;
  Side sides_[2];
};

void mix_labels(Batch& batch, std::size_t first, std::size_t second, double kept) {
  const std::size_t labels = batch.labels.size() / static_cast<std::size_t>(batch.size);
  for (std::size_t k = 0; k < labels; ++k) {
    float &a = batch.labels[first * labels + k], &b = batch.labels[second * labels + k];
    const double mean_a = kept * a + (1 - kept) * b, mean_b = kept * b + (1 - kept) * a;
    a = static_cast<float>(mean_a);
    b = static_cast<float>(mean_b);
  }
}

void blend(Batch& batch, std::size_t first, std::size_t second, double kept) {
  for (int y = 0; y < batch.side; ++y) {
    const PairRow row(batch, first, second, y);
    for (int x = 0; x < batch.side; ++x)
      for (int c = 0; c < 3; ++c) {
        std::uint8_t &a = row.at(0, x)[c], &b = row.at(1, x)[c];
        const double mean_a = kept * a + (1 - kept) * b, mean_b = kept * b + (1 - kept) * a;
        a = grey_level(mean_a);
        b = grey_level(mean_b);
      }
  }
  mix_labels(batch, first, second, kept);
}

// Exchanges a rectangle of 1 - kept of the area, as far as it lies in the picture.
void exchange(Batch& batch, std::size_t first, std::size_t second, double kept, CounterRandom& random) {
  const double center_x = random.uniform(), center_y = random.uniform();
  const double half = std::sqrt(1 - kept) / 2 * batch.side;
  const auto edge = [&](double at) { return std::clamp(static_cast<int>(std::lround(at)), 0, batch.side); };
  const int left = edge(center_x * batch.side - half), right = edge(center_x * batch.side + half);
  const int top = edge(center_y * batch.side - half), bottom = edge(center_y * batch.side + half);
  for (int y = top; y < bottom; ++y) {
    const PairRow row(batch, first, second, y);
    for (int x = left; x < right; ++x) std::swap_ranges(row.at(0, x), row.at(0, x) + 3, row.at(1, x));
  }
  const double area = static_cast<double>(right - left) * (bottom - top);
  mix_labels(batch, first, second, 1 - area / (static_cast<double>(batch.side) * batch.side));
}

}  // namespace

double symmetric_beta(double alpha, CounterRandom& random) {
  // X / (X + Y) of two Gamma(alpha) numbers; below 1 a number of Gamma(alpha + 1) is scaled by U^(1/alpha),
  // in logarithms, since for a small alpha both would be 0.
  double log_gamma[2];
  for (double& value : log_gamma)
    value = std::log(gamma_number(alpha + 1, random)) + std::log(1 - random.uniform()) / alpha;
  return 1 / (1 + std::exp(log_gamma[1] - log_gamma[0]));
}

void mix(Batch& batch, const MixOptions& options, random::Key key) {
  if (!options.any()) return;
  CounterRandom random(key.seed, std::uint64_t{key.stream} << 32 | key.step);
  const auto count = static_cast<std::size_t>(batch.size);
  const bool both = options.mixup > 0 && options.cutmix > 0;
  for (std::size_t first = 0; first < count / 2; ++first) {
    const std::size_t second = count - 1 - first;
    const bool cut = both ? random.chance(0.5) : options.cutmix > 0;
    const double kept = symmetric_beta(cut ? options.cutmix : options.mixup, random);
    if (cut)
      exchange(batch, first, second, kept, random);
    else
      blend(batch, first, second, kept);
  }
}

}  // namespace sagitta::data
