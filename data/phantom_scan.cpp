#include "data/phantom_scan.h"

#include <numbers>
#include <span>

#include "tensor/error.h"

namespace sagitta::data {
namespace {

// Approximately normal, mean 0, deviation 1: sums of four uniform 16-bit numbers. Its short tails suit CT
// noise. One block of random bits makes two numbers.
void white_noise(std::uint64_t seed, std::uint64_t row, std::span<float> values) {
  for (std::size_t i = 0; i < values.size(); i += 2) {
    const random::Block block = random::philox(seed, i, row);
    const auto normal = [](std::uint32_t a, std::uint32_t b) {
      const auto sum = static_cast<float>((a & 0xFFFF) + (a >> 16) + (b & 0xFFFF) + (b >> 16));
      return (sum - 131070) * (1 / 37837.0f);
    };
    values[i] = normal(block.word[0], block.word[1]);
    if (i + 1 < values.size()) values[i + 1] = normal(block.word[2], block.word[3]);
  }
}

std::size_t index_of(int size, int row, int column) { return static_cast<std::size_t>(row) * size + column; }

// Noise is worst where the shoulders absorb most, and drawn out sideways there.
float shoulder_noise(const Scan& scan, float z) {
  const float depth = (scan.first.z - z) / 150;
  return smoothstep(0.62f, 0.95f, depth);
}

}  // namespace

Scan sample_scan(const Patient& patient, const ScanOptions& options, std::uint64_t seed, int study) {
  require(options.size >= 64 && options.size <= 1024, "phantom: size is {} pixels, expected 64 to 1024",
          options.size);
  require(options.step_mm >= 0.2 && options.step_mm <= 5, "phantom: slice step is {} mm, expected 0.2 to 5",
          options.step_mm);
  CounterRandom random(seed, 1000003u * static_cast<std::uint64_t>(study) + 3);
  Scan scan;
  scan.size = options.size;
  // Scanners offer round numbers.
  scan.pixel_mm = std::round(random.uniform(165, 205) / options.size * 1000) / 1000;
  scan.step_mm = std::round(options.step_mm * random.uniform(0.8, 1.2) * 20) / 20;
  scan.thickness_mm = std::round(scan.step_mm * (random.chance(0.5) ? 1.5 : 1.25) * 100) / 100;
  if (random.chance(0.08))
    scan.tilt = random.uniform(4, 12) * (random.chance(0.5) ? 1 : -1) * std::numbers::pi / 180;
  const float top = patient.frames[0].origin.z + static_cast<float>(random.uniform(20, 32)) * patient.size;
  const float bottom = patient.frames[8].origin.z - static_cast<float>(random.uniform(2, 14));
  scan.slices = static_cast<int>(std::ceil((top - bottom) / scan.step_mm));
  scan.first = {static_cast<float>(random.normal(0, 4)), static_cast<float>(random.normal(-6, 4)), top};
  scan.table = {0.5 * std::round(random.normal(0, 20)), 0.5 * std::round(random.normal(-150, 40)),
                0.1 * std::round(random.uniform(-9000, 9000))};
  scan.ascending = random.chance(0.06);
  scan.first_number = random.chance(0.1) ? 2 + random.below(40) : 1;
  const double encoding = random.uniform();
  if (encoding < 0.5) {
    scan.bits_stored = random.chance(0.7) ? 12 : 16;
  } else {
    scan.is_signed = true;
    scan.intercept = encoding < 0.75 ? -1024 : 0;
    scan.padding = -2000;
  }
  scan.noise_hu = random.uniform(12, 26);
  scan.sharpening = random.uniform(0.05, 0.2);
  scan.noise_seed = random.next();
  return scan;
}

Point voxel_position(const Scan& scan, int slice, double row, double column) {
  const double half = 0.5 * (scan.size - 1);
  const double back = (row - half) * scan.pixel_mm;
  return {static_cast<float>(scan.first.x + (column - half) * scan.pixel_mm),
          static_cast<float>(scan.first.y + back * std::cos(scan.tilt)),
          static_cast<float>(scan.first.z - slice * scan.step_mm + back * std::sin(scan.tilt))};
}

int file_number(const Scan& scan, int slice) {
  return scan.first_number + (scan.ascending ? scan.slices - 1 - slice : slice);
}

float blur_mm(const Scan& scan) {
  return static_cast<float>(0.55 * (scan.pixel_mm + std::max(scan.step_mm, scan.pixel_mm)));
}

std::vector<std::uint16_t> render_slice(const PhantomField& field, const Scan& scan, int slice) {
  const int n = scan.size;
  std::vector<float> hu(static_cast<std::size_t>(n) * n);
  std::vector<float> white(static_cast<std::size_t>(n));
  for (int r = 0; r < n; ++r) {
    white_noise(scan.noise_seed, static_cast<std::uint64_t>(slice) << 32 | static_cast<std::uint64_t>(r),
                white);
    const std::span row(hu.data() + index_of(n, r, 0), static_cast<std::size_t>(n));
    const Point start = voxel_position(scan, slice, r, 0);
    field.row(start, static_cast<float>(scan.pixel_mm), row);
    const float shoulder = shoulder_noise(scan, start.z), noise = static_cast<float>(scan.noise_hu);
    float streak = 0;
    for (int c = 0; c < n; ++c) {
      streak = 0.93f * streak + 0.37f * white[c];
      row[c] += noise * ((1 + 0.4f * shoulder) * white[c] + 1.1f * shoulder * streak);
    }
  }
  std::vector<std::uint16_t> stored(hu.size());
  const float sharp = static_cast<float>(scan.sharpening);
  const double low = scan.is_signed ? -32768 : 0, high = scan.bits_stored == 12 ? 4095 : 32767;
  for (int r = 0; r < n; ++r) {
    for (int c = 0; c < n; ++c) {
      const auto value = [&](int row, int column) {
        return hu[index_of(n, std::clamp(row, 0, n - 1), std::clamp(column, 0, n - 1))];
      };
      const float center = value(r, c);
      const float around = value(r - 1, c) + value(r + 1, c) + value(r, c - 1) + value(r, c + 1);
      const double sharpened = std::clamp(center + sharp * (4 * center - around), -1024.0f, 3071.0f);
      double word = std::clamp(std::round(sharpened - scan.intercept), low, high);
      const double from_center = std::hypot(r - 0.5 * (n - 1), c - 0.5 * (n - 1));
      if (scan.padding && from_center > 0.5 * n) word = *scan.padding;
      stored[index_of(n, r, c)] = static_cast<std::uint16_t>(static_cast<std::int32_t>(word));
    }
  }
  return stored;
}

std::optional<std::array<double, 4>> fracture_box(const Patient& patient, const Fracture& fracture,
                                                  const Scan& scan, int slice) {
  const Bounds box = patient.frames[fracture.level - 1].enclose(fracture.region());
  const double half = 0.5 * (scan.size - 1), cosine = std::cos(scan.tilt), sine = std::sin(scan.tilt);
  // Rows whose y and, in a tilted slice, z fall into the box.
  double from = (box.low.y - scan.first.y) / (cosine * scan.pixel_mm);
  double to = (box.high.y - scan.first.y) / (cosine * scan.pixel_mm);
  const double z = scan.first.z - slice * scan.step_mm;
  if (std::abs(sine) > 1e-6) {
    const double a = (box.low.z - z) / (sine * scan.pixel_mm), b = (box.high.z - z) / (sine * scan.pixel_mm);
    from = std::max(from, std::min(a, b));
    to = std::min(to, std::max(a, b));
  } else if (z < box.low.z || z > box.high.z) {
    return std::nullopt;
  }
  const double edge = scan.size - 1;
  const double y0 = std::clamp(from + half, 0.0, edge), y1 = std::clamp(to + half, 0.0, edge);
  const double x0 = std::clamp((box.low.x - scan.first.x) / scan.pixel_mm + half, 0.0, edge);
  const double x1 = std::clamp((box.high.x - scan.first.x) / scan.pixel_mm + half, 0.0, edge);
  if (y1 - y0 < 1 || x1 - x0 < 1) return std::nullopt;
  return std::array{x0, y0, x1 - x0, y1 - y0};
}

}  // namespace sagitta::data
