// Norms, attention, pooling, tokens and resizing of the CPU backend against naive loops.
#include <array>
#include <cstring>

#include "kernel_reference.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

Backend& b = cpu_backend();

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

struct Norm {
  Values y, mean, rstd, variance;  // biased variance
};

// Normalizes along one axis of a matrix: over the rows for each column (batch norm), or over the columns for
// each row.
Norm naive_norm(const Values& x, Index rows, Index columns, bool over_rows, const Values& gamma,
                const Values& beta, double eps) {
  const Index groups = over_rows ? columns : rows, n = over_rows ? rows : columns;
  Norm norm{Values(x.size()), Values(at(groups)), Values(at(groups)), Values(at(groups))};
  const auto index = [&](Index group, Index i) {
    return at(over_rows ? i * columns + group : group * columns + i);
  };
  for (Index g = 0; g < groups; ++g) {
    for (Index i = 0; i < n; ++i) norm.mean[at(g)] += x[index(g, i)] / static_cast<double>(n);
    for (Index i = 0; i < n; ++i)
      norm.variance[at(g)] += std::pow(x[index(g, i)] - norm.mean[at(g)], 2) / static_cast<double>(n);
    norm.rstd[at(g)] = 1 / std::sqrt(norm.variance[at(g)] + eps);
    for (Index i = 0; i < n; ++i) {
      const std::size_t c = at(over_rows ? g : i);
      norm.y[index(g, i)] = (x[index(g, i)] - norm.mean[at(g)]) * norm.rstd[at(g)] * gamma[c] + beta[c];
    }
  }
  return norm;
}

// The Jacobian-vector product of y = norm(x) by central differences in f64: good to about 1e-8.
template <class Forward>
Values numeric_gradient(const Values& x, const Values& dy, const Forward& forward) {
  Values gradient(x.size());
  constexpr double kStep = 1e-5;
  for (std::size_t i = 0; i < x.size(); ++i) {
    Values up = x, down = x;
    up[i] += kStep;
    down[i] -= kStep;
    const Values above = forward(up), below = forward(down);
    for (std::size_t j = 0; j < dy.size(); ++j) gradient[i] += dy[j] * (above[j] - below[j]) / (2 * kStep);
  }
  return gradient;
}

struct Attention {
  Values y, lse;
};

Attention naive_attention(const AttentionParams& p, const StepState& state, const Values& qkv, Index batch,
                          Index t, Index d) {
  const Index h = p.heads, width = h * d;
  Attention out{Values(at(batch * t * width)), Values(at(batch * h * t))};
  const random::Key key = mask_key(state, p.stream);
  for (Index n = 0; n < batch; ++n)
    for (Index head = 0; head < h; ++head)
      for (Index i = 0; i < t; ++i) {
        Values score(at(t));
        double sum = 0;
        for (Index j = 0; j < t; ++j) {
          for (Index c = 0; c < d; ++c)
            score[at(j)] += p.scale * qkv[at((n * t + i) * 3 * width + head * d + c)] *
                            qkv[at((n * t + j) * 3 * width + width + head * d + c)];
          sum += std::exp(score[at(j)]);
        }
        out.lse[at((n * h + head) * t + i)] = std::log(sum);
        for (Index j = 0; j < t; ++j) {
          const auto index = static_cast<std::uint64_t>(((n * h + head) * t + i) * t + j);
          const double mask = random::uniform(key, index) >= p.dropout ? 1 / (1 - p.dropout) : 0;
          for (Index c = 0; c < d; ++c)
            out.y[at((n * t + i) * width + head * d + c)] +=
                mask * std::exp(score[at(j)]) / sum *
                qkv[at((n * t + j) * 3 * width + 2 * width + head * d + c)];
        }
      }
  return out;
}

Tensor state_tensor(const StepState& state) {
  std::vector<std::uint8_t> bytes(sizeof state);
  std::memcpy(bytes.data(), &state, sizeof state);
  return from_host(b, {static_cast<Index>(bytes.size())}, bytes);
}

}  // namespace

