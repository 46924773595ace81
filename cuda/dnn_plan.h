// Plan: a graph that an engine of cuDNN has been set up to run. Which engine, with which knobs, is a choice.
// suggest() lists what the heuristics recommend, make_plan() compiles one of them. A choice can be kept as
// text and made again later: that is all the plan cache stores. (The JSON form of a plan, which cuDNN offers
// for that, does not exist for all graphs: 9.19 crashes on the attention op.)
#pragma once
#include <cudnn.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cuda/dnn_graph.h"
#include "cuda/dnn_problem.h"

namespace sagitta::cuda {

// Which engines may be used.
struct EngineRules {
  // f32 only: engines that round the inputs to TF32 for the tensor cores.
  bool tensor_cores = true;
  // Only engines that give the same bits each time.
  bool deterministic = true;
  std::string key() const;
};

// The graph of a problem with what plans are made for, which must outlive it; shared by its plans.
struct FinishedGraph {
  FinishedGraph(const Problem& problem, const PlanTarget& plan_target)
      : target(plan_target), operations((build(problem, graph), graph.finish(plan_target))) {}

  const PlanTarget& target;
  Graph graph;
  Descriptor operations;
};

// An engine with its knobs set.
class EngineChoice {
 public:
  // A configuration that the heuristics made.
  explicit EngineChoice(Descriptor configuration);
  // The choice that text() described. Throws Error when the text is malformed or this graph has no such
  // engine.
  static EngineChoice from_text(const FinishedGraph& graph, const std::string& text);

  // "62 2=5 14=3": the engine's index and its knobs, by cuDNN's numbers. Means something only to the same
  // version of cuDNN, on the same kind of GPU, for the same graph.
  std::string text() const;
  std::int64_t engine() const;
  bool allowed(const EngineRules& rules) const;
  bool uses_tensor_cores() const;
  bool compiled_at_run_time() const;  // takes seconds instead of milliseconds to make a plan of

  const Descriptor& configuration() const { return configuration_; }

 private:
  bool has_note(cudnnBackendNumericalNote_t note) const;

  std::vector<Descriptor> parts_;  // what the configuration refers to, when it was made from text
  Descriptor configuration_;
};

// What cuDNN suggests for the graph, best guess first, without what the rules forbid.
std::vector<EngineChoice> suggest(const FinishedGraph& graph, const EngineRules& rules);

class Plan {
 public:
  // A tensor in memory and the uid it has in the graph.
  struct Binding {
    std::int64_t uid;
    void* memory;
  };

  std::int64_t workspace_bytes() const { return workspace_bytes_; }
  const EngineChoice& choice() const { return choice_; }
  // Enqueues on the stream of `handle`. `workspace` has workspace_bytes() bytes, aligned to 16.
  void execute(cudnnHandle_t handle, const std::vector<Binding>& bindings, void* workspace) const;

 private:
  friend std::optional<Plan> make_plan(std::shared_ptr<const FinishedGraph> graph, EngineChoice choice);
  Plan(std::shared_ptr<const FinishedGraph> graph, EngineChoice choice, Descriptor plan);

  std::shared_ptr<const FinishedGraph> graph_;
  EngineChoice choice_;
  Descriptor plan_;
  std::int64_t workspace_bytes_;
};

// Empty when it turns out that the engine cannot do it after all, which heuristics do not rule out.
std::optional<Plan> make_plan(std::shared_ptr<const FinishedGraph> graph, EngineChoice choice);

// Plans of the first suggestions that can be made, at most `count`, best guess first. Large workspaces are
// left out where there is a plan that does without.
std::vector<Plan> make_plans(const std::shared_ptr<const FinishedGraph>& graph, const EngineRules& rules,
                             std::size_t count);

}  // namespace sagitta::cuda
