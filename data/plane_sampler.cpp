#include "data/plane_sampler.h"

#include <algorithm>

namespace sagitta::data {

Sampler::Sampler(const Volume& volume) : volume_(volume), normal_(volume.normal()) {
  for (const Vec3& position : volume.positions) {
    along_.push_back(dot(position, normal_));
    column_origin_.push_back(dot(position, volume.row_direction) / volume.column_spacing);
    row_origin_.push_back(dot(position, volume.column_direction) / volume.row_spacing);
  }
  mean_gap_ =
      along_.size() > 1 ? (along_.back() - along_.front()) / static_cast<double>(along_.size() - 1) : 1;
}

bool Sampler::bracket(double t, Bracket& found) const {
  const int last = volume_.slices - 1;
  // A voxel reaches half a gap beyond its center; there the outermost slice stands alone.
  if (t < along_.front() - mean_gap_ / 2 || t > along_.back() + mean_gap_ / 2) return false;
  // The slices found before are a good first guess, and any guess leads to the same ones.
  int k = std::clamp(found.lower, 0, last);
  while (k > 0 && t < along_[static_cast<std::size_t>(k)]) --k;
  while (k < last && t >= along_[static_cast<std::size_t>(k) + 1]) ++k;
  found.lower = k;
  found.upper = std::min(k + 1, last);
  const double below = along_[static_cast<std::size_t>(k)];
  const double gap = along_[static_cast<std::size_t>(found.upper)] - below;
  found.weight = gap > 0 ? std::clamp((t - below) / gap, 0.0, 1.0) : 0;
  return true;
}

double Sampler::operator()(const Vec3& point) const {
  const double t = dot(point, normal_);
  Bracket at{.lower =
                 static_cast<int>(std::clamp((t - along_.front()) / mean_gap_, 0.0, double(volume_.slices)))};
  if (!bracket(t, at)) return kAirHu;
  const double column = dot(point, volume_.row_direction) / volume_.column_spacing;
  const double row = dot(point, volume_.column_direction) / volume_.row_spacing;
  const double below = in_slice(at.lower, row, column);
  return at.weight == 0 ? below : below + at.weight * (in_slice(at.upper, row, column) - below);
}

// Bilinear; `row` and `column` count from the patient's origin.
double Sampler::in_slice(int slice, double row, double column) const {
  row -= row_origin(slice);
  column -= column_origin(slice);
  if (!(row >= -0.5 && row <= volume_.rows - 0.5 && column >= -0.5 && column <= volume_.columns - 0.5))
    return kAirHu;
  row = std::clamp(row, 0.0, volume_.rows - 1.0);
  column = std::clamp(column, 0.0, volume_.columns - 1.0);
  const int r = static_cast<int>(row), c = static_cast<int>(column);
  const int r1 = std::min(r + 1, volume_.rows - 1), c1 = std::min(c + 1, volume_.columns - 1);
  const double fr = row - r, fc = column - c;
  const double top = volume_.at(slice, r, c) * (1 - fc) + volume_.at(slice, r, c1) * fc;
  const double bottom = volume_.at(slice, r1, c) * (1 - fc) + volume_.at(slice, r1, c1) * fc;
  return top * (1 - fr) + bottom * fr;
}

ProfileSampler::ProfileSampler(const Sampler& sampler, double x_mm, const std::vector<double>& ys)
    : sampler_(sampler),
      volume_(sampler.volume()),
      ys_(ys),
      is_upright_(volume_.column_direction == Vec3{0, 1, 0}),
      profiles_(static_cast<std::size_t>(volume_.slices) * static_cast<std::size_t>(volume_.rows)),
      inside_(static_cast<std::size_t>(volume_.slices), 0) {
  for (int slice = 0; slice < volume_.slices; ++slice) {
    double column = x_mm / volume_.column_spacing - sampler.column_origin(slice);
    if (!(column >= -0.5 && column <= volume_.columns - 0.5)) continue;
    inside_[static_cast<std::size_t>(slice)] = 1;
    column = std::clamp(column, 0.0, volume_.columns - 1.0);
    const int c = static_cast<int>(column), c1 = std::min(c + 1, volume_.columns - 1);
    const double fc = column - c;
    double* profile =
        profiles_.data() + static_cast<std::size_t>(slice) * static_cast<std::size_t>(volume_.rows);
    for (int row = 0; row < volume_.rows; ++row)
      profile[row] = volume_.at(slice, row, c) * (1 - fc) + volume_.at(slice, row, c1) * fc;
  }
}

void ProfileSampler::line(double z, std::vector<double>& values) {
  Sampler::Bracket at;
  if (is_upright_) {
    if (!sampler_.bracket(z, at)) return values.assign(ys_.size(), kAirHu);
    const std::vector<double>& below = upright_line(at.lower);
    if (at.weight == 0) return values.assign(below.begin(), below.end());
    const std::vector<double>& above = upright_line(at.upper);
    for (std::size_t i = 0; i < ys_.size(); ++i) values[i] = below[i] + at.weight * (above[i] - below[i]);
    return;
  }
  for (std::size_t i = 0; i < ys_.size(); ++i) {
    const Vec3 point{0, ys_[i], z};  // neither direction that is looked at has a part in x
    if (!sampler_.bracket(dot(point, sampler_.normal()), at)) {
      values[i] = kAirHu;
      continue;
    }
    const double row = dot(point, volume_.column_direction) / volume_.row_spacing;
    const double below = in_slice(at.lower, row);
    values[i] = at.weight == 0 ? below : below + at.weight * (in_slice(at.upper, row) - below);
  }
}

inline double ProfileSampler::in_slice(int slice, double row) const {
  row -= sampler_.row_origin(slice);
  if (!inside_[static_cast<std::size_t>(slice)] || !(row >= -0.5 && row <= volume_.rows - 0.5)) return kAirHu;
  row = std::clamp(row, 0.0, volume_.rows - 1.0);
  const int r = static_cast<int>(row), r1 = std::min(r + 1, volume_.rows - 1);
  const double fr = row - r;
  const double* profile =
      profiles_.data() + static_cast<std::size_t>(slice) * static_cast<std::size_t>(volume_.rows);
  return profile[r] * (1 - fr) + profile[r1] * fr;
}

// The lines of a plane come in order, so each slice is computed once.
const std::vector<double>& ProfileSampler::upright_line(int slice) {
  Cached& cached = cached_[slice % 2];
  if (cached.slice == slice) return cached.values;
  cached.slice = slice;
  cached.values.resize(ys_.size());
  for (std::size_t i = 0; i < ys_.size(); ++i)
    cached.values[i] = in_slice(slice, ys_[i] / volume_.row_spacing);
  return cached.values;
}

}  // namespace sagitta::data
