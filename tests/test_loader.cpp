// Slices to batches: the manifest, letterboxing, augmentation, and the loader's independence of threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include "data/loader.h"
#include "temp_folder.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::data;
using sagitta::testing::TempFolder;

namespace {

constexpr const char* kHeader = "slice,study,x_mm,patient_overall,C1,C2,C3,C4,C5,C6,C7\n";

// `count` pictures of 12 x 20 pixels in three studies, each filled with a ramp of its own.
SliceSet make_set(const TempFolder& folder, int count) {
  std::string manifest = kHeader;
  for (int i = 0; i < count; ++i) {
    Image image{.width = 12, .height = 20, .channels = 1, .pixels = {}};
    for (int k = 0; k < 240; ++k) image.pixels.push_back(static_cast<std::uint8_t>((k + 7 * i) % 256));
    const std::string name = "s" + std::to_string(i) + ".png";
    write_png(folder / name, image);
    manifest += name + ",study" + std::to_string(i % 3) + "," + std::to_string(i) +
                (i % 3 == 0 ? ",1,1" : ",0,0") + ",0,0,0,0,0,0\n";
  }
  testing::write_bytes(folder / "manifest.csv", manifest);
  return read_slice_set(folder.path());
}

std::vector<Batch> epoch_of(Loader& loader, std::int64_t epoch, std::int64_t first = 0) {
  std::vector<Batch> batches;
  loader.start(epoch, first);
  while (auto batch = loader.next()) batches.push_back(std::move(*batch));
  return batches;
}

LoaderOptions options_for(int threads) {
  LoaderOptions options;
  options.batch_size = 4;
  options.image_size = 16;
  options.shuffle = true;
  options.seed = 9;
  options.threads = threads;
  options.labels = {1, 2};
  options.augment = {
      .rotation_degrees = 20, .scale = 0.2, .shift = 0.1, .brightness = 0.1, .contrast = 0.2, .flip = 0.5};
  return options;
}

}  // namespace

TEST_CASE("the manifest gives slices grouped by study, with their labels") {
  const TempFolder folder;
  const SliceSet set = make_set(folder, 7);
  REQUIRE(set.records.size() == 7);
  CHECK(set.studies() == std::vector<std::string>{"study0", "study1", "study2"});
  CHECK(set.records[0].labels[1] == 1);
  CHECK(set.of_studies({"study1"}).records.size() == 2);
}

TEST_CASE("a manifest that cannot be trusted is refused with its line") {
  const TempFolder folder;
  const auto refuse = [&](const std::string& rows, const char* expected) {
    testing::write_bytes(folder / "manifest.csv", kHeader + rows);
    CHECK_THROWS_WITH_AS(read_slice_set(folder.path()), doctest::Contains(expected), Error);
  };
  refuse("../x.png,s,0,0,0,0,0,0,0,0,0\n", "not a path inside");
  refuse("/etc/passwd,s,0,0,0,0,0,0,0,0,0\n", "not a path inside");
  refuse("x.png,s,0,2,0,0,0,0,0,0,0\n", "expected 0 or 1");
  refuse("x.png,s,0,1,,0,0,0,0,0,0\n", "all or none");
  refuse("x.png,s,0,1,1,0,0,0,0,0,0\ny.png,s,0,0,0,0,0,0,0,0,0\n", "differ");
  refuse("", "lists no slices");
  testing::write_bytes(folder / "manifest.csv", "slice,study\n");
  CHECK_THROWS_AS(read_slice_set(folder.path()), Error);
  CHECK_THROWS_WITH_AS(read_slice_set(folder / "nowhere"), doctest::Contains("reslice"), Error);
}

TEST_CASE("batches do not depend on the number of threads") {
  const TempFolder folder;
  const SliceSet set = make_set(folder, 11);
  Loader one(set, options_for(1)), four(set, options_for(4));
  for (const std::int64_t epoch : {0, 1}) {
    const auto a = epoch_of(one, epoch), b = epoch_of(four, epoch);
    REQUIRE(a.size() == 3);
    REQUIRE(b.size() == a.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      CHECK(a[i].records == b[i].records);
      CHECK(a[i].pixels == b[i].pixels);
      CHECK(a[i].labels == b[i].labels);
    }
  }
}

