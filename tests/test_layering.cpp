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
    {"autograd", {"autograd", "tensor"}},
    {"nn", {"nn", "autograd", "tensor"}},
    {"models", {"models", "nn", "autograd", "tensor"}},
    {"data", {"data", "tensor"}},
    {"apps", {"apps", "models", "data", "nn", "autograd", "tensor"}},
};

// Which files may include a third-party header that starts so.
const std::map<std::string, std::regex> kConfined{
    {"dcmtk/", std::regex("data/dicom_\\w+\\.cpp")},
    {"stb_image", std::regex("data/image\\.cpp")},
    {"stb_easy", std::regex("apps/engine/sheet\\.cpp")},
    {"Eigen/", std::regex("tensor/cpu/.*")},
    {"omp.h", std::regex("tensor/cpu/.*|apps/.*|data/.*")},
    {"CLI/", std::regex("apps/.*")},
    {"cuda", std::regex("cuda/.*")},
};

template <class Visit>
void for_each_include(Visit&& visit) {
  const std::regex include(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  for (const auto& [floor, allowed] : kMayInclude) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(SAGITTA_SOURCE_DIR) / floor)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp") continue;
      std::ifstream file(entry.path());
      std::string line;
      std::smatch match;
      while (std::getline(file, line))
        if (std::regex_search(line, match, include))
          visit(floor, fs::relative(entry.path(), SAGITTA_SOURCE_DIR).generic_string(), match[1].str());
    }
  }
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
