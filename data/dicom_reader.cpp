#include "data/dicom_reader.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpls/djdecode.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string_view>

#include "data/dicom_guard.h"
#include "data/fingerprint.h"
#include "data/jpeg_lossless.h"
#include "data/jpeg_stream.h"
#include "data/rle.h"

namespace sagitta::data {
namespace {

// Far above any CT matrix (512, rarely 768 or 1024), far below what would exhaust memory.
constexpr int kMaxSide = 4096;
constexpr int kMaxFrames = 10000;

// DCMTK's codec list is global and may only be changed while nobody decodes: a local static does it once.
void register_decoders() {
  static const bool done = [] {
    OFLog::configure(
        OFLogger::OFF_LOG_LEVEL);  // errors come back as status codes; the console is the program's
    DJDecoderRegistration::registerCodecs();
    DJLSDecoderRegistration::registerCodecs();
    return true;
  }();
  (void)done;
  require(dcmDataDict.isDictionaryLoaded(),
          "DICOM: DCMTK's data dictionary was not found; install libdcmtk17 or set DCMDICTPATH to dicom.dic");
}

// A loaded file with the places where an attribute of one frame may stand, the most specific first.
class Attributes {
 public:
  Attributes(const std::filesystem::path& file, DcmItem& top, DcmItem* shared, DcmItem* per_frame)
      : file_(file), top_(top), shared_(shared), per_frame_(per_frame) {}

  std::optional<double> number(const DcmTagKey& tag, unsigned long index = 0) const {
    double value = 0;
    const auto get = [&](DcmItem& item, OFBool nested) {
      const OFCondition status = item.findAndGetFloat64(tag, value, index, nested);
      if (status.good()) return status;
      Sint32 integer = 0;  // an Integer String does not answer as a floating-point number
      const OFCondition integer_status = item.findAndGetSint32(tag, integer, index, nested);
      if (integer_status.good()) value = integer;
      return integer_status;
    };
    if (!find(get)) return std::nullopt;
    require(std::isfinite(value), "{}: {} is not a finite number", file_.string(), name(tag));
    return value;
  }

  double required(const DcmTagKey& tag, unsigned long index = 0) const {
    const std::optional<double> value = number(tag, index);
    require(value.has_value(), "{}: {} is missing or not a number", file_.string(), name(tag));
    return *value;
  }

  Vec3 vector(const DcmTagKey& tag, unsigned long first) const {
    return {required(tag, first), required(tag, first + 1), required(tag, first + 2)};
  }

  std::string text(const DcmTagKey& tag) const {
    OFString value;
    find([&](DcmItem& item, OFBool nested) { return item.findAndGetOFStringArray(tag, value, nested); });
    std::string text(value.c_str(), value.size());
    // Damaged text must not break a line of a log or a JSON file.
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    return text;
  }

  std::optional<int> word(const DcmTagKey& tag) const {
    Uint16 value = 0;
    if (find([&](DcmItem& item, OFBool nested) { return item.findAndGetUint16(tag, value, 0, nested); }))
      return value;
    Sint16 negative = 0;
    if (find([&](DcmItem& item, OFBool nested) { return item.findAndGetSint16(tag, negative, 0, nested); }))
      return static_cast<Uint16>(negative);
    return std::nullopt;
  }

  int required_word(const DcmTagKey& tag) const {
    const std::optional<int> value = word(tag);
    require(value.has_value(), "{}: {} is missing", file_.string(), name(tag));
    return *value;
  }

  bool has_sequence(const DcmTagKey& tag) const { return top_.tagExistsWithValue(tag); }
  const std::filesystem::path& file() const { return file_; }
  static std::string name(const DcmTagKey& key) { return DcmTag(key).getTagName(); }

 private:
  // Functional groups nest their attributes; the top level must not, or a referenced image would answer.
  template <class Get>
  bool find(Get get) const {
    return (per_frame_ && get(*per_frame_, OFTrue).good()) || (shared_ && get(*shared_, OFTrue).good()) ||
           get(top_, OFFalse).good();
  }

