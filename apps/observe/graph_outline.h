// GraphOutline: the autograd graph of a step as a reader wants to see it: ops with their layers, parameters
// written into the ops that read them, blocks of layers, and equal blocks in a row only once.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "apps/observe/layer_names.h"
#include "autograd/variable.h"

namespace sagitta::apps {

struct GraphOutline {
  struct Parameter {
    std::string name;  // below its layer: "weight"
    Shape shape;
    bool operator==(const Parameter&) const = default;
  };
  struct Op {
    std::string name;   // "Conv2d"
    std::string layer;  // of its parameters; without any, what the layers around it have in common
    std::vector<Parameter> parameters;
    Shape shape;  // of its output
    DType dtype = DType::f32;
    std::size_t kept_bytes = 0;       // saved for backward, and not by an op before or as a parameter
    std::vector<std::size_t> inputs;  // ops that its gradients go to, as indices
    int block = -1;                   // the innermost
    bool is_shown = true;             // false: an equal block stands for it
  };
  // Layers whose names begin alike up to a number: "vit.encoder.layer.3".
  struct Block {
    std::string name;
    int parent = -1;
    int copies = 1;  // equal blocks in a row that this one stands for
    bool is_shown = true;
  };

  std::vector<Op> ops;  // in the order of the forward pass
  std::vector<Block> blocks;
  std::vector<std::pair<std::size_t, std::size_t>> edges;  // between shown ops: {op, input}

  std::size_t kept_bytes() const;  // of all ops
};

// The graph behind `loss`, which backward() has not spent yet.
GraphOutline outline_of(const autograd::Variable& loss, const LayerNames& names);

}  // namespace sagitta::apps
