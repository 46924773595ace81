// PNG and JPEG files: round trip, refusal of what is damaged or absurd.
#include <doctest/doctest.h>

#include "data/counter_random.h"
#include "data/image.h"
#include "tensor/error.h"
#include "tests/temp_folder.h"

using namespace sagitta::data;
using sagitta::Error;
using sagitta::testing::read_bytes;
using sagitta::testing::TempFolder;
using sagitta::testing::write_bytes;

namespace {

Image noisy_image(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  CounterRandom random(1, static_cast<std::uint64_t>(width));
  for (int i = 0; i < width * height * channels; ++i)
    image.pixels.push_back(static_cast<std::uint8_t>(random.below(256)));
  return image;
}

// A 2x2 grey baseline JPEG, all mid-grey.
const std::string& tiny_jpeg() {
  static const std::string kBytes = [] {
    std::string bytes("\xFF\xD8\xFF\xDB\x00\x43\x00", 7);
    bytes += std::string(64, '\x01');
    bytes += std::string("\xFF\xC0\x00\x0B\x08\x00\x02\x00\x02\x01\x01\x11\x00", 13);
    bytes += std::string("\xFF\xC4\x00\x14\x00\x01", 6) + std::string(15, '\0') +
             std::string("\x00", 1);  // DC: one code
    bytes += std::string("\xFF\xC4\x00\x14\x10\x01", 6) + std::string(15, '\0') +
             std::string("\x00", 1);  // AC: one code
    bytes += std::string("\xFF\xDA\x00\x08\x01\x01\x00\x00\x3F\x00", 10);
    bytes += std::string("\x3F\xFF\xD9", 3);
    return bytes;
  }();
  return kBytes;
}

}  // namespace

TEST_CASE("image: PNG round trip for every number of channels") {
  const TempFolder folder;
  for (int channels = 1; channels <= 4; ++channels) {
    const Image image = noisy_image(37, 21, channels);
    write_png(folder / "i.png", image);
    const Image back = read_image(folder / "i.png");
    CHECK(back.width == 37);
    CHECK(back.height == 21);
    CHECK(back.channels == channels);
    CHECK(back.pixels == image.pixels);
  }
  CHECK_FALSE(std::filesystem::exists(folder / "i.png.partial"));
}

TEST_CASE("image: JPEG is read") {
  const TempFolder folder;
  write_bytes(folder / "i.jpg", tiny_jpeg());
  const Image image = read_image(folder / "i.jpg");
  CHECK(image.width == 2);
  CHECK(image.channels == 1);
  CHECK(image.pixels == std::vector<std::uint8_t>{128, 128, 128, 128});
}

TEST_CASE("image: inconsistent images, missing files and other formats are refused") {
  const TempFolder folder;
  CHECK_THROWS_AS(write_png(folder / "i.png", Image{2, 2, 1, {1, 2, 3}}), Error);
  CHECK_THROWS_AS(write_png(folder / "i.png", Image{0, 2, 1, {}}), Error);
  CHECK_THROWS_AS(write_png(folder / "i.png", Image{1, 1, 5, {1, 2, 3, 4, 5}}), Error);
  CHECK_THROWS_AS(write_png(folder / "none/i.png", noisy_image(2, 2, 1)), Error);
  CHECK_THROWS_AS(read_image(folder / "missing.png"), Error);
  CHECK_THROWS_AS(read_image(folder.path()), Error);
  write_bytes(folder / "i.bmp", "BM not an image");
  CHECK_THROWS_AS(read_image(folder / "i.bmp"), Error);
  write_bytes(folder / "empty.png", "");
  CHECK_THROWS_AS(read_image(folder / "empty.png"), Error);
}

TEST_CASE("image: every flipped bit of a PNG is noticed, every cut is refused") {
  const TempFolder folder;
  const Image image = noisy_image(19, 11, 1);
  write_png(folder / "i.png", image);
  const std::string good = read_bytes(folder / "i.png");
  for (std::size_t size = 0; size < good.size(); ++size) {
    write_bytes(folder / "cut.png", std::string_view(good).substr(0, size));
    REQUIRE_THROWS_AS(read_image(folder / "cut.png"), Error);
  }
  for (std::size_t byte = 0; byte < good.size(); ++byte) {
    std::string bytes = good;
    bytes[byte] ^= static_cast<char>(1 << byte % 8);
    write_bytes(folder / "flip.png", bytes);
    REQUIRE_THROWS_AS(read_image(folder / "flip.png"), Error);
  }
}

TEST_CASE("image: damaged JPEGs never crash") {
  const TempFolder folder;
  CounterRandom random(3, 0);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = tiny_jpeg();
    if (random.chance(0.3))
      bytes.resize(static_cast<std::size_t>(2 + random.below(static_cast<int>(bytes.size()) - 2)));
    for (int flips = 1 + random.below(5); flips > 0; --flips)
      bytes[2 + random.below(static_cast<int>(bytes.size()) - 1) % (bytes.size() - 1)] ^=
          static_cast<char>(1 << random.below(8));
    write_bytes(folder / "j.jpg", bytes);
    try {
      const Image image = read_image(folder / "j.jpg");
      REQUIRE(image.pixels.size() == static_cast<std::size_t>(image.width) * image.height * image.channels);
    } catch (const Error&) {
    }
  }
}
