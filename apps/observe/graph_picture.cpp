#include "apps/observe/graph_picture.h"

#include "apps/observe/graphviz.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

// Readable on light and dark pages alike: dark text on boxes with a color of their own, all else mid-gray.
constexpr const char* kStyle =
    "  bgcolor=transparent; rankdir=TB; nodesep=0.25; ranksep=0.3; compound=true; color=\"#7d7d7d\";\n"
    "  fontname=\"DejaVu Sans,Verdana,sans-serif\"; fontsize=11; fontcolor=\"#7d7d7d\"; labeljust=l;\n"
    "  node [shape=box, style=\"filled,rounded\", color=\"#555555\", "
    "fontname=\"DejaVu Sans,Verdana,sans-serif\", "
    "fontsize=10, fontcolor=\"#1a1a1a\", margin=\"0.1,0.05\", height=0.2];\n"
    "  edge [dir=back, color=\"#7d7d7d\", arrowsize=0.7];\n";

const char* color_of(const std::string& op) {
  if (op == "Conv2d" || op == "Linear" || op == "Matmul") return "#bcd7f0";
  if (op == "BatchNorm" || op == "LayerNorm") return "#c9e5c4";
  if (op == "Attention") return "#dccbee";
  if (op == "Loss") return "#f3c0b6";
  if (op == "Addition" || op == "Unary" || op == "Binary") return "#f4e3a9";
  return "#e2e2e2";
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text)
    result += c == '&'   ? "&amp;"
              : c == '<' ? "&lt;"
              : c == '>' ? "&gt;"
              : c == '"' ? "&quot;"
                         : std::string(1, c);
  return result;
}

std::string bytes_text(std::size_t bytes) {
  const double value = static_cast<double>(bytes);
  if (bytes >= 1'000'000) return fmt::format("{:.1f} MB", value / 1e6);
  return bytes >= 1000 ? fmt::format("{:.1f} kB", value / 1e3) : fmt::format("{} bytes", bytes);
}

// What `name` adds to the block that it stands in.
std::string below(const GraphOutline& outline, int block, const std::string& name) {
  if (block < 0) return name;
  const std::size_t prefix = outline.blocks[static_cast<std::size_t>(block)].name.size();
  return name.size() > prefix ? name.substr(prefix + 1) : std::string();
}

std::string box_of(const GraphOutline& outline, std::size_t index) {
  const GraphOutline::Op& op = outline.ops[index];
  std::string label = fmt::format("<b>{}</b>", escaped(op.name));
  const std::string layer = op.parameters.empty() ? std::string() : below(outline, op.block, op.layer);
  if (!layer.empty()) label += "  " + escaped(layer);
  for (const GraphOutline::Parameter& parameter : op.parameters)
    label += fmt::format("<br/>{} {}", escaped(parameter.name), parameter.shape);
  label += fmt::format("<br/>gives {} {}", name_of(op.dtype), op.shape);
  if (op.kept_bytes > 0) label += fmt::format("<br/>keeps {}", bytes_text(op.kept_bytes));
  return fmt::format("op{} [fillcolor=\"{}\", label=<{}>];\n", index, color_of(op.name), label);
}

std::string frame_label(const GraphOutline& outline, const GraphOutline::Block& block) {
  const std::string name = below(outline, block.parent, block.name);
  if (block.copies == 1) return name;
  const std::size_t number = block.name.rfind('.') + 1;
  return fmt::format("{} to {}: {} equal blocks, one after the other", name,
                     std::stoll(block.name.substr(number)) + block.copies - 1, block.copies);
}

// The ops and blocks that lie directly in `block`; -1: in none.
std::string contents_of(const GraphOutline& outline, int block, const std::string& indent) {
  std::string text;
  for (std::size_t i = 0; i < outline.ops.size(); ++i)
    if (outline.ops[i].is_shown && outline.ops[i].block == block) text += indent + box_of(outline, i);
  for (std::size_t b = 0; b < outline.blocks.size(); ++b) {
    const GraphOutline::Block& inner = outline.blocks[b];
    if (!inner.is_shown || inner.parent != block) continue;
    text += fmt::format("{}subgraph cluster{} {{\n{}  label=<{}>; style=\"{}\";\n", indent, b, indent,
                        escaped(frame_label(outline, inner)), inner.copies > 1 ? "rounded,bold" : "rounded");
    text += contents_of(outline, static_cast<int>(b), indent + "  ") + indent + "}\n";
  }
  return text;
}

}  // namespace

std::string dot_of(const GraphOutline& outline) {
  std::string text = "digraph step {\n";
  text += kStyle;
  text += fmt::format(
      "  label=<{} ops, which keep {} for backward; arrows show where gradients go>; labelloc=t;\n",
      outline.ops.size(), bytes_text(outline.kept_bytes()));
  text += contents_of(outline, -1, "  ");
  for (const auto& [op, input] : outline.edges) text += fmt::format("  op{} -> op{};\n", input, op);
  return text + "}\n";
}

void draw_graph(const autograd::Variable& loss, const LayerNames& names, const std::filesystem::path& file) {
  const std::string format = file.extension().string();
  require(format == ".dot" || format == ".svg" || format == ".png" || format == ".pdf",
          "graph {}: is to be named .svg, .png, .pdf or .dot", file.string());
  const std::string dot = dot_of(outline_of(loss, names));
  write_text_file(file, format == ".dot" ? dot : render_dot(dot, format.substr(1)));
}

}  // namespace sagitta::apps