TEST_CASE(
    "batch norm: statistics, running averages and output follow the definition, with a mean far from zero") {
  for_both_dtypes([](DType dtype) {
    for (const Index rows : {1, 6, 2000}) {
      const Index channels = 37;
      Values shifted = random_values(rows * channels, 1);
      for (double& v : shifted) v += 1000;  // E[x^2] - E[x]^2 would lose all digits in f32
      const Tensor x = tensor_of({1, 1, rows, channels}, dtype, shifted);
      const Tensor gamma = random_tensor({channels}, dtype, 2), beta = random_tensor({channels}, dtype, 3);
      Tensor running_mean = random_tensor({channels}, dtype, 4), running_var = full(b, {channels}, dtype, 2);
      const Values old_mean = values_of(running_mean);
      const Norm norm =
          naive_norm(values_of(x), rows, channels, true, values_of(gamma), values_of(beta), 1e-5);
      Tensor y = poisoned(x.shape(), dtype), mean = poisoned({channels}, dtype),
             rstd = poisoned({channels}, dtype);
      b.batch_norm({.momentum = 0.3}, x, gamma, beta, running_mean, running_var, y, mean, rstd);
      // In f32 the mean, about 1000, is itself rounded to 6e-5: y inherits that times rstd.
      const double loose = dtype == DType::f64 ? 1e-10 : 1e-3;
      if (rows > 1 || dtype == DType::f64) CHECK(difference(y, norm.y) < loose);
      CHECK(difference(mean, norm.mean) < tolerance(dtype));
      if (rows > 1) CHECK(difference(rstd, norm.rstd) < loose);
      for (Index c = 0; c < channels; ++c) {
        const double unbiased = norm.variance[at(c)] * static_cast<double>(rows) /
                                static_cast<double>(std::max<Index>(1, rows - 1));
        CHECK(values_of(running_mean)[at(c)] ==
              doctest::Approx(0.7 * old_mean[at(c)] + 0.3 * norm.mean[at(c)]).epsilon(1e-6));
        CHECK(values_of(running_var)[at(c)] == doctest::Approx(0.7 * 2 + 0.3 * unbiased).epsilon(1e-5));
      }
    }
  });
}

TEST_CASE(
    "batch norm with residual and ReLU: fused equals composed, forward and backward, training and not") {
  for_both_dtypes([](DType dtype) {
    for (const bool training : {true, false})
      for (const bool relu : {true, false})
        for (const bool with_residual : {true, false}) {
          CAPTURE(training);
          CAPTURE(relu);
          const Shape shape{3, 5, 7, 19};
          const BatchNormParams params{.training = training, .relu = relu};
          const Tensor x = random_tensor(shape, dtype, 1), dy = random_tensor(shape, dtype, 2);
          const Tensor residual = with_residual ? random_tensor(shape, dtype, 3) : Tensor();
          const Tensor gamma = random_tensor({19}, dtype, 4), beta = random_tensor({19}, dtype, 5);
          Tensor running_mean = random_tensor({19}, dtype, 6), running_var = full(b, {19}, dtype, 1.5);
          Tensor other_mean = random_tensor({19}, dtype, 6), other_var = full(b, {19}, dtype, 1.5);
          Tensor y = poisoned(shape, dtype), mean = poisoned({19}, dtype), rstd = mean.like();
          Tensor expected = poisoned(shape, dtype), expected_mean = mean.like(), expected_rstd = mean.like();
          b.batch_norm_add_relu(params, x, gamma, beta, residual, running_mean, running_var, y, mean, rstd);
          b.Backend::batch_norm_add_relu(params, x, gamma, beta, residual, other_mean, other_var, expected,
                                         expected_mean, expected_rstd);
          CHECK(difference(y, values_of(expected)) < tolerance(dtype));
          CHECK(values_of(running_var) == values_of(other_var));

          Tensor dx = x.like(), dgamma = gamma.like(), dbeta = gamma.like(), dresidual = x.like();
          b.Backend::batch_norm_add_relu_backward(params, x, y, gamma, mean, rstd, dy, {dx}, {dgamma},
                                                  {dbeta}, {dresidual});
          const auto run = [&](const Target& to_x, const Target& to_gamma, const Target& to_beta,
                               const Target& to_residual) {
            b.batch_norm_add_relu_backward(params, x, y, gamma, mean, rstd, dy, to_x, to_gamma, to_beta,
                                           to_residual);
          };
          check_target(shape, dtype, values_of(dx), [&](const Target& t) { run(t, {}, {}, {}); });
          check_target({19}, dtype, values_of(dgamma), [&](const Target& t) { run({}, t, {}, {}); });
          check_target({19}, dtype, values_of(dbeta), [&](const Target& t) { run({}, {}, t, {}); });
          check_target(shape, dtype, values_of(dresidual), [&](const Target& t) { run({}, {}, {}, t); });
        }
  });
}

