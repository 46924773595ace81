// The pictures of a run: a batch exactly as the device makes it, and the slices that a model is most wrong
// about.
#include <doctest/doctest.h>

#include <cmath>

#include "apps/train/training_pictures.h"
#include "data/loader.h"
#include "temp_folder.h"

using namespace sagitta;
using namespace sagitta::apps;
using sagitta::testing::TempFolder;

namespace {

constexpr int kMargin = 4;  // of a slice in its frame

// `count` slices of kShownSide, each of a study of its own, grey or in colors.
data::SliceSet slices_in(const TempFolder& folder, int count, int channels) {
  data::SliceSet slices{.root = folder.path(), .records = {}};
  for (int i = 0; i < count; ++i) {
    data::Image image{.width = kShownSide, .height = kShownSide, .channels = channels, .pixels = {}};
    for (int k = 0; k < kShownSide * kShownSide * channels; ++k)
      image.pixels.push_back(static_cast<std::uint8_t>((k * (i + 3) + 41 * i) % 251));
    data::SliceRecord record{
        .file = fmt::format("{}.png", i), .study = fmt::format("study-{}", i), .labeled = true};
    record.labels[1] = static_cast<float>(i % 2);
    data::write_png(folder / record.file, image);
    slices.records.push_back(record);
  }
  return slices;
}

// The pixel of the sheet that shows pixel (x, y) of slice i, in a sheet whose frames have this height.
const std::uint8_t* shown(const data::Image& sheet, int frame_height, int i, int x, int y) {
  const int left = i % 4 * (kShownSide + 2 * kMargin) + kMargin, top = i / 4 * frame_height + kMargin;
  return sheet.pixels.data() + (static_cast<std::size_t>(top + y) * static_cast<std::size_t>(sheet.width) +
                                static_cast<std::size_t>(left + x)) *
                                   static_cast<std::size_t>(sheet.channels);
}

}  // namespace

TEST_CASE(
    "the picture of a batch is what the device is given, mirrored and mixed, without the normalization") {
  for (const int channels : {1, 3}) {
    CAPTURE(channels);
    const TempFolder folder;
    const data::SliceSet slices = slices_in(folder, 20, channels);
    data::LoaderOptions options{.batch_size = 18, .image_size = kShownSide, .seed = 3, .labels = {1, 2}};
    options.augment = {.rotation_degrees = 10, .brightness = 0.1, .flip = 0.5};
    options.mix = {.mixup = 0.4, .cutmix = 0.4};
    data::Loader loader(slices, options);
    loader.start(0);
    const data::Batch batch = *loader.next();
    const ImageParams params{.mean = {0.4F, 0.5F, 0.6F}, .std = {0.2F, 0.25F, 0.3F}};
    Tensor pixels(cpu_backend(), {batch.size, kShownSide, kShownSide, 3}, DType::f32);
    cpu_backend().normalize_image(params, from_host(cpu_backend(), pixels.shape(), batch.pixels),
                                  from_host(cpu_backend(), {batch.size, 3}, batch.crop), pixels);
    const std::vector<float> seen = to_host<float>(pixels);

    const data::Image sheet = batch_picture(batch, {"C1", "C2"}, 0);
    CHECK(sheet.channels == channels);
    CHECK(sheet.width == 4 * (kShownSide + 2 * kMargin));
    const int frame_height = sheet.height / 4;  // 16 of the 18
    std::size_t wrong = 0, mirrored = 0;
    for (int i = 0; i < 16; ++i) {
      mirrored += batch.crop[static_cast<std::size_t>(3 * i + 2)] != 0;
      for (int y = 0; y < kShownSide; ++y)
        for (int x = 0; x < kShownSide; ++x)
          for (int c = 0; c < channels; ++c) {
            const auto channel = static_cast<std::size_t>(c);
            const float value =
                seen[(static_cast<std::size_t>((i * kShownSide + y) * kShownSide + x)) * 3 + channel];
            const auto byte = std::lround(255 * (value * params.std[channel] + params.mean[channel]));
            wrong += shown(sheet, frame_height, i, x, y)[c] != byte;
          }
    }
    CHECK(wrong == 0);
    CHECK(mirrored > 0);
    CHECK(mirrored < 16);
  }
}

TEST_CASE("labels stand below their picture, but for those that smoothing alone has raised") {
  data::Batch batch;
  batch.size = 1;
  batch.side = 2;
  batch.pixels.assign(12, 90);
  batch.crop.assign(3, 0);
  const auto text_of = [&](std::vector<float> labels, double floor) {
    batch.labels = std::move(labels);
    return batch_picture(batch, {"C1", "C2"}, floor).pixels;
  };
  const auto none = text_of({0, 0}, 0), first = text_of({1, 0}, 0);
  CHECK(none != first);
  CHECK(text_of({0.05F, 0.05F}, 0.05) == none);
  CHECK(text_of({1, 0.05F}, 0.05) == first);
  CHECK(text_of({1, 0.05F}, 0) != first);
  CHECK(text_of({0.95F, 0.05F}, 0.05) != first);
}

TEST_CASE("the hardest slices are those with the highest loss, one of each study, the highest first") {
  const TempFolder folder;
  data::SliceSet slices = slices_in(folder, 12, 1);
  Predictions predictions{.labels = 2, .logits = {}, .targets = {}};
  for (int i = 0; i < 12; ++i) {
    slices.records[static_cast<std::size_t>(i)].study = fmt::format("study-{}", i / 2);
    const auto target = static_cast<float>(i % 2);
    // Further off from slice to slice, but for the last two, which are equally right.
    const auto wrong = static_cast<float>(i < 10 ? i : -5);
    predictions.logits.insert(predictions.logits.end(), {target > 0.5F ? -wrong : wrong, -9});
    predictions.targets.insert(predictions.targets.end(), {target, 0});
  }
  CHECK(hardest_rows(slices, predictions, {}) == std::vector<std::size_t>{9, 7, 5, 3, 1, 10});
  // Weighed down, the positive ones (odd) are no longer the worst of their studies.
  const std::vector<float> weights{0.1F, 1};
  CHECK(hardest_rows(slices, predictions, weights) == std::vector<std::size_t>{8, 6, 4, 2, 0, 10});
  const std::vector<double> losses = row_losses(predictions);
  CHECK(losses[9] == doctest::Approx((std::log1p(std::exp(9.0)) + std::log1p(std::exp(-9.0))) / 2));

  const data::Image sheet = hardest_picture(slices, predictions, {"C1", "C2"}, {});
  CHECK(sheet.channels == 1);
  const int frame_height = sheet.height / 2;
  int place = 0;
  for (const std::size_t row : {9, 7, 5, 3, 1, 10}) {
    CAPTURE(row);
    const data::Image slice = data::read_slice(slices, slices.records[row]);
    std::size_t wrong = 0;
    for (int y = 0; y < kShownSide; ++y)
      for (int x = 0; x < kShownSide; ++x)
        wrong += *shown(sheet, frame_height, place, x, y) !=
                 slice.pixels[static_cast<std::size_t>(y * kShownSide + x)];
    CHECK(wrong == 0);
    ++place;
  }
}

TEST_CASE("a run of any length shows few pictures") {
  int shown = 0;
  for (int epoch = 1; epoch <= 300; ++epoch) shown += shows_hardest(epoch, epoch == 300);
  CHECK(shown == 9 + 1);
  for (const int epoch : {1, 2, 4, 8}) CHECK(shows_hardest(epoch, false));
  CHECK_FALSE(shows_hardest(3, false));
  CHECK(shows_hardest(3, true));
}
