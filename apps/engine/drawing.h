// Drawing into RGB pictures: boxes, text, other pictures. What sheets, examples, reports of studies and a
// run's log share.
// Invariant: everything is clipped to the picture; nothing outside it is an error.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/image.h"

namespace sagitta::apps {

using Color = std::array<std::uint8_t, 3>;  // red, green, blue

// An RGB picture of one grey level.
data::Image blank_picture(int width, int height, std::uint8_t grey);

// Fills the pixels [x0, x1) x [y0, y1).
void fill_box(data::Image& image, int x0, int y0, int x1, int y1, Color color);

// `picture` (grey or RGB) with its upper left corner at (left, top).
void paste(data::Image& onto, const data::Image& picture, int left, int top);

// Pictures of one size in rows of `columns`, on dark grey.
data::Image tile(const std::vector<data::Image>& pictures, int columns);

// An RGB picture without colors as a grey one, a third of the bytes; others as they are.
data::Image without_needless_color(data::Image picture);

// Writes `text` (ASCII) in a small stroke font, upper left corner at (x, y), 10 pixels high at scale 1.
void draw_text(data::Image& image, int x, int y, const std::string& text, Color color, int scale = 1);
// How many pixels wide draw_text() makes it.
int text_width(const std::string& text, int scale = 1);

}  // namespace sagitta::apps
