#include "data/dicom_writer.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcfilefo.h>
#include <dcmtk/dcmdata/dcrleerg.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djencode.h>
#include <dcmtk/dcmjpeg/djrplol.h>
#include <dcmtk/dcmjpls/djencode.h>
#include <dcmtk/dcmjpls/djrparam.h>

#include "tensor/error.h"

namespace sagitta::data {
namespace {

struct SyntaxInfo {
  const char* name;
  const char* uid;
  E_TransferSyntax dcmtk;
};

const SyntaxInfo& info(TransferSyntax syntax) {
  static constexpr SyntaxInfo kInfo[] = {
      {"implicit_little", UID_LittleEndianImplicitTransferSyntax, EXS_LittleEndianImplicit},
      {"explicit_little", UID_LittleEndianExplicitTransferSyntax, EXS_LittleEndianExplicit},
      {"explicit_big", UID_BigEndianExplicitTransferSyntax, EXS_BigEndianExplicit},
      {"deflated", UID_DeflatedExplicitVRLittleEndianTransferSyntax, EXS_DeflatedLittleEndianExplicit},
      {"rle", UID_RLELosslessTransferSyntax, EXS_RLELossless},
      {"jpeg_lossless", UID_JPEGProcess14TransferSyntax, EXS_JPEGProcess14},
      {"jpeg_lossless_sv1", UID_JPEGProcess14SV1TransferSyntax, EXS_JPEGProcess14SV1},
      {"jpeg_ls_lossless", UID_JPEGLSLosslessTransferSyntax, EXS_JPEGLSLossless},
  };
  return kInfo[static_cast<int>(syntax)];
}

// DCMTK's codec list is global and may only be changed while nobody encodes: a function-local static does it
// once.
void register_encoders() {
  static const bool done = [] {
    OFLog::configure(
        OFLogger::OFF_LOG_LEVEL);  // errors come back as status codes; the console belongs to the program
    DJEncoderRegistration::registerCodecs();
    DJLSEncoderRegistration::registerCodecs();
    DcmRLEEncoderRegistration::registerCodecs();
    return true;
  }();
  (void)done;
}

// A Decimal String holds at most 16 characters: as many digits as fit.
std::string decimal(double value) {
  for (int digits = 15;; --digits) {
    std::string text = fmt::format("{:.{}g}", value, digits);
    if (text.size() <= 16) return text;
  }
}

std::string decimals(std::initializer_list<double> values) {
  std::string text;
  for (const double value : values) {
    if (!text.empty()) text += '\\';
    text += decimal(value);
  }
  return text;
}

void put(DcmItem& item, const DcmTagKey& tag, const std::string& value) {
  const OFCondition status = item.putAndInsertString(tag, value.c_str());
  require(status.good(), "write_ct_slice: cannot set {} to '{}': {}", DcmTag(tag).getTagName(), value,
          status.text());
}

void put_word(DcmItem& item, const DcmTagKey& tag, int value) {
  const OFCondition status = item.putAndInsertUint16(tag, static_cast<Uint16>(value));
  require(status.good(), "write_ct_slice: cannot set {}: {}", DcmTag(tag).getTagName(), status.text());
}

void put_identity(DcmItem& item, const CtSliceFile& slice) {
  put(item, DCM_SOPClassUID, UID_CTImageStorage);
  put(item, DCM_SOPInstanceUID, slice.sop_uid);
  put(item, DCM_StudyInstanceUID, slice.study_uid);
  put(item, DCM_SeriesInstanceUID, slice.series_uid);
  put(item, DCM_FrameOfReferenceUID, slice.frame_of_reference_uid);
  put(item, DCM_PatientID, slice.patient_id);
  put(item, DCM_PatientName, "");
  put(item, DCM_PatientBirthDate, "");
  put(item, DCM_PatientSex, "");
  put(item, DCM_StudyDate, "");
  put(item, DCM_StudyTime, "");
  put(item, DCM_StudyID, "");
  put(item, DCM_AccessionNumber, "");
  put(item, DCM_ReferringPhysicianName, "");
  put(item, DCM_PositionReferenceIndicator, "");
  put(item, DCM_Manufacturer, "Sagitta");
  put(item, DCM_Modality, "CT");
  put(item, DCM_SeriesNumber, "1");
  put(item, DCM_InstanceNumber, std::to_string(slice.instance_number));
  put(item, DCM_ImageType, slice.image_type);
  if (!slice.description.empty()) put(item, DCM_SeriesDescription, slice.description);
  if (!slice.kernel.empty()) put(item, DCM_ConvolutionKernel, slice.kernel);
}

void put_geometry(DcmItem& item, const CtSliceFile& slice) {
  const auto& p = slice.position;
  const auto& r = slice.row_direction;
  const auto& c = slice.column_direction;
  put(item, DCM_ImagePositionPatient, decimals({p[0], p[1], p[2]}));
  put(item, DCM_ImageOrientationPatient, decimals({r[0], r[1], r[2], c[0], c[1], c[2]}));
  put(item, DCM_PixelSpacing, decimals({slice.row_spacing, slice.column_spacing}));
  put(item, DCM_SliceThickness, decimal(slice.slice_thickness));
}

void put_pixels(DcmItem& item, const CtSliceFile& slice) {
  put_word(item, DCM_SamplesPerPixel, 1);
  put(item, DCM_PhotometricInterpretation, "MONOCHROME2");
  put_word(item, DCM_Rows, slice.rows);
  put_word(item, DCM_Columns, slice.columns);
  put_word(item, DCM_BitsAllocated, 16);
  put_word(item, DCM_BitsStored, slice.bits_stored);
  put_word(item, DCM_HighBit, slice.bits_stored - 1);
  put_word(item, DCM_PixelRepresentation, slice.is_signed ? 1 : 0);
  if (slice.padding_value) {
    // The value representation (US or SS) follows PixelRepresentation.
    const OFCondition status = slice.is_signed
                                   ? item.putAndInsertSint16(DcmTag(DCM_PixelPaddingValue, EVR_SS),
                                                             static_cast<Sint16>(*slice.padding_value))
                                   : item.putAndInsertUint16(DcmTag(DCM_PixelPaddingValue, EVR_US),
                                                             static_cast<Uint16>(*slice.padding_value));
    require(status.good(), "write_ct_slice: cannot set PixelPaddingValue: {}", status.text());
  }
  put(item, DCM_RescaleIntercept, decimal(slice.intercept));
  put(item, DCM_RescaleSlope, decimal(slice.slope));
  put(item, DCM_RescaleType, "HU");
  put(item, DCM_WindowCenter, decimal(slice.window_center));
  put(item, DCM_WindowWidth, decimal(slice.window_width));
  const OFCondition status =
      item.putAndInsertUint16Array(DCM_PixelData, slice.stored.data(), slice.stored.size());
  require(status.good(), "write_ct_slice: cannot set PixelData: {}", status.text());
}

}  // namespace

const char* transfer_syntax_name(TransferSyntax syntax) { return info(syntax).name; }
const char* transfer_syntax_uid(TransferSyntax syntax) { return info(syntax).uid; }

void write_ct_slice(const std::filesystem::path& path, const CtSliceFile& slice, TransferSyntax syntax) {
  const auto pixels = static_cast<std::size_t>(slice.rows) * static_cast<std::size_t>(slice.columns);
  require(slice.rows > 0 && slice.rows <= 65535 && slice.columns > 0 && slice.columns <= 65535,
          "write_ct_slice: image is {} x {}, expected 1..65535", slice.rows, slice.columns);
  require(slice.stored.size() == pixels, "write_ct_slice: stored has {} words, expected rows * columns = {}",
          slice.stored.size(), pixels);
  require(slice.bits_stored >= 1 && slice.bits_stored <= 16,
          "write_ct_slice: bits_stored is {}, expected 1..16", slice.bits_stored);
  // DCMTK hands sign-extended words to the JPEG-LS encoder, which then aborts the program.
  require(syntax != TransferSyntax::jpeg_ls_lossless || !slice.is_signed || slice.bits_stored == 16,
          "write_ct_slice: bits_stored is {}, expected 16 for signed values in JPEG-LS", slice.bits_stored);

  register_encoders();
  DcmFileFormat file;
  DcmDataset& dataset = *file.getDataset();
  put_identity(dataset, slice);
  put_geometry(dataset, slice);
  put_pixels(dataset, slice);

  const DJ_RPLossless jpeg_parameters;  // predictor 1, no point transform
  const DJLSRepresentationParameter jpeg_ls_parameters(0, OFTrue);
  const DcmRepresentationParameter* parameters = nullptr;
  if (syntax == TransferSyntax::jpeg_lossless || syntax == TransferSyntax::jpeg_lossless_sv1)
    parameters = &jpeg_parameters;
  if (syntax == TransferSyntax::jpeg_ls_lossless) parameters = &jpeg_ls_parameters;
  const E_TransferSyntax target = info(syntax).dcmtk;
  OFCondition status = dataset.chooseRepresentation(target, parameters);
  require(status.good() && dataset.canWriteXfer(target), "write_ct_slice: cannot encode as {}: {}",
          info(syntax).name, status.text());
  status = file.saveFile(path.c_str(), target);
  require(status.good(), "{}: cannot be written: {}; is the disk full?", path.string(), status.text());
}

}  // namespace sagitta::data
