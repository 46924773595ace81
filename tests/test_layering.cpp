// The dependency rule: a floor includes only itself and floors below it; third-party libraries stay in their
// files.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::set<std::string>> kMayInclude{
    {"tensor", {"tensor"}},
    {"cuda", {"cuda", "tensor"}},
    {"autograd", {"autograd", "tensor"}},
    {"nn", {"nn", "autograd", "tensor"}},
    {"models", {"models", "nn", "autograd", "tensor"}},
    {"data", {"data", "tensor"}},
    {"apps", {"apps", "models", "data", "nn", "autograd", "cuda", "tensor"}},
};

// Which files may include a third-party header that starts so.
const std::map<std::string, std::regex> kConfined{
    {"dcmtk/", std::regex("data/dicom_\\w+\\.cpp")},
    {"stb_image", std::regex("data/image\\.cpp")},
    {"stb_easy", std::regex("apps/engine/drawing\\.cpp")},
    {"Eigen/", std::regex("tensor/cpu/.*")},
    {"omp.h", std::regex("tensor/cpu/.*|apps/.*|data/.*")},
    {"CLI/", std::regex("apps/.*")},
    {"google/protobuf/", std::regex("apps/events/event_file\\.cpp")},
    {"events/tensorboard.pb.h", std::regex("apps/events/event_file\\.cpp")},
    {"graphviz/", std::regex("apps/observe/graphviz\\.cpp")},
    {"cuda", std::regex("cuda/.*|apps/engine/device\\.cpp")},
    {"cudnn", std::regex("cuda/.*")},
    {"cublas", std::regex("cuda/.*")},
};

// The floors' folders and what stands on top of them.
const std::vector<std::string> kFolders{"tensor", "cuda", "autograd", "nn",    "models",
                                        "data",   "apps", "examples", "bench", "tests"};

bool is_source(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".h" || extension == ".cpp" || extension == ".cuh" || extension == ".cu";
}

// Calls visit(folder, file, line) for every line of every source file; `file` is relative to the project.
template <class Visit>
void for_each_line(Visit&& visit) {
  for (const std::string& folder : kFolders)
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(SAGITTA_SOURCE_DIR) / folder)) {
      if (!is_source(entry.path())) continue;
      const std::string name = fs::relative(entry.path(), SAGITTA_SOURCE_DIR).generic_string();
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) visit(folder, name, line);
    }
}

template <class Visit>
void for_each_include(Visit&& visit) {
  const std::regex include(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  for_each_line([&](const std::string& folder, const std::string& file, const std::string& line) {
    std::smatch match;
    if (kMayInclude.contains(folder) && std::regex_search(line, match, include))
      visit(folder, file, match[1].str());
  });
}

}  // namespace

TEST_CASE("includes go only downward") {
  int seen = 0;
  for_each_include([&](const std::string& floor, const std::string& file, const std::string& header) {
    const std::string top = header.substr(0, header.find('/'));
    if (!kMayInclude.contains(top)) return;
    CAPTURE(file);
    CAPTURE(header);
    CHECK(kMayInclude.at(floor).contains(top));
    ++seen;
  });
  CHECK(seen > 100);
}

TEST_CASE("third-party headers stay where they belong") {
  for_each_include([&](const std::string&, const std::string& file, const std::string& header) {
    for (const auto& [prefix, where] : kConfined) {
      if (!header.starts_with(prefix)) continue;
      CAPTURE(file);
      CAPTURE(header);
      CHECK(std::regex_match(file, where));
    }
  });
}

TEST_CASE("only cuda/ asks the preprocessor about CUDA") {
  const std::regex conditional(R"(^\s*#\s*(if|ifdef|ifndef|elif|elifdef|elifndef)\b.*(CUDA|NVCC))");
  int seen = 0;
  for_each_line([&](const std::string& folder, const std::string& file, const std::string& line) {
    if (!std::regex_search(line, conditional)) return;
    ++seen;
    CAPTURE(file);
    CAPTURE(line);
    // The one macro: which functions the device compiler compiles for both sides.
    CHECK((folder == "cuda" || file == "tensor/host_device.h"));
  });
  CHECK(seen > 0);
}
