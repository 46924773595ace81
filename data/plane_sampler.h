// Values of a volume along the lines of a sagittal plane, by linear interpolation between voxel centers.
// The inner loop of sagittal.h. Invariant: both samplers do the same arithmetic in the same order and give
// the same bits; the second only does once what does not change along a line.
#pragma once
#include <vector>

#include "data/volume.h"

namespace sagitta::data {

// Interpolates a volume at any point of the patient.
class Sampler {
 public:
  explicit Sampler(const Volume& volume);

  // The slices on both sides of the plane at height t along the normal; false outside the stack.
  struct Bracket {
    int lower = 0, upper = 0;
    double weight = 0;  // of the upper
  };
  bool bracket(double t, Bracket& found) const;

  // Air outside the volume.
  double operator()(const Vec3& point) const;

  const Volume& volume() const { return volume_; }
  const Vec3& normal() const { return normal_; }
  double mean_gap() const { return mean_gap_; }
  // Column and row, counted from the patient's origin, of the first voxel of a slice.
  double column_origin(int slice) const { return column_origin_[static_cast<std::size_t>(slice)]; }
  double row_origin(int slice) const { return row_origin_[static_cast<std::size_t>(slice)]; }

 private:
  double in_slice(int slice, double row, double column) const;

  const Volume& volume_;
  Vec3 normal_;
  std::vector<double> along_, column_origin_, row_origin_;  // per slice
  double mean_gap_ = 1;
};

// The plane at one x of a volume whose image rows run along x, tilted or not, as nearly all do: a plane then
// cuts each slice in one profile.
class ProfileSampler {
 public:
  static bool suits(const Volume& volume) { return volume.row_direction == Vec3{1, 0, 0}; }
  // `ys` are the places of the lines' points. Both arguments must outlive this.
  ProfileSampler(const Sampler& sampler, double x_mm, const std::vector<double>& ys);

  // The values at height z, as many as `ys`.
  void line(double z, std::vector<double>& values);

 private:
  double in_slice(int slice, double row) const;
  const std::vector<double>& upright_line(int slice);

  const Sampler& sampler_;
  const Volume& volume_;
  const std::vector<double>& ys_;
  bool is_upright_;
  std::vector<double> profiles_;  // [slices, rows]
  std::vector<char> inside_;      // per slice, whether x is
  struct Cached {
    int slice = -1;
    std::vector<double> values;
  };
  Cached cached_[2];  // lines of an upright stack, of even and odd slices
};

}  // namespace sagitta::data
