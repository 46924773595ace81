// Damaged checkpoints: hundreds of truncations and bit flips of each file. Nothing but a one-line Error may
// come of it; run under the sanitizers by the debug preset.
#include <doctest/doctest.h>

#include <functional>
#include <random>

#include "tensor/error.h"
#include "tests/golden_case.h"
#include "tests/temp_folder.h"

using namespace sagitta;
namespace fs = std::filesystem;
using testing::golden_folder;
using testing::TempFolder;

namespace {

// Truncates, flips one to four bits, overwrites or inserts a byte.
std::string damaged(std::string bytes, std::mt19937& random) {
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  switch (random() % 4) {
    case 0: bytes.resize(below(bytes.size())); break;
    case 1:
      for (std::size_t flips = 1 + below(4); flips > 0; --flips)
        bytes[below(bytes.size())] ^= static_cast<char>(1 << below(8));
      break;
    case 2: bytes[below(bytes.size())] = static_cast<char>(random()); break;
    default: bytes.insert(below(bytes.size()), 1, static_cast<char>(random())); break;
  }
  return bytes;
}

struct Outcome {
  int accepted = 0, refused = 0;
};

// Runs `load` on damaged copies of `file`; it may succeed or throw Error with a one-line message.
Outcome attack(const fs::path& file, int rounds, unsigned seed, const std::function<void()>& load) {
  const std::string original = testing::read_bytes(file);
  std::mt19937 random(seed);
  Outcome outcome;
  for (int round = 0; round < rounds; ++round) {
    CAPTURE(round);
    testing::write_bytes(file, damaged(original, random));
    try {
      load();
      ++outcome.accepted;
    } catch (const Error& error) {
      ++outcome.refused;
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
    }
  }
  testing::write_bytes(file, original);
  return outcome;
}

void copy_folder(const std::string& name, const TempFolder& folder) {
  for (const char* file : {"config.json", "model.safetensors"})
    fs::copy_file(golden_folder(name) / file, folder / file);
}

}  // namespace

TEST_CASE("hostile: damaged safetensors files") {
  const TempFolder folder;
  copy_folder("vit", folder);
  nn::Context context(cpu_backend());
  const Outcome whole =
      attack(folder / "model.safetensors", 200, 1, [&] { models::import_model(folder.path(), context); });
  CHECK(whole.refused > 50);
  // A file that is nearly all header, so that every round hits it.
  safetensors::write(folder / "small.safetensors",
                     {{"weight", "F32", {2, 1}, [] { return std::vector<std::byte>(8); }},
                      {"counter", "I64", {}, [] { return std::vector<std::byte>(8); }}},
                     {{"format", "pt"}});
  const Outcome header = attack(folder / "small.safetensors", 2000, 2, [&] {
    const auto file = safetensors::File::open(folder / "small.safetensors");
    for (const auto& entry : file.entries())
      if (entry.dtype == "F32") safetensors::values_of<float>(entry);
  });
  CHECK(header.refused > 1000);
}

TEST_CASE("hostile: damaged config.json") {
  const TempFolder folder;
  nn::Context context(cpu_backend());
  for (const std::string name : {"vit", "resnet_bottleneck"}) {
    copy_folder(name, folder);
    const Outcome outcome =
        attack(folder / "config.json", 400, 3, [&] { models::import_model(folder.path(), context); });
    CHECK(outcome.refused > 100);
    fs::remove(folder / "config.json");
    fs::remove(folder / "model.safetensors");
  }
}

TEST_CASE("hostile: damaged index and preprocessor_config.json") {
  const TempFolder folder;
  copy_folder("vit", folder);
  fs::rename(folder / "model.safetensors", folder / "weights.safetensors");
  std::string map;
  const auto file = safetensors::File::open(folder / "weights.safetensors");
  for (const auto& entry : file.entries())
    map += fmt::format(R"({}"{}":"weights.safetensors")", map.empty() ? "" : ",", entry.name);
  testing::write_bytes(folder / "model.safetensors.index.json",
                       fmt::format(R"({{"weight_map":{{{}}}}})", map));
  nn::Context context(cpu_backend());
  const Outcome index = attack(folder / "model.safetensors.index.json", 400, 4,
                               [&] { models::import_model(folder.path(), context); });
  CHECK(index.refused > 200);

  models::write_preprocessor(folder / "p.json", {});
  const Outcome preprocessor =
      attack(folder / "p.json", 400, 5, [&] { models::read_preprocessor(folder / "p.json"); });
  CHECK(preprocessor.refused > 100);
}

TEST_CASE("hostile: JSON that nests deeply") {
  const TempFolder folder;
  const std::string open(1'000'000, '['), close(1'000'000, ']');
  for (const std::string& text : {open, fmt::format(R"({{"model_type":"vit","x":{}{}}})", open, close)}) {
    testing::write_bytes(folder / "config.json", text);
    CHECK_THROWS_WITH_AS(models::read_config(folder / "config.json"), doctest::Contains("nested more than"),
                         Error);
  }
}

TEST_CASE("hostile: special files instead of checkpoints") {
  const TempFolder folder;
  CHECK_THROWS_WITH_AS(safetensors::File::open(folder.path()), doctest::Contains("not a regular file"),
                       Error);
  CHECK_THROWS_WITH_AS(safetensors::File::open("/dev/zero"), doctest::Contains("not a regular file"), Error);
  CHECK_THROWS_WITH_AS(models::read_config(folder.path()), doctest::Contains("not a regular file"), Error);
  CHECK_THROWS_WITH_AS(safetensors::File::open(folder / "none.safetensors"),
                       doctest::Contains("none.safetensors"), Error);
}
