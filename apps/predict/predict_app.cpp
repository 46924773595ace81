#include "apps/predict/predict_app.h"

#include <algorithm>
#include <thread>
#include <unordered_set>

#include "apps/engine/build_facts.h"
#include "apps/engine/progress.h"
#include "apps/engine/slices.h"
#include "apps/predict/cut_ahead.h"
#include "apps/predict/prediction_tables.h"
#include "apps/predict/study_list.h"
#include "apps/predict/study_picture.h"
#include "data/dicom_secondary_capture.h"
#include "data/fingerprint.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

// Raised whenever the same settings begin to give other numbers.
constexpr int kFormatVersion = 1;

std::string version() { return build_facts().front().second; }

// Everything that decides what the numbers are.
Json settings_of(const PredictOptions& options, const CutOptions& cut, const OpenedModels& opened) {
  Json models = Json::array();
  for (const Json& model : opened.models) models.push_back(model["fingerprint"]);
  return {{"format", kFormatVersion},
          {"models", models},
          {"labels", opened.reader->labels()},
          {"slices", settings_json(cut)},
          {"aggregation", opened.aggregator["rule"]},
          {"aggregator", data::Fingerprint().add(opened.aggregator.dump()).hex()},
          {"tta", options.reading.variants},
          {"precision", options.device.precision}};
}

// What predictions.json begins with.
Json header_of(const OpenedModels& opened, const Json& settings) {
  return {{"notice", kNotice},
          {"program", "sagitta predict " + version()},
          {"models", opened.models},
          {"aggregator", opened.aggregator},
          {"settings", settings}};
}

// How slices became a study, as the caption says it.
std::string caption_of(const OpenedModels& opened, const CutOptions& cut) {
  const std::size_t models = opened.models.size();
  return fmt::format("{} of {} planes over {:g} mm, {} model{}", opened.aggregator["rule"].get<std::string>(),
                     cut.planes, cut.span_mm, models, models == 1 ? "" : "s");
}

// The studies that one of the models was trained on, whose predictions are too good.
std::unordered_set<std::string> trained_on(const std::vector<std::string>& models) {
  std::unordered_set<std::string> studies;
  for (const std::string& model : models)
    if (const fs::path file = fs::path(model) / "split.json"; fs::exists(file))
      for (std::string& study : read_split(file).train) studies.insert(std::move(study));
  return studies;
}

// A batch under way.
class Batch {
 public:
  Batch(const StudyFiles& files, const StudyPredictor& predictor, std::unordered_set<std::string> trained,
        std::string how)
      : files_(files), predictor_(predictor), trained_(std::move(trained)), how_(std::move(how)) {}

  // Predicts the study and writes its files. Returns its record.
  Json finish(StudyCut cut) const {
    files_.discard(cut.record["study"]);
    StudyPrediction prediction;
    if (!cut.refused()) try {
        prediction = predictor_.predict(cut);
      } catch (const Error& error) {
        cut.refuse(error.what());
      } catch (const std::bad_alloc&) {
        cut.refuse("not enough memory for the models; use a smaller --batch-size");
      }
    Json record = cut.refused() ? record_of_refused(cut) : record_of(cut, prediction);
    if (!cut.refused()) {
      record["trained_on"] = trained_.contains(record["study"]);
      if (files_.wanted().picture) add_picture(cut, prediction, record);
    }
    files_.write(record);
    return record;
  }

 private:
  // A prediction without its picture is still one.
  void add_picture(const StudyCut& cut, const StudyPrediction& prediction, Json& record) const {
    const std::string study = record["study"];
    const std::string how = how_ + (record["trained_on"] ? "; trained on this study" : "");
    data::SecondaryCapture capture;
    capture.identity = files_.settings().dump();
    capture.series_description = "Sagitta: research software, not a medical device";
    capture.derivation =
        fmt::format("Fracture probabilities by sagitta predict {} ({}). {}", version(), how, kNotice);
    capture.software_version = version();
    try {
      capture.picture = study_picture(cut, prediction, predictor_, how);
    } catch (const Error& error) {
      record["reasons"].push_back(fmt::format("no picture: {}", error.what()));
      return;
    }
    data::write_png(files_.folder() / StudyFiles::picture_of(study), capture.picture,
                    Durability::survives_crash);
    record["picture"] = StudyFiles::picture_of(study).string();
    if (!files_.wanted().secondary_capture) return;
    try {
      data::write_secondary_capture(files_.folder() / StudyFiles::capture_of(study), cut.source_file,
                                    capture);
      record["secondary_capture"] = StudyFiles::capture_of(study).string();
    } catch (const Error& error) {
      record["reasons"].push_back(fmt::format("no secondary capture: {}", error.what()));
    }
  }

