// Dropout, losses, optimizers, the loss scale and picture input on a CUDA device.
#include <algorithm>

#include "cuda_operands.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

Backend& device() { return cuda_test_backend(); }
Backend& cpu() { return cpu_backend(); }

Tensor wide(const Shape& shape) { return Tensor(cpu(), shape, DType::f64); }

}  // namespace

TEST_CASE("dropout draws the CPU's mask in every dtype, whatever the alignment") {
  const StepState step{.seed = 5, .micro_step = 2};
  const double exactly_drawn = random::uniform(mask_key(step, 9), 0);  // survives, by the slightest margin
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Index n : {1, 6, 1029, 5000})
        for (const double p : {0.0, 0.3, exactly_drawn, 1.0}) {
          CAPTURE(name_of(dtype));
          CAPTURE(n);
          CAPTURE(p);
          const DropoutParams params{p, 9};
          const Operand x = random_operand({n}, dtype, 1, memory);
          const Tensor state = state_tensor(device(), step);
          Tensor y = poisoned({n}, dtype, memory), expected = wide({n});
          device().dropout(params, state, x.device, y);
          cpu().dropout(params, state_tensor(cpu(), step), x.cpu, expected);
          CHECK(excess(y, expected) <= 1e-6);
          const Values got = values_of(y), wanted = values_of(expected);
          bool same_mask = true;
          for (std::size_t i = 0; i < got.size(); ++i)
            same_mask = same_mask && (got[i] == 0) == (wanted[i] == 0);
          CHECK(same_mask);
          check_target({n}, dtype, memory, wanted, 1e-6,
                       [&](const Target& t) { device().dropout_backward(params, state, x.device, t); });
        }
}

TEST_CASE("cross entropy: one block and several, smoothing, ignored rows") {
  struct Case {
    Index rows, classes;
  };
  for (const auto [rows, classes] : {Case{1, 1}, Case{5, 7}, Case{64, 100}, Case{3000, 7}, Case{20, 1000}})
    for (const double smoothing : {0.0, 0.2}) {
      CAPTURE(rows);
      CAPTURE(classes);
      CAPTURE(smoothing);
      std::vector<std::int64_t> labels(static_cast<std::size_t>(rows));
      for (std::size_t i = 0; i < labels.size(); ++i)
        labels[i] = i % 5 == 3 ? -100 : static_cast<std::int64_t>(i * 7) % classes;
      const CrossEntropyParams params{.label_smoothing = smoothing};
      const Operand logits = random_operand({rows, classes}, DType::f32, 1, Memory::unaligned, 5);
      Tensor loss = poisoned({1}, DType::f32), gradient = poisoned({rows, classes}, DType::f32);
      Tensor expected_loss = wide({1}), expected = wide({rows, classes});
      const auto run = [&] {
        device().softmax_cross_entropy(params, logits.device, from_host(device(), {rows}, labels), loss,
                                       gradient);
      };
      run();
      cpu().softmax_cross_entropy(params, logits.cpu, from_host(cpu(), {rows}, labels), expected_loss,
                                  expected);
      CHECK(scalar_of(loss) == doctest::Approx(scalar_of(expected_loss)).epsilon(1e-6));
      // A gradient is at most 1 / rows: compare as the loss summed over rows would give it.
      Values got = values_of(gradient), wanted = values_of(expected);
      for (double& value : got) value *= static_cast<double>(rows);
      for (double& value : wanted) value *= static_cast<double>(rows);
      CHECK(excess(got, wanted, DType::f32) <= 1e-6);
      const Values first = values_of(gradient);
      const double first_loss = scalar_of(loss);
      run();
      CHECK(values_of(gradient) == first);
      CHECK(scalar_of(loss) == first_loss);
    }
}

TEST_CASE("cross entropy: huge and infinite logits, no row counted") {
  Tensor loss = poisoned({1}, DType::f32), gradient = poisoned({1, 3}, DType::f32);
  const auto run = [&](const Values& logits, std::int64_t label) {
    device().softmax_cross_entropy({}, operand({1, 3}, DType::f32, logits).device,
                                   from_host<std::int64_t>(device(), {1}, {label}), loss, gradient);
  };
  run({1000, 0, -1000}, 1);
  CHECK(scalar_of(loss) == 1000);
  CHECK(values_of(gradient) == Values{1, -1, 0});
  run({2, 2, -kInfinity}, 0);
  CHECK(scalar_of(loss) == doctest::Approx(std::log(2.0)));
  CHECK(values_of(gradient)[2] == 0);
  Values many(100, -1000);  // several classes per lane
  many[2] = 1000;
  Tensor wide_gradient = poisoned({1, 100}, DType::f32);
  device().softmax_cross_entropy({}, operand({1, 100}, DType::f32, many).device,
                                 from_host<std::int64_t>(device(), {1}, {2}), loss, wide_gradient);
  CHECK(scalar_of(loss) == 0);
  CHECK(values_of(wide_gradient) == Values(100, 0));
  run({1, 2, 3}, -100);
  CHECK(std::isnan(scalar_of(loss)));
  CHECK(values_of(gradient) == Values{0, 0, 0});
}

