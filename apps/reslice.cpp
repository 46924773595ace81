// reslice: cuts sagittal slices out of CT studies, ready for training.
#include "apps/reslice/reslice.h"

#include "apps/engine/main_guard.h"

using namespace sagitta;

int main(int argc, char** argv) {
  apps::ResliceOptions options;
  std::string window, channels = "grey";
  CLI::App app(
      "Cuts sagittal slices (head up, anterior left, square pixels) out of axial CT studies in DICOM.\n"
      "Writes OUT/slices/<study>/<k>.png, OUT/manifest.csv and OUT/studies.json; may be interrupted and\n"
      "started again. A study that cannot be trusted is refused with the reason and left out.",
      "reslice");
  app.add_option("--data", options.data,
                 "RSNA 2022 folder (train.csv, train_images/) or folders of DICOM files, one per study")
      ->required()
      ->type_name("DIR");
  app.add_option("--out", options.out, "folder for the slices")->required()->type_name("DIR");
  app.add_option("--slices", options.planes, "sagittal planes per study")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--span-mm", options.span_mm, "from the first to the last plane, centered at the spine [mm]")
      ->check(CLI::Range(0.0, 400.0))
      ->capture_default_str();
  app.add_option("--spacing-mm", options.spacing_mm, "pixel size [mm]")
      ->check(CLI::Range(0.05, 10.0))
      ->capture_default_str();
  app.add_option("--size", options.size,
                 "scale to squares of N pixels, letterboxed (0: natural size at --spacing-mm)")
      ->check(CLI::Range(16, 4096) | CLI::IsMember({0}))
      ->capture_default_str();
  app.add_option("--channels", channels,
                 "grey: 1 channel; windows: 3 windows as RGB; neighbors: planes k-1, k, k+1 as RGB")
      ->check(CLI::IsMember(std::vector<std::string>{"grey", "windows", "neighbors"}))
      ->capture_default_str();
  app.add_option("--window", window,
                 "bone, bone_wide, bone_soft, soft_tissue, spine, lung, or CENTER/WIDTH [HU]; three, "
                 "separated by commas, for "
                 "--channels windows")
      ->default_str("bone, or soft_tissue,bone_soft,bone");
  app.add_flag(
      "--interpolate-missing", options.policy.interpolate_missing,
      "accept up to three missing slices in a row and interpolate over them instead of refusing the study");
  app.add_option("--min-slices", options.policy.min_slices, "fewest axial slices of a study")
      ->check(CLI::Range(2, 100000))
      ->capture_default_str();
  app.add_option("--jobs", options.jobs, "studies at a time (0: one per processor)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  return apps::run_main(app, argc, argv, [&] {
    options.channels = apps::parse_channels(channels);
    options.windows = apps::parse_windows(window, options.channels);
    const apps::ResliceSummary summary = apps::reslice(options);
    fmt::print(
        "{} studies usable ({} with warnings, {} finished before), {} refused; slices and reports in {}\n",
        summary.usable(), summary.warned, summary.reused, summary.refused, options.out.string());
    require(summary.usable() > 0, "--data {}: no study was usable; see {}", options.data.string(),
            (options.out / "studies.json").string());
    return 0;
  });
}
