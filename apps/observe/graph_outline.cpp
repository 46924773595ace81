#include "apps/observe/graph_outline.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>

#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Op = GraphOutline::Op;
using Block = GraphOutline::Block;

constexpr int kSmallestBlock = 3;  // ops; a frame around fewer is no help

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> parts_of(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name)
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

// "a.b" of "a.b.c" and "a.b.d".
std::string common_part(const std::string& a, const std::string& b) {
  const std::vector<std::string> as = parts_of(a), bs = parts_of(b);
  const auto end = std::mismatch(as.begin(), as.end(), bs.begin(), bs.end()).first;
  return fmt::format("{}", fmt::join(as.begin(), end, "."));
}

// Names of the blocks that a layer lies in, outermost first: its prefixes that end in a number.
std::vector<std::string> block_names(const std::string& layer) {
  std::vector<std::string> names;
  std::string prefix;
  for (const std::string& part : parts_of(layer)) {
    prefix += (prefix.empty() ? "" : ".") + part;
    if (is_number(part)) names.push_back(prefix);
  }
  return names;
}

// Ops oldest first. A cast between a parameter and its 16-bit copy is part of the parameter.
std::vector<autograd::NodePtr> shown_nodes(const autograd::Variable& loss, const LayerNames& names) {
  require(loss.requires_gradient(), "graph: the loss depends on nothing that wants a gradient");
  std::vector<autograd::NodePtr> nodes = autograd::backward_order(loss.node());
  std::erase_if(nodes, [&](const autograd::NodePtr& node) { return !names.parameter_of(node).empty(); });
  std::reverse(nodes.begin(), nodes.end());
  return nodes;
}

std::vector<Op> ops_of(const std::vector<autograd::NodePtr>& nodes, const LayerNames& names) {
  std::unordered_map<const autograd::Node*, std::size_t> index;
  std::set<const std::byte*> kept;
  std::vector<Op> ops;
  for (const autograd::NodePtr& node : nodes) {
    Op op;
    op.name = node->op_name();
    op.layer = names.layer_of(*node);
    op.shape = node->output().shape;
    op.dtype = node->output().dtype;
    for (const autograd::NodePtr& input : node->inputs()) {
      if (const auto found = index.find(input.get()); found != index.end())
        op.inputs.push_back(found->second);
      const std::string_view name = names.parameter_of(input);
      if (!name.empty())
        op.parameters.push_back({std::string(name.substr(name.rfind('.') + 1)), input->output().shape});
    }
    for (const Tensor& tensor : node->saved())
      if (names.parameter_at(tensor).empty() && kept.insert(tensor.raw()).second)
        op.kept_bytes += tensor.bytes();
    index[node.get()] = ops.size();
    ops.push_back(std::move(op));
  }
  return ops;
}

// Gives a layer to ops without parameters: what the nearest layers before and behind them have in common.
void place_the_rest(std::vector<Op>& ops) {
  std::vector<std::string> before(ops.size()), behind(ops.size());
  std::vector<std::size_t> first_user(ops.size(), ops.size());
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const Op& op = ops[i];
    before[i] = op.layer;
    for (const std::size_t input : op.inputs) {
      first_user[input] = std::min(first_user[input], i);
      if (before[i].empty()) before[i] = before[*std::max_element(op.inputs.begin(), op.inputs.end())];
    }
  }
  for (std::size_t i = ops.size(); i-- > 0;)
    behind[i] = !ops[i].layer.empty() || first_user[i] == ops.size() ? ops[i].layer : behind[first_user[i]];
  for (std::size_t i = 0; i < ops.size(); ++i) {
    Op& op = ops[i];
    if (!op.parameters.empty()) continue;
    // One fused op records a sum and the norm of it.
    const bool is_fused = op.name == "Addition" && first_user[i] == i + 1 && ops[i + 1].name == "LayerNorm";
    op.layer = is_fused ? ops[i + 1].layer : common_part(before[i], behind[i]);
  }
}

void add_blocks(GraphOutline& outline) {
  std::map<std::string, int> size;
  for (const Op& op : outline.ops)
    for (const std::string& name : block_names(op.layer)) ++size[name];
  std::map<std::string, int> index;
  for (Op& op : outline.ops)
    for (const std::string& name : block_names(op.layer)) {
      if (size.at(name) < kSmallestBlock) continue;
      const auto [place, is_new] = index.try_emplace(name, static_cast<int>(outline.blocks.size()));
      if (is_new) outline.blocks.push_back({.name = name, .parent = op.block});
      op.block = place->second;
    }
}

// Ops of a block and of the blocks in it.
std::vector<std::size_t> members(const GraphOutline& outline, int block) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < outline.ops.size(); ++i)
    for (int b = outline.ops[i].block; b >= 0; b = outline.blocks[static_cast<std::size_t>(b)].parent)
      if (b == block) found.push_back(i);
  return found;
}

