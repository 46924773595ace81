// ParameterArena: every parameter of a model in one flat buffer, its gradients in another, in registration
// order, and in a 16-bit context the copies that the ops read in a third. Invariant: after construction
// parameters are views into values() and copies(), their gradients are written straight into gradients(), so
// the optimizer, the gradient norm and an all-reduce are one call each. Offsets are multiples of kAlignment
// elements; the padding between parameters is zero in all buffers and stays so.
#pragma once
#include <string>
#include <vector>

#include "nn/module.h"
#include "nn/parameter.h"

namespace sagitta::nn {

// Which parameters weight decay applies to.
enum class DecayPolicy {
  all,          // every parameter: torch.optim with one group
  huggingface,  // the Trainer: not biases, not layer norms; batch norm weights and embeddings do decay
  torchvision,  // --norm-weight-decay 0: not the norms' weights and biases; other biases do decay
  weights,      // only the weights of linear and convolution layers
};
bool decays(DecayPolicy policy, Role role);

class ParameterArena {
 public:
  static constexpr std::int64_t kAlignment = 16;

  struct Entry {
    std::string name;
    Parameter* parameter = nullptr;
    std::int64_t offset = 0;  // in elements
  };

  // `model` must outlive the arena and must have at least one parameter, all of one dtype.
  ParameterArena(Module& model, double weight_decay, DecayPolicy policy);

  Tensor& values() { return values_; }
  Tensor& gradients() { return gradients_; }
  Tensor& copies() { return copies_; }  // empty without 16-bit copies
  const DecaySegments& segments() const { return segments_; }
  const std::vector<Entry>& entries() const { return entries_; }

  // Starts a new accumulation: the next backward() overwrites. Costs no memory traffic.
  void clear_gradients();
  // Goes on with an accumulation: the next backward() adds. To be said in a captured step, which does not see
  // the backward() before it; every gradient must have been filled or completed.
  void keep_gradients();
  // Zeros the gradient of every parameter that backward() did not reach; call before reading gradients().
  void complete_gradients();

 private:
  std::vector<Entry> entries_;
  Tensor values_, gradients_, copies_;  // [n]
  DecaySegments segments_;
};

}  // namespace sagitta::nn
