#include "apps/engine/drawing.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/error.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#include <stb_easy_font.h>
#pragma GCC diagnostic pop

namespace sagitta::apps {
namespace {

constexpr std::uint8_t kSheet = 24;  // what tiles lie on

}  // namespace

data::Image blank_picture(int width, int height, std::uint8_t grey) {
  data::Image image{.width = width, .height = height, .channels = 3, .pixels = {}};
  image.pixels.assign(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3, grey);
  return image;
}

void fill_box(data::Image& image, int x0, int y0, int x1, int y1, Color color) {
  for (int y = std::max(0, y0); y < std::min(image.height, y1); ++y)
    for (int x = std::max(0, x0); x < std::min(image.width, x1); ++x)
      std::copy(color.begin(), color.end(),
                image.pixels.begin() + (static_cast<std::ptrdiff_t>(y) * image.width + x) * 3);
}

void paste(data::Image& onto, const data::Image& picture, int left, int top) {
  require(picture.channels == 1 || picture.channels == 3,
          "paste: picture has {} channels, expected grey or RGB", picture.channels);
  const auto channels = static_cast<std::size_t>(picture.channels);
  for (int y = std::max(0, -top); y < std::min(picture.height, onto.height - top); ++y)
    for (int x = std::max(0, -left); x < std::min(picture.width, onto.width - left); ++x) {
      const std::uint8_t* from =
          picture.pixels.data() + (static_cast<std::size_t>(y) * picture.width + x) * channels;
      std::uint8_t* to =
          onto.pixels.data() + (static_cast<std::size_t>(top + y) * onto.width + (left + x)) * 3;
      for (std::size_t c = 0; c < 3; ++c) to[c] = from[channels == 3 ? c : 0];
    }
}

data::Image tile(const std::vector<data::Image>& pictures, int columns) {
  require(!pictures.empty() && columns >= 1, "tile: no pictures");
  const int width = pictures.front().width, height = pictures.front().height;
  const int rows = (static_cast<int>(pictures.size()) + columns - 1) / columns;
  data::Image sheet = blank_picture(columns * width, rows * height, kSheet);
  for (std::size_t i = 0; i < pictures.size(); ++i)
    paste(sheet, pictures[i], static_cast<int>(i) % columns * width, static_cast<int>(i) / columns * height);
  return sheet;
}

data::Image without_needless_color(data::Image picture) {
  std::vector<std::uint8_t>& pixels = picture.pixels;
  bool is_grey = picture.channels == 3;
  for (std::size_t i = 0; is_grey && i < pixels.size(); i += 3)
    is_grey = pixels[i] == pixels[i + 1] && pixels[i] == pixels[i + 2];
  if (!is_grey) return picture;
  for (std::size_t i = 0; 3 * i < pixels.size(); ++i) pixels[i] = pixels[3 * i];
  pixels.resize(pixels.size() / 3);
  picture.channels = 1;
  return picture;
}

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

int text_width(const std::string& text, int scale) {
  std::string letters = text;
  return stb_easy_font_width(letters.data()) * scale;
}

}  // namespace sagitta::apps
