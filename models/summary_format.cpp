// The printed form of a ModelSummary, as torchinfo lays it out.
#include <fmt/format.h>

#include <algorithm>

#include "models/summary.h"

namespace sagitta::models {
namespace {

constexpr std::size_t kShapeWidth = 26, kCountWidth = 14;

// 1234567 -> "1,234,567"
std::string grouped(std::int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

// {"M", 201.58} or {"G", 4.09}; torchinfo prints the unit in front.
std::string scaled(const char* what, std::int64_t count) {
  const bool giga = count >= 1'000'000'000;
  return fmt::format("{} ({}): {:.2f}\n", what, giga ? "G" : "M",
                     static_cast<double>(count) / (giga ? 1e9 : 1e6));
}

double megabytes(std::int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

std::vector<std::string> path_of(const std::string& name) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    parts.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

struct Row {
  std::string name, shape, count;
};

// torchinfo's tree: "├─resnet: 1-1", "│    │    └─Conv2d (convolution): 3-1"; i counts the rows of a depth.
class Rows {
 public:
  void add(std::size_t depth, const std::string& label, const std::string& shape, const std::string& count) {
    if (counts_.size() <= depth) counts_.resize(depth + 1);
    std::string indent = depth == 1 ? "├─" : "";
    for (std::size_t level = 1; level < depth; ++level) indent += level + 1 < depth ? "│    " : "│    └─";
    const std::string number = depth == 0 ? "" : fmt::format(": {}-{}", depth, ++counts_[depth]);
    rows_.push_back({indent + label + number, shape, count});
    name_width_ = std::max(name_width_, 5 * depth + label.size() + number.size() + 2);
  }
  std::string rule() const { return std::string(name_width_ + kShapeWidth + kCountWidth, '=') + "\n"; }
  std::string line(const Row& row) const {
    return fmt::format("{:<{}}{:<{}}{:>{}}\n", row.name, name_width_, row.shape, kShapeWidth, row.count,
                       kCountWidth);
  }
  std::string text() const {
    std::string text = rule() + line({"Layer (type:depth-idx)", "Output Shape", "Param #"}) + rule();
    for (const Row& row : rows_) text += line(row);
    return text + rule();
  }

 private:
  std::vector<Row> rows_;
  std::vector<int> counts_;
  std::size_t name_width_ = 0;
};

// One row per layer under rows for the modules it lies in.
Rows layer_rows(const ModelSummary& summary) {
  Rows rows;
  rows.add(0, summary.model, summary.output.str(), "--");
  std::vector<std::string> open;
  for (const LayerSummary& layer : summary.layers) {
    const std::vector<std::string> path = path_of(layer.name);
    std::size_t common = 0;
    while (common < open.size() && common + 1 < path.size() && open[common] == path[common]) ++common;
    open.assign(path.begin(), path.end() - 1);
    for (std::size_t depth = common; depth + 1 < path.size(); ++depth)
      rows.add(depth + 1, path[depth], "--", "--");
    rows.add(path.size(), fmt::format("{} ({})", layer.type, path.back()), layer.output.str(),
             grouped(layer.parameters));
  }
  return rows;
}

}  // namespace

std::string format_summary(const ModelSummary& summary) {
  const Rows rows = layer_rows(summary);
  std::string text = rows.text();
  text += fmt::format("Total params: {0}\nTrainable params: {0}\nNon-trainable params: 0\n",
                      grouped(summary.parameters));
  text += scaled("Total mult-adds", summary.torchinfo_multiply_adds);
  text += scaled("True mult-adds, every token and attention included", summary.multiply_adds);
  text += rows.rule();
  text += fmt::format(
      "Input size (MB): {:.2f}\nForward/backward pass size (MB): {:.2f}\nParams size (MB): {:.2f}\n",
      megabytes(summary.input_bytes), megabytes(summary.forward_backward_bytes),
      megabytes(summary.parameter_bytes));
  text +=
      fmt::format("Estimated Total Size (MB): {:.2f}\n",
                  megabytes(summary.input_bytes + summary.forward_backward_bytes + summary.parameter_bytes));
  text += rows.rule();
  text +=
      "Mult-adds and sizes follow torchinfo 1.8.0; it counts a ViT's weights for one token and leaves out "
      "attention.\n";
  return text;
}

}  // namespace sagitta::models
