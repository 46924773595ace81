// DICOM files in and out: transfer syntaxes, Hounsfield units, headers, errors, multi-frame files.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>
#include <algorithm>
#include <numeric>

#include "data/dicom_reader.h"
#include "data/jpeg_stream.h"
#include "data/rle.h"
#include "tests/ct_fixture.h"

using namespace sagitta;
using namespace sagitta::data;
using namespace sagitta::testing;

namespace {

CtSliceFile small_slice() {
  Volume volume = make_volume(1, 24, 30, 0.5, 1);
  volume.positions[0] = {-12.25, 3.5, -1000.125};
  for (std::size_t i = 0; i < volume.hu.size(); ++i)
    volume.hu[i] = static_cast<std::int16_t>(i * 37 % 3000 - 1000);
  return slice_file(volume, 0);
}

CtSlice read_header(const std::filesystem::path& file) {
  const std::vector<CtSlice> slices = read_ct_headers(file);
  REQUIRE(slices.size() == 1);
  return slices.front();
}

std::vector<std::int16_t> read_pixels(const CtSlice& slice) {
  std::vector<std::int16_t> hu(static_cast<std::size_t>(slice.rows) *
                               static_cast<std::size_t>(slice.columns));
  read_hu(slice, hu);
  return hu;
}

// The message of the Error that reading header and pixels throws; empty if it throws none.
std::string error_of(const std::filesystem::path& file) {
  try {
    read_pixels(read_header(file));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("every transfer syntax gives back every stored word") {
  TempFolder folder;
  for (const TransferSyntax syntax : kTransferSyntaxes) {
    for (const bool is_signed : {false, true}) {
      for (const int bits : {12, 16}) {
        if (syntax == TransferSyntax::jpeg_ls_lossless && is_signed && bits != 16)
          continue;  // refused, see below
        CAPTURE(transfer_syntax_name(syntax));
        CAPTURE(is_signed);
        CAPTURE(bits);
        CtSliceFile file = small_slice();
        file.is_signed = is_signed;
        file.bits_stored = bits;
        file.intercept = is_signed ? 0 : -1024;
        const int low = is_signed ? -1000 : 0, high = 1 << (is_signed ? bits - 1 : bits);
        std::vector<int> expected;
        for (std::size_t i = 0; i < file.stored.size(); ++i) {
          const int value = low + static_cast<int>(i * 7919 % static_cast<std::size_t>(high - low));
          file.stored[i] = static_cast<std::uint16_t>(value & ((1 << bits) - 1));
          expected.push_back(std::min(value + static_cast<int>(file.intercept), 32767));
        }
        const auto path = folder.path() / "a.dcm";
        write_ct_slice(path, file, syntax);
        const CtSlice slice = read_header(path);
        const std::vector<std::int16_t> hu = read_pixels(slice);
        CHECK(std::equal(hu.begin(), hu.end(), expected.begin(), expected.end()));
        CHECK_FALSE(slice.transfer_syntax.empty());
        CHECK(contains(read_bytes(path), transfer_syntax_uid(syntax)));
      }
    }
  }
}

TEST_CASE("the header carries geometry and identity, but nobody's name") {
  TempFolder folder;
  CtSliceFile file = small_slice();
  file.patient_id = "Jane Doe 1970";
  file.row_spacing = 0.75;
  file.instance_number = 17;
  file.kernel = "BONE";
  const auto path = folder.path() / "042.dcm";
  write_ct_slice(path, file, TransferSyntax::implicit_little);
  const CtSlice slice = read_header(path);
  CHECK(slice.position == Vec3{-12.25, 3.5, -1000.125});
  CHECK(slice.row_direction == Vec3{1, 0, 0});
  CHECK(slice.column_direction == Vec3{0, 1, 0});
  CHECK(slice.row_spacing == 0.75);
  CHECK(slice.column_spacing == 0.5);
  CHECK(slice.rows == 24);
  CHECK(slice.columns == 30);
  CHECK(slice.file_number == 42);
  CHECK(slice.instance_number == 17);
  CHECK(slice.kernel == "BONE");
  CHECK(slice.sop_uid == file.sop_uid);
  CHECK(slice.patient_key.size() == 16);
  CHECK_FALSE(contains(slice.patient_key, "Jane"));

  file.patient_id = "John Doe 1970";
  write_ct_slice(folder.path() / "b.dcm", file, TransferSyntax::implicit_little);
  CHECK(read_header(folder.path() / "b.dcm").patient_key != slice.patient_key);
  CHECK(read_header(folder.path() / "b.dcm").file_number == -1);
}

TEST_CASE("stored words become Hounsfield units") {
  SUBCASE("fractional slope, per slice, rounded") {
    StoredFormat format;
    format.slope = 0.5;
    format.intercept = -10.25;
    CHECK(format.hu(101) == 40);  // 40.25
    CHECK(format.hu(102) == 41);  // 40.75
  }
  SUBCASE("sign extension at the stored bits, not at 16") {
    StoredFormat format{
        .bits_stored = 12, .high_bit = 11, .is_signed = true, .padding_low = {}, .padding_high = {}};
    CHECK(format.stored_value(0x0fff) == -1);
    CHECK(format.stored_value(0xffff) == -1);
    CHECK(format.stored_value(0xf7ff) == 2047);  // the upper bits are not part of the value
  }
  SUBCASE("a high bit above the lowest bits shifts the value") {
    StoredFormat format{
        .bits_stored = 12, .high_bit = 15, .is_signed = false, .padding_low = {}, .padding_high = {}};
    CHECK(format.stored_value(0x1230) == 0x123);
  }
  SUBCASE("values below air are air, and nothing overflows") {
    StoredFormat format{.is_signed = true, .padding_low = {}, .padding_high = {}};
    CHECK(format.hu(static_cast<std::uint16_t>(-3000)) == -1024);
    format.slope = 100;
    CHECK(format.hu(32000) == 32767);
  }
  SUBCASE("padding is tested on the stored value, before slope and intercept") {
    StoredFormat format{.is_signed = true, .padding_low = -2000, .padding_high = -2000, .intercept = 1500};
    CHECK(format.hu(static_cast<std::uint16_t>(-2000)) == kAirHu);
    CHECK(format.hu(static_cast<std::uint16_t>(-1999)) == -499);
  }
  SUBCASE("a padding range") {
    StoredFormat format{.is_signed = false, .padding_low = 10, .padding_high = 20};
    CHECK(format.hu(9) == 9);
    CHECK(format.hu(10) == kAirHu);
    CHECK(format.hu(20) == kAirHu);
    CHECK(format.hu(21) == 21);
  }
  SUBCASE("padding outside the stored bits does not hit a true value") {
    StoredFormat format{.bits_stored = 12, .high_bit = 11, .padding_low = 63536, .padding_high = 63536};
    CHECK(format.hu(63536) == kAirHu);
    CHECK(format.hu(63536 & 0xfff) == (63536 & 0xfff));
  }
}

TEST_CASE("the table of a format holds the formula's value of every word, also after another format") {
  std::vector<std::uint16_t> words(1 << 16);
  std::iota(words.begin(), words.end(), std::uint16_t{0});
  std::vector<std::int16_t> hu(words.size());
  HuTable table;
  for (const StoredFormat& format :
       {StoredFormat{}, StoredFormat{.bits_stored = 12, .high_bit = 11, .slope = 0.5, .intercept = -1024},
        StoredFormat{.is_signed = true, .padding_low = -2000, .padding_high = -1990, .slope = 1.3},
        StoredFormat{.is_signed = true, .padding_low = -2000, .padding_high = -1990, .slope = 1.4}}) {
    table.convert(format, words, hu);
    CHECK(std::ranges::equal(words, hu, {}, [&](std::uint16_t word) { return format.hu(word); }));
  }
}

TEST_CASE("padding in a file") {
  TempFolder folder;
  CtSliceFile file = small_slice();
  file.is_signed = true;
  file.intercept = 1000;
  file.padding_value = -2000;
  std::fill(file.stored.begin(), file.stored.end(), static_cast<std::uint16_t>(-2000));
  file.stored[5] = 7;
  for (const TransferSyntax syntax : {TransferSyntax::implicit_little, TransferSyntax::explicit_big}) {
    write_ct_slice(folder.path() / "a.dcm", file, syntax);
    const std::vector<std::int16_t> hu = read_pixels(read_header(folder.path() / "a.dcm"));
    CHECK(hu[4] == kAirHu);
    CHECK(hu[5] == 1007);
  }
}

TEST_CASE("what cannot be read is refused with file and reason") {
  TempFolder folder;
  const auto path = folder.path() / "slice.dcm";
  const std::string rows("\x28\x00\x10\x00US\x02\x00\x18\x00", 10),
      rows_65535("\x28\x00\x10\x00US\x02\x00\xff\xff", 10), rows_23("\x28\x00\x10\x00US\x02\x00\x17\x00", 10),
      rows_25("\x28\x00\x10\x00US\x02\x00\x19\x00", 10);
  CtSliceFile file = small_slice();
  const auto write = [&](TransferSyntax syntax = TransferSyntax::explicit_little) {
    write_ct_slice(path, file, syntax);
  };
  std::string expected;
  SUBCASE("not DICOM") {
    write_bytes(path, "StudyInstanceUID,patient_overall\n");
    expected = "no DICM marker";
  }
  SUBCASE("JPEG 2000") {
    write(TransferSyntax::jpeg_lossless_sv1);
    patch(path, "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90");
    expected = "JPEG 2000";
  }
  SUBCASE("High-Throughput JPEG 2000") {
    write(TransferSyntax::explicit_big);
    patch(path, std::string("1.2.840.10008.1.2.2\0", 20), "1.2.840.10008.1.2.99");
    expected = "1.2.840.10008.1.2.99";
  }
  SUBCASE("another modality") {
    write();
    patch(path, std::string("CS\x02\0CT", 6), std::string("CS\x02\0MR", 6));
    expected = "Modality is 'MR'";
  }
  SUBCASE("no position") {
    file.position[1] = std::nan("");
    write();
    expected = "ImagePositionPatient is not a finite number";
  }
  SUBCASE("no orientation") {
    file.row_direction = {0, 0, 0};
    write();
    expected = "ImageOrientationPatient";
  }
  SUBCASE("directions that are not perpendicular") {
    file.row_direction = {0, 1, 0};
    write();
    expected = "not perpendicular";
  }
  SUBCASE("pixel spacing 0") {
    file.row_spacing = 0;
    write();
    expected = "PixelSpacing is 0";
  }
  SUBCASE("slope 0") {
    file.slope = 0;
    write();
    expected = "RescaleSlope 0";
  }
  SUBCASE("absurd size") {
    write();
    patch(path, rows, rows_65535);
    expected = "65535 rows";
  }
  SUBCASE("more rows than pixels") {
    write();
    patch(path, rows, rows_25);
    expected = "PixelData has 1440 bytes, expected 1500";
  }
  SUBCASE("JPEG of another size") {
    write(TransferSyntax::jpeg_lossless_sv1);
    patch(path, rows, rows_25);
    expected = "24 x 30, expected 25";
  }
  SUBCASE("larger JPEG") {
    write(TransferSyntax::jpeg_lossless_sv1);
    patch(path, rows, rows_23);
    expected = "24 x 30, expected 23";
  }
  SUBCASE("RLE of another size") {
    write(TransferSyntax::rle);
    patch(path, rows, rows_25);
    expected = "RLE segment in PixelData is truncated";
  }
  SUBCASE("truncated pixels") {
    write();
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 100);
    expected = "truncated";
  }
  SUBCASE("truncated JPEG") {
    write(TransferSyntax::jpeg_lossless_sv1);
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 100);
    expected = "truncated";
  }
  SUBCASE("JPEG whose end is missing inside its fragment") {
    write(TransferSyntax::jpeg_lossless_sv1);
    patch(path, "\xff\xd9", std::string("\0\0", 2));
    expected = "JPEG stream in PixelData is truncated";
  }
  const std::string message = error_of(path);
  CHECK_MESSAGE(contains(message, expected), message);
  CHECK_MESSAGE(contains(message, path.string()), message);
}

TEST_CASE("a missing file and contradictory slices to write") {
  CHECK_THROWS_AS(read_ct_headers("/nonexistent/1.dcm"), Error);
  CtSliceFile file = small_slice();
  file.is_signed = true;
  file.bits_stored = 12;
  CHECK_THROWS_AS(write_ct_slice("/tmp/never.dcm", file, TransferSyntax::jpeg_ls_lossless), Error);
  CHECK_THROWS_AS(write_ct_slice("/nonexistent/1.dcm", file, TransferSyntax::explicit_little), Error);
  file.stored.pop_back();
  CHECK_THROWS_AS(write_ct_slice("/tmp/never.dcm", file, TransferSyntax::explicit_little), Error);
}

TEST_CASE("the frames of an Enhanced CT are slices with positions and rescale values of their own") {
  TempFolder folder;
  const auto path = folder.path() / "enhanced.dcm";
  constexpr int kFrames = 3, kRows = 4, kColumns = 6;
  DcmFileFormat file;
  DcmDataset& dataset = *file.getDataset();
  const auto text = [](DcmItem& item, const DcmTagKey& tag, const std::string& value) {
    REQUIRE(item.putAndInsertString(tag, value.c_str()).good());
  };
  text(dataset, DCM_SOPClassUID, UID_EnhancedCTImageStorage);
  text(dataset, DCM_SOPInstanceUID, "1.2.3.4");
  text(dataset, DCM_StudyInstanceUID, "1.2.3");
  text(dataset, DCM_SeriesInstanceUID, "1.2.3.1");
  text(dataset, DCM_Modality, "CT");
  text(dataset, DCM_NumberOfFrames, "3");
  text(dataset, DCM_PhotometricInterpretation, "MONOCHROME2");
  const std::pair<DcmTagKey, int> words[] = {
      {DCM_Rows, kRows}, {DCM_Columns, kColumns},      {DCM_BitsAllocated, 16}, {DCM_BitsStored, 16},
      {DCM_HighBit, 15}, {DCM_PixelRepresentation, 0}, {DCM_SamplesPerPixel, 1}};
  for (const auto& [tag, value] : words) dataset.putAndInsertUint16(tag, static_cast<Uint16>(value));
  DcmItem *shared = nullptr, *item = nullptr;
  dataset.findOrCreateSequenceItem(DCM_SharedFunctionalGroupsSequence, shared, 0);
  shared->findOrCreateSequenceItem(DCM_PlaneOrientationSequence, item, 0);
  text(*item, DCM_ImageOrientationPatient, "1\\0\\0\\0\\1\\0");
  shared->findOrCreateSequenceItem(DCM_PixelMeasuresSequence, item, 0);
  text(*item, DCM_PixelSpacing, "0.5\\0.75");
  std::vector<Uint16> pixels;
  for (int frame = 0; frame < kFrames; ++frame) {
    DcmItem* per_frame = nullptr;
    dataset.findOrCreateSequenceItem(DCM_PerFrameFunctionalGroupsSequence, per_frame, frame);
    per_frame->findOrCreateSequenceItem(DCM_PlanePositionSequence, item, 0);
    text(*item, DCM_ImagePositionPatient, fmt::format("0\\0\\{}", 20 - 10 * frame));
    per_frame->findOrCreateSequenceItem(DCM_PixelValueTransformationSequence, item, 0);
    text(*item, DCM_RescaleSlope, "1");
    text(*item, DCM_RescaleIntercept, std::to_string(-100 * frame));
    for (int i = 0; i < kRows * kColumns; ++i) pixels.push_back(static_cast<Uint16>(1000 * frame + i));
  }
  dataset.putAndInsertUint16Array(DCM_PixelData, pixels.data(), pixels.size());
  REQUIRE(file.saveFile(path.c_str(), EXS_LittleEndianExplicit).good());

  const std::vector<CtSlice> slices = read_ct_headers(path);
  REQUIRE(slices.size() == kFrames);
  for (int frame = 0; frame < kFrames; ++frame) {
    const CtSlice& slice = slices[static_cast<std::size_t>(frame)];
    CHECK(slice.position == Vec3{0, 0, 20.0 - 10 * frame});
    CHECK(slice.column_spacing == 0.75);
    CHECK(read_pixels(slice)[5] == 1000 * frame - 100 * frame + 5);
  }
}

TEST_CASE("RLE frames: runs, literals, no-operations, damage") {
  std::vector<std::uint8_t> frame(64, 0);
  frame[0] = 2;
  frame[4] = 64;
  frame[8] = 69;
  frame.insert(frame.end(), {0xfe, 0x12, 0x80, 0x00, 0x34});  // three times 12, nothing, once 34
  frame.insert(frame.end(), {0x03, 1, 2, 3, 4, 0x00});        // four literal bytes and the padding
  CHECK(decode_rle(frame, 4) == std::vector<std::uint16_t>{0x1201, 0x1202, 0x1203, 0x3404});
  CHECK_THROWS_AS(decode_rle(frame, 5), Error);
  CHECK_THROWS_AS(decode_rle(std::span(frame).first(40), 4), Error);
  frame[0] = 3;
  CHECK_THROWS_AS(decode_rle(frame, 4), Error);
  frame[0] = 2;
  frame[11] = 0xff;
  CHECK_THROWS_AS(decode_rle(frame, 4), Error);
}

TEST_CASE("JPEG streams are judged by their markers") {
  const std::vector<std::uint8_t> good = {0xff, 0xd8, 0xff, 0xc3, 0,    11, 16,   0,   4,
                                          0,    6,    1,    1,    0x11, 0,  0xff, 0xd9};
  CHECK(jpeg_stream_problem(good, 4, 6).empty());
  CHECK(contains(jpeg_stream_problem(good, 6, 4), "4 x 6"));
  CHECK(contains(jpeg_stream_problem(std::span(good).first(15), 4, 6), "truncated"));
  CHECK(contains(jpeg_stream_problem({}, 4, 6), "not a JPEG"));
}
