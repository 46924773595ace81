#include "apps/explain/overlay.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace sagitta::apps {
namespace {

constexpr std::array<Color, 9> kInferno{{{0, 0, 4},
                                         {31, 12, 72},
                                         {85, 15, 109},
                                         {136, 34, 106},
                                         {186, 54, 85},
                                         {227, 89, 51},
                                         {249, 140, 10},
                                         {249, 201, 50},
                                         {252, 255, 164}}};
constexpr float kCold = 0.1F, kOpaque = 0.75F;
constexpr float kOpaqueFrom = 0.6F;  // heat

float opacity(float heat) { return kOpaque * std::clamp((heat - kCold) / (kOpaqueFrom - kCold), 0.0F, 1.0F); }

std::uint8_t mixed(float from, float to, float share) {
  return static_cast<std::uint8_t>(std::lround(from + share * (to - from)));
}

std::size_t pixels_of(const data::Image& image) {
  return static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
}

}  // namespace

Color heat_color(float heat) {
  const float at = std::clamp(heat, 0.0F, 1.0F) * (kInferno.size() - 1);
  const std::size_t lower = std::min(static_cast<std::size_t>(at), kInferno.size() - 2);
  Color color;
  for (std::size_t c = 0; c < 3; ++c)
    color[c] = mixed(kInferno[lower][c], kInferno[lower + 1][c], at - static_cast<float>(lower));
  return color;
}

data::Image overlay(const data::Image& picture, std::span<const float> heat) {
  require(picture.channels == 1 || picture.channels == 3,
          "overlay: picture has {} channels, expected grey or RGB", picture.channels);
  require(heat.size() == pixels_of(picture), "overlay: {} values of heat for a picture of {}x{}", heat.size(),
          picture.width, picture.height);
  data::Image result{.width = picture.width, .height = picture.height, .channels = 3, .pixels = {}};
  result.pixels.reserve(heat.size() * 3);
  for (std::size_t i = 0; i < heat.size(); ++i) {
    const Color color = heat_color(heat[i]);
    const std::uint8_t* pixel = picture.pixels.data() + i * static_cast<std::size_t>(picture.channels);
    for (std::size_t c = 0; c < 3; ++c)
      result.pixels.push_back(mixed(pixel[picture.channels == 3 ? c : 0], color[c], opacity(heat[i])));
  }
  return result;
}

data::Image heat_layer(std::span<const float> heat, int width, int height) {
  data::Image layer{.width = width, .height = height, .channels = 4, .pixels = {}};
  require(heat.size() == pixels_of(layer), "heat_layer: {} values of heat, expected {}x{}", heat.size(),
          width, height);
  for (const float value : heat) {
    const Color color = heat_color(value);
    layer.pixels.insert(layer.pixels.end(), color.begin(), color.end());
    layer.pixels.push_back(mixed(0, 255, opacity(value)));
  }
  return layer;
}

void outline(data::Image& picture, std::span<const std::uint8_t> mask, Color color) {
  require(picture.channels == 3 && mask.size() == pixels_of(picture),
          "outline: {} values of a mask for a picture of {}x{}x{}", mask.size(), picture.width,
          picture.height, picture.channels);
  const auto inside = [&](int x, int y) {
    return x >= 0 && y >= 0 && x < picture.width && y < picture.height &&
           mask[static_cast<std::size_t>(y) * static_cast<std::size_t>(picture.width) +
                static_cast<std::size_t>(x)];
  };
  for (int y = 0; y < picture.height; ++y)
    for (int x = 0; x < picture.width; ++x) {
      const bool inner = inside(x - 1, y) && inside(x + 1, y) && inside(x, y - 1) && inside(x, y + 1);
      if (inside(x, y) && !inner)
        std::copy(color.begin(), color.end(),
                  picture.pixels.begin() + (static_cast<std::ptrdiff_t>(y) * picture.width + x) * 3);
    }
}

}  // namespace sagitta::apps