TEST_CASE("binary cross entropy on logits: weights, class weights, one block and several") {
  for (const Index rows : {1, 9, 3000})
    for (int variant = 0; variant < 4; ++variant) {
      CAPTURE(rows);
      CAPTURE(variant);
      const Shape shape{rows, 4};
      const auto floats = [](bool given, const Shape& size, std::uint32_t stream) {
        return given ? random_operand(size, DType::f32, stream) : Operand{};
      };
      const Operand logits = random_operand(shape, DType::f32, 1, Memory::aligned, 6);
      Values on = random_values(shape.numel(), 2);
      for (double& value : on) value = value > 0.3 ? 1 : value > 0 ? value : 0;
      const Operand targets = operand(shape, DType::f32, on), positive = floats((variant & 1) != 0, {4}, 3),
                    weight = floats((variant & 2) != 0, shape, 4);
      Tensor loss = poisoned({1}, DType::f32), gradient = poisoned(shape, DType::f32);
      Tensor expected_loss = wide({1}), expected = wide(shape);
      const auto run = [&] {
        device().bce_with_logits(logits.device, targets.device, positive.device, weight.device, loss,
                                 gradient);
      };
      run();
      cpu().bce_with_logits(logits.cpu, targets.cpu, positive.cpu, weight.cpu, expected_loss, expected);
      CHECK(std::abs(scalar_of(loss) - scalar_of(expected_loss)) <=
            1e-6 * (1 + std::abs(scalar_of(expected_loss))));
      Values got = values_of(gradient), wanted = values_of(expected);
      for (double& value : got) value *= static_cast<double>(shape.numel());
      for (double& value : wanted) value *= static_cast<double>(shape.numel());
      CHECK(excess(got, wanted, DType::f32) <= 1e-6);
      const double first_loss = scalar_of(loss);
      run();
      CHECK(scalar_of(loss) == first_loss);
    }
  Tensor loss = poisoned({1}, DType::f32), gradient = poisoned({1, 2}, DType::f32);
  device().bce_with_logits(operand({1, 2}, DType::f32, {800, -800}).device,
                           operand({1, 2}, DType::f32, {0, 1}).device, {}, {}, loss, gradient);
  CHECK(scalar_of(loss) == 800);
  CHECK(values_of(gradient) == Values{0.5, -0.5});
}

namespace {

// One optimizer with its buffers on a backend, in the dtype that the backend does it in.
struct Run {
  Backend& backend;
  DType dtype;
  Memory memory;
  Tensor values, first, second, copy;

