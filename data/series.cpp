#include "data/series.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>

#include "tensor/error.h"

namespace sagitta::data {
namespace {

constexpr double kSameDirection = 1e-3;  // per component of a unit vector
constexpr double kSamePosition = 1e-3;   // mm
constexpr double kTiltNoticed = 0.1;     // degrees
constexpr double kMissingFactor = 1.5;   // of the median distance
constexpr double kDominantShare = 0.8;   // of a series' axial slices: clearly the volume

double degrees_between(const Vec3& a, const Vec3& b) {
  const double cosine = std::abs(dot(a, b)) / (length(a) * length(b));
  return std::acos(std::min(cosine, 1.0)) * 180 / std::numbers::pi;
}

bool near(const Vec3& a, const Vec3& b, double tolerance) {
  for (int i = 0; i < 3; ++i)
    if (std::abs(a[i] - b[i]) > tolerance) return false;
  return true;
}

bool near_ratio(double a, double b) { return std::abs(a - b) <= 1e-3 * std::max(a, b); }

// Slices that can share one voxel grid.
bool same_grid(const CtSlice& a, const CtSlice& b) {
  return a.series_uid == b.series_uid && a.frame_of_reference_uid == b.frame_of_reference_uid &&
         a.rows == b.rows && a.columns == b.columns && near_ratio(a.row_spacing, b.row_spacing) &&
         near_ratio(a.column_spacing, b.column_spacing) &&
         near(a.row_direction, b.row_direction, kSameDirection) &&
         near(a.column_direction, b.column_direction, kSameDirection);
}

double degrees_from_axial(const CtSlice& slice) { return degrees_between(slice.normal(), {0, 0, 1}); }

std::vector<std::vector<CtSlice>> group_by_grid(std::vector<CtSlice> slices) {
  std::vector<std::vector<CtSlice>> groups;
  for (CtSlice& slice : slices) {
    const auto group = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& members) { return same_grid(members.front(), slice); });
    if (group == groups.end())
      groups.push_back({std::move(slice)});
    else
      group->push_back(std::move(slice));
  }
  return groups;
}

// Keeps the axial slices that can form a volume and says what else was there.
std::vector<CtSlice> axial_only(std::vector<CtSlice> slices, const SeriesPolicy& policy,
                                SeriesReport& report) {
  std::size_t before = slices.size();
  std::erase_if(slices, [](const CtSlice& slice) { return slice.is_localizer(); });
  if (const std::size_t scouts = before - slices.size())
    report.reasons.push_back(fmt::format("{} localizer image(s) left out", scouts));
  before = slices.size();
  std::erase_if(slices,
                [&](const CtSlice& slice) { return degrees_from_axial(slice) > policy.max_oblique_degrees; });
  if (const std::size_t odd = before - slices.size())
    report.reasons.push_back(fmt::format("{} image(s) that are not axial left out", odd));
  return slices;
}

// The largest group is the volume; others of its own series must be few, or nobody knows which one is meant.
std::vector<CtSlice> choose_volume(std::vector<CtSlice> slices, SeriesReport& report) {
  const std::size_t total = slices.size();
  std::vector<std::vector<CtSlice>> groups = group_by_grid(std::move(slices));
  // Equal sizes are decided by the UID, so that the choice does not depend on the order of files.
  std::vector<CtSlice> chosen =
      *std::max_element(groups.begin(), groups.end(), [](const auto& a, const auto& b) {
        return a.size() != b.size() ? a.size() < b.size() : a.front().series_uid > b.front().series_uid;
      });
  std::size_t same_series = 0;
  for (const auto& group : groups)
    if (group.front().series_uid == chosen.front().series_uid) same_series += group.size();
  if (same_series > chosen.size()) {
    const std::string what =
        fmt::format("{} of {} axial images of the series differ in size, spacing or orientation",
                    same_series - chosen.size(), same_series);
    if (static_cast<double>(chosen.size()) < kDominantShare * static_cast<double>(same_series))
      report.refuse(what + ": it is not clear which are the volume");
    else
      report.warn(what + " and were left out");
  }
  if (total > same_series)
    report.reasons.push_back(fmt::format("{} axial image(s) of other series left out", total - same_series));
  return chosen;
}

