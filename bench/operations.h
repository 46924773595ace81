// The operations that training ResNet-50 and ViT-B/16 is made of, one by one: what bench_ops measures.
// Each is a call of one Backend method, and at the same time a description from which a peer (another
// library) can make the same computation. Every distinct shape is there once, with the number of times that a
// training step meets it; tests/test_bench.cpp holds the convolutions and products against the models
// themselves.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/recorded_call.h"

namespace sagitta::bench {

struct Operation {
  std::string name;   // "conv 3x3/1 64->64 @56 forward"
  std::string group;  // operations whose times are summed up: "conv forward"
  RecordedCall call;  // .times: per training step
  // What a peer gets: {"op": "conv2d", "direction": "forward", "x": [N,H,W,I], "weight": [O,KH,KW,I], ...};
  // docs/performance-method.md lists the fields.
  nlohmann::ordered_json request;
};

// Convolutions, batch norms, max pooling and SGD of ResNet-50 on 224 x 224 pixels.
std::vector<Operation> resnet50_operations(std::int64_t batch);
// Linear layers, attention, layer norms, the patch embedding and Adam of ViT-B/16 on 384 x 384 pixels.
std::vector<Operation> vit_operations(std::int64_t batch);

}  // namespace sagitta::bench
