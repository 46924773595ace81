#include "bench/reading_worker.h"

#include "bench/machine.h"
#include "data/loader.h"
#include "models/hugging_face.h"
#include "nn/parameter.h"

namespace sagitta::bench {

using Json = nlohmann::ordered_json;

Json time_import(const std::filesystem::path& path) {
  const double start = seconds_now();
  nn::Context context(cpu_backend());
  const auto model = models::import_model(path, context);
  model->eval();
  const double ready = seconds_now() - start;
  double sum = 0;
  for (const nn::NamedParameter& named : model->named_parameters()) {
    Tensor total(cpu_backend(), {1}, DType::f32);
    cpu_backend().sum(named.parameter->value(), total);
    sum += static_cast<double>(*total.data<float>());
  }
  return {{"seconds", ready}, {"with_touch", seconds_now() - start}, {"sum", sum}};
}

Json time_loader(const LoaderRun& run) {
  const data::SliceSet slices = data::read_slice_set(run.slices);
  data::LoaderOptions options;
  options.batch_size = 24;
  options.image_size = run.size;
  options.shuffle = true;
  options.threads = run.threads;
  if (run.augment)
    options.augment = {
        .rotation_degrees = 10, .scale = 0.15, .shift = 0.1, .brightness = 0.1, .contrast = 0.2};
  const double start = seconds_now();
  data::Loader loader(slices, options);
  std::int64_t images = 0;
  std::uint64_t sum = 0;
  for (int epoch = 0; epoch < run.epochs; ++epoch) {
    loader.start(epoch);
    while (const auto batch = loader.next()) {
      images += batch->size;
      sum += batch->pixels[batch->pixels.size() / 2];
    }
  }
  return {{"seconds", seconds_now() - start}, {"images", images}, {"sum", sum}};
}

}  // namespace sagitta::bench