// Two blocks are equal when their ops are, one by one: kind, parameters, shapes, place, and who feeds them.
bool are_equal(const GraphOutline& outline, int a, int b) {
  const std::vector<std::size_t> as = members(outline, a), bs = members(outline, b);
  const auto name = [&](int block) { return outline.blocks[static_cast<std::size_t>(block)].name; };
  const auto place_in = [](const std::vector<std::size_t>& block, std::size_t op) {
    return std::find(block.begin(), block.end(), op) - block.begin();  // beyond the end: outside
  };
  return std::equal(as.begin(), as.end(), bs.begin(), bs.end(), [&](std::size_t i, std::size_t j) {
    const Op &x = outline.ops[i], &y = outline.ops[j];
    return x.name == y.name && x.parameters == y.parameters && x.shape == y.shape && x.dtype == y.dtype &&
           x.layer.substr(name(a).size()) == y.layer.substr(name(b).size()) &&
           std::equal(x.inputs.begin(), x.inputs.end(), y.inputs.begin(), y.inputs.end(),
                      [&](std::size_t p, std::size_t q) { return place_in(as, p) == place_in(bs, q); });
  });
}

// "layer.4" follows "layer.3".
bool follows(const std::string& next, const std::string& name) {
  const std::vector<std::string> parts = parts_of(name);
  std::vector<std::string> expected = parts;
  expected.back() = std::to_string(std::stoll(parts.back()) + 1);
  return parts_of(next) == expected;
}

// How an op is shown after equal blocks were folded.
struct Shown {
  std::size_t by;           // the op that stands for it
  std::map<int, int> copy;  // which of the copies it is in, by the block that stands for them
};

// With the blocks in it, which come behind it.
void hide(GraphOutline& outline, int block) {
  auto& blocks = outline.blocks;
  blocks[static_cast<std::size_t>(block)].is_shown = false;
  for (Block& inner : blocks)
    if (inner.parent >= 0 && !blocks[static_cast<std::size_t>(inner.parent)].is_shown) inner.is_shown = false;
}

// Lets the first of several equal blocks in a row stand for all of them.
std::vector<Shown> fold_equal_blocks(GraphOutline& outline) {
  std::vector<Shown> shown(outline.ops.size());
  for (std::size_t i = 0; i < shown.size(); ++i) shown[i].by = i;
  auto& blocks = outline.blocks;
  const int count = static_cast<int>(blocks.size());
  const auto block_at = [&](int index) -> Block& { return blocks[static_cast<std::size_t>(index)]; };
  for (int first = 0; first < count; ++first) {
    Block& block = block_at(first);
    if (!block.is_shown) continue;
    const std::vector<std::size_t> kept = members(outline, first);
    std::string last = block.name;
    for (int next = first + 1; next < count; ++next) {
      if (!follows(block_at(next).name, last)) continue;
      if (!are_equal(outline, first, next)) break;
      last = block_at(next).name;
      const std::vector<std::size_t> folded = members(outline, next);
      for (std::size_t i = 0; i < folded.size(); ++i) {
        shown[folded[i]].by = kept[i];
        shown[folded[i]].copy[first] = block.copies;
        outline.ops[folded[i]].is_shown = false;
      }
      ++block.copies;
      hide(outline, next);
    }
    if (block.copies > 1)
      for (const std::size_t op : kept) shown[op].copy[first] = 0;
  }
  return shown;
}

// From one copy of a block to another, an edge between the ops that stand for them would be a false one.
bool are_in_one_copy(const Shown& a, const Shown& b) {
  return std::all_of(a.copy.begin(), a.copy.end(), [&](const auto& copy) {
    const auto other = b.copy.find(copy.first);
    return other == b.copy.end() || other->second == copy.second;
  });
}

}  // namespace

std::size_t GraphOutline::kept_bytes() const {
  return std::accumulate(ops.begin(), ops.end(), std::size_t{0},
                         [](std::size_t sum, const Op& op) { return sum + op.kept_bytes; });
}

GraphOutline outline_of(const autograd::Variable& loss, const LayerNames& names) {
  GraphOutline outline{.ops = ops_of(shown_nodes(loss, names), names), .blocks = {}, .edges = {}};
  place_the_rest(outline.ops);
  add_blocks(outline);
  const std::vector<Shown> shown = fold_equal_blocks(outline);
  std::set<std::pair<std::size_t, std::size_t>> edges;
  for (std::size_t i = 0; i < outline.ops.size(); ++i)
    for (const std::size_t input : outline.ops[i].inputs)
      if (are_in_one_copy(shown[i], shown[input])) edges.emplace(shown[i].by, shown[input].by);
  outline.edges.assign(edges.begin(), edges.end());
  return outline;
}

}  // namespace sagitta::apps
