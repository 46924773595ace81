// Where a tensor lives: the CPU, or the GPU with an index.
#pragma once
#include <string>

namespace sagitta {

struct Device {
  enum class Kind { cpu, cuda };
  Kind kind = Kind::cpu;
  int index = 0;

  std::string str() const { return kind == Kind::cpu ? "cpu" : "cuda:" + std::to_string(index); }
  bool operator==(const Device&) const = default;
};

}  // namespace sagitta
