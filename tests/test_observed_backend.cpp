// The backend that lets others watch: it changes nothing, and observers see each op once, as it was called.
#include <doctest/doctest.h>

#include <fstream>
#include <regex>
#include <set>

#include "autograd/ops.h"
#include "models/shape_backend.h"
#include "op_run.h"
#include "tensor/error.h"
#include "tensor/observed_backend.h"
#include "training_steps.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

// Writes down what it is told: "linear x<f32[4, 8] ... y>f32[4, 3]", with < > + for read, written, updated.
class Notes final : public BackendObserver {
 public:
  explicit Notes(ObservedBackend& backend) : backend_(backend) { backend_.attach(*this); }
  ~Notes() override { backend_.detach(*this); }

  void before(const BackendCall& call) override { before_ = text_of(call); }
  void after(const BackendCall& call) override {
    CHECK(text_of(call) == before_);
    calls.push_back(before_);
    methods.emplace_back(call.method);
  }

  std::vector<std::string> calls, methods;

 private:
  static std::string text_of(const BackendCall& call) {
    std::string text(call.method);
    for (const Operand& operand : call.operands)
      text += fmt::format(" {}{}{}{}", operand.name, "<>+"[static_cast<int>(operand.use)],
                          name_of(operand.tensor.dtype()), operand.tensor.shape());
    return text;
  }

  ObservedBackend& backend_;
  std::string before_;
};

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(SAGITTA_SOURCE_DIR) + "/" + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Counts how captured work is run.
class CapturingBackend final : public models::ShapeBackend {
 public:
  class Replay final : public Captured {
   public:
    explicit Replay(int& count) : count_(count) {}
    void replay() override { ++count_; }

   private:
    int& count_;
  };
  std::unique_ptr<Captured> capture(std::function<void()>) override {
    return std::make_unique<Replay>(replays);
  }
  int replays = 0;
};

}  // namespace

TEST_CASE("every op gives the same bits through an observed backend, watched or not") {
  ObservedBackend backend(cpu_backend());
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    const auto inputs = case_inputs(op_case, DType::f32);
    const OpRun bare = run_case(op_case, cpu_backend(), DType::f32, inputs);
    const OpRun forwarded = run_case(op_case, backend, DType::f32, inputs);
    const Notes notes(backend);
    const OpRun watched = run_case(op_case, backend, DType::f32, inputs);
    CHECK(bare.output == forwarded.output);
    CHECK(bare.gradients == forwarded.gradients);
    CHECK(bare.output == watched.output);
    CHECK(bare.gradients == watched.gradients);
    CHECK(notes.calls.size() >= 2);
  }
}

TEST_CASE("the inner backend gets every call as it was made: fused ops stay fused, and are seen once") {
  for (const TrainingCase& training_case : {resnet18(), vit_tiny()}) {
    ObservedBackend inner(cpu_backend()), outer(static_cast<Backend&>(inner));
    Training training(training_case, outer, DType::f32);
    const Notes seen_inside(inner), seen_outside(outer);
    training.run_step(0);
    CHECK(seen_outside.calls == seen_inside.calls);
    const std::set<std::string> methods(seen_outside.methods.begin(), seen_outside.methods.end());
    CHECK(methods.contains("linear_backward"));
    CHECK_FALSE(methods.contains("matmul"));  // what the CPU makes of linear_backward
  }
}

TEST_CASE("every op of the contract is in the list of intercepted ones") {
  // A fused op that is missing there compiles, and would run as its parts.
  const std::string contract = read_file("tensor/backend.h"),
                    list = read_file("tensor/intercepting_backend.h");
  const std::set<std::string> no_ops{"release", "write", "read", "synchronize", "replay"};
  const std::regex method(R"(virtual void (\w+)\()");
  int seen = 0;
  for (std::sregex_iterator match(contract.begin(), contract.end(), method), end; match != end; ++match) {
    const std::string name = (*match)[1];
    if (no_ops.contains(name)) continue;
    CAPTURE(name);
    CHECK(std::regex_search(list, std::regex("intercept\\(\\s*\"" + name + "\"")));
    CHECK(std::regex_search(list, std::regex("&Backend::" + name + "\\b")));
    ++seen;
  }
  CHECK(seen > 45);
}

