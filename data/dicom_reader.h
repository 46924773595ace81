// Reads CT images from DICOM files: first headers (cheap, no pixels), then pixels as Hounsfield units.
// Bottom of the data floor: series.h sorts what this returns, volume.h stacks it. The only reader of images.
// Invariants: values are computed here from the raw stored words, per slice; names, birth dates and other
// identifying attributes never leave this file - a patient is known outside only by a hash.
#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/stored_format.h"
#include "data/vec3.h"
#include "tensor/error.h"

namespace sagitta::data {

// One axial image: a file, or a frame of a multi-frame file. Everything but the pixels.
struct CtSlice {
  std::filesystem::path file;
  int frame = 0;         // 0 in a single-frame file
  int file_number = -1;  // n of "n.dcm" (the RSNA slice number); -1 if the name is not a number
  int instance_number = 0;
  std::string study_uid, series_uid, sop_uid, frame_of_reference_uid;
  std::string patient_key;      // hash of PatientID (of the study if that is empty); equal for equal patients
  std::string image_type;       // "ORIGINAL\PRIMARY\AXIAL"
  std::string kernel;           // ConvolutionKernel, empty if absent
  std::string transfer_syntax;  // in words

  int rows = 0, columns = 0;
  Vec3 position{};                             // center of the first pixel, LPS mm
  Vec3 row_direction{}, column_direction{};    // unit vectors of increasing column and row index
  double row_spacing = 0, column_spacing = 0;  // mm between rows, between columns
  StoredFormat format;

  Vec3 normal() const { return cross(row_direction, column_direction); }
  bool is_localizer() const;
};

// A sound DICOM file that is not CT (a report, a structure set, MR): to be passed over, unlike a damaged one.
class NotCt : public Error {
 public:
  using Error::Error;
};

// Whether the file begins as a DICOM Part 10 file does. Throws Error if it cannot be opened.
bool is_dicom(const std::filesystem::path& file);

// The slices of one DICOM file: one, or one per frame of an Enhanced CT. Reads up to the pixel data.
// Throws NotCt for other kinds, Error naming the file otherwise: not DICOM, a required attribute missing or
// impossible, a transfer syntax that cannot be decoded (JPEG 2000, HTJ2K, ...). Safe from several threads.
std::vector<CtSlice> read_ct_headers(const std::filesystem::path& file);

// Decodes slices, one after the other; several threads take a reader each.
class HuReader {
 public:
  // Decodes one slice into `hu` (rows * columns values, row-major). Throws Error naming the file if the pixel
  // data is truncated, damaged, or of another size than the header says.
  void read(const CtSlice& slice, std::span<std::int16_t> hu);

 private:
  HuTable table_;
};

// One slice on its own, as HuReader reads it. Safe from several threads.
void read_hu(const CtSlice& slice, std::span<std::int16_t> hu);

}  // namespace sagitta::data
