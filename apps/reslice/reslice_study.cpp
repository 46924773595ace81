#include "apps/reslice/reslice_study.h"

#include <fstream>

#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

fs::path study_folder(const ResliceOptions& options, const StudyInput& study) {
  return options.out / "slices" / study.name;
}

}  // namespace

nlohmann::ordered_json reslice_study(const StudyInput& study, const ResliceOptions& options,
                                     data::Volume& volume) {
  const StudyCut cut = cut_study(study, options, volume);
  // What an interrupted run or other settings left behind must not mix with this.
  const fs::path folder = study_folder(options, study);
  std::error_code error;
  fs::remove_all(folder, error);
  require(!error, "{}: cannot be removed: {}", folder.string(), error.message());
  if (cut.refused()) return cut.record;
  fs::create_directories(folder, error);
  require(!error, "{}: cannot be created: {}", folder.string(), error.message());
  // Flushing each of thousands of pictures would take as long as cutting them.
  for (std::size_t k = 0; k < cut.pictures.size(); ++k)
    data::write_png(folder / fmt::format("{}.png", k), cut.pictures[k], Durability::survives_crash);
  Json file = {{"settings", settings_json(options)}, {"record", cut.record}, {"sources", cut.sources}};
  write_text_file(folder / "study.json", json_text(file, -1));
  return cut.record;
}

nlohmann::ordered_json finished_study(const StudyInput& study, const ResliceOptions& options) {
  const fs::path folder = study_folder(options, study);
  std::ifstream stream(folder / "study.json");
  if (!stream) return nullptr;
  const Json file = Json::parse(stream, nullptr, false);
  if (file.is_discarded() || !file.is_object() || file.value("settings", Json()) != settings_json(options))
    return nullptr;
  const Json record = file.value("record", Json());
  if (!record.is_object() || record.value("study", "") != study.name) return nullptr;
  const Json planes = record.value("planes_x_mm", Json());
  if (planes.size() != static_cast<std::size_t>(options.planes)) return nullptr;
  for (std::size_t k = 0; k < planes.size(); ++k) {
    // A loss of power leaves files that were not flushed empty.
    std::error_code missing;
    const auto size = fs::file_size(folder / fmt::format("{}.png", k), missing);
    if (!planes[k].is_number() || missing || size == 0) return nullptr;
  }
  return record;
}

}  // namespace sagitta::apps
