// ObservedBackend: forwards every call to another backend and tells its observers before and after each op.
// A program makes its tensors on it from the start (they carry it as their backend) and attaches observers
// when it wants to look: a trace, a guard against NaN. Invariant: what is computed, where memory comes from
// and how a captured step runs are the other backend's affair; without an observer an op costs one more
// virtual call. Ops are seen as the caller makes them: a fused op is one, whatever the backend makes of it.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "tensor/intercepting_backend.h"

namespace sagitta {

// A tensor of a call.
struct Operand {
  enum class Use {
    read,
    written,  // without being read
    updated,  // read and written: state, or a Target that is added to
  };
  std::string_view name;  // as the contract calls it: "x", "dweight"
  const Tensor& tensor;   // never empty
  Use use = Use::read;
};

// A call of one method of the contract; alive while its observers look at it.
struct BackendCall {
  std::string_view method;            // "conv2d"
  std::span<const Operand> operands;  // in the contract's order, without those that are absent or not wanted

  // Bytes that must move if each element is touched once, and those of updated tensors twice.
  std::size_t bytes_moved() const;
};

// Is told of every op and of write() and read(), on the thread that calls. An observer may call the inner
// backend, which nobody observes. What it throws ends the call and reaches the caller.
class BackendObserver {
 public:
  virtual ~BackendObserver() = default;
  virtual void before(const BackendCall&) {}
  // The op was enqueued; on a GPU it may not have run yet. Not called when the op failed.
  virtual void after(const BackendCall&) {}
};

class ObservedBackend final : public InterceptingBackend<ObservedBackend> {
 public:
  // `inner` must outlive this, and this all tensors made on it.
  explicit ObservedBackend(Backend& inner) : inner_(inner) {}
  ObservedBackend(const ObservedBackend&) = delete;
  ObservedBackend& operator=(const ObservedBackend&) = delete;

  Backend& inner() const { return inner_; }
  // Observers see calls in the order in which they were attached before an op, in the opposite order after
  // it. Between calls only, and only while one thread computes.
  void attach(BackendObserver& observer);
  void detach(BackendObserver& observer);  // nothing happens when it is not attached
  bool is_observed() const { return !observers_.empty(); }

  Device device() const override { return inner_.device(); }
  void* allocate(std::size_t bytes) override { return inner_.allocate(bytes); }
  void release(void* memory, std::size_t bytes) override { inner_.release(memory, bytes); }
  MemoryUse memory_use() const override { return inner_.memory_use(); }
  void write(const void* host, Tensor& y) override;
  void read(const Tensor& x, void* host) override;
  void synchronize() override { inner_.synchronize(); }
  // The inner backend's; while an observer is attached, a replay calls the function instead, op by op.
  std::unique_ptr<Captured> capture(std::function<void()> work) override;

 private:
  friend class InterceptingBackend<ObservedBackend>;
  template <std::size_t N, class... Params>
  void intercept(const char* op, const OperandName (&names)[N], void (Backend::*method)(Params...),
                 std::type_identity_t<Params>... args);
  void tell_before(const BackendCall& call) const;
  void tell_after(const BackendCall& call) const;

  Backend& inner_;
  std::vector<BackendObserver*> observers_;
};

// The operands among the arguments of a call, which are added in their order.
class OperandList {
 public:
  explicit OperandList(const OperandName* names) : next_name_(names) {}

  void add(const Tensor& tensor) { push(*next_name_++, tensor, Operand::Use::read); }
  void add(Tensor& tensor);
  void add(const Target& target);
  void add(const ParameterUpdate& update);
  template <class Scalars>
  void add(const Scalars&) {}

  const std::vector<Operand>& operands() const { return operands_; }

 private:
  void push(const OperandName& name, const Tensor& tensor, Operand::Use use);

  const OperandName* next_name_;
  std::vector<Operand> operands_;
};

template <std::size_t N, class... Params>
void ObservedBackend::intercept(const char* op, const OperandName (&names)[N],
                                void (Backend::*method)(Params...), std::type_identity_t<Params>... args) {
  static_assert(((std::is_convertible_v<Params, const Tensor&> ||
                  std::is_convertible_v<Params, const Target&>)+...) == N,
                "a name for each tensor and target");
  if (!is_observed()) [[likely]]
    return (inner_.*method)(args...);
  OperandList list(names);
  (list.add(args), ...);
  const BackendCall call{op, list.operands()};
  tell_before(call);
  (inner_.*method)(args...);
  tell_after(call);
}

}  // namespace sagitta