bool same_pixels(const CtSlice& a, const CtSlice& b) {
  const std::size_t count = static_cast<std::size_t>(a.rows) * static_cast<std::size_t>(a.columns);
  std::vector<std::int16_t> first(count), second(count);
  read_hu(a, first);
  read_hu(b, second);
  return first == second;
}

// `slices` are sorted along the normal. Identical images at one position are one image; different ones are a
// riddle.
void drop_duplicates(std::vector<CtSlice>& slices, SeriesReport& report) {
  std::vector<CtSlice> kept;
  int dropped = 0;
  for (CtSlice& slice : slices) {
    if (!kept.empty() &&
        std::abs(dot(subtract(slice.position, kept.back().position), slice.normal())) < kSamePosition) {
      try {
        const bool same =
            near(slice.position, kept.back().position, kSamePosition) && same_pixels(slice, kept.back());
        if (!same)
          return report.refuse(fmt::format("two different images at one position: {} and {}",
                                           kept.back().file.filename().string(),
                                           slice.file.filename().string()));
      } catch (const Error& error) {
        return report.refuse(error.what());
      }
      ++dropped;
      continue;
    }
    kept.push_back(std::move(slice));
  }
  slices = std::move(kept);
  if (dropped) report.warn(fmt::format("{} duplicate image(s) left out", dropped));
}

void check_spacing(const std::vector<CtSlice>& slices, const SeriesPolicy& policy, SeriesReport& report) {
  const Vec3 normal = slices.front().normal();
  std::vector<double> gaps;
  for (std::size_t i = 1; i < slices.size(); ++i)
    gaps.push_back(dot(subtract(slices[i].position, slices[i - 1].position), normal));
  std::vector<double> sorted = gaps;
  std::sort(sorted.begin(), sorted.end());
  report.spacing_min = sorted.front();
  report.spacing_median = sorted[sorted.size() / 2];
  report.spacing_max = sorted.back();

  if (report.spacing_median > policy.max_spacing_mm)
    report.refuse(fmt::format("slices are {:.2f} mm apart, at most {:g} mm is useful", report.spacing_median,
                              policy.max_spacing_mm));
  else if (report.spacing_median > policy.warn_spacing_mm)
    report.warn(fmt::format("slices are {:.2f} mm apart: coarse", report.spacing_median));

  int missing = 0, wide_gaps = 0;
  for (const double gap : gaps) {
    if (gap <= kMissingFactor * report.spacing_median) continue;
    ++wide_gaps;
    missing += std::max(1, static_cast<int>(std::lround(gap / report.spacing_median)) - 1);
  }
  if (wide_gaps > 0) {
    const std::string what = fmt::format(
        "about {} slice(s) missing in {} place(s), the widest gap is {:.2f} mm where "
        "{:.2f} mm is usual",
        missing, wide_gaps, report.spacing_max, report.spacing_median);
    if (policy.interpolate_missing && report.spacing_max < 4.5 * report.spacing_median)
      report.warn(what + "; interpolated");
    else
      report.refuse(what);
  } else if (report.spacing_max - report.spacing_min > std::max(1e-2, 1e-2 * report.spacing_median)) {
    report.warn(fmt::format("slice distances vary from {:.3f} to {:.3f} mm; real positions are used",
                            report.spacing_min, report.spacing_max));
  }
}

void check_direction(const std::vector<CtSlice>& slices, const SeriesPolicy& policy, SeriesReport& report) {
  const Vec3 normal = slices.front().normal();
  const Vec3 step = subtract(slices.back().position, slices.front().position);
  report.tilt_degrees = degrees_between(step, normal);
  report.oblique_degrees = degrees_from_axial(slices.front());
  if (report.tilt_degrees > policy.max_tilt_degrees)
    report.refuse(fmt::format("the stack is sheared by {:.1f} degrees, at most {:g} is plausible",
                              report.tilt_degrees, policy.max_tilt_degrees));
  else if (report.tilt_degrees > kTiltNoticed)
    report.warn(
        fmt::format("the stack is sheared by {:.2f} degrees (gantry tilt); corrected", report.tilt_degrees));

  // A slice off the straight line (a table moved sideways, two scans merged) would shift part of the spine.
  double off_line = 0;
  for (const CtSlice& slice : slices) {
    const Vec3 offset = subtract(slice.position, slices.front().position);
    off_line =
        std::max(off_line, length(subtract(offset, scale(step, dot(offset, normal) / dot(step, normal)))));
  }
  if (off_line > 0.5)
    report.warn(
        fmt::format("slices lie up to {:.1f} mm off a straight line; real positions are used", off_line));
}

}  // namespace

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok: return "ok";
    case Verdict::warn: return "warn";
    case Verdict::refused: break;
  }
  return "refused";
}

