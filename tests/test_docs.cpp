// The book points into the code: every relative link and every path in backticks must exist.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

const fs::path kRoot = SAGITTA_SOURCE_DIR;

std::vector<fs::path> documents() {
  std::vector<fs::path> found;
  if (fs::exists(kRoot / "README.md")) found.push_back(kRoot / "README.md");
  for (const auto& entry : fs::directory_iterator(kRoot / "docs"))
    if (entry.path().extension() == ".md") found.push_back(entry.path());
  return found;
}

// The text outside fenced code blocks, which show output and files yet to be written.
std::string prose_of(const fs::path& document) {
  std::ifstream file(document);
  std::string line, text;
  bool fenced = false;
  while (std::getline(file, line)) {
    if (line.starts_with("```"))
      fenced = !fenced;
    else if (!fenced)
      text += line + "\n";
  }
  REQUIRE_FALSE(fenced);
  return text;
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Calls visit(document, first group of the match) for every match in the prose of every document.
template <class Visit>
void for_each_match(const std::string& pattern, Visit&& visit) {
  const std::regex regex(pattern);
  for (const fs::path& document : documents()) {
    const std::string text = prose_of(document);
    for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match)
      visit(document, (*match)[1].str());
  }
}

}  // namespace

TEST_CASE("relative links of the documents lead somewhere") {
  int seen = 0;
  for_each_match(R"(\]\(([^)#\s]+)[^)]*\))", [&](const fs::path& document, const std::string& target) {
    if (target.find(':') != std::string::npos) return;  // https:, mailto:
    CAPTURE(document.filename().string());
    CAPTURE(target);
    CHECK(fs::exists(document.parent_path() / target));
    ++seen;
  });
  CHECK(seen > 5);
}

TEST_CASE("paths in backticks exist in the tree") {
  int seen = 0;
  const std::string folder =
      "(?:tensor|cuda|autograd|nn|models|data|apps|examples|tests|bench|docs|scripts|cmake)";
  for_each_match("`(" + folder + "/[A-Za-z0-9_./-]*)`",
                 [&](const fs::path& document, const std::string& path) {
                   CAPTURE(document.filename().string());
                   CAPTURE(path);
                   CHECK(fs::exists(kRoot / path));
                   ++seen;
                 });
  CHECK(seen > 50);
}

// A fenced block belongs to the file that the last line in front of it, "`examples/NAME`:", names.
TEST_CASE("embedding.md shows every file of examples/ as it is") {
  std::ifstream page(kRoot / "docs/embedding.md");
  const std::regex title("`(examples/[^`]+)`:");
  std::set<std::string> shown;
  std::string name, block;
  bool fenced = false;
  for (std::string line; std::getline(page, line);) {
    std::smatch match;
    if (line.starts_with("```")) {
      fenced = !fenced;
      if (fenced || name.empty()) continue;
      CAPTURE(name);
      CHECK(block == text_of(kRoot / name));
      shown.insert(name);
      name.clear();
      block.clear();
    } else if (fenced) {
      block += line + "\n";
    } else if (std::regex_match(line, match, title)) {
      name = match[1];
    }
  }
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(kRoot / "examples"))
    files.insert("examples/" + entry.path().filename().string());
  CHECK(files.size() > 3);
  CHECK(shown == files);
}