TEST_CASE("an epoch shows every slice once, in an order of its own, and can start in its middle") {
  const TempFolder folder;
  const SliceSet set = make_set(folder, 10);
  Loader loader(set, options_for(2));
  const auto order_of = [](const std::vector<Batch>& batches) {
    std::vector<std::size_t> order;
    for (const Batch& batch : batches) order.insert(order.end(), batch.records.begin(), batch.records.end());
    return order;
  };
  const auto first = epoch_of(loader, 0);
  const std::vector<std::size_t> order = order_of(first);
  CHECK(std::set<std::size_t>(order.begin(), order.end()).size() == 10);
  CHECK(order != order_of(epoch_of(loader, 1)));
  const auto tail = epoch_of(loader, 0, 1);
  REQUIRE(tail.size() == first.size() - 1);
  CHECK(tail[0].pixels == first[1].pixels);
  LoaderOptions dropping = options_for(1);
  dropping.drop_last = true;
  Loader whole(set, dropping);
  CHECK(epoch_of(whole, 0).size() == 2);
}

TEST_CASE("a damaged picture stops the epoch with its name") {
  const TempFolder folder;
  const SliceSet set = make_set(folder, 5);
  testing::write_bytes(folder / "s3.png", "not a picture");
  Loader loader(set, options_for(2));
  CHECK_THROWS_WITH_AS(epoch_of(loader, 0), doctest::Contains("s3.png"), Error);
}

TEST_CASE("letterboxing keeps the aspect, centers, and averages when it shrinks") {
  Image image{.width = 4, .height = 8, .channels = 1, .pixels = std::vector<std::uint8_t>(32, 200)};
  const Image box = letterbox(image, 4);
  for (int y = 0; y < 4; ++y) {
    CHECK(box.pixels[static_cast<std::size_t>(y) * 4] == 0);
    CHECK(box.pixels[static_cast<std::size_t>(y) * 4 + 1] == 200);
    CHECK(box.pixels[static_cast<std::size_t>(y) * 4 + 3] == 0);
  }
  // Stripes of one pixel become their mean, not a moire pattern.
  Image stripes{.width = 64, .height = 64, .channels = 1, .pixels = {}};
  for (int i = 0; i < 64 * 64; ++i) stripes.pixels.push_back(i % 2 == 0 ? 255 : 0);
  for (std::uint8_t value : letterbox(stripes, 16).pixels) CHECK(std::abs(value - 127.5) < 1);
}

TEST_CASE("without augmentation the network sees the normalized pixels") {
  Image image{.width = 3, .height = 3, .channels = 3, .pixels = {}};
  for (int i = 0; i < 27; ++i) image.pixels.push_back(static_cast<std::uint8_t>(9 * i));
  std::vector<float> values(27);
  const Normalization normalization;
  to_network_input(image, Augmentation{}, normalization, values);
  for (std::size_t i = 0; i < 27; ++i)
    CHECK(values[i] ==
          doctest::Approx((image.pixels[i] / 255.0 - normalization.mean[i % 3]) / normalization.std[i % 3]));
}

TEST_CASE("augmentation moves, turns and mirrors as told, and never upside down") {
  Image image{.width = 9, .height = 9, .channels = 1, .pixels = std::vector<std::uint8_t>(81, 0)};
  image.pixels[1 * 9 + 2] = 255;  // row 1, column 2
  const Normalization plain{.mean = {0, 0, 0}, .std = {1, 1, 1}};
  const auto brightest = [&](const Augmentation& augmentation) {
    std::vector<float> values(9 * 9 * 3);
    to_network_input(image, augmentation, plain, values);
    const auto index = std::max_element(values.begin(), values.end()) - values.begin();
    return std::pair{static_cast<int>(index / 27), static_cast<int>(index / 3 % 9)};
  };
  CHECK(brightest({}) == std::pair{1, 2});
  CHECK(brightest({.flip = true}) == std::pair{1, 6});
  CHECK(brightest({.shift_x = 1.0 / 9, .shift_y = 2.0 / 9}) == std::pair{3, 3});
  CHECK(brightest({.angle = std::acos(-1.0) / 2}) == std::pair{2, 7});
  AugmentOptions all{
      .rotation_degrees = 10, .scale = 0.1, .shift = 0.1, .brightness = 0.2, .contrast = 0.2, .flip = 1};
  for (std::uint32_t i = 0; i < 100; ++i) {
    const Augmentation drawn = draw(all, {1, 2, i});
    CHECK(std::abs(drawn.angle) <= 10.0001 * std::acos(-1.0) / 180);
    CHECK(std::abs(drawn.zoom - 1) <= 0.1001);
    CHECK(drawn.flip);
  }
}