TEST_CASE("batch norm gradients agree with central differences") {
  const Index rows = 9, channels = 3;
  const Tensor gamma = random_tensor({channels}, DType::f64, 2),
               beta = random_tensor({channels}, DType::f64, 3);
  const Tensor x = random_tensor({rows, channels}, DType::f64, 1),
               dy = random_tensor({rows, channels}, DType::f64, 4);
  const auto forward = [&](const Values& in) {
    return naive_norm(in, rows, channels, true, values_of(gamma), values_of(beta), 1e-5).y;
  };
  const Norm norm = naive_norm(values_of(x), rows, channels, true, values_of(gamma), values_of(beta), 1e-5);
  const Tensor mean = tensor_of({channels}, DType::f64, norm.mean),
               rstd = tensor_of({channels}, DType::f64, norm.rstd);
  Tensor dx = x.like();
  b.batch_norm_backward({}, x, gamma, mean, rstd, dy, {dx}, {}, {});
  CHECK(difference(dx, numeric_gradient(values_of(x), values_of(dy), forward)) < 1e-7);
}

TEST_CASE("layer norm and its gradients follow the definition; the fused sum equals the composition") {
  for_both_dtypes([](DType dtype) {
    const Index rows = 7, columns = 45;
    const Tensor x = random_tensor({rows, columns}, dtype, 1),
                 residual = random_tensor({rows, columns}, dtype, 2);
    const Tensor gamma = random_tensor({columns}, dtype, 3), beta = random_tensor({columns}, dtype, 4);
    const Tensor dy = random_tensor({rows, columns}, dtype, 5);
    const auto forward = [&](const Values& in) {
      return naive_norm(in, rows, columns, false, values_of(gamma), values_of(beta), 1e-6);
    };
    const Norm norm = forward(values_of(x));
    Tensor y = poisoned(x.shape(), dtype), mean = poisoned({rows}, dtype), rstd = poisoned({rows}, dtype);
    b.layer_norm(1e-6, x, gamma, beta, y, mean, rstd);
    CHECK(difference(y, norm.y) < tolerance(dtype));
    CHECK(difference(mean, norm.mean) < tolerance(dtype));
    CHECK(difference(rstd, norm.rstd) < tolerance(dtype));

    Values dgamma(at(columns)), dbeta(at(columns));
    const Values xs = values_of(x), dys = values_of(dy);
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < columns; ++j) {
        dgamma[at(j)] +=
            dys[at(i * columns + j)] * (xs[at(i * columns + j)] - norm.mean[at(i)]) * norm.rstd[at(i)];
        dbeta[at(j)] += dys[at(i * columns + j)];
      }
    Tensor dx = x.like();
    b.layer_norm_backward(x, gamma, mean, rstd, dy, {dx}, {}, {});
    const Values numeric = numeric_gradient(xs, dys, [&](const Values& in) { return forward(in).y; });
    CHECK(difference(dx, numeric) < (dtype == DType::f64 ? 1e-7 : 1e-5));
    const auto run = [&](const Target& to_x, const Target& to_gamma, const Target& to_beta) {
      b.layer_norm_backward(x, gamma, mean, rstd, dy, to_x, to_gamma, to_beta);
    };
    check_target(x.shape(), dtype, values_of(dx), [&](const Target& t) { run(t, {}, {}); });
    check_target({columns}, dtype, dgamma, [&](const Target& t) { run({}, t, {}); });
    check_target({columns}, dtype, dbeta, [&](const Target& t) { run({}, {}, t); });

    Tensor sum = poisoned(x.shape(), dtype), expected_sum = x.like(), expected = x.like();
    b.add_layer_norm(1e-6, x, residual, gamma, beta, sum, y, mean, rstd);
    b.Backend::add_layer_norm(1e-6, x, residual, gamma, beta, expected_sum, expected, mean, rstd);
    CHECK(values_of(sum) == values_of(expected_sum));
    CHECK(difference(y, values_of(expected)) < tolerance(dtype));
  });
}