void SeriesReport::warn(std::string reason) {
  if (verdict == Verdict::ok) verdict = Verdict::warn;
  reasons.push_back(std::move(reason));
}

void SeriesReport::refuse(std::string reason) {
  verdict = Verdict::refused;
  // The decisive reason comes first: it is what a one-line message shows.
  reasons.insert(reasons.begin(), std::move(reason));
}

FolderScan scan_folder(const std::filesystem::path& folder) {
  require(std::filesystem::is_directory(folder), "{}: not a folder", folder.string());
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().filename() != "DICOMDIR") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  FolderScan scan;
  for (const auto& file : files) {
    if (!is_dicom(file)) {
      if (file.extension() == ".dcm")
        scan.unreadable.push_back(
            fmt::format("{}: not a DICOM file (no DICM marker)", file.filename().string()));
      else
        ++scan.not_dicom;
      continue;
    }
    try {
      std::vector<CtSlice> slices = read_ct_headers(file);
      std::move(slices.begin(), slices.end(), std::back_inserter(scan.slices));
    } catch (const NotCt& error) {
      scan.foreign.push_back(error.what());
    } catch (const Error& error) {
      scan.unreadable.push_back(error.what());
    }
  }
  return scan;
}

Series select_series(std::vector<CtSlice> slices, const SeriesPolicy& policy) {
  Series series;
  SeriesReport& report = series.report;
  slices = axial_only(std::move(slices), policy, report);
  if (slices.empty()) {
    report.refuse("no axial CT images");
    return series;
  }
  const auto other_patient = std::find_if(slices.begin(), slices.end(), [&](const CtSlice& slice) {
    return slice.patient_key != slices.front().patient_key;
  });
  if (other_patient != slices.end()) {
    report.refuse("images of several patients in one folder; give each patient a folder of its own");
    return series;
  }
  series.slices = choose_volume(std::move(slices), report);
  const Vec3 normal = series.slices.front().normal();
  std::sort(series.slices.begin(), series.slices.end(), [&](const CtSlice& a, const CtSlice& b) {
    const double pa = dot(a.position, normal), pb = dot(b.position, normal);
    return pa != pb ? pa < pb : a.sop_uid < b.sop_uid;
  });
  if (report.verdict != Verdict::refused) drop_duplicates(series.slices, report);
  if (report.verdict == Verdict::refused) return series;

  const auto count = static_cast<int>(series.slices.size());
  if (count < std::max(2, policy.min_slices)) {
    report.refuse(fmt::format("only {} axial slice(s), at least {} are needed", count, policy.min_slices));
    return series;
  }
  check_spacing(series.slices, policy, report);
  check_direction(series.slices, policy, report);
  const double extent = dot(subtract(series.slices.back().position, series.slices.front().position), normal);
  if (extent < policy.min_extent_mm)
    report.refuse(fmt::format("the stack is {:.1f} mm tall, at least {:g} mm are needed", extent,
                              policy.min_extent_mm));
  return series;
}

Series read_series(const std::filesystem::path& folder, const SeriesPolicy& policy) {
  FolderScan scan = scan_folder(folder);
  Series series = select_series(std::move(scan.slices), policy);
  if (!scan.unreadable.empty()) {
    const std::string what = fmt::format("{} file(s) could not be read, first: {}", scan.unreadable.size(),
                                         scan.unreadable.front());
    // A lost slice inside the stack shows as a gap; at its ends nothing shows but this warning.
    if (series.report.verdict == Verdict::refused)
      series.report.reasons.push_back(what);
    else
      series.report.warn(what);
  }
  if (!scan.foreign.empty())
    series.report.reasons.push_back(
        fmt::format("{} DICOM file(s) of other kinds left out", scan.foreign.size()));
  return series;
}

}  // namespace sagitta::data
