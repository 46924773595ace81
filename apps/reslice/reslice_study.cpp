#include "apps/reslice/reslice_study.h"

#include <algorithm>
#include <fstream>

#include "data/image.h"
#include "data/sagittal.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

// Raised whenever the same settings begin to give other pictures, or another study.json.
constexpr int kFormatVersion = 2;

const char* channels_name(SliceChannels channels) {
  switch (channels) {
    case SliceChannels::grey: return "grey";
    case SliceChannels::windows: return "windows";
    case SliceChannels::neighbors: break;
  }
  return "neighbors";
}

fs::path study_folder(const ResliceOptions& options, const StudyInput& study) {
  return options.out / "slices" / study.name;
}

double rounded(double value) { return std::round(value * 1e4) / 1e4; }

void describe(const data::Series& series, Json& record) {
  const data::SeriesReport& report = series.report;
  record["verdict"] = verdict_name(report.verdict);
  record["reasons"] = report.reasons;
  record["ct_slices"] = series.slices.size();
  record["spacing_mm"] = {{"min", rounded(report.spacing_min)},
                          {"median", rounded(report.spacing_median)},
                          {"max", rounded(report.spacing_max)}};
  record["tilt_degrees"] = rounded(report.tilt_degrees);
  record["oblique_degrees"] = rounded(report.oblique_degrees);
  if (series.slices.empty()) return;
  const data::CtSlice& first = series.slices.front();
  record["patient"] = first.patient_key;
  record["transfer_syntax"] = first.transfer_syntax;
  record["rows"] = first.rows;
  record["columns"] = first.columns;
  record["pixel_mm"] = {rounded(first.row_spacing), rounded(first.column_spacing)};
}

// Which files the pictures came from and where their pixels lie, slice by slice, and for each row of the
// middle plane which of them. data/axial_stack.h reads this back.
Json source_map(const data::Volume& volume, const data::SagittalGrid& grid, double x_mm) {
  Json slices = Json::array(), rows = Json::array();
  for (int z = 0; z < volume.slices; ++z) {
    const data::SourceSlice& source = volume.sources[static_cast<std::size_t>(z)];
    const data::Vec3& position = volume.positions[static_cast<std::size_t>(z)];
    slices.push_back({source.sop_uid, source.file_number, source.instance_number, rounded(position[0]),
                      rounded(position[1]), rounded(position[2])});
  }
  for (const data::SourceRange& range : source_rows(volume, grid, x_mm))
    rows.push_back({range.first, range.last});
  return {{"columns", {"sop_uid", "file_number", "instance_number", "x_mm", "y_mm", "z_mm"}},
          {"slices", slices},
          {"rows", rows},
          {"row_direction", volume.row_direction},
          {"column_direction", volume.column_direction},
          {"pixel_mm", {volume.row_spacing, volume.column_spacing}}};
}

data::Image interleave(const data::SagittalGrid& grid, std::vector<std::vector<std::uint8_t>> channels) {
  data::Image image{grid.width, grid.height, static_cast<int>(channels.size()), {}};
  if (channels.size() == 1) {
    image.pixels = std::move(channels.front());
    return image;
  }
  image.pixels.reserve(channels.front().size() * channels.size());
  for (std::size_t i = 0; i < channels.front().size(); ++i)
    for (const auto& channel : channels) image.pixels.push_back(channel[i]);
  return image;
}

std::vector<data::Image> make_pictures(const data::Volume& volume, const data::SagittalGrid& grid,
                                       const std::vector<double>& positions, const ResliceOptions& options) {
  const auto grey = [&](double x_mm, const data::Window& window) {
    return to_grey(cut_sagittal(volume, grid, x_mm).hu, window);
  };
  std::vector<data::Image> pictures;
  if (options.channels == SliceChannels::neighbors) {
    const double step = positions.size() > 1 ? positions[1] - positions[0] : options.spacing_mm;
    std::vector<std::vector<std::uint8_t>> planes{grey(positions.front() - step, options.windows[0])};
    for (const double x : positions) planes.push_back(grey(x, options.windows[0]));
    planes.push_back(grey(positions.back() + step, options.windows[0]));
    for (std::size_t k = 0; k < positions.size(); ++k)
      pictures.push_back(interleave(grid, {planes[k], planes[k + 1], planes[k + 2]}));
    return pictures;
  }
  for (const double x : positions) {
    const data::SagittalPlane plane = cut_sagittal(volume, grid, x);
    std::vector<std::vector<std::uint8_t>> channels;
    for (const data::Window& window : options.windows) channels.push_back(to_grey(plane.hu, window));
    pictures.push_back(interleave(grid, std::move(channels)));
  }
  return pictures;
}

