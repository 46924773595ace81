#include "apps/reslice/reslice.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "apps/engine/progress.h"
#include "apps/reslice/reslice_study.h"
#include "data/csv.h"
#include "data/rsna_csv.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct DataSet {
  std::vector<StudyInput> studies;
  std::map<std::string, data::StudyLabels> labels;  // empty without train.csv
};

std::vector<fs::path> sorted_entries(const fs::path& folder, bool folders) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder))
    if (folders ? entry.is_directory() : entry.is_regular_file()) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

StudyInput study_at(const fs::path& folder) {
  const std::string name = fs::weakly_canonical(folder).filename().string();
  require(data::is_plain_folder_name(name), "{}: the folder's name cannot name a study; rename it",
          folder.string());
  return {name, folder};
}

DataSet find_studies(const fs::path& root) {
  require(fs::is_directory(root), "--data {}: not a folder", root.string());
  DataSet set;
  fs::path images = root;
  if (fs::exists(root / "train.csv") || fs::is_directory(root / "train_images")) {
    images = root / "train_images";
    require(fs::is_directory(images), "--data {}: train.csv is there but the folder train_images is not",
            root.string());
    if (fs::exists(root / "train.csv"))
      for (data::StudyLabels& labels : data::read_train_csv(root / "train.csv"))
        set.labels.emplace(labels.study, labels);
  } else {
    for (const fs::path& file : sorted_entries(root, false))
      if (data::is_dicom(file)) return {{study_at(root)}, {}};
  }
  for (const fs::path& folder : sorted_entries(images, true)) set.studies.push_back(study_at(folder));
  // A study of the table without images is reported like any other that cannot be used.
  for (const auto& [name, labels] : set.labels)
    if (!fs::is_directory(images / name)) set.studies.push_back({name, images / name});
  require(!set.studies.empty(),
          "--data {}: no studies; expected train.csv and train_images/, or folders of DICOM files",
          root.string());
  return set;
}

// The first run leaves its settings behind; a later one must agree, or slices of two kinds would mix.
void settle_settings(const ResliceOptions& options) {
  const fs::path path = options.out / "settings.json";
  const Json settings = settings_json(options);
  std::error_code error;
  fs::create_directories(options.out, error);
  require(!error, "--out {}: cannot be created: {}", options.out.string(), error.message());
  if (std::ifstream stream(path); stream) {
    const Json before = Json::parse(stream, nullptr, false);
    if (before == settings) return;
    std::string changed;
    for (const auto& [key, value] : settings.items())
      if (!before.is_object() || !before.contains(key) || before[key] != value)
        changed += (changed.empty() ? "" : ", ") + key;
    fail("--out {}: holds slices made with other settings ({}); choose another folder or delete this one",
         options.out.string(), changed.empty() ? "spacing_mm" : changed);
  }
  write_text_file(path, json_text(settings, 2));
}

void write_tables(const ResliceOptions& options, const DataSet& set, const std::vector<Json>& records) {
  std::vector<std::string> header = {"slice", "study", "x_mm", "patient_overall"};
  for (int level = 1; level <= 7; ++level) header.push_back(fmt::format("C{}", level));
  std::vector<std::vector<std::string>> rows;
  for (const Json& record : records) {
    const std::string study = record["study"];
    std::vector<std::string> truth(8);
    if (const auto found = set.labels.find(study); found != set.labels.end()) {
      truth[0] = std::to_string(found->second.overall);
      for (std::size_t i = 0; i < 7; ++i) truth[i + 1] = std::to_string(found->second.c[i]);
    }
    for (std::size_t k = 0; k < record["planes_x_mm"].size(); ++k) {
      std::vector<std::string> row = {fmt::format("slices/{}/{}.png", study, k), study,
                                      fmt::format("{:.4f}", record["planes_x_mm"][k].get<double>())};
      row.insert(row.end(), truth.begin(), truth.end());
      rows.push_back(std::move(row));
    }
  }
  data::write_csv(options.out / "manifest.csv", header, rows);
  const Json studies = {{"settings", settings_json(options)}, {"studies", records}};
  write_text_file(options.out / "studies.json", json_text(studies, 2));
}

// Fills records[i] for every i of `to_do`, several studies at a time.
void reslice_all(const ResliceOptions& options, const std::vector<StudyInput>& studies,
                 const std::vector<std::size_t>& to_do, std::vector<Json>& records) {
  Progress progress("reslice", "studies", static_cast<std::int64_t>(records.size()),
                    static_cast<std::int64_t>(records.size() - to_do.size()));
  std::atomic<std::size_t> next = 0, done = records.size() - to_do.size();
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto work = [&] {
    data::Volume volume;
    for (std::size_t i; (i = next++) < to_do.size();) {
      try {
        Json& record = records[to_do[i]];
        record = reslice_study(studies[to_do[i]], options, volume);
        if (record["verdict"] == "refused")
          progress.note(fmt::format("refused {}: {}", record["study"].get<std::string>(),
                                    record["reasons"][0].get<std::string>()));
        progress.update(static_cast<std::int64_t>(++done));
      } catch (...) {
        const std::lock_guard lock(failure_mutex);
        failure = std::current_exception();
        next = to_do.size();  // the output cannot be written: no use in going on
      }
    }
  };
  const std::size_t processors = std::max(1u, std::thread::hardware_concurrency());
  const std::size_t jobs = options.jobs > 0 ? static_cast<std::size_t>(options.jobs) : processors;
  std::vector<std::jthread> workers;
  for (std::size_t i = 1; i < std::min(jobs, to_do.size()); ++i) workers.emplace_back(work);
  work();
  workers.clear();  // joins
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

ResliceSummary reslice(const ResliceOptions& options) {
  check_options(options);
  const DataSet set = find_studies(options.data);
  settle_settings(options);

  std::vector<Json> records;
  std::vector<std::size_t> to_do;
  for (const StudyInput& study : set.studies) {
    records.push_back(finished_study(study, options));
    if (records.back().is_null()) to_do.push_back(records.size() - 1);
  }
  ResliceSummary summary;
  summary.reused = static_cast<int>(records.size() - to_do.size());
  reslice_all(options, set.studies, to_do, records);
  write_tables(options, set, records);
  for (const Json& record : records) {
    const std::string verdict = record["verdict"];
    ++(verdict == "ok" ? summary.ok : verdict == "warn" ? summary.warned : summary.refused);
  }
  return summary;
}

}  // namespace sagitta::apps
