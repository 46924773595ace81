// The book points into the code: every relative link and every path in backticks must exist.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <regex>
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
  const std::string folder = "(?:tensor|cuda|autograd|nn|models|data|apps|tests|bench|docs|scripts|cmake)";
  for_each_match("`(" + folder + "/[A-Za-z0-9_./-]*)`",
                 [&](const fs::path& document, const std::string& path) {
                   CAPTURE(document.filename().string());
                   CAPTURE(path);
                   CHECK(fs::exists(kRoot / path));
                   ++seen;
                 });
  CHECK(seen > 50);
}
