#include "apps/reslice/cut_study.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <sstream>

#include "data/volume.h"
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
                                       const std::vector<double>& positions, const CutOptions& options) {
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

// Fills `cut`, but leaves it without pictures if the study is refused.
void read_and_cut(const StudyInput& study, const CutOptions& options, data::Volume& volume, StudyCut& cut) {
  Json& record = cut.record;
  data::Series series = data::read_series(study.folder, options.policy);
  describe(series, record);
  if (series.report.verdict == data::Verdict::refused) return;
  cut.source_file = series.slices.front().file;
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
  std::vector<data::Image> pictures = make_pictures(volume, grid, positions, options);
  cut.sources = source_map(volume, grid, midline.x_mm);
  record["verdict"] = verdict_name(series.report.verdict);
  record["reasons"] = series.report.reasons;
  record["image"] = {{"width", grid.width},
                     {"height", grid.height},
                     {"spacing_mm", grid.spacing_mm},
                     {"y_first_mm", rounded(grid.y_first)},
                     {"z_first_mm", rounded(grid.z_first)}};
  record["midline_x_mm"] = rounded(midline.x_mm);
  for (const double x : positions) record["planes_x_mm"].push_back(rounded(x));
  cut.grid = grid;
  cut.pictures = std::move(pictures);
}

}  // namespace

SliceChannels parse_channels(const std::string& name) {
  if (name == "grey") return SliceChannels::grey;
  if (name == "windows") return SliceChannels::windows;
  if (name == "neighbors") return SliceChannels::neighbors;
  fail("--channels is '{}', expected grey, windows or neighbors", name);
}

std::vector<data::Window> parse_windows(const std::string& text, SliceChannels channels) {
  const std::string usual = channels == SliceChannels::windows ? "soft_tissue,bone_soft,bone" : "bone";
  std::vector<data::Window> windows;
  std::istringstream stream(text.empty() ? usual : text);
  try {
    for (std::string item; std::getline(stream, item, ',');) windows.push_back(data::parse_window(item));
  } catch (const Error& error) {
    fail("--{}", error.what());  // "--window: ..."
  }
  return windows;
}

CutOptions cut_options(const SliceSource& source) {
  CutOptions options;
  options.planes = source.slices;
  options.span_mm = source.span_mm;
  options.spacing_mm = source.spacing_mm;
  options.size = source.size;
  options.channels = parse_channels(source.channels);
  options.windows = parse_windows(source.window, options.channels);
  return options;
}

void check_options(const CutOptions& options) {
  require(options.planes >= 1 && options.planes <= 1000, "--slices is {}, expected 1..1000", options.planes);
  require(options.span_mm >= 0 && options.span_mm <= 400, "--span-mm is {}, expected 0..400",
          options.span_mm);
  require(options.spacing_mm >= 0.05 && options.spacing_mm <= 10, "--spacing-mm is {}, expected 0.05..10",
          options.spacing_mm);
  require(options.size == 0 || (options.size >= 16 && options.size <= 4096),
          "--size is {}, expected 0 or 16..4096", options.size);
  const std::size_t windows = options.channels == SliceChannels::windows ? 3 : 1;
  require(options.windows.size() == windows, "--window names {} window(s), --channels needs {}",
          options.windows.size(), windows);
}

nlohmann::ordered_json settings_json(const CutOptions& options) {
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

void StudyCut::refuse(const std::string& reason) {
  pictures.clear();
  record["verdict"] = data::verdict_name(data::Verdict::refused);
  record["reasons"].insert(record["reasons"].begin(), reason);
  record["planes_x_mm"] = Json::array();
}

StudyCut cut_study(const StudyInput& study, const CutOptions& options, data::Volume& volume) {
  StudyCut cut;
  cut.record = {{"study", study.name}, {"verdict", "refused"}, {"reasons", Json::array()}};
  cut.record["planes_x_mm"] = Json::array();
  try {
    read_and_cut(study, options, volume, cut);
  } catch (const std::bad_alloc&) {
    cut.refuse("not enough memory for the volume; use fewer --jobs");
  } catch (const std::exception& error) {
    cut.refuse(error.what());
  }
  return cut;
}

std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sagitta::apps