TEST_CASE("attention with and without dropout agrees with the loops, its gradient with central differences") {
  for (const double dropout : {0.0, 0.3})
    for (const auto& [batch, t, heads, d] : std::vector<std::array<Index, 4>>{{2, 5, 3, 4}, {1, 1, 2, 3}}) {
      const AttentionParams params{static_cast<int>(heads), 0.6, dropout, 5};
      const StepState step{.seed = 11, .micro_step = 3};
      const Tensor state = dropout > 0 ? state_tensor(step) : Tensor();
      const Shape packed{batch, t, 3 * heads * d}, merged{batch, t, heads * d};
      for_both_dtypes([&, batch = batch, t = t, heads = heads, d = d](DType dtype) {
        const Tensor qkv = random_tensor(packed, dtype, 1), dy = random_tensor(merged, dtype, 2);
        const Attention expected = naive_attention(params, step, values_of(qkv), batch, t, d);
        Tensor y = poisoned(merged, dtype), lse = poisoned({batch, heads, t}, dtype);
        b.attention(params, state, qkv, y, lse);
        CHECK(difference(y, expected.y) < tolerance(dtype));
        CHECK(difference(lse, expected.lse) < tolerance(dtype));

        const Values numeric = numeric_gradient(values_of(qkv), values_of(dy), [&](const Values& in) {
          return naive_attention(params, step, in, batch, t, d).y;
        });
        Tensor dqkv = qkv.like();
        b.attention_backward(params, state, qkv, y, lse, dy, {dqkv});
        CHECK(difference(dqkv, numeric) < (dtype == DType::f64 ? 1e-7 : 2e-5));
        check_target(packed, dtype, values_of(dqkv), [&](const Target& target) {
          b.attention_backward(params, state, qkv, y, lse, dy, target);
        });
      });
    }
}

TEST_CASE("attention over several blocks of query rows agrees with the loops, whatever the threads") {
  const Index t = 531, d = 8;
  const AttentionParams params{2, 0.35, 0.1, 1};
  const StepState step{.seed = 3};
  const Tensor qkv = random_tensor({1, t, 3 * 2 * d}, DType::f32, 1), state = state_tensor(step);
  const Tensor dy = random_tensor({1, t, 2 * d}, DType::f32, 2),
               exact = random_tensor({1, t, 3 * 2 * d}, DType::f64, 1);
  Tensor y = dy.like(), lse(b, {1, 2, t}, DType::f32), dqkv = qkv.like();
  check_thread_independence([&] {
    b.attention(params, state, qkv, y, lse);
    return values_of(y);
  });
  CHECK(difference(y, naive_attention(params, step, values_of(qkv), 1, t, d).y) < 1e-5);
  check_thread_independence([&] {
    b.attention_backward(params, state, qkv, y, lse, dy, {dqkv});
    return values_of(dqkv);
  });
  // The f64 kernel, held against differences above on small inputs, is the reference for f32 on large ones.
  Tensor exact_y(b, y.shape(), DType::f64), exact_lse(b, lse.shape(), DType::f64), exact_dqkv = exact.like();
  Tensor exact_dy(b, dy.shape(), DType::f64);
  b.convert(dy, exact_dy);
  b.attention(params, state, exact, exact_y, exact_lse);
  b.attention_backward(params, state, exact, exact_y, exact_lse, exact_dy, {exact_dqkv});
  CHECK(difference(dqkv, values_of(exact_dqkv)) < 1e-5);
}

TEST_CASE("max pool: first of equals wins, NaN wins, padding never does; the gradient goes to the winner") {
  const double inf = std::numeric_limits<double>::infinity();
  const Values image = {-1,   -1,   kNaN, 5, 3,    -1,   7, 5,
                        -inf, -inf, 5,    5, -inf, -inf, 2, 1};  // 4 x 4, one channel
  const Tensor x = tensor_of({1, 4, 4, 1}, DType::f32, image);
  Tensor y = poisoned({1, 2, 2, 1}, DType::f32), indices(b, {1, 2, 2, 1}, DType::i32);
  b.max_pool({.kernel = 2, .stride = 2, .padding = 0}, x, y, indices);
  CHECK(to_host<std::int32_t>(indices) == std::vector<std::int32_t>{4, 2, 8, 10});
  const Values got = values_of(y);
  CHECK(got[0] == 3);
  CHECK(std::isnan(got[1]));
  CHECK(got[2] == -inf);
  CHECK(got[3] == 5);

  // All negative: the padding, which is -infinity and not zero, does not show.
  const Tensor negative = full(b, {1, 5, 5, 3}, DType::f64, -1);
  Tensor out = poisoned({1, 3, 3, 3}, DType::f64), winners(b, {1, 3, 3, 3}, DType::i32);
  b.max_pool({}, negative, out, winners);
  CHECK(values_of(out) == Values(27, -1.0));
}

