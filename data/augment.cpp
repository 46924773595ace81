#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "data/grey_level.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

// Share of source pixel `s` in the target interval [begin, end), both in source pixels.
double overlap(double begin, double end, int s) {
  return std::max(0.0, std::min(end, s + 1.0) - std::max(begin, static_cast<double>(s)));
}

// One axis of an area-weighted resampling: for each target pixel the source pixels and their weights.
// Enlarging interpolates linearly between pixel centers.
struct Tap {
  int source = 0;
  double weight = 0;
};

std::vector<std::vector<Tap>> axis_taps(int source, int target) {
  const double ratio = static_cast<double>(source) / target;
  std::vector<std::vector<Tap>> taps(static_cast<std::size_t>(target));
  for (int t = 0; t < target; ++t) {
    std::vector<Tap>& mine = taps[static_cast<std::size_t>(t)];
    if (ratio > 1) {
      const double begin = t * ratio, end = (t + 1) * ratio;
      for (int s = static_cast<int>(begin); s < source && s < end; ++s)
        mine.push_back({s, overlap(begin, end, s) / ratio});
    } else {
      const double center = std::clamp((t + 0.5) * ratio - 0.5, 0.0, source - 1.0);
      const int s = static_cast<int>(center);
      mine.push_back({s, 1 - (center - s)});
      if (s + 1 < source) mine.push_back({s + 1, center - s});
    }
  }
  return taps;
}

void copy_pixels(const Image& square, std::span<std::uint8_t> pixels) {
  if (square.channels == 3) {
    std::copy(square.pixels.begin(), square.pixels.end(), pixels.begin());
    return;
  }
  std::uint8_t* out = pixels.data();
  for (const std::uint8_t grey : square.pixels) {
    out[0] = out[1] = out[2] = grey;
    out += 3;
  }
}

// std::floor, which is a call where the processor's baseline has no instruction for it.
int floor_of(double value) {
  const int whole = static_cast<int>(value);
  return whole - (value < whole ? 1 : 0);
}

template <int kChannels>
void change_pixels(const Image& square, const Augmentation& augmentation, std::span<std::uint8_t> pixels) {
  const int size = square.width;
  const std::ptrdiff_t row = std::ptrdiff_t{size} * kChannels;
  // The inverse map: for a pixel of the result, where in the source it comes from.
  const double middle = (size - 1) / 2.0;
  // Mirroring comes after everything else, so that it can be left to the device.
  const double cosine = std::cos(augmentation.angle) / augmentation.zoom;
  const double sine = std::sin(augmentation.angle) / augmentation.zoom;
  std::uint8_t* out = pixels.data();
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x, out += 3) {
      const double u = x - middle - augmentation.shift_x * size;
      const double v = y - middle - augmentation.shift_y * size;
      const double sx = cosine * u + sine * v + middle, sy = -sine * u + cosine * v + middle;
      const int x0 = floor_of(sx), y0 = floor_of(sy);
      const double fx = sx - x0, fy = sy - y0;
      const std::ptrdiff_t at = y0 * row + std::ptrdiff_t{x0} * kChannels;
      const bool inside = x0 >= 0 && y0 >= 0 && x0 < size - 1 && y0 < size - 1;
      // Outside the picture is air.
      const auto value_at = [&](int dx, int dy, int c) -> double {
        const bool in_picture = inside || (x0 + dx >= 0 && x0 + dx < size && y0 + dy >= 0 && y0 + dy < size);
        return in_picture ? square.pixels.data()[at + dy * row + dx * kChannels + c] : 0;
      };
      for (int c = 0; c < kChannels; ++c) {
        const double value = (1 - fy) * ((1 - fx) * value_at(0, 0, c) + fx * value_at(1, 0, c)) +
                             fy * ((1 - fx) * value_at(0, 1, c) + fx * value_at(1, 1, c));
        const double adjusted = (value / 255 - 0.5) * augmentation.gain + 0.5 + augmentation.brightness;
        out[c] = grey_level(255 * std::clamp(adjusted, 0.0, 1.0));
      }
      if (kChannels == 1) out[1] = out[2] = out[0];
    }
  }
}

}  // namespace

Augmentation draw(const AugmentOptions& options, random::Key key) {
  // One fixed index per quantity: adding a kind of augmentation does not move the others.
  const auto symmetric = [&](std::uint64_t index, double range) {
    return range * (2.0 * random::uniform(key, index) - 1);
  };
  return {.angle = symmetric(0, options.rotation_degrees) * std::numbers::pi / 180,
          .zoom = 1 + symmetric(1, options.scale),
          .shift_x = symmetric(2, options.shift),
          .shift_y = symmetric(3, options.shift),
          .brightness = symmetric(4, options.brightness),
          .gain = 1 + symmetric(5, options.contrast),
          .flip = random::uniform(key, 6) < options.flip};
}

LetterboxPlace letterbox_place(int width, int height, int size) {
  require(width > 0 && height > 0 && size > 0, "letterbox: picture is {}x{}, size {}", width, height, size);
  const double factor = static_cast<double>(size) / std::max(width, height);
  const auto scaled = [&](int side) {
    return std::clamp(static_cast<int>(std::lround(side * factor)), 1, size);
  };
  const int inner_width = scaled(width), inner_height = scaled(height);
  return {(size - inner_width) / 2, (size - inner_height) / 2, inner_width, inner_height};
}

Image letterbox(const Image& image, int size) {
  if (image.width == size && image.height == size) return image;
  const auto [left, top, width, height] = letterbox_place(image.width, image.height, size);
  const auto columns = axis_taps(image.width, width), rows = axis_taps(image.height, height);
  const int channels = image.channels;
  Image result{.width = size, .height = size, .channels = channels, .pixels = {}};
  result.pixels.assign(static_cast<std::size_t>(size) * size * channels, 0);
  std::vector<double> line(static_cast<std::size_t>(image.width) * channels);
  for (int y = 0; y < height; ++y) {
    std::fill(line.begin(), line.end(), 0.0);
    for (const Tap& tap : rows[static_cast<std::size_t>(y)]) {
      const std::uint8_t* source = image.pixels.data() + static_cast<std::size_t>(tap.source) * line.size();
      for (std::size_t i = 0; i < line.size(); ++i) line[i] += tap.weight * source[i];
    }
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        double sum = 0;
        for (const Tap& tap : columns[static_cast<std::size_t>(x)])
          sum += tap.weight * line[static_cast<std::size_t>(tap.source * channels + c)];
        const std::size_t at = (static_cast<std::size_t>(y + top) * size + (x + left)) * channels + c;
        result.pixels[at] = grey_level(sum);
      }
    }
  }
  return result;
}

void augment(const Image& square, const Augmentation& augmentation, std::span<std::uint8_t> pixels) {
  const int size = square.width, channels = square.channels;
  require(square.height == size && (channels == 1 || channels == 3),
          "augment: picture is {}x{}x{}, expected a square", square.width, square.height, channels);
  require(pixels.size() == static_cast<std::size_t>(size) * size * 3,
          "augment: {} values for a picture of {}", pixels.size(), size);
  const Augmentation& a = augmentation;
  const bool moves = a.angle != 0 || a.zoom != 1 || a.shift_x != 0 || a.shift_y != 0;
  if (!moves && a.brightness == 0 && a.gain == 1)
    copy_pixels(square, pixels);
  else if (channels == 1)
    change_pixels<1>(square, a, pixels);
  else
    change_pixels<3>(square, a, pixels);
}

}  // namespace sagitta::data
