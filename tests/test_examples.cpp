// What the examples print. They were built by build_examples.cmake, against an installed tree.
#include <doctest/doctest.h>

#include <algorithm>
#include <regex>
#include <sstream>

#include "tests/command.h"
#include "tests/golden_case.h"

using namespace sagitta;
using testing::Run;

namespace {

Run run_example(const std::string& command) {
  return testing::run_command(std::string(SAGITTA_EXAMPLES_DIR) + "/" + command);
}

// The number behind each match of the pattern's first group.
std::vector<double> numbers(const std::string& text, const std::string& pattern) {
  std::vector<double> found;
  const std::regex regex(pattern);
  for (std::sregex_iterator match(text.begin(), text.end(), regex), end; match != end; ++match)
    found.push_back(std::stod((*match)[1].str()));
  return found;
}

}  // namespace

TEST_CASE("example train_small_net: the loss falls, and unseen points are told apart") {
  const Run run = run_example("train_small_net");
  CAPTURE(run.output);
  REQUIRE(run.exit_code == 0);
  const std::vector<double> losses = numbers(run.output, "loss ([0-9.]+)");
  REQUIRE(losses.size() == 4);
  CHECK(losses.front() < 0.69);  // log 2: what a guess costs
  CHECK(losses.back() < 0.1);
  const std::vector<double> right = numbers(run.output, "right on ([0-9]+) of 512 unseen points");
  REQUIRE(right.size() == 1);
  CHECK(right[0] > 490);
}

TEST_CASE("example run_hugging_face: transformers' logits") {
  for (const std::string name : {"vit", "resnet_basic"}) {
    const std::filesystem::path folder = testing::golden_folder(name);
    const Run run = run_example(
        fmt::format("run_hugging_face {} {}", folder.string(), (folder / "golden.safetensors").string()));
    CAPTURE(run.output);
    REQUIRE(run.exit_code == 0);
    const safetensors::File golden = safetensors::File::open(folder / "golden.safetensors");
    const std::vector<float> expected = safetensors::values_of<float>(golden.at("logits"));
    std::vector<float> printed;
    std::istringstream lines(run.output);
    for (std::string label; std::getline(lines, label, ':');) {
      const std::size_t begin = printed.size();
      std::string row;
      std::getline(lines, row);
      std::istringstream values(row);
      for (float value = 0; values >> value;) printed.push_back(value);
      const auto best = std::max_element(printed.begin() + static_cast<std::ptrdiff_t>(begin), printed.end());
      CHECK(label == fmt::format("LABEL_{}", best - printed.begin() - static_cast<std::ptrdiff_t>(begin)));
    }
    CHECK(testing::relative_error(printed, expected) < 1e-4);
  }
}

TEST_CASE("example run_hugging_face: a wrong path is one line and exit code 1") {
  const Run run = run_example("run_hugging_face nowhere nothing");
  CHECK(run.exit_code == 1);
  CHECK(run.output.starts_with("error: nowhere"));
  CHECK(run_example("run_hugging_face").exit_code == 1);
}

TEST_CASE("example new_op: its gradient is that of central differences") {
  const Run run = run_example("new_op");
  CAPTURE(run.output);
  REQUIRE(run.exit_code == 0);
  CHECK(numbers(run.output, "gradient +(-?[0-9.]+)").size() == 6);
  const std::vector<double> error = numbers(run.output, "differ by at most ([0-9.e+-]+)");
  REQUIRE(error.size() == 1);
  CHECK(error[0] < 1e-8);
  // d/dx of x softplus(x) at 0 is log 2, weighted by 0.7.
  CHECK(run.output.find("x  0.00  gradient  0.485203") != std::string::npos);
}