  const std::filesystem::path& file_;
  DcmItem& top_;
  DcmItem* shared_;
  DcmItem* per_frame_;
};

// The name of a transfer syntax that can be decoded here; throws for all others.
std::string decodable_syntax(const std::filesystem::path& file, DcmFileFormat& loaded) {
  OFString uid;
  if (DcmMetaInfo* meta = loaded.getMetaInfo()) meta->findAndGetOFString(DCM_TransferSyntaxUID, uid);
  require(!uid.empty(), "{}: TransferSyntaxUID is missing", file.string());
  const DcmXfer syntax(uid.c_str());
  switch (syntax.getXfer()) {
    case EXS_LittleEndianImplicit:
    case EXS_LittleEndianExplicit:
    case EXS_BigEndianExplicit:
    case EXS_DeflatedLittleEndianExplicit:
    case EXS_RLELossless:
    case EXS_JPEGProcess1:
    case EXS_JPEGProcess2_4:
    case EXS_JPEGProcess14:
    case EXS_JPEGProcess14SV1:
    case EXS_JPEGLSLossless:
    case EXS_JPEGLSLossy: return syntax.getXferName();
    default: break;
  }
  std::string name = syntax.getXfer() == EXS_Unknown ? "unknown" : syntax.getXferName();
  if (uid == "1.2.840.10008.1.2.4.201" || uid == "1.2.840.10008.1.2.4.202" ||
      uid == "1.2.840.10008.1.2.4.203")
    name = "High-Throughput JPEG 2000";
  fail(
      "{}: transfer syntax {} ({}) is not supported; convert the files first, for example with gdcmconv "
      "--raw",
      file.string(), name, std::string(uid.c_str()));
}

void load(DcmFileFormat& loaded, const std::filesystem::path& file, const DcmTagKey& until,
          std::string* syntax) {
  register_decoders();
  refuse_dicom_bomb(file);
  const OFCondition status = loaded.loadFileUntilTag(file.c_str(), EXS_Unknown, EGL_noChange,
                                                     DCM_MaxReadLength, ERM_fileOnly, until);
  const std::string name = decodable_syntax(file, loaded);
  require(status.good(), "{}: damaged or truncated DICOM file: {}", file.string(), status.text());
  if (syntax) *syntax = name;
}

int number_in_name(const std::filesystem::path& file) {
  const std::string stem = file.stem().string();
  int number = -1;
  const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), number);
  return error == std::errc() && end == stem.data() + stem.size() && number >= 0 ? number : -1;
}

Vec3 unit_direction(const Attributes& attributes, unsigned long first) {
  const Vec3 direction = attributes.vector(DCM_ImageOrientationPatient, first);
  const double norm = length(direction);
  require(std::abs(norm - 1) < 0.01,
          "{}: ImageOrientationPatient has a direction of length {:.3g}, expected 1",
          attributes.file().string(), norm);
  return scale(direction, 1 / norm);
}

void read_geometry(const Attributes& attributes, CtSlice& slice) {
  slice.position = attributes.vector(DCM_ImagePositionPatient, 0);
  slice.row_direction = unit_direction(attributes, 0);
  slice.column_direction = unit_direction(attributes, 3);
  require(std::abs(dot(slice.row_direction, slice.column_direction)) < 0.01,
          "{}: ImageOrientationPatient has directions that are not perpendicular", slice.file.string());
  slice.row_spacing = attributes.required(DCM_PixelSpacing, 0);
  slice.column_spacing = attributes.required(DCM_PixelSpacing, 1);
  for (const double spacing : {slice.row_spacing, slice.column_spacing})
    require(spacing > 1e-3 && spacing < 100, "{}: PixelSpacing is {} mm, expected 0.001..100",
            slice.file.string(), spacing);
  for (const double coordinate : slice.position)
    require(std::abs(coordinate) < 1e5, "{}: ImagePositionPatient is {} mm, expected within 100 m",
            slice.file.string(), coordinate);
}

StoredFormat read_format(const Attributes& attributes) {
  const std::string file = attributes.file().string();
  require(attributes.required_word(DCM_SamplesPerPixel) == 1, "{}: a color image, expected CT grey values",
          file);
  const int allocated = attributes.required_word(DCM_BitsAllocated);
  require(allocated == 16, "{}: BitsAllocated is {}, expected 16", file, allocated);
  StoredFormat format;
  format.bits_stored = attributes.required_word(DCM_BitsStored);
  format.high_bit = attributes.required_word(DCM_HighBit);
  require(format.bits_stored >= 1 && format.high_bit <= 15 && format.high_bit + 1 >= format.bits_stored,
          "{}: BitsStored {} and HighBit {} do not fit 16 bits", file, format.bits_stored, format.high_bit);
  const int representation = attributes.required_word(DCM_PixelRepresentation);
  require(representation <= 1, "{}: PixelRepresentation is {}, expected 0 or 1", file, representation);
  format.is_signed = representation == 1;

  // The padding word is a full 16-bit value of the pixels' signedness, whichever VR the file gave it.
  const auto padding = [&](const DcmTagKey& tag) {
    std::optional<int> value = attributes.word(tag);
    if (value && format.is_signed) value = static_cast<std::int16_t>(*value);
    return value;
  };
  format.padding_low = padding(DCM_PixelPaddingValue);
  if (format.padding_low) {
    format.padding_high = padding(DCM_PixelPaddingRangeLimit).value_or(*format.padding_low);
    if (*format.padding_high < *format.padding_low) std::swap(format.padding_low, format.padding_high);
  }

  require(!attributes.has_sequence(DCM_ModalityLUTSequence), "{}: has a Modality LUT, expected RescaleSlope",
          file);
  format.slope = attributes.required(DCM_RescaleSlope);
  format.intercept = attributes.required(DCM_RescaleIntercept);
  require(format.slope != 0 && std::abs(format.slope) < 1e4 && std::abs(format.intercept) < 1e6,
          "{}: RescaleSlope {} and RescaleIntercept {} cannot be a CT", file, format.slope, format.intercept);
  const std::string type = attributes.text(DCM_RescaleType);
  require(type.empty() || type == "HU" || type == "US", "{}: RescaleType is {}, expected HU", file, type);
  return format;
}