TEST_CASE("operands are named and marked as the contract has them; absent ones are left out") {
  ObservedBackend backend(cpu_backend());
  const Tensor x = full(backend, {4, 3}, DType::f32, 1), weight = full(backend, {2, 3}, DType::f32, 1);
  Tensor y(backend, {4, 2}, DType::f32), none;
  Tensor sum = full(backend, {3}, DType::f32, 0), counter = full(backend, {}, DType::i64, 0);
  const Notes notes(backend);
  backend.linear({}, x, weight, none, none, y);
  backend.sum_rows(x, {sum, true});
  backend.sum_rows(x, {sum});
  backend.increment(counter);
  (void)to_host<float>(sum);
  CHECK(notes.calls == std::vector<std::string>{
                           "linear x<f32[4, 3] weight<f32[2, 3] y>f32[4, 2]",
                           "sum_rows x<f32[4, 3] y+f32[3]",
                           "sum_rows x<f32[4, 3] y>f32[3]",
                           "increment counter+i64[]",
                           "read x<f32[3]",
                       });
}

TEST_CASE("bytes moved count what is updated twice, and an update's parameters by name") {
  struct Bytes final : BackendObserver {
    void after(const BackendCall& call) override { total = call.bytes_moved(); }
    std::size_t total = 0;
  } bytes;
  ObservedBackend backend(cpu_backend());
  Tensor x = full(backend, {10}, DType::f32, 1), y = x.like();
  backend.fill(y, 0);
  backend.attach(bytes);
  backend.scale(x, 2, {y});
  CHECK(bytes.total == 80);
  backend.scale(x, 2, {y, true});
  CHECK(bytes.total == 120);
  backend.detach(bytes);
  backend.scale(x, 2, {y});
  CHECK(bytes.total == 120);

  Training training(resnet18(), backend, DType::f32);
  const Notes notes(backend);
  training.run_step(0);
  CHECK(std::regex_search(notes.calls.back(),
                          std::regex("^sgd segment_end<.* state<u8.* gradient<.* values\\+.* momentum\\+")));
}

TEST_CASE("captured work is the inner backend's, and is called op by op while somebody watches") {
  CapturingBackend inner;
  ObservedBackend backend(inner);
  int calls = 0;
  const auto captured = backend.capture([&, count = 0]() mutable { calls = ++count; });
  captured->replay();
  CHECK(inner.replays == 1);
  CHECK(calls == 0);
  {
    const Notes notes(backend);
    captured->replay();
    captured->replay();
  }
  CHECK(inner.replays == 1);
  CHECK(calls == 2);
  captured->replay();
  CHECK(inner.replays == 2);
}

TEST_CASE("memory comes from the inner backend and goes back to it") {
  ObservedBackend backend(cpu_backend());
  CHECK(backend.device() == cpu_backend().device());
  const std::size_t before = cpu_backend().memory_use().in_use;
  {
    const Tensor tensor(backend, {1000}, DType::f32);
    CHECK(&tensor.backend() == &backend);
    CHECK(cpu_backend().memory_use().in_use >= before + 4000);
    CHECK(backend.memory_use().in_use == cpu_backend().memory_use().in_use);
  }
  CHECK(cpu_backend().memory_use().in_use == before);
}

TEST_CASE("observers nest, and what one throws reaches the caller") {
  struct Order final : BackendObserver {
    Order(std::string& log, char name) : log(log), name(name) {}
    void before(const BackendCall&) override { log += name; }
    void after(const BackendCall&) override {
      log += name;
      if (throws) fail("seen enough");
    }
    std::string& log;
    char name;
    bool throws = false;
  };
  std::string log;
  Order a(log, 'a'), b(log, 'b');
  ObservedBackend backend(cpu_backend());
  Tensor x(backend, {2}, DType::f32);
  backend.attach(a);
  backend.attach(b);
  CHECK_THROWS_WITH_AS(backend.attach(b), "observed backend: the observer is attached already", Error);
  backend.fill(x, 1);
  CHECK(log == "abba");
  b.throws = true;
  CHECK_THROWS_WITH_AS(backend.fill(x, 2), "seen enough", Error);
  CHECK(log == "abbaabb");
  backend.detach(a);
  backend.detach(b);
  CHECK_FALSE(backend.is_observed());
  CHECK(to_host<float>(x) == std::vector<float>{2, 2});
}
