// StepPhases: what a training step is doing, as the code that runs it says. A phase is open until the end of
// a scope, and phases nest; whoever watches is told, and can ask at any time. Without listeners a phase costs
// a few instructions, so they may stay in the code.
//
//   const auto step = phases.step(12);
//   { const auto phase = phases.phase("forward"); ... }
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace sagitta::apps {

class StepPhases {
 public:
  struct Phase {
    std::string_view name;  // kStep for a whole step
    std::int64_t step = -1;
  };
  // Is told on the thread that runs the step. closed() runs while a scope ends, so it must not throw.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void opened(const Phase& phase) = 0;
    virtual void closed(const Phase& phase) = 0;
  };
  class [[nodiscard]] Scope {
   public:
    ~Scope() { phases_.close(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    friend class StepPhases;
    Scope(StepPhases& phases, const Phase& phase) : phases_(phases) { phases_.open(phase); }
    StepPhases& phases_;
  };
  static constexpr std::string_view kStep = "step";

  StepPhases() = default;
  StepPhases(const StepPhases&) = delete;
  StepPhases& operator=(const StepPhases&) = delete;

  Scope step(std::int64_t number) { return {*this, {kStep, number}}; }
  // "forward", "backward", "update", "data wait", "upload", ...; the text must outlive the scope.
  Scope phase(std::string_view name) { return {*this, {name, current().step}}; }
  // The innermost open phase; no name and step -1 when none is open.
  Phase current() const { return open_.empty() ? Phase{} : open_.back(); }

  void add(Listener& listener) { listeners_.push_back(&listener); }
  void remove(Listener& listener) { std::erase(listeners_, &listener); }

 private:
  void open(const Phase& phase) {
    open_.push_back(phase);
    for (Listener* listener : listeners_) listener->opened(phase);
  }
  void close() {
    const Phase phase = open_.back();
    open_.pop_back();
    for (Listener* listener : listeners_) listener->closed(phase);
  }

  std::vector<Phase> open_;
  std::vector<Listener*> listeners_;
};

}  // namespace sagitta::apps
