// The data set of the tests of study models, made in a moment: 24 studies of three slices whose labels are
// functions of the study's number, a slice model for them, and features that a formula gives.
#pragma once
#include <functional>

#include "apps/study/slice_features.h"
#include "data/image.h"
#include "study_fixture.h"
#include "temp_folder.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::testing {

using namespace apps;

inline constexpr int kStudies = 24, kPlanes = 3, kSide = 16;

inline std::string study_name(int i) { return fmt::format("study{:02}", i); }

// A folder as reslice writes it: in a study with C3 fractured, one plane has a bright square.
inline void write_slices(const std::filesystem::path& folder, int studies = kStudies) {
  std::string manifest = "slice,study,x_mm,patient_overall,C1,C2,C3,C4,C5,C6,C7\n";
  for (int s = 0; s < studies; ++s)
    for (int plane = 0; plane < kPlanes; ++plane) {
      const bool fractured = s % 2 == 0, other = s % 3 == 0;
      data::Image image{.width = kSide, .height = kSide, .channels = 1, .pixels = {}};
      for (int k = 0; k < kSide * kSide; ++k)
        image.pixels.push_back(static_cast<std::uint8_t>(60 + (k * (s + 3) + 7 * plane) % 40));
      if (fractured && plane == s % kPlanes)
        for (int k = 0; k < kSide * kSide / 2; ++k) image.pixels[static_cast<std::size_t>(k)] = 250;
      const std::string file = fmt::format("slices/{}/{}.png", study_name(s), plane);
      std::filesystem::create_directories((folder / file).parent_path());
      data::write_png(folder / file, image);
      manifest += fmt::format("{},{},{},{},{},{},{},{},{},{},{}\n", file, study_name(s), plane - 1,
                              int{fractured || other}, int{other}, 0, int{fractured}, int{s % 5 == 0}, 0,
                              int{s % 4 == 1}, int{s % 7 == 2});
    }
  write_text_file(folder / "manifest.csv", manifest);
}

inline std::vector<std::string> names(int first, int last) {
  std::vector<std::string> result;
  for (int i = first; i < last; ++i) result.push_back(study_name(i));
  return result;
}

inline StudySplit small_split() { return {names(0, 12), names(12, 18), names(18, kStudies)}; }

struct SmallFolder : TempFolder {
  SmallFolder() {
    write_slices(*this / "slices");
    write_slice_model(*this / "slice", 1, small_split(), kSide);
  }
};

inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Features that a formula gives, of some studies of the set.
inline SliceFeatures made_up_features(const std::vector<std::string>& studies, float offset) {
  SliceFeatures features{.studies = studies,
                         .planes = kPlanes,
                         .variants = 2,
                         .embedding_width = 2,
                         .labels = {"C1", "C2", "C3", "C4", "C5", "C6", "C7"},
                         .embeddings = {},
                         .logits = {}};
  for (std::size_t i = 0; i < studies.size() * kPlanes * 2; ++i) {
    for (int k = 0; k < 2; ++k) features.embeddings.push_back(offset + static_cast<float>(i * 2 + k));
    for (int k = 0; k < 7; ++k) features.logits.push_back(static_cast<float>((i * 5 + k) % 11) - 5);
  }
  return features;
}

}  // namespace sagitta::testing
