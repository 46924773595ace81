// What bench_reading times inside a process of its own: importing a checkpoint, and preparing batches.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>

namespace sagitta::bench {

// {"seconds": until the model is ready, "with_touch": until every parameter was read once}.
nlohmann::ordered_json time_import(const std::filesystem::path& model);

// {"seconds", "images"} of `epochs` epochs over a folder written by reslice, in batches of 24 at `size`
// pixels, with the augmentation of the demo's recipe or none.
struct LoaderRun {
  std::filesystem::path slices;
  int size = 224, epochs = 1, threads = 1;
  bool augment = false;
};
nlohmann::ordered_json time_loader(const LoaderRun& run);

}  // namespace sagitta::bench
