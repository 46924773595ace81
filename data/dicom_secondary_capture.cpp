#include "data/dicom_secondary_capture.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include "data/dicom_guard.h"
#include "data/fingerprint.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

namespace fs = std::filesystem;

// Attributes of type 2 are there even when they are empty; the others where the source has them.
struct Inherited {
  DcmTagKey tag;
  bool always;
};
const Inherited kInherited[] = {
    {DCM_SpecificCharacterSet, false},  // of the texts below
    {DCM_StudyDate, true},
    {DCM_StudyTime, true},
    {DCM_AccessionNumber, true},
    {DCM_ReferringPhysicianName, true},
    {DCM_StudyDescription, false},
    {DCM_PatientName, true},
    {DCM_PatientID, true},
    {DCM_IssuerOfPatientID, false},
    {DCM_PatientBirthDate, true},
    {DCM_PatientSex, true},
    {DCM_StudyInstanceUID, true},
    {DCM_StudyID, true},
};

void check(const OFCondition& status, const DcmTagKey& tag) {
  require(status.good(), "write_secondary_capture: cannot set {}: {}", DcmTag(tag).getTagName(),
          status.text());
}

void put(DcmItem& item, const DcmTagKey& tag, const std::string& value) {
  check(item.putAndInsertString(tag, value.c_str()), tag);
}

void put_word(DcmItem& item, const DcmTagKey& tag, int value) {
  check(item.putAndInsertUint16(tag, static_cast<Uint16>(value)), tag);
}

std::string uid_in(DcmItem& item, const DcmTagKey& tag, const fs::path& file) {
  OFString value;
  item.findAndGetOFString(tag, value);
  require(!value.empty(), "{}: {} is missing", file.string(), DcmTag(tag).getTagName());
  return value.c_str();
}

void inherit(DcmItem& from, DcmItem& to) {
  for (const auto& [tag, always] : kInherited) {
    DcmElement* element = nullptr;
    if (from.findAndGetElement(tag, element, OFFalse, OFTrue).good()) {
      const OFCondition status = to.insert(element, true);
      if (status.bad()) delete element;
      check(status, tag);
    } else if (always) {
      check(to.insertEmptyElement(tag), tag);
    }
  }
}

void put_series(DcmItem& item, const SecondaryCapture& capture, const std::string& series_uid) {
  put(item, DCM_Modality, "OT");
  put(item, DCM_SeriesInstanceUID, series_uid);
  put(item, DCM_SeriesNumber, "9000");  // behind the scanner's own
  put(item, DCM_SeriesDescription, capture.series_description);
  put(item, DCM_BodyPartExamined, "CSPINE");
  put(item, DCM_Manufacturer, "Sagitta");
  put(item, DCM_SoftwareVersions, capture.software_version);
  put(item, DCM_ConversionType, "WSD");  // workstation
}

void put_image(DcmItem& item, const SecondaryCapture& capture) {
  put(item, DCM_InstanceNumber, "1");
  put(item, DCM_ImageType, "DERIVED\\SECONDARY");
  check(item.insertEmptyElement(DCM_PatientOrientation), DCM_PatientOrientation);
  put(item, DCM_DerivationDescription, capture.derivation);
  put(item, DCM_BurnedInAnnotation, "YES");
  put(item, DCM_LossyImageCompression, "00");
  const Image& picture = capture.picture;
  put_word(item, DCM_SamplesPerPixel, 3);
  put(item, DCM_PhotometricInterpretation, "RGB");
  put_word(item, DCM_PlanarConfiguration, 0);
  put_word(item, DCM_Rows, picture.height);
  put_word(item, DCM_Columns, picture.width);
  put_word(item, DCM_BitsAllocated, 8);
  put_word(item, DCM_BitsStored, 8);
  put_word(item, DCM_HighBit, 7);
  put_word(item, DCM_PixelRepresentation, 0);
  check(item.putAndInsertUint8Array(DCM_PixelData, picture.pixels.data(), picture.pixels.size()),
        DCM_PixelData);
}

void save(DcmFileFormat& file, const fs::path& path) {
  const fs::path partial = path.string() + ".partial";
  const OFCondition status = file.saveFile(partial.c_str(), EXS_LittleEndianExplicit);
  std::error_code error;
  if (status.good()) fs::rename(partial, path, error);
  if (status.good() && !error) return;
  std::error_code ignored;
  fs::remove(partial, ignored);
  fail("{}: cannot be written: {}; is the disk full?", path.string(),
       status.bad() ? std::string(status.text()) : error.message());
}

}  // namespace

void write_secondary_capture(const fs::path& path, const fs::path& source, const SecondaryCapture& capture) {
  const Image& picture = capture.picture;
  require(picture.channels == 3 && picture.width >= 1 && picture.height >= 1 &&
              picture.pixels.size() == static_cast<std::size_t>(picture.width) * picture.height * 3,
          "write_secondary_capture: picture is {}x{}x{} with {} bytes, expected RGB", picture.width,
          picture.height, picture.channels, picture.pixels.size());
  refuse_dicom_bomb(source);
  DcmFileFormat origin;
  const OFCondition status = origin.loadFileUntilTag(source.c_str(), EXS_Unknown, EGL_noChange,
                                                     DCM_MaxReadLength, ERM_fileOnly, DCM_PixelData);
  require(status.good(), "{}: damaged or truncated: {}", source.string(), status.text());
  DcmDataset& from = *origin.getDataset();
  uid_in(from, DCM_StudyInstanceUID, source);

  Fingerprint series;
  series.add(uid_in(from, DCM_SeriesInstanceUID, source)).add(capture.identity);
  Fingerprint instance = series;
  instance.add(std::as_bytes(std::span(picture.pixels)));

  DcmFileFormat file;
  DcmDataset& item = *file.getDataset();
  inherit(from, item);
  put(item, DCM_SOPClassUID, UID_SecondaryCaptureImageStorage);
  put(item, DCM_SOPInstanceUID, instance.uid());
  put_series(item, capture, series.uid());
  put_image(item, capture);
  save(file, path);
}

}  // namespace sagitta::data
