// Heat over a grey picture, for reports and for looking at. Pure functions of pictures.
#pragma once
#include <cstdint>
#include <span>

#include "apps/engine/drawing.h"

namespace sagitta::apps {

// The color of heat in [0, 1] (clamped), red, green, blue: from black over violet and orange to pale yellow,
// lighter and lighter in equal steps, so that more heat always looks like more (the map "inferno" of
// matplotlib, linear between nine of its colors).
Color heat_color(float heat);

// `picture` (grey or RGB) as RGB with `heat` [height, width], in [0, 1], over it: transparent where cold (up
// to 0.1), a quarter of the picture shining through where hottest.
data::Image overlay(const data::Image& picture, std::span<const float> heat);

// The heat [height, width] alone as RGBA, to be laid over a picture: the same colors, transparent in the same
// way.
data::Image heat_layer(std::span<const float> heat, int width, int height);

// Draws, into an RGB picture, the outline of the pixels that are not 0 in `mask` [height, width].
void outline(data::Image& picture, std::span<const std::uint8_t> mask, Color color);

}  // namespace sagitta::apps