CtSlice read_slice(const Attributes& attributes, const CtSlice& file_level, int frame) {
  CtSlice slice = file_level;
  slice.frame = frame;
  slice.image_type = attributes.text(DCM_ImageType);
  slice.kernel = attributes.text(DCM_ConvolutionKernel);
  if (slice.is_localizer()) return slice;  // never used, and often without a proper geometry
  read_geometry(attributes, slice);
  slice.format = read_format(attributes);
  return slice;
}

// The bytes of the frame if every frame is one fragment (RLE must be, JPEG nearly always is); else nothing.
std::span<const std::uint8_t> compressed_frame(const CtSlice& slice, DcmDataset& dataset,
                                               DcmPixelData& pixels) {
  DcmPixelSequence* sequence = nullptr;
  pixels.getEncapsulatedRepresentation(dataset.getOriginalXfer(), nullptr, sequence);
  require(sequence != nullptr && sequence->card() >= 2, "{}: compressed PixelData is empty",
          slice.file.string());
  Sint32 frames = 1;
  if (dataset.findAndGetSint32(DCM_NumberOfFrames, frames).bad()) frames = 1;
  if (sequence->card() != static_cast<unsigned long>(frames) + 1) return {};
  DcmPixelItem* item = nullptr;
  Uint8* bytes = nullptr;
  require(sequence->getItem(item, static_cast<unsigned long>(slice.frame) + 1).good() &&
              item->getUint8Array(bytes).good() && bytes != nullptr,
          "{}: PixelData is truncated", slice.file.string());
  return {bytes, item->getLength()};
}

// What DCMTK does not find out: its JPEG decoders fill missing data with grey, its RLE decoder may crash.
void check_compressed(const CtSlice& slice, E_TransferSyntax syntax, std::span<const std::uint8_t> frame) {
  if (syntax == EXS_RLELossless)
    return require(!frame.empty(), "{}: RLE PixelData needs one fragment per frame", slice.file.string());
  if (frame.empty()) return;
  const std::string problem = jpeg_stream_problem(frame, slice.rows, slice.columns);
  require(problem.empty(), "{}: {}", slice.file.string(), problem);
}

// What this project decodes itself; nothing for the rest.
std::optional<std::vector<std::uint16_t>> own_words(const CtSlice& slice, E_TransferSyntax syntax,
                                                    std::span<const std::uint8_t> frame, std::size_t count) {
  try {
    if (syntax == EXS_RLELossless) return decode_rle(frame, count);
    const bool is_lossless_jpeg = syntax == EXS_JPEGProcess14 || syntax == EXS_JPEGProcess14SV1;
    if (is_lossless_jpeg && !frame.empty()) return decode_jpeg_lossless(frame, slice.rows, slice.columns);
  } catch (const Error& error) {
    fail("{}: {}", slice.file.string(), error.what());
  }
  return std::nullopt;
}

std::vector<std::uint16_t> stored_words(const CtSlice& slice, DcmDataset& dataset, std::size_t count) {
  DcmElement* element = nullptr;
  dataset.findAndGetElement(DCM_PixelData, element);
  auto* found = dynamic_cast<DcmPixelData*>(element);
  require(found != nullptr, "{}: PixelData is missing", slice.file.string());
  DcmPixelData& pixels = *found;
  Uint32 frame_bytes = 0;
  OFCondition status = pixels.getUncompressedFrameSize(&dataset, frame_bytes);
  require(status.good() && frame_bytes == count * 2, "{}: a frame has {} bytes, expected {} ({} x {} words)",
          slice.file.string(), frame_bytes, count * 2, slice.rows, slice.columns);
  const E_TransferSyntax syntax = dataset.getOriginalXfer();
  if (DcmXfer(syntax).isEncapsulated()) {
    const std::span<const std::uint8_t> frame = compressed_frame(slice, dataset, pixels);
    check_compressed(slice, syntax, frame);
    if (auto words = own_words(slice, syntax, frame, count)) return *std::move(words);
  } else {
    const std::uint64_t needed = std::uint64_t{frame_bytes} * (static_cast<std::uint64_t>(slice.frame) + 1);
    require(pixels.getLength() >= needed, "{}: PixelData has {} bytes, expected {}", slice.file.string(),
            pixels.getLength(), needed);
  }
  std::vector<std::uint16_t> words(count);
  Uint32 fragment = 0;
  OFString color_model;
  status = pixels.getUncompressedFrame(&dataset, static_cast<Uint32>(slice.frame), fragment, words.data(),
                                       frame_bytes, color_model);
  require(status.good(), "{}: PixelData cannot be decoded: {}", slice.file.string(), status.text());
  return words;
}

}  // namespace