struct Cut {
  std::vector<data::Image> pictures;
  Json sources;
};

// Fills `record`; returns no pictures if the study is refused.
Cut read_and_cut(const StudyInput& study, const ResliceOptions& options, Json& record, data::Volume& volume) {
  data::Series series = data::read_series(study.folder, options.policy);
  describe(series, record);
  if (series.report.verdict == data::Verdict::refused) return {};
  load_volume(series, 1, volume);
  std::int16_t low = volume.hu.front(), high = low;
  for (const std::int16_t value : volume.hu) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  record["hu"] = {{"min", low}, {"max", high}};
  require(high > 0, "the images show nothing but air (highest value {} HU)", high);

  const data::Midline midline = find_midline(volume);
  if (!midline.found)
    series.report.warn("no spine-like bone found; planes are centered at the middle of the body");
  const data::SagittalGrid grid =
      options.size > 0 ? square_grid(volume, options.size) : natural_grid(volume, options.spacing_mm);
  const std::vector<double> positions = data::plane_positions(midline.x_mm, options.span_mm, options.planes);
  Cut cut{make_pictures(volume, grid, positions, options), source_map(volume, grid, midline.x_mm)};
  record["verdict"] = verdict_name(series.report.verdict);
  record["reasons"] = series.report.reasons;
  record["image"] = {{"width", grid.width},
                     {"height", grid.height},
                     {"spacing_mm", grid.spacing_mm},
                     {"y_first_mm", rounded(grid.y_first)},
                     {"z_first_mm", rounded(grid.z_first)}};
  record["midline_x_mm"] = rounded(midline.x_mm);
  for (const double x : positions) record["planes_x_mm"].push_back(rounded(x));
  return cut;
}

}  // namespace

nlohmann::ordered_json settings_json(const ResliceOptions& options) {
  Json windows = Json::array();
  for (const data::Window& window : options.windows)
    windows.push_back(
        {{"center", window.center},
         {"width", window.width},
         {"function", window.function == data::WindowFunction::linear ? "linear" : "linear_exact"}});
  Json settings = {{"format", kFormatVersion},
                   {"planes", options.planes},
                   {"span_mm", options.span_mm},
                   {"size", options.size},
                   {"channels", channels_name(options.channels)},
                   {"windows", windows},
                   {"min_slices", options.policy.min_slices},
                   {"interpolate_missing", options.policy.interpolate_missing}};
  if (options.size == 0) settings["spacing_mm"] = options.spacing_mm;
  return settings;
}

nlohmann::ordered_json reslice_study(const StudyInput& study, const ResliceOptions& options,
                                     data::Volume& volume) {
  Json record = {{"study", study.name}, {"verdict", "refused"}, {"reasons", Json::array()}};
  record["planes_x_mm"] = Json::array();
  Cut cut;
  try {
    cut = read_and_cut(study, options, record, volume);
  } catch (const Error& error) {
    record["verdict"] = "refused";
    record["reasons"].insert(record["reasons"].begin(), error.what());
  } catch (const fs::filesystem_error& error) {
    record["verdict"] = "refused";
    record["reasons"].insert(record["reasons"].begin(), error.what());
  } catch (const std::bad_alloc&) {
    record["verdict"] = "refused";
    record["reasons"].insert(record["reasons"].begin(), "not enough memory for the volume; use fewer --jobs");
  }

  // What an interrupted run or other settings left behind must not mix with this.
  const fs::path folder = study_folder(options, study);
  std::error_code error;
  fs::remove_all(folder, error);
  require(!error, "{}: cannot be removed: {}", folder.string(), error.message());
  if (cut.pictures.empty()) return record;
  fs::create_directories(folder, error);
  require(!error, "{}: cannot be created: {}", folder.string(), error.message());
  // Flushing each of thousands of pictures would take as long as cutting them.
  for (std::size_t k = 0; k < cut.pictures.size(); ++k)
    data::write_png(folder / fmt::format("{}.png", k), cut.pictures[k], Durability::survives_crash);
  Json file = {{"settings", settings_json(options)}, {"record", record}, {"sources", cut.sources}};
  write_text_file(folder / "study.json", json_text(file, -1));
  return record;
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

std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sagitta::apps
