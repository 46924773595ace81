// Module: a named node of the model tree.
// Invariant: parameters, buffers and children register themselves with their parent when they are
// constructed, in declaration order; a module is pinned to its address. There are no macros and no virtual
// forward: each module has its own typed operator(). A name may hold dots ("attention.output.dense"), so the
// C++ tree can be flatter than the names.
#pragma once
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace sagitta::nn {

class Parameter;
class Buffer;
class Module;

struct NamedParameter {
  std::string name;  // full name
  Parameter* parameter = nullptr;
};
struct NamedBuffer {
  std::string name;
  Buffer* buffer = nullptr;
};
struct NamedModule {
  std::string name;
  Module* module = nullptr;
};

class Module {
 public:
  Module() = default;                        // a root
  Module(Module* parent, std::string name);  // a child; an empty name adds nothing to the path
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // Depth first in registration order, own entries before those of children.
  std::vector<NamedParameter> named_parameters() const;
  std::vector<NamedBuffer> named_buffers() const;
  std::vector<NamedModule> named_modules() const;  // this module first, under the name ""

  // Training or evaluation mode, for this module and all below.
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_ && !frozen_; }
  // Takes this module and all below out of the training (or back in): their parameters are constants, and
  // train() leaves them in evaluation mode, so that a frozen batch norm keeps its statistics, too.
  void freeze(bool on = true);
  const std::string& name() const { return name_; }

  void register_parameter(Parameter& parameter) { parameters_.push_back(&parameter); }
  void register_buffer(Buffer& buffer) { buffers_.push_back(&buffer); }

 private:
  std::string name_;
  std::vector<Module*> children_;
  std::vector<Parameter*> parameters_;
  std::vector<Buffer*> buffers_;
  bool training_ = true, frozen_ = false;
};

// "a" + "b" -> "a.b"; an empty part adds nothing.
std::string join_name(const std::string& prefix, const std::string& name);

// A list of modules of one type, named by their index.
template <class M>
class ModuleList : public Module {
 public:
  using Module::Module;

  // Constructs M(this, "<index>", args...).
  template <class... Args>
  M& add(Args&&... args) {
    return items_.emplace_back(this, std::to_string(items_.size()), std::forward<Args>(args)...);
  }
  auto begin() { return items_.begin(); }
  auto end() { return items_.end(); }
  std::size_t size() const { return items_.size(); }
  M& operator[](std::size_t i) { return items_.at(i); }

 private:
  std::deque<M> items_;  // grows without moving its elements
};

}  // namespace sagitta::nn
