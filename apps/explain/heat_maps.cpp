#include "apps/explain/heat_maps.h"

#include "apps/engine/model_input.h"
#include "models/heat_map.h"

namespace sagitta::apps {

void explain_slices(models::ImageClassifier& model, const nn::Context& context,
                    const std::filesystem::path& root, const std::vector<HeatQuestion>& questions,
                    InputOptions options, const HeatMethod& method,
                    const std::function<void(const HeatAnswer&)>& answer) {
  data::LoaderOptions& loading = options.loader;
  loading.shuffle = loading.drop_last = false;
  loading.augment = {};
  data::SliceSet slices{.root = root, .records = {}};
  for (const HeatQuestion& question : questions) slices.records.push_back(question.slice);
  ModelInput input(context, loading.batch_size, loading.image_size, options.normalization);
  const auto area =
      static_cast<std::size_t>(loading.image_size) * static_cast<std::size_t>(loading.image_size);
  data::Loader loader(slices, loading);
  loader.start(0);
  while (const std::optional<data::Batch> batch = loader.next()) {
    std::vector<std::int64_t> outputs;
    for (const std::size_t record : batch->records)
      outputs.push_back(static_cast<std::int64_t>(questions[record].output));
    input.upload(*batch);
    const Tensor heat = models::explain(model, input.normalize().slice(0, batch->size), outputs,
                                        method.method, method.grad_cam);
    const std::vector<float> values = to_host<float>(heat);
    for (std::size_t i = 0; i < batch->records.size(); ++i)
      answer({.question = batch->records[i],
              .size = loading.image_size,
              .pixels = std::span(batch->pixels).subspan(i * area * 3, area * 3),
              .heat = std::span(values).subspan(i * area, area)});
  }
}

std::vector<float> enlarged_heat(std::span<const float> heat, int size, int side) {
  const double per_cell = static_cast<double>(side) / size;
  return to_host<float>(models::heat_of({.rows = size,
                                         .columns = size,
                                         .pixels_per_row = per_cell,
                                         .pixels_per_column = per_cell,
                                         .values = {heat.begin(), heat.end()}},
                                        side, side));
}

}  // namespace sagitta::apps
