// Writes CT slices as DICOM Part 10 files (CT Image Storage) in any transfer syntax that DCMTK can encode.
// Used by the phantom generator and by the tests of the reader, which it mirrors.
// Invariant: what is written is what `CtSliceFile` says, bit for bit; every syntax offered here is lossless.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace sagitta::data {

enum class TransferSyntax {
  implicit_little,
  explicit_little,
  explicit_big,
  deflated,
  rle,
  jpeg_lossless,      // 1.2.840.10008.1.2.4.57, any predictor
  jpeg_lossless_sv1,  // 1.2.840.10008.1.2.4.70, first-order prediction: what most compressed CT uses
  jpeg_ls_lossless,   // 1.2.840.10008.1.2.4.80
};

inline constexpr std::array kTransferSyntaxes = {TransferSyntax::implicit_little,
                                                 TransferSyntax::explicit_little,
                                                 TransferSyntax::explicit_big,
                                                 TransferSyntax::deflated,
                                                 TransferSyntax::rle,
                                                 TransferSyntax::jpeg_lossless,
                                                 TransferSyntax::jpeg_lossless_sv1,
                                                 TransferSyntax::jpeg_ls_lossless};

const char* transfer_syntax_name(TransferSyntax syntax);  // "explicit_little", ...
const char* transfer_syntax_uid(TransferSyntax syntax);   // "1.2.840.10008.1.2.1", ...

// One CT image and the attributes that matter for reading it back. Lengths are millimetres in the patient
// frame LPS: +x to the patient's left, +y to the back, +z to the head.
struct CtSliceFile {
  std::string patient_id = "phantom";
  std::string study_uid, series_uid, sop_uid, frame_of_reference_uid;
  int instance_number = 1;
  std::string image_type = "ORIGINAL\\PRIMARY\\AXIAL";
  std::string description;  // SeriesDescription
  std::string kernel;       // ConvolutionKernel

  int rows = 0, columns = 0;
  std::array<double, 3> position{};                 // center of the first pixel (ImagePositionPatient)
  std::array<double, 3> row_direction{1, 0, 0};     // direction of increasing column index
  std::array<double, 3> column_direction{0, 1, 0};  // direction of increasing row index
  double row_spacing = 1, column_spacing = 1;       // between rows (vertical), between columns (horizontal)
  double slice_thickness = 1;  // beam width; deliberately not the distance between slices

  double slope = 1, intercept = -1024;  // HU = slope * stored + intercept
  bool is_signed = false;               // PixelRepresentation
  int bits_stored = 16;                 // 1..16 of the 16 allocated; HighBit is bits_stored - 1
  std::optional<int> padding_value;     // in stored units
  double window_center = 500, window_width = 2000;
  std::vector<std::uint16_t> stored;  // rows * columns words, row-major; two's complement when signed
};

// Writes `slice` to `path`, replacing a file that is there. Throws Error when a field contradicts another
// (size of `stored`, bits) or the file cannot be written. Safe to call from several threads.
void write_ct_slice(const std::filesystem::path& path, const CtSliceFile& slice, TransferSyntax syntax);

}  // namespace sagitta::data
