#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

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

Image letterbox(const Image& image, int size) {
  if (image.width == size && image.height == size) return image;
  require(image.width > 0 && image.height > 0 && size > 0, "letterbox: picture is {}x{}, size {}",
          image.width, image.height, size);
  const double factor = static_cast<double>(size) / std::max(image.width, image.height);
  const int width = std::clamp(static_cast<int>(std::lround(image.width * factor)), 1, size);
  const int height = std::clamp(static_cast<int>(std::lround(image.height * factor)), 1, size);
  const auto columns = axis_taps(image.width, width), rows = axis_taps(image.height, height);
  const int channels = image.channels;
  Image result{.width = size, .height = size, .channels = channels, .pixels = {}};
  result.pixels.assign(static_cast<std::size_t>(size) * size * channels, 0);
  const int left = (size - width) / 2, top = (size - height) / 2;
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
        result.pixels[at] = static_cast<std::uint8_t>(std::lround(sum));
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
  // The inverse map: for a pixel of the result, where in the source it comes from.
  const double middle = (size - 1) / 2.0;
  // Mirroring comes after everything else, so that it can be left to the device.
  const double cosine = std::cos(augmentation.angle) / augmentation.zoom;
  const double sine = std::sin(augmentation.angle) / augmentation.zoom;
  const auto source_value = [&](int x, int y, int c) -> double {
    if (x < 0 || y < 0 || x >= size || y >= size) return 0;  // air
    return square.pixels[(static_cast<std::size_t>(y) * size + x) * channels + (channels == 1 ? 0 : c)];
  };
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const double u = x - middle - augmentation.shift_x * size;
      const double v = y - middle - augmentation.shift_y * size;
      const double sx = cosine * u + sine * v + middle, sy = -sine * u + cosine * v + middle;
      const int x0 = static_cast<int>(std::floor(sx)), y0 = static_cast<int>(std::floor(sy));
      const double fx = sx - x0, fy = sy - y0;
      std::uint8_t* out = pixels.data() + (static_cast<std::size_t>(y) * size + x) * 3;
      for (int c = 0; c < 3; ++c) {
        if (channels == 1 && c > 0) {
          out[c] = out[0];
          continue;
        }
        const double value =
            (1 - fy) * ((1 - fx) * source_value(x0, y0, c) + fx * source_value(x0 + 1, y0, c)) +
            fy * ((1 - fx) * source_value(x0, y0 + 1, c) + fx * source_value(x0 + 1, y0 + 1, c));
        const double adjusted = (value / 255 - 0.5) * augmentation.gain + 0.5 + augmentation.brightness;
        out[c] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(adjusted, 0.0, 1.0)));
      }
    }
  }
}

}  // namespace sagitta::data
