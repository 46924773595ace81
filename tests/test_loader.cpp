// Slices to batches: the manifest, letterboxing, augmentation, and the loader's independence of threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <thread>

#include "data/loader.h"
#include "temp_folder.h"
#include "tensor/backend.h"
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

constexpr ImageParams kImageNet{.mean = {0.485F, 0.456F, 0.406F}, .std = {0.229F, 0.224F, 0.225F}};

// What a model gets: the augmented bytes, mirrored and normalized by the device.
std::vector<float> network_input(const Image& square, const Augmentation& drawn, const ImageParams& params) {
  const std::int64_t size = square.width;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size * size * 3));
  augment(square, drawn, bytes);
  Backend& backend = cpu_backend();
  Tensor values(backend, {1, size, size, 3}, DType::f32);
  backend.normalize_image(params, from_host(backend, values.shape(), bytes),
                          from_host<std::int32_t>(backend, {1, 3}, {0, 0, drawn.flip ? 1 : 0}), values);
  return to_host<float>(values);
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
  LoaderOptions of_one = options_for(1), of_four = options_for(4);
  for (LoaderOptions* options : {&of_one, &of_four}) {
    options->mix = {.mixup = 0.4, .cutmix = 1};
    options->label_smoothing = 0.1;
  }
  Loader one(set, of_one), four(set, of_four);
  for (const std::int64_t epoch : {0, 1}) {
    const auto a = epoch_of(one, epoch), b = epoch_of(four, epoch);
    REQUIRE(a.size() == 3);
    REQUIRE(b.size() == a.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      CHECK(a[i].records == b[i].records);
      CHECK(a[i].pixels == b[i].pixels);
      CHECK(a[i].labels == b[i].labels);
      CHECK(a[i].crop == b[i].crop);
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

TEST_CASE("every slice comes once with each variant, one after another") {
  const TempFolder folder;
  const SliceSet set = make_set(folder, 5);
  LoaderOptions options = options_for(2);
  options.shuffle = false;
  options.variants = {{}, {.zoom = 1.2}, {.shift_x = 0.1, .flip = true}};
  Loader loader(set, options);
  CHECK(loader.batches_per_epoch() == 4);  // 15 rows in batches of 4
  std::size_t row = 0;
  constexpr std::size_t kPixels = 16 * 16 * 3;
  for (const Batch& batch : epoch_of(loader, 0))
    for (std::int64_t i = 0; i < batch.size; ++i, ++row) {
      const std::size_t at = static_cast<std::size_t>(i);
      REQUIRE(batch.records[at] == row / 3);
      std::vector<std::uint8_t> expected(kPixels);
      augment(letterbox(read_slice(set, set.records[row / 3]), 16), options.variants[row % 3], expected);
      CHECK(std::equal(expected.begin(), expected.end(),
                       batch.pixels.begin() + static_cast<std::ptrdiff_t>(at * kPixels)));
      CHECK(batch.crop[3 * at + 2] == (row % 3 == 2 ? 1 : 0));
      CHECK(batch.labels[2 * at] == set.records[row / 3].labels[1]);
    }
  CHECK(row == 15);
}

TEST_CASE("an epoch that was begun early is not begun again, but one that failed is") {
  const TempFolder folder;
  const SliceSet set = make_set(folder, 10);
  Loader loader(set, options_for(2));  // four batches ahead: more than there are
  const auto expected = epoch_of(loader, 1);
  loader.start(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  for (const SliceRecord& record : set.records) std::filesystem::remove(folder / record.file);
  const auto batches = epoch_of(loader, 1);
  REQUIRE(batches.size() == expected.size());
  for (std::size_t i = 0; i < batches.size(); ++i) CHECK(batches[i].pixels == expected[i].pixels);

  CHECK_THROWS_AS(epoch_of(loader, 2), Error);
  make_set(folder, 10);
  CHECK(epoch_of(loader, 2).size() == expected.size());
}

TEST_CASE("mirroring is left to the device: the batch says which pictures, and the bytes do not change") {
  const TempFolder folder;
  const SliceSet set = make_set(folder, 8);
  LoaderOptions options = options_for(1);
  options.batch_size = 8;
  std::vector<std::vector<std::uint8_t>> pixels;
  int mirrored = -1;
  for (const double flip : {0.0, 0.5, 1.0}) {
    options.augment.flip = flip;
    Loader loader(set, options);
    const Batch batch = epoch_of(loader, 0).at(0);
    REQUIRE(batch.crop.size() == 3 * 8);
    int count = 0;
    for (std::size_t i = 0; i < batch.crop.size(); i += 3) {
      CHECK(batch.crop[i] == 0);
      CHECK(batch.crop[i + 1] == 0);
      count += batch.crop[i + 2];
    }
    CHECK(count > mirrored);
    mirrored = count;
    pixels.push_back(batch.pixels);
  }
  CHECK(mirrored == 8);
  CHECK(pixels[0] == pixels[1]);
  CHECK(pixels[0] == pixels[2]);
}

TEST_CASE("a damaged picture stops the epoch with its name") {
  const TempFolder folder;
  const SliceSet set = make_set(folder, 5);
  testing::write_bytes(folder / "s3.png", "not a picture");
  Loader loader(set, options_for(2));
  CHECK_THROWS_WITH_AS(epoch_of(loader, 0), doctest::Contains("s3.png"), Error);
}

TEST_CASE("a damaged picture stops the epoch at its batch, not where a thread ran into it") {
  const TempFolder folder;
  const SliceSet set = make_set(folder, 20);
  testing::write_bytes(folder / "s17.png", "not a picture");
  LoaderOptions options = options_for(3);  // six batches ahead: more than there are
  options.shuffle = false;
  Loader loader(set, options);
  loader.start(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  for (int batch = 0; batch < 4; ++batch) CHECK(loader.next());
  CHECK_THROWS_WITH_AS(loader.next(), doctest::Contains("s17.png"), Error);
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
  const std::vector<float> values = network_input(image, {}, kImageNet);
  for (std::size_t i = 0; i < 27; ++i)
    CHECK(values[i] ==
          doctest::Approx((image.pixels[i] / 255.0 - static_cast<double>(kImageNet.mean[i % 3])) /
                          static_cast<double>(kImageNet.std[i % 3])));
}

TEST_CASE("the augmented input is the continuous formula, rounded to whole grey levels and no further") {
  constexpr int kSize = 11;
  for (const int channels : {1, 3}) {
    Image image{.width = kSize, .height = kSize, .channels = channels, .pixels = {}};
    for (int i = 0; i < kSize * kSize * channels; ++i)
      image.pixels.push_back(static_cast<std::uint8_t>((i * i * 7 + i * 31) % 256));
    for (const bool flip : {false, true}) {
      const Augmentation drawn{.angle = 0.3,
                               .zoom = 1.1,
                               .shift_x = 0.1,
                               .shift_y = -0.05,
                               .brightness = 0.1,
                               .gain = 1.2,
                               .flip = flip};
      const std::vector<float> values = network_input(image, drawn, kImageNet);
      const auto pixel = [&](int x, int y, int c) {
        if (x < 0 || y < 0 || x >= kSize || y >= kSize) return 0.0;
        return static_cast<double>(
            image.pixels[static_cast<std::size_t>((y * kSize + x) * channels + (channels == 1 ? 0 : c))]);
      };
      const double middle = (kSize - 1) / 2.0, cosine = std::cos(0.3) / 1.1, sine = std::sin(0.3) / 1.1;
      for (int y = 0; y < kSize; ++y)
        for (int x = 0; x < kSize; ++x)
          for (int c = 0; c < 3; ++c) {
            const double u = (flip ? kSize - 1 - x : x) - middle - 0.1 * kSize, v = y - middle + 0.05 * kSize;
            const double sx = cosine * u + sine * v + middle, sy = -sine * u + cosine * v + middle;
            const double fx = sx - std::floor(sx), fy = sy - std::floor(sy);
            const int x0 = static_cast<int>(std::floor(sx)), y0 = static_cast<int>(std::floor(sy));
            const double grey = (1 - fy) * ((1 - fx) * pixel(x0, y0, c) + fx * pixel(x0 + 1, y0, c)) +
                                fy * ((1 - fx) * pixel(x0, y0 + 1, c) + fx * pixel(x0 + 1, y0 + 1, c));
            const double level = std::clamp((grey / 255 - 0.5) * 1.2 + 0.6, 0.0, 1.0);
            const auto channel = static_cast<std::size_t>(c);
            const double std = static_cast<double>(kImageNet.std[channel]);
            const double expected = (level - static_cast<double>(kImageNet.mean[channel])) / std;
            const double half_a_level = 0.5 / 255 / std;
            const double value =
                static_cast<double>(values[static_cast<std::size_t>((y * kSize + x) * 3 + c)]);
            REQUIRE(std::abs(value - expected) <= half_a_level + 1e-6);
          }
    }
  }
}

TEST_CASE("augmentation moves, turns and mirrors as told, and never upside down") {
  Image image{.width = 9, .height = 9, .channels = 1, .pixels = std::vector<std::uint8_t>(81, 0)};
  image.pixels[1 * 9 + 2] = 255;  // row 1, column 2
  const auto brightest = [&](const Augmentation& augmentation) {
    const std::vector<float> values = network_input(image, augmentation, {});
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

TEST_CASE("labels are smoothed, and an epoch can be limited to its first batches") {
  const TempFolder folder;
  const SliceSet set = make_set(folder, 11);
  LoaderOptions options = options_for(2);
  Loader all(set, options);
  options.label_smoothing = 0.2;
  options.max_batches = 2;
  Loader first(set, options);
  CHECK(first.batches_per_epoch() == 2);
  const auto expected = epoch_of(all, 3), got = epoch_of(first, 3);
  REQUIRE(expected.size() == 3);
  REQUIRE(got.size() == 2);
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i].records == expected[i].records);
    CHECK(got[i].pixels == expected[i].pixels);
    for (std::size_t k = 0; k < got[i].labels.size(); ++k)
      CHECK(got[i].labels[k] == doctest::Approx(expected[i].labels[k] == 1 ? 0.9 : 0.1));
  }
  options.max_batches = 100;
  CHECK(Loader(set, options).batches_per_epoch() == 3);
}