  Tensor buffer(const Values& host, Memory where) const {
    if (dtype == DType::f32)
      return operand({static_cast<Index>(host.size())}, DType::f32, host, where).device;
    return operand({static_cast<Index>(host.size())}, DType::f32, host).cpu;
  }
};

struct Variant {
  bool adam = false, decoupled = false, nesterov = false;
  double momentum = 0.9, max_norm = 0, loss_scale = 0;
};

void step(Run& run, const Variant& variant, const std::vector<std::int64_t>& ends, std::uint32_t number,
          const Values& gradient, double skipped_steps) {
  Backend& b = run.backend;
  const std::vector<float> decay = {0.25F, 0.0F, 0.5F}, rate = {0.5F, 0.0F, 1.0F};
  Tensor norm2(b, {1}, run.dtype);
  const Tensor gradients = run.buffer(gradient, run.memory);
  b.squared_norm(gradients, norm2);
  const ParameterUpdate update{
      .segments = {from_host(b, {3}, ends), from_host(b, {3}, decay), from_host(b, {3}, rate)},
      .state = state_tensor(b, {.optimizer_step = number, .learning_rate = 0.05}),
      .norm2 = norm2,
      .loss_scale = variant.loss_scale > 0 ? from_host<float>(b, {3},
                                                              {static_cast<float>(variant.loss_scale), 4,
                                                               static_cast<float>(skipped_steps)})
                                           : Tensor(),
      .gradient = gradients,
      .values = run.values,
      .copy = run.copy};
  if (variant.adam)
    b.adam({.decoupled = variant.decoupled, .max_norm = variant.max_norm}, update, run.first, run.second);
  else
    b.sgd({variant.momentum, variant.nesterov, variant.max_norm}, update, run.first);
}

void check_steps(const Variant& variant, Index n, const std::vector<std::int64_t>& ends, Memory memory,
                 DType copy) {
  const Values start = random_values(n, 1), nothing(static_cast<std::size_t>(n));
  Run on_device{device(), DType::f32, memory, {}, {}, {}, {}},
      on_cpu{cpu(), DType::f64, memory, {}, {}, {}, {}};
  for (Run* run : {&on_device, &on_cpu}) {
    run->values = run->buffer(start, memory);
    if (variant.adam || variant.momentum > 0) run->first = run->buffer(nothing, memory);
    if (variant.adam) run->second = run->buffer(nothing, memory);
  }
  if (copy != DType::f32) {
    // The second segment is frozen: its copy is what it was.
    Values before(static_cast<std::size_t>(n), kNaN);
    const Values values = values_of(on_device.values);
    std::copy(values.begin() + ends[0], values.begin() + ends[1], before.begin() + ends[0]);
    on_device.copy = operand({n}, copy, before, memory).device;
  }
  const double scale = variant.loss_scale > 0 ? variant.loss_scale : 1;
  for (std::uint32_t number = 1; number <= 3; ++number) {
    // With a loss scale the second step is skipped: nothing may move, and Adam does not count it.
    const bool skips = variant.loss_scale > 0 && number == 2;
    Values gradient = random_values(n, 10 + number, scale);
    if (skips) gradient.back() = variant.adam ? kNaN : kInfinity;
    const Values before = values_of(on_device.values);
    const double skipped_steps = variant.loss_scale > 0 && number > 2 ? 1 : 0;
    step(on_device, variant, ends, number, gradient, skipped_steps);
    step(on_cpu, variant, ends, number, gradient, skipped_steps);
    if (skips) CHECK(values_of(on_device.values) == before);
  }
  CHECK(excess(on_device.values, on_cpu.values) <= 1e-6);
  if (on_device.first) CHECK(excess(on_device.first, on_cpu.first) <= 1e-6);
  if (on_device.second) CHECK(excess(on_device.second, on_cpu.second) <= 1e-6);
  if (on_device.copy) {
    Tensor rounded(cpu(), {n}, copy);
    cpu().convert(operand({n}, DType::f32, values_of(on_device.values)).cpu, rounded);
    CHECK(values_of(on_device.copy) == values_of(rounded));
  }
}

const Variant kVariants[] = {
    {.momentum = 0},
    {},
    {.nesterov = true, .max_norm = 3},
    {.loss_scale = 1024},
    {.max_norm = 3, .loss_scale = 1024},
    {.adam = true},
    {.adam = true, .decoupled = true, .max_norm = 3},
    {.adam = true, .loss_scale = 1024},
    {.adam = true, .decoupled = true, .max_norm = 3, .loss_scale = 65536},
};

}  // namespace

TEST_CASE("SGD and Adam: segments, clipping, loss scale, copies, as the CPU in f64") {
  for (const Variant& variant : kVariants)
    for (const Memory memory : kMemories)
      for (const DType copy : kComputing) {
        CAPTURE((&variant - kVariants));
        CAPTURE((memory == Memory::aligned));
        CAPTURE(name_of(copy));
        check_steps(variant, 3000, {16, 2048, 3000}, memory, copy);
        check_steps(variant, 1031, {5, 6, 1031}, memory, copy);
      }
}

TEST_CASE("SGD and Adam take several packs per thread of a large buffer") {
  const Index n = 4 * 256 * 1056 + 4 * 256 * 3 + 2;
  check_steps({.nesterov = true}, n, {16, 1000000, n}, Memory::aligned, DType::bf16);
  check_steps({.adam = true}, n, {16, 1000000, n}, Memory::aligned, DType::bf16);
}