bool CtSlice::is_localizer() const {
  return image_type.find("LOCALIZER") != std::string::npos || image_type.find("SCOUT") != std::string::npos;
}

bool is_dicom(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  require(stream.good(), "{}: cannot be opened", file.string());
  std::array<char, 132> start{};
  stream.read(start.data(), start.size());
  return stream.gcount() == 132 && std::string_view(start.data() + 128, 4) == "DICM";
}

std::vector<CtSlice> read_ct_headers(const std::filesystem::path& file) {
  DcmFileFormat loaded;
  CtSlice common;
  common.file = file;
  load(loaded, file, DCM_PixelData, &common.transfer_syntax);
  DcmDataset& dataset = *loaded.getDataset();
  const Attributes top(common.file, dataset, nullptr, nullptr);
  const std::string modality = top.text(DCM_Modality);
  if (modality != "CT")
    throw NotCt(fmt::format("{}: Modality is '{}', expected CT", file.string(), modality));

  common.file_number = number_in_name(file);
  common.instance_number =
      static_cast<int>(std::clamp(top.number(DCM_InstanceNumber).value_or(0), -1e9, 1e9));
  common.study_uid = top.text(DCM_StudyInstanceUID);
  common.series_uid = top.text(DCM_SeriesInstanceUID);
  common.sop_uid = top.text(DCM_SOPInstanceUID);
  common.frame_of_reference_uid = top.text(DCM_FrameOfReferenceUID);
  require(!common.series_uid.empty(), "{}: SeriesInstanceUID is missing", file.string());
  require(!common.sop_uid.empty(), "{}: SOPInstanceUID is missing", file.string());
  const std::string patient = top.text(DCM_PatientID);
  // Tells patients apart without carrying their identifier.
  common.patient_key = Fingerprint().add(patient.empty() ? common.study_uid : patient).hex();
  common.rows = top.required_word(DCM_Rows);
  common.columns = top.required_word(DCM_Columns);
  require(common.rows >= 1 && common.rows <= kMaxSide && common.columns >= 1 && common.columns <= kMaxSide,
          "{}: image is {} rows x {} columns, expected 1..{}", file.string(), common.rows, common.columns,
          kMaxSide);

  const double frames = top.number(DCM_NumberOfFrames).value_or(1);
  require(frames >= 1 && frames <= kMaxFrames, "{}: NumberOfFrames is {}, expected 1..{}", file.string(),
          frames, kMaxFrames);
  DcmItem* shared = nullptr;
  dataset.findAndGetSequenceItem(DCM_SharedFunctionalGroupsSequence, shared, 0);
  std::vector<CtSlice> slices;
  for (int frame = 0; frame < static_cast<int>(frames); ++frame) {
    DcmItem* per_frame = nullptr;
    dataset.findAndGetSequenceItem(DCM_PerFrameFunctionalGroupsSequence, per_frame, frame);
    require(per_frame != nullptr || frames == 1, "{}: frame {} has no position of its own", file.string(),
            frame + 1);
    slices.push_back(read_slice(Attributes(common.file, dataset, shared, per_frame), common, frame));
  }
  return slices;
}

void HuReader::read(const CtSlice& slice, std::span<std::int16_t> hu) {
  const std::size_t count = static_cast<std::size_t>(slice.rows) * static_cast<std::size_t>(slice.columns);
  require(hu.size() == count, "HuReader: hu has {} values, expected rows * columns = {}", hu.size(), count);
  DcmFileFormat loaded;
  load(loaded, slice.file, DCM_UndefinedTagKey, nullptr);
  const std::vector<std::uint16_t> words = stored_words(slice, *loaded.getDataset(), count);
  table_.convert(slice.format, words, hu);
}

void read_hu(const CtSlice& slice, std::span<std::int16_t> hu) { HuReader().read(slice, hu); }

}  // namespace sagitta::data
