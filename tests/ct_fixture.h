// What the tests of the CT reader share: a volume written as DICOM, bytes changed in a file.
#pragma once
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "data/dicom_writer.h"
#include "data/volume.h"
#include "tests/temp_folder.h"

namespace sagitta::testing {

// Replaces the only place where `from` stands in the file; both have the same length.
inline void patch(const std::filesystem::path& path, const std::string& from, const std::string& to) {
  std::string bytes = read_bytes(path);
  const std::size_t at = bytes.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE(from.size() == to.size());
  write_bytes(path, bytes.replace(at, from.size(), to));
}

// An empty volume of axial slices; the caller fills `hu`.
inline data::Volume make_volume(int slices, int rows, int columns, double pixel_mm, double step_mm) {
  data::Volume volume;
  volume.slices = slices;
  volume.rows = rows;
  volume.columns = columns;
  volume.row_spacing = volume.column_spacing = pixel_mm;
  for (int z = 0; z < slices; ++z)
    volume.positions.push_back({-columns * pixel_mm / 2, -rows * pixel_mm / 2, z * step_mm});
  volume.sources.resize(static_cast<std::size_t>(slices));
  volume.hu.assign(static_cast<std::size_t>(slices) * rows * columns, 0);
  return volume;
}

// One slice of a volume as a file: stored = HU + 1024, unsigned, unless changed afterwards.
inline data::CtSliceFile slice_file(const data::Volume& volume, int z) {
  data::CtSliceFile file;
  file.study_uid = "1.2.826.0.1.3680043.1";
  file.series_uid = file.study_uid + ".1";
  file.sop_uid = fmt::format("{}.{}", file.series_uid, z + 1);
  file.frame_of_reference_uid = file.study_uid + ".9";
  file.instance_number = z + 1;
  file.rows = volume.rows;
  file.columns = volume.columns;
  file.position = volume.positions[static_cast<std::size_t>(z)];
  file.row_direction = volume.row_direction;
  file.column_direction = volume.column_direction;
  file.row_spacing = volume.row_spacing;
  file.column_spacing = volume.column_spacing;
  file.slice_thickness = 7;  // wrong on purpose: nothing may use it
  for (int row = 0; row < volume.rows; ++row)
    for (int column = 0; column < volume.columns; ++column)
      file.stored.push_back(static_cast<std::uint16_t>(volume.at(z, row, column) + 1024));
  return file;
}

// Writes all slices under names and instance numbers in random order; returns the file of each slice.
inline std::vector<std::filesystem::path> write_volume(
    const std::filesystem::path& folder, const data::Volume& volume, unsigned seed = 1,
    data::TransferSyntax syntax = data::TransferSyntax::explicit_little) {
  std::filesystem::create_directories(folder);
  std::vector<int> numbers(static_cast<std::size_t>(volume.slices));
  std::iota(numbers.begin(), numbers.end(), 1);
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937(seed));
  std::vector<std::filesystem::path> files;
  for (int z = 0; z < volume.slices; ++z) {
    data::CtSliceFile file = slice_file(volume, z);
    file.instance_number = numbers[static_cast<std::size_t>(z)];
    files.push_back(folder / fmt::format("{}.dcm", file.instance_number));
    write_ct_slice(files.back(), file, syntax);
  }
  return files;
}

}  // namespace sagitta::testing
