#include "apps/predict/study_list.h"

#include <algorithm>

#include "data/dicom_reader.h"
#include "data/rsna_csv.h"
#include "tensor/error.h"

namespace sagitta::apps {

namespace fs = std::filesystem;

StudyInput study_in(const fs::path& folder) {
  require(fs::is_directory(folder), "--study {}: not a folder", folder.string());
  return {fs::weakly_canonical(folder).filename().string(), folder};
}

std::vector<StudyInput> studies_in(const fs::path& folder) {
  require(fs::is_directory(folder), "--studies {}: not a folder", folder.string());
  const bool test = fs::is_directory(folder / "test_images"),
             train = fs::is_directory(folder / "train_images");
  require(!(test && train),
          "--studies {0}: holds test_images and train_images; give {0}/test_images or the other",
          folder.string());
  if (test || train) return studies_in(folder / (test ? "test_images" : "train_images"));
  std::vector<StudyInput> studies;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.')) continue;
    if (entry.is_directory())
      studies.push_back({name, entry.path()});
    else
      require(!entry.is_regular_file() || !data::is_dicom(entry.path()),
              "--studies {0}: holds DICOM files itself; give one study as --study {0}", folder.string());
  }
  require(!studies.empty(), "--studies {}: has no subfolders, expected one per study", folder.string());
  std::sort(studies.begin(), studies.end(),
            [](const StudyInput& a, const StudyInput& b) { return a.name < b.name; });
  return studies;
}

std::string naming_problem(const std::string& study) {
  return data::is_plain_folder_name(study) ? ""
                                           : "the folder's name cannot name files; rename it, or link to it "
                                             "under a name of at most 64 letters, "
                                             "digits and dots";
}

}  // namespace sagitta::apps
