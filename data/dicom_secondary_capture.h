// A picture about a CT study as DICOM Secondary Capture (PS3.3 A.8.1), so that it can be sent to where the
// study came from and is found beside it.
// Invariants: the patient's and the study's attributes go from the source file to this one inside the .cpp
// and are seen by nobody else; without the patient's name and number an archive could not file the picture.
// UIDs are a function of the source's series, `identity` and the pixels.
#pragma once
#include <filesystem>
#include <string>

#include "data/image.h"

namespace sagitta::data {

struct SecondaryCapture {
  Image picture;                   // RGB
  std::string identity;            // what made it: another one is another series (settings, model)
  std::string series_description;  // at most 64 characters
  std::string derivation;          // how it was made (DerivationDescription), at most 1024 characters
  std::string software_version;    // at most 64 characters
};

// Writes it as a series of one image in the study of `source`, any of its DICOM files, uncompressed,
// replacing a file that is there, whole or not at all. Its pictures carry text (BurnedInAnnotation YES).
// Throws Error when the source cannot be read or has no StudyInstanceUID or SeriesInstanceUID, or the file
// cannot be written. Safe to call from several threads.
void write_secondary_capture(const std::filesystem::path& path, const std::filesystem::path& source,
                             const SecondaryCapture& capture);

}  // namespace sagitta::data