TEST_CASE(
    "max pool and global average pool agree with the loops on random images, gradients into every target") {
  for_both_dtypes([](DType dtype) {
    const Shape shape{3, 7, 6, 67};  // more channels than one task handles
    const PoolParams params{3, 2, 1};
    const Tensor x = random_tensor(shape, dtype, 1);
    const Values xs = values_of(x);
    const Shape pooled{3, params.out(7), params.out(6), 67};
    Tensor y = poisoned(pooled, dtype), indices(b, pooled, DType::i32);
    b.max_pool(params, x, y, indices);
    const Tensor dy = random_tensor(pooled, dtype, 2);
    Values expected(at(pooled.numel())), dx(xs.size());
    std::size_t out = 0;
    for (Index n = 0; n < 3; ++n)
      for (Index oh = 0; oh < pooled[1]; ++oh)
        for (Index ow = 0; ow < pooled[2]; ++ow)
          for (Index c = 0; c < 67; ++c, ++out) {
            double best = -1e9;
            std::size_t winner = 0;
            for (Index h = std::max<Index>(0, 2 * oh - 1); h < std::min<Index>(7, 2 * oh + 2); ++h)
              for (Index w = std::max<Index>(0, 2 * ow - 1); w < std::min<Index>(6, 2 * ow + 2); ++w) {
                const std::size_t i = at(((n * 7 + h) * 6 + w) * 67 + c);
                if (xs[i] > best) best = xs[i], winner = i;
              }
            expected[out] = best;
            dx[winner] += values_of(dy)[out];
          }
    CHECK(difference(y, expected) == 0);
    check_target(shape, dtype, dx, [&](const Target& t) { b.max_pool_backward(indices, dy, t); });

    Tensor average = poisoned({3, 67}, dtype);
    const Tensor daverage = random_tensor({3, 67}, dtype, 3);
    Values mean(3 * 67), spread(xs.size());
    for (std::size_t i = 0; i < xs.size(); ++i) {
      const std::size_t image = i / (42 * 67), channel = i % 67;
      mean[image * 67 + channel] += xs[i] / 42;
      spread[i] = values_of(daverage)[image * 67 + channel] / 42;
    }
    b.global_avg_pool(x, average);
    CHECK(difference(average, mean) < tolerance(dtype));
    check_target(shape, dtype, spread, [&](const Target& t) { b.global_avg_pool_backward(daverage, t); });
  });
}

TEST_CASE("prepending and selecting tokens, with gradients") {
  for_both_dtypes([](DType dtype) {
    const Index batch = 3, t = 4, d = 5;
    const Tensor patches = random_tensor({batch, t, d}, dtype, 1), cls = random_tensor({d}, dtype, 2);
    const Tensor positions = random_tensor({t + 1, d}, dtype, 3),
                 dy = random_tensor({batch, t + 1, d}, dtype, 4);
    const Values dys = values_of(dy);
    Values y(at(batch * (t + 1) * d)), dpatches(at(batch * t * d)), dcls(at(d)), dpositions(at((t + 1) * d)),
        picked(at(batch * d)), dpicked(y.size());
    for (Index n = 0; n < batch; ++n)
      for (Index i = 0; i <= t; ++i)
        for (Index c = 0; c < d; ++c) {
          const std::size_t at_y = at((n * (t + 1) + i) * d + c), at_patch = at((n * t + i - 1) * d + c);
          y[at_y] = (i == 0 ? values_of(cls)[at(c)] : values_of(patches)[at_patch]) +
                    values_of(positions)[at(i * d + c)];
          if (i == 0)
            dcls[at(c)] += dys[at_y];
          else
            dpatches[at_patch] = dys[at_y];
          dpositions[at(i * d + c)] += dys[at_y];
          if (i == 2) picked[at(n * d + c)] = dys[at_y];
        }
    Tensor got = poisoned({batch, t + 1, d}, dtype), token = poisoned({batch, d}, dtype);
    b.prepend_token(patches, cls, positions, got);
    CHECK(difference(got, y) < tolerance(dtype));
    check_target({batch, t, d}, dtype, dpatches,
                 [&](const Target& x) { b.prepend_token_backward(dy, x, {}, {}); });
    check_target({d}, dtype, dcls, [&](const Target& x) { b.prepend_token_backward(dy, {}, x, {}); });
    check_target({t + 1, d}, dtype, dpositions,
                 [&](const Target& x) { b.prepend_token_backward(dy, {}, {}, x); });

    b.select_token(dy, 2, token);
    CHECK(difference(token, picked) == 0);
    for (Index n = 0; n < batch; ++n)
      for (Index c = 0; c < d; ++c) dpicked[at((n * (t + 1) + 2) * d + c)] = picked[at(n * d + c)];
    check_target({batch, t + 1, d}, dtype, dpicked,
                 [&](const Target& x) { b.select_token_backward(token, 2, x); });
  });
}

