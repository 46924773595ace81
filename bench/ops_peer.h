// OpsPeer: another library that computes the operations of bench_ops, in a process of its own that stays.
// The protocol is one line of JSON each way (bench/peers/ops_pytorch.py): first the peer says who it is,
//   {"name": "PyTorch 2.15.0"}   or   {"error": "what is missing and how to get it"}
// and then answers every request, an Operation's with "seconds" (to spend) and "cold" added,
//   {"seconds": {"channels_last": 0.0021, "contiguous": 0.0034}}   or   {"unsupported": "why"}
// with the median time of one run in each way that it knows.
#pragma once
#include <map>
#include <nlohmann/json.hpp>

#include "bench/process.h"

namespace sagitta::bench {

class OpsPeer {
 public:
  // Throws Error when it cannot be run, or lacks something.
  OpsPeer(std::string label, const std::vector<std::string>& command, const Environment& environment = {});

  const std::string& label() const { return label_; }  // "pytorch"
  const std::string& name() const { return name_; }    // what it calls itself
  // Seconds by way; empty when the peer does not offer the operation.
  std::map<std::string, double> measure(const nlohmann::ordered_json& request);

 private:
  nlohmann::ordered_json answer();

  std::string label_, name_;
  Process process_;
};

}  // namespace sagitta::bench