TEST_CASE("a gradient that is not finite changes nothing without a loss scale, either") {
  for (const bool adam : {false, true}) {
    Run run{device(), DType::f32, Memory::aligned, {}, {}, {}, {}};
    run.values = run.buffer(random_values(40, 1), Memory::aligned);
    run.first = run.buffer(random_values(40, 2), Memory::aligned);
    run.second = run.buffer(Values(40, 0.25), Memory::aligned);
    const Values before = values_of(run.values), first = values_of(run.first);
    Values gradient = random_values(40, 3);
    gradient[7] = kNaN;
    step(run, {.adam = adam}, {8, 16, 40}, 1, gradient, 0);
    CHECK(values_of(run.values) == before);
    CHECK(values_of(run.first) == first);
  }
}

TEST_CASE("an exponential moving average, as the CPU in f64") {
  for (const Memory memory : kMemories)
    for (const Index n : {Index{1}, Index{1031}, Index{4 * 256 * 1056 + 7}}) {
      const Values start = random_values(n, 1), in = random_values(n, 2);
      Tensor mean = operand({n}, DType::f32, start, memory).device,
             expected = operand({n}, DType::f32, start).cpu;
      device().update_average(0.875, operand({n}, DType::f32, in, memory).device, mean);
      cpu().update_average(0.875, operand({n}, DType::f32, in).cpu, expected);
      CHECK(excess(mean, expected) <= 1e-6);
    }
}

TEST_CASE("Adam's bias correction stays right after many steps") {
  for (const std::uint32_t number : {1U, 30U, 1000U, 1000000U}) {
    CAPTURE(number);
    Run on_device{device(), DType::f32, Memory::aligned, {}, {}, {}, {}},
        on_cpu{cpu(), DType::f64, Memory::aligned, {}, {}, {}, {}};
    for (Run* run : {&on_device, &on_cpu}) {
      run->values = run->buffer(Values(40), Memory::aligned);
      run->first = run->buffer(random_values(40, 5), Memory::aligned);
      run->second = run->buffer(Values(40, 0.25), Memory::aligned);
      step(*run, {.adam = true}, {8, 16, 40}, number, random_values(40, 6), 0);
    }
    CHECK(excess(on_device.values, on_cpu.values) <= 1e-6);
  }
}

TEST_CASE("the loss scale grows after good steps and backs off after a bad one") {
  const LossScaleParams params{.growth = 2, .backoff = 0.5, .interval = 3};
  Tensor scale = from_host<float>(device(), {3}, {65536, 0, 0}),
         expected = from_host<float>(cpu(), {3}, {65536, 0, 0});
  for (const double norm2 : {1.0, 2.0, 3.0, kInfinity, 1.0, 1.0, kNaN, -kInfinity, 0.0, 1.0, 1.0, 1.0}) {
    device().update_loss_scale(params, operand({1}, DType::f32, {norm2}).device, scale);
    cpu().update_loss_scale(params, operand({1}, DType::f32, {norm2}).cpu, expected);
    CHECK(values_of(scale) == values_of(expected));
  }
  CHECK(values_of(scale) == Values{32768, 1, 3});
}

TEST_CASE("pictures: windows within and beyond, mirrored, 1 to 4 channels, odd extents") {
  const ImageParams params{.mean = {0.485F, 0.456F, 0.406F, 0.5F}, .std = {0.229F, 0.224F, 0.225F, 0.25F}};
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Index channels : {1, 2, 3, 4})
        for (const Shape& window : {Shape{16, 24}, Shape{5, 7}, Shape{1, 1}, Shape{40, 33}}) {
          CAPTURE(name_of(dtype));
          CAPTURE(channels);
          CAPTURE(window[0]);
          const Index images = 4, rows = 20, columns = 26;
          std::vector<std::uint8_t> bytes(static_cast<std::size_t>(images * rows * columns * channels));
          for (std::size_t i = 0; i < bytes.size(); ++i)
            bytes[i] = static_cast<std::uint8_t>(random::bits({3, 1, 0}, i) >> 24);
          const std::vector<std::int32_t> crop = {2, 1, 0, -3, 5, 1, 15, -4, 1, -50, 2, 0};
          const auto run = [&](Backend& backend, Tensor& y) {
            backend.normalize_image(params, from_host(backend, {images, rows, columns, channels}, bytes),
                                    from_host(backend, {images, 3}, crop), y);
          };
          const Shape shape{images, window[0], window[1], channels};
          Tensor y = poisoned(shape, dtype, memory), expected = wide(shape);
          run(device(), y);
          run(cpu(), expected);
          CHECK(excess(y, expected) <= 1e-6);
        }
}