TEST_CASE(
    "bicubic resizing matches values worked out by hand, keeps constants, and its gradient is the "
    "transpose") {
  // [0, 1] stretched to 4: sources -0.25, 0.25, 0.75, 1.25. With a = -0.75 the weights at t = 0.25 (and 0.75
  // mirrored) are -0.10546875, 0.87890625, 0.26171875, -0.03515625; the ends are clamped.
  const Tensor x = tensor_of({1, 2, 1}, DType::f64, {0, 1});
  Tensor y = poisoned({1, 4, 1}, DType::f64);
  b.resize_bicubic(x, y);
  CHECK(difference(y, {-0.10546875, 0.2265625, 0.7734375, 1.10546875}) < 1e-12);

  for_both_dtypes([](DType dtype) {
    const Shape small{3, 4, 70}, large{7, 5, 70};
    Tensor flat = poisoned(large, dtype);
    b.resize_bicubic(full(b, small, dtype, 3), flat);
    CHECK(difference(flat, Values(at(large.numel()), 3.0)) < tolerance(dtype));
    // Linear, so <resize(x), dy> = <x, transpose(dy)> for every x: unit vectors give the transpose itself.
    const Tensor dy = random_tensor(large, dtype, 2);
    Values dx(at(small.numel()));
    for (std::size_t i = 0; i < dx.size(); i += 23) {
      Values unit(dx.size());
      unit[i] = 1;
      Tensor response = poisoned(large, dtype);
      b.resize_bicubic(tensor_of(small, dtype, unit), response);
      const Values responses = values_of(response), dys = values_of(dy);
      for (std::size_t j = 0; j < responses.size(); ++j) dx[i] += responses[j] * dys[j];
    }
    Tensor got = poisoned(small, dtype);
    b.resize_bicubic_backward(dy, {got});
    const Values gots = values_of(got);
    for (std::size_t i = 0; i < dx.size(); i += 23) CHECK(gots[i] == doctest::Approx(dx[i]).epsilon(1e-4));
    check_target(small, dtype, gots, [&](const Target& t) { b.resize_bicubic_backward(dy, t); });
  });
}

TEST_CASE("layers of an empty batch do not crash") {
  const DType dtype = DType::f32;
  Tensor none(b, {0, 4, 4, 8}, dtype), y = none.like(), gamma = full(b, {8}, dtype, 1), beta = gamma.like();
  Tensor mean = gamma.like(), rstd = gamma.like(), running_mean = gamma.like(), running_var = gamma.like();
  b.batch_norm_add_relu({.relu = true}, none, gamma, beta, none, running_mean, running_var, y, mean, rstd);
  b.batch_norm_add_relu_backward({.relu = true}, none, y, gamma, mean, rstd, y, {none}, {gamma}, {beta}, {});
  Tensor tokens(b, {0, 5, 24}, dtype), merged(b, {0, 5, 8}, dtype), lse(b, {0, 2, 5}, dtype),
      row_mean(b, {0}, dtype);
  b.attention({.heads = 2}, {}, tokens, merged, lse);
  b.attention_backward({.heads = 2}, {}, tokens, merged, lse, merged, {tokens});
  Tensor merged_y = merged.like(), row_rstd = row_mean.like();
  b.layer_norm(1e-5, merged, gamma, beta, merged_y, row_mean, row_rstd);
  b.layer_norm_backward(merged, gamma, row_mean, row_rstd, merged, {merged_y}, {gamma}, {beta});
  CHECK(values_of(gamma) == Values(8, 0.0));
  Tensor pooled(b, {0, 2, 2, 8}, dtype), indices(b, {0, 2, 2, 8}, DType::i32), averages(b, {0, 8}, dtype);
  b.max_pool({}, none, pooled, indices);
  b.max_pool_backward(indices, pooled, {none});
  b.global_avg_pool(none, averages);
  b.global_avg_pool_backward(averages, {none});
}
