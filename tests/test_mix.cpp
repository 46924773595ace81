// Mixing pictures of a batch: the proportions drawn, and that pictures and labels are mixed alike, as the
// network sees them.
#include <doctest/doctest.h>

#include <cmath>

#include "data/mix.h"

using namespace sagitta;
using namespace sagitta::data;

namespace {

constexpr int kSide = 16;
constexpr std::size_t kLabels = 2;

// Five pictures, two of them mirrored; label 0 tells them apart.
Batch make_batch() {
  Batch batch{.size = 5, .side = kSide, .pixels = {}, .crop = {}, .labels = {}, .records = {}};
  for (std::size_t i = 0; i < 5; ++i) {
    for (int k = 0; k < kSide * kSide * 3; ++k)
      batch.pixels.push_back(static_cast<std::uint8_t>((k * 7 + static_cast<int>(i) * 53) % 251));
    batch.crop.insert(batch.crop.end(), {0, 0, i == 1 || i == 4 ? 1 : 0});
    batch.labels.insert(batch.labels.end(), {i < 2 ? 1.0F : 0.0F, i == 2 ? 1.0F : 0.0F});
  }
  return batch;
}

// The byte that the network sees.
int seen(const Batch& batch, std::size_t picture, int y, int x, int channel) {
  const int column = batch.crop[picture * 3 + 2] != 0 ? kSide - 1 - x : x;
  return batch
      .pixels[((picture * kSide + static_cast<std::size_t>(y)) * kSide + static_cast<std::size_t>(column)) *
                  3 +
              static_cast<std::size_t>(channel)];
}

template <class Visit>
void for_each_byte(Visit&& visit) {
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x)
      for (int c = 0; c < 3; ++c) visit(y, x, c);
}

}  // namespace

TEST_CASE("a symmetric beta distribution has its mean and variance") {
  for (const double alpha : {0.1, 0.4, 1.0, 3.0}) {
    CAPTURE(alpha);
    CounterRandom random(1, 2);
    constexpr int kDraws = 40000;
    double sum = 0, squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double value = symmetric_beta(alpha, random);
      REQUIRE((value >= 0 && value <= 1));
      sum += value;
      squares += (value - 0.5) * (value - 0.5);
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    CHECK(std::abs(sum / kDraws - 0.5) < 5 * std::sqrt(variance / kDraws));
    CHECK(squares / kDraws == doctest::Approx(variance).epsilon(0.03));
  }
}

TEST_CASE("mixup blends pictures and labels in one proportion, mirrored pictures as they are seen") {
  const Batch before = make_batch();
  Batch after = before;
  mix(after, {.mixup = 1}, {3, 4, 5});
  for (const std::size_t i : {0, 1, 3, 4}) {
    CAPTURE(i);
    const std::size_t other = 4 - i;
    // Label 0 is 1 for the first of each pair and 0 for the other.
    const double kept = i < 2 ? after.labels[i * kLabels] : 1 - after.labels[i * kLabels];
    CHECK((kept > 0 && kept < 1));
    for_each_byte([&](int y, int x, int c) {
      const double expected = kept * seen(before, i, y, x, c) + (1 - kept) * seen(before, other, y, x, c);
      REQUIRE(std::abs(seen(after, i, y, x, c) - expected) <= 0.501);
    });
  }
  CHECK(after.labels[0] != after.labels[kLabels]);  // each pair draws its own
  for_each_byte([&](int y, int x, int c) { REQUIRE(seen(after, 2, y, x, c) == seen(before, 2, y, x, c)); });
  CHECK(after.labels[2 * kLabels + 1] == 1);
}

TEST_CASE("CutMix exchanges a rectangle, and labels by its area") {
  const Batch before = make_batch();
  bool exchanged = false;
  for (std::uint32_t step = 0; step < 8; ++step) {
    CAPTURE(step);
    Batch after = before;
    mix(after, {.cutmix = 1}, {3, 4, step});
    for (const std::size_t i : {0, 1}) {
      int own = 0, others = 0, left = kSide, right = 0, top = kSide, bottom = 0;
      for_each_byte([&](int y, int x, int c) {
        const int value = seen(after, i, y, x, c);
        REQUIRE((value == seen(before, i, y, x, c) || value == seen(before, 4 - i, y, x, c)));
        REQUIRE(seen(after, 4 - i, y, x, c) ==
                seen(before, value == seen(before, i, y, x, c) ? 4 - i : i, y, x, c));
        if (value == seen(before, i, y, x, c)) {
          ++own;
          return;
        }
        ++others;
        left = std::min(left, x), right = std::max(right, x), top = std::min(top, y),
        bottom = std::max(bottom, y);
      });
      const double share = static_cast<double>(own) / (own + others);
      CHECK(after.labels[i * kLabels] == doctest::Approx(share).epsilon(1e-6));
      CHECK(after.labels[(4 - i) * kLabels] == doctest::Approx(1 - share).epsilon(1e-6));
      if (others == 0) continue;
      exchanged = true;
      CHECK(others == 3 * (right - left + 1) * (bottom - top + 1));
    }
  }
  CHECK(exchanged);
}

TEST_CASE("with both, some pairs are blended and others cut; without either nothing happens") {
  const Batch before = make_batch();
  int blended = 0, cut = 0;
  for (std::uint32_t step = 0; step < 20; ++step) {
    Batch after = before;
    mix(after, {.mixup = 1, .cutmix = 1}, {3, 4, step});
    bool is_cut = true;
    for_each_byte([&](int y, int x, int c) {
      const int value = seen(after, 0, y, x, c);
      is_cut &= value == seen(before, 0, y, x, c) || value == seen(before, 4, y, x, c);
    });
    ++(is_cut ? cut : blended);
  }
  CHECK(blended >= 4);
  CHECK(cut >= 4);
  Batch after = before;
  mix(after, {}, {3, 4, 5});
  CHECK(after.pixels == before.pixels);
  CHECK(after.labels == before.labels);
}