  const StudyFiles& files_;
  const StudyPredictor& predictor_;
  std::unordered_set<std::string> trained_;
  std::string how_;
};

StudyRow row_of(const Json& record) {
  StudyRow row{.study = record["study"], .verdict = record["verdict"], .probabilities = {}, .refusal = {}};
  if (row.verdict != "refused") row.probabilities = probabilities_in(record);
  return row;
}

// Fills rows[i] for all studies, in order.
std::vector<StudyRow> predict_all(const std::vector<StudyInput>& studies, const StudyFiles& files,
                                  const Batch& batch, const CutOptions& cut, std::size_t jobs,
                                  PredictSummary& summary) {
  std::vector<StudyRow> rows(studies.size());
  std::vector<StudyInput> to_do;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < studies.size(); ++i) {
    if (const std::string problem = naming_problem(studies[i].name); !problem.empty()) {
      rows[i] = {.study = studies[i].name, .verdict = "refused", .probabilities = {}, .refusal = problem};
    } else if (const Json record = files.finished(studies[i].name); !record.is_null()) {
      rows[i] = row_of(record);
      ++summary.reused;
    } else {
      to_do.push_back(studies[i]);
      places.push_back(i);
    }
  }
  const auto total = static_cast<std::int64_t>(studies.size());
  auto done = total - static_cast<std::int64_t>(to_do.size());
  Progress progress("predict", "studies", total, done);
  const auto note_refusal = [&](const std::string& study, const std::string& reason) {
    progress.warn(fmt::format("refused {}: {}", study, reason));
    if (summary.first_refusal.empty()) summary.first_refusal = study + ": " + reason;
  };
  for (const StudyRow& row : rows)
    if (!row.refusal.empty()) note_refusal(row.study, row.refusal);
  CutAhead ahead(to_do, cut, jobs);
  for (const std::size_t place : places) {
    const Json record = batch.finish(ahead.next());
    rows[place] = row_of(record);
    if (rows[place].verdict == "refused") note_refusal(rows[place].study, record["reasons"][0]);
    progress.update(++done);
  }
  for (const StudyRow& row : rows) ++(row.verdict == "refused" ? summary.refused : summary.predicted);
  return rows;
}

void write_tables(const PredictOptions& options, const StudyFiles& files, const Json& header,
                  const std::vector<StudyRow>& rows) {
  std::vector<double> fill = options.fill;
  if (fill.size() == 1) fill.resize(data::kLabelNames.size(), fill.front());
  const std::size_t unpredicted = write_submission(files.folder() / "submission.csv", rows, fill);
  if (unpredicted > 0)
    fmt::print(stderr, "submission.csv: {} rows without a prediction are {}\n", unpredicted,
               fill.empty() ? "left out, which the competition does not accept; give --fill P" : "filled");
  write_predictions_csv(files.folder() / "predictions.csv", rows);
  write_predictions_json(files, header, rows);
}

void check(const PredictOptions& options) {
  require(options.fill.size() <= 1 || options.fill.size() == data::kLabelNames.size(),
          "--fill has {} probabilities, expected one, or eight: {}", options.fill.size(),
          fmt::join(data::kLabelNames, ", "));
  require(options.wanted.picture || !options.wanted.secondary_capture,
          "--secondary-capture: it is the picture, leave out --no-pictures");
}

}  // namespace

PredictSummary predict_studies(PredictOptions options) {
  check(options);
  const std::vector<StudyInput> studies =
      options.studies.empty() ? std::vector{study_in(options.study)} : studies_in(options.studies);
  const OpenedDevice device = open_device(options.device);
  OpenedModels opened = open_models(options.choice, options.reading, device);
  CutOptions cut = cut_options(opened.source);
  cut.policy = options.policy;
  check_options(cut);
  const Json settings = settings_of(options, cut, opened);
  const StudyPredictor predictor(std::move(opened.reader));
  const StudyFiles files(options.out, settings, options.wanted);
  const Batch batch(files, predictor, trained_on(opened.directories), caption_of(opened, cut));
  const std::size_t jobs = options.jobs > 0 ? static_cast<std::size_t>(options.jobs)
                                            : std::max(1U, std::thread::hardware_concurrency());
  PredictSummary summary;
  const std::vector<StudyRow> rows = predict_all(studies, files, batch, cut, jobs, summary);
  write_tables(options, files, header_of(opened, settings), rows);
  return summary;
}

}  // namespace sagitta::apps
