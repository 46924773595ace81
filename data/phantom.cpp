#include "data/phantom.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "data/dicom_writer.h"
#include "data/phantom_labels.h"
#include "data/rsna_csv.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

// Like the published set: one root, then a number of up to five digits.
std::vector<std::string> study_uids(int count, std::uint64_t seed) {
  CounterRandom random(seed, 4);
  std::vector<std::string> uids;
  std::unordered_set<int> taken;
  while (static_cast<int>(uids.size()) < count) {
    const int number = 1 + random.below(std::max(32768, 4 * count));
    if (taken.insert(number).second) uids.push_back(fmt::format("1.2.826.0.1.3680043.{}", number));
  }
  return uids;
}

// JPEG Lossless SV1 and raw make up the real set; the others are there so that readers meet them.
TransferSyntax sample_syntax(std::uint64_t seed, int study) {
  CounterRandom random(seed, 1000003u * static_cast<std::uint64_t>(study) + 5);
  using enum TransferSyntax;
  const double u = random.uniform();
  if (u < 0.3) return jpeg_lossless_sv1;
  if (u < 0.5) return explicit_little;
  return kTransferSyntaxes[static_cast<std::size_t>(
      random.below(static_cast<int>(kTransferSyntaxes.size())))];
}

CtSliceFile describe_slice(const Scan& scan, const std::string& study, int slice) {
  const int number = file_number(scan, slice);
  const Point corner = voxel_position(scan, slice, 0, 0);
  CtSliceFile file;
  file.patient_id = study.substr(study.rfind('.') + 1);
  file.study_uid = study;
  file.series_uid = study + ".1";
  file.sop_uid = fmt::format("{}.1.{}", study, number);
  file.frame_of_reference_uid = study + ".2";
  file.instance_number = number;
  file.description = "C-spine, synthetic";
  file.kernel = "BONE";
  file.rows = file.columns = scan.size;
  // A micrometer is enough, and keeps the text of the header short.
  const auto rounded = [](double mm) { return std::round(mm * 1000) / 1000; };
  file.position = {rounded(corner.x + scan.table[0]), rounded(corner.y + scan.table[1]),
                   rounded(corner.z + scan.table[2])};
  file.column_direction = {0, std::cos(scan.tilt), std::sin(scan.tilt)};
  file.row_spacing = file.column_spacing = scan.pixel_mm;
  file.slice_thickness = scan.thickness_mm;
  file.intercept = scan.intercept;
  file.is_signed = scan.is_signed;
  file.bits_stored = scan.bits_stored;
  file.padding_value = scan.padding;
  file.window_center = 500;
  file.window_width = 2500;
  return file;
}

struct StudyResult {
  std::vector<BoundingBox> boxes;
  int slices = 0;
};

StudyResult write_study(const PhantomOptions& options, int index, const std::string& uid,
                        const std::array<int, 7>& labels) {
  const Patient patient = sample_patient(options.seed, index, labels, options.difficulty);
  const Scan scan = sample_scan(patient, options.scan, options.seed, index);
  const PhantomField field(patient, blur_mm(scan));
  const TransferSyntax syntax = options.syntax.value_or(sample_syntax(options.seed, index));
  const auto folder = options.out / "train_images" / uid;
  // Slices of an interrupted run with other options must not stay among the new ones.
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  StudyResult result{.boxes = {}, .slices = scan.slices};
  for (int slice = 0; slice < scan.slices; ++slice) {
    CtSliceFile file = describe_slice(scan, uid, slice);
    file.stored = render_slice(field, scan, slice);
    write_ct_slice(folder / fmt::format("{}.dcm", file.instance_number), file, syntax);
    for (const Fracture& fracture : patient.fractures) {
      if (const auto box = fracture_box(patient, fracture, scan, slice)) {
        result.boxes.push_back({uid, (*box)[0], (*box)[1], (*box)[2], (*box)[3], file.instance_number});
      }
    }
  }
  return result;
}

}  // namespace

PhantomSummary write_phantom(const PhantomOptions& options, const std::function<void(int)>& progress) {
  require(options.difficulty >= 0 && options.difficulty <= 1, "phantom: difficulty is {}, expected 0 to 1",
          options.difficulty);
  require(options.studies <= 100000, "phantom: studies is {}, expected at most 100000", options.studies);
  const auto labels = sample_labels(options.studies, options.prevalence_scale, options.seed);
  require(!std::filesystem::exists(options.out / "train.csv"),
          "{}: already holds a data set (train.csv); choose another folder or delete it",
          options.out.string());
  std::error_code error;
  std::filesystem::create_directories(options.out / "train_images", error);
  require(!error, "{}: cannot be created: {}", (options.out / "train_images").string(), error.message());

  const auto uids = study_uids(options.studies, options.seed);
  std::vector<StudyResult> results(uids.size());
  std::atomic<int> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  int done = 0;
  const auto work = [&] {
    for (int i = next++; i < options.studies; i = next++) {
      try {
        results[i] = write_study(options, i, uids[i], labels[i]);
        const std::lock_guard lock(mutex);
        progress(++done);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = options.studies;
      }
    }
  };
  {
    const int jobs =
        options.jobs > 0 ? options.jobs : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    std::vector<std::jthread> threads;
    for (int i = 0; i < std::min(jobs, options.studies); ++i) threads.emplace_back(work);
  }
  if (failure) std::rethrow_exception(failure);

  PhantomSummary summary{.studies = options.studies};
  std::vector<StudyLabels> rows;
  std::vector<BoundingBox> boxes;
  for (std::size_t i = 0; i < uids.size(); ++i) {
    rows.push_back({uids[i], *std::max_element(labels[i].begin(), labels[i].end()), labels[i]});
    boxes.insert(boxes.end(), results[i].boxes.begin(), results[i].boxes.end());
    summary.fractured += rows.back().overall;
    summary.slices += results[i].slices;
  }
  write_bounding_boxes_csv(options.out / "train_bounding_boxes.csv", boxes);
  write_train_csv(options.out / "train.csv", rows);
  return summary;
}

}  // namespace sagitta::data
