// Attention, pooling, tokens and resizing of the CPU backend against naive loops.
#include <array>

#include "kernel_reference.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

Backend& b = cpu_backend();

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

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

}  // namespace

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

TEST_CASE("attention over several blocks of queries and keys agrees with the loops, whatever the threads") {
  const Index t = 801, d = 8;
  const AttentionParams params{2, 0.35, 0.1, 1};
  const StepState step{.seed = 3};
  const Tensor qkv = random_tensor({1, t, 3 * 2 * d}, DType::f32, 1), state = state_tensor(step);
  const Tensor dy = random_tensor({1, t, 2 * d}, DType::f32, 2);
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
  // The derivative along a random direction: <dqkv, direction> against a central difference of <y, dy>.
  const Values xs = values_of(qkv), dys = values_of(dy), direction = random_values(qkv.numel(), 3);
  constexpr double kStep = 1e-5;
  double expected = 0, got = 0, size = 0;
  for (const double sign : {1.0, -1.0}) {
    Values moved = xs;
    for (std::size_t i = 0; i < xs.size(); ++i) moved[i] += sign * kStep * direction[i];
    const Values moved_y = naive_attention(params, step, moved, 1, t, d).y;
    for (std::size_t i = 0; i < dys.size(); ++i) expected += sign * dys[i] * moved_y[i] / (2 * kStep);
  }
  const Values gradient = values_of(dqkv);
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    got += gradient[i] * direction[i];
    size += std::abs(gradient[i] * direction[i]);
  }
  CHECK(std::abs(got - expected) < 1e-5 * size);
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
    check_target(shape, dtype, dx, [&](const Target& t) { b.max_pool_backward({}, indices, dy, t); });

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
  b.max_pool_backward({}, indices, pooled, {none});
  b.global_avg_pool(none, averages);
  b.global_avg_pool_backward(averages, {none});
}
