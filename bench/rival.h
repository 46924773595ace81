// Rival: how PyTorch is to be run to be at its fastest. bench/peers/sweep.py searches for it and writes a
// document; these functions read it, or what the command line says instead.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/process.h"

namespace sagitta::bench {

struct Rival {
  std::vector<std::string> flags;  // of bench/peers/train_pytorch.py
  Environment environment;
  std::int64_t batch = 0;  // that it was fastest with
};

// What a sweep looked for; must be the same as what is to be compared.
struct RivalQuery {
  std::string arch;
  std::int64_t image_size = 0;  // 0: the architecture's own
  bool inference = false;
  std::int64_t batch = 0;  // 0: the one of the fastest configuration
};

// The configuration of the document with the highest median speed. Throws Error when the document is damaged,
// is about something else, or has none for the batch.
Rival rival_from(const std::filesystem::path& document, const RivalQuery& query);

std::vector<std::string> split_words(const std::string& text);  // at spaces
// "NAME=VALUE NAME=VALUE". Throws Error, naming the flag `option`, for anything else.
Environment parse_environment(const std::string& text, const std::string& option);

}  // namespace sagitta::bench
