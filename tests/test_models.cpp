// Import and export: spellings, shards, other label counts and image sizes, strictness.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "models/checkpoint_names.h"
#include "nn/arena.h"
#include "nn/checkpoint.h"
#include "nn/init.h"
#include "tensor/error.h"
#include "tests/golden_case.h"
#include "tests/temp_folder.h"

using namespace sagitta;
using namespace sagitta::models;
namespace fs = std::filesystem;
namespace st = sagitta::safetensors;
using testing::golden_folder;
using testing::TempFolder;

namespace {

// The tensors of a file, under names changed by `rename` (an empty name leaves one out), as sources to write.
template <class Rename>
std::vector<st::Source> renamed(const fs::path& path, Rename rename) {
  const st::File file = st::File::open(path);
  std::vector<st::Source> sources;
  for (const st::Entry& entry : file.entries()) {
    const std::string name = rename(entry.name);
    if (!name.empty())
      sources.push_back({name, entry.dtype, entry.shape, [file, bytes = entry.bytes] {
                           return std::vector<std::byte>(bytes.begin(), bytes.end());
                         }});
  }
  return sources;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  if (const auto at = text.find(from); at != text.npos) text.replace(at, from.size(), to);
  return text;
}

// A golden model whose weights file is rewritten by `rename`.
template <class Rename>
void copy_model(const std::string& name, const TempFolder& folder, Rename rename) {
  fs::copy_file(golden_folder(name) / "config.json", folder / "config.json",
                fs::copy_options::overwrite_existing);
  st::write(folder / "model.safetensors", renamed(golden_folder(name) / "model.safetensors", rename),
            st::pytorch_metadata());
}

// Whether all file tensors of two models are bitwise equal.
bool same_values(const ImageClassifier& a, const ImageClassifier& b) {
  const auto x = nn::file_tensors(a), y = nn::file_tensors(b);
  return std::ranges::equal(x, y, [](const nn::FileTensor& s, const nn::FileTensor& t) {
    std::vector<std::byte> u(s.memory.bytes()), v(t.memory.bytes());
    s.memory.backend().read(s.memory, u.data());
    t.memory.backend().read(t.memory, v.data());
    return s.name == t.name && u == v;
  });
}

std::string import_error(const fs::path& source) {
  nn::Context context(cpu_backend());
  try {
    import_model(source, context);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

// vit.encoder.layer.0.attention.attention.query.weight -> vit.layers.0.attention.q_proj.weight
std::string new_vit_name(std::string name) {
  if (!name.starts_with("vit.encoder.layer.")) return name;
  name = replaced(name, "vit.encoder.layer.", "vit.layers.");
  name = replaced(name, "attention.attention.query", "attention.q_proj");
  name = replaced(name, "attention.attention.key", "attention.k_proj");
  name = replaced(name, "attention.attention.value", "attention.v_proj");
  name = replaced(name, "attention.output.dense", "attention.o_proj");
  name = replaced(name, "intermediate.dense", "mlp.fc1");
  return replaced(name, "output.dense", "mlp.fc2");
}

}  // namespace

TEST_CASE("models: parameter counts of the published checkpoints") {
  const std::map<std::string, std::int64_t> expected = {{"resnet-18", 11'689'512},
                                                        {"resnet-26", 15'995'176},
                                                        {"resnet-34", 21'797'672},
                                                        {"resnet-50", 25'557'032},
                                                        {"resnet-101", 44'549'160},
                                                        {"resnet-152", 60'192'808},
                                                        {"vit-tiny-patch16-224", 5'717'416},
                                                        {"vit-small-patch16-224", 22'050'664},
                                                        {"vit-base-patch16-224", 86'567'656},
                                                        {"vit-base-patch16-384", 86'859'496},
                                                        {"vit-base-patch32-384", 88'297'192},
                                                        {"vit-large-patch16-224", 304'326'632},
                                                        {"vit-large-patch16-384", 304'715'752}};
  for (const auto& [name, count] : expected) {
    CAPTURE(name);
    const ModelConfig config = config_for(name);
    CHECK(backbone_parameters(config) + 1000 * (config.feature_width() + 1) == count);
  }
  // The closed form against the modules, for the options that the named models do not have.
  for (const std::string& name : testing::kGoldenNames) {
    CAPTURE(name);
    testing::GoldenCase golden(name);
    std::int64_t count = 0;
    for (const auto& named : golden.model->named_parameters()) count += named.parameter->shape().numel();
    const ModelConfig& config = golden.model->config();
    CHECK(backbone_parameters(config) + config.num_labels() * (config.feature_width() + 1) == count);
  }
}

TEST_CASE("models: new ViT names, base-model files and the pooler load") {
  const TempFolder folder;
  nn::Context context(cpu_backend());
  const auto expected = import_model(golden_folder("vit"), context);
  copy_model("vit", folder, new_vit_name);
  CHECK(same_values(*import_model(folder.path(), context), *expected));
  // A base model: no prefix, no classifier, but a pooler; the new head stays as initialized.
  for (const bool new_names : {false, true}) {
    std::vector<st::Source> base =
        renamed(golden_folder("vit") / "model.safetensors", [&](const std::string& name) {
          if (name.starts_with("classifier")) return std::string();
          return (new_names ? new_vit_name(name) : name).substr(4);
        });
    base.push_back({"pooler.dense.weight", "F32", {1}, [] { return std::vector<std::byte>(4); }});
    base.push_back({"embeddings.mask_token", "F32", {1}, [] { return std::vector<std::byte>(4); }});
    st::write(folder / "model.safetensors", base);
    const auto model = make_classifier(expected->config(), context);
    CHECK_THROWS_WITH(load_weights(*model, folder.path()),
                      doctest::Contains("2 missing: classifier.weight, classifier.bias"));
    const auto notes = load_weights(*model, folder.path(), {.new_head = true});
    REQUIRE(notes.size() == 1);
    CHECK(contains(notes[0], "has none"));
    CHECK(to_host<float>(model->named_parameters()[0].parameter->value()) ==
          to_host<float>(expected->named_parameters()[0].parameter->value()));
  }
}

TEST_CASE("models: torchvision names and base-model files of ResNet load") {
  const TempFolder folder;
  nn::Context context(cpu_backend());
  for (const std::string golden : {"resnet_basic", "resnet_bottleneck"}) {
    CAPTURE(golden);
    const auto expected = import_model(golden_folder(golden), context);
    copy_model(golden, folder, [](std::string name) {
      if (name.starts_with("classifier.1")) return replaced(name, "classifier.1", "fc");
      if (name.starts_with("resnet.embedder.embedder.convolution"))
        return replaced(name, "resnet.embedder.embedder.convolution", "conv1");
      if (name.starts_with("resnet.embedder.embedder.norm"))
        return replaced(name, "resnet.embedder.embedder.normalization", "bn1");
      const char stage = static_cast<char>(name[22] + 1);
      name = fmt::format("layer{}{}", stage, replaced(name.substr(23), ".layers.", "."));
      name = replaced(replaced(name, "shortcut.convolution", "downsample.0"), "shortcut.normalization",
                      "downsample.1");
      for (char k = '0'; k <= '2'; ++k) {
        name = replaced(name, fmt::format("layer.{}.convolution", k),
                        fmt::format("conv{}", static_cast<char>(k + 1)));
        name = replaced(name, fmt::format("layer.{}.normalization", k),
                        fmt::format("bn{}", static_cast<char>(k + 1)));
      }
      return name;
    });
    CHECK(same_values(*import_model(folder.path(), context), *expected));
    copy_model(golden, folder, [](const std::string& name) {
      return name.starts_with("classifier") || name.ends_with("num_batches_tracked") ? "" : name.substr(7);
    });
    const auto base = make_classifier(expected->config(), context);
    CHECK(load_weights(*base, folder.path(), {.new_head = true}).size() == 1);
    for (const auto& named : base->named_buffers())
      if (named.name.ends_with("num_batches_tracked"))
        CHECK(to_host<std::int64_t>(named.buffer->value())[0] == 0);
  }
}

TEST_CASE("models: loading is strict and reports everything at once") {
  const TempFolder folder;
  copy_model("vit", folder, [](const std::string& name) {
    if (name == "vit.layernorm.bias") return std::string();
    return name == "classifier.bias" ? std::string("classifier.offset") : name;
  });
  const std::string error = import_error(folder.path());
  CHECK(contains(error, "2 missing: vit.layernorm.bias, classifier.bias"));
  CHECK(contains(error, "1 unexpected: classifier.offset"));
  CHECK(contains(error, "model.safetensors"));

  // 2 labels more than the file: an error, unless a new head is allowed.
  ModelConfig config = read_config(golden_folder("vit") / "config.json");
  config.labels = default_labels(7);
  nn::Context context(cpu_backend());
  const auto model = make_classifier(config, context);
  CHECK_THROWS_WITH(
      load_weights(*model, golden_folder("vit")),
      doctest::Contains("2 misshapen: classifier.weight is [5, 24], expected [7, 24], classifier.bias"));
  nn::initialize(*model, 3);
  const auto before = to_host<float>(model->named_parameters().back().parameter->value());
  const auto notes = load_weights(*model, golden_folder("vit"), {.new_head = true});
  REQUIRE(notes.size() == 1);
  CHECK(contains(notes[0], "the checkpoint has 5 labels, this model 7"));
  CHECK(to_host<float>(model->named_parameters().back().parameter->value()) == before);
}

TEST_CASE("models: position embeddings are resampled for another image size") {
  ModelConfig config = read_config(golden_folder("vit") / "config.json");
  config.image_size = 48;
  nn::Context context(cpu_backend());
  const auto larger = make_classifier(config, context);
  CHECK_THROWS_WITH(load_weights(*larger, golden_folder("vit")),
                    doctest::Contains("position_embeddings is [1, 17, 24]"));
  const auto notes = load_weights(*larger, golden_folder("vit"), {.resize_positions = true});
  REQUIRE(notes.size() == 1);
  CHECK(contains(notes[0], "from 4x4 to 6x6 patches (image size 32 -> 48)"));
  // The same as resampling in every forward pass.
  const auto original = import_model(golden_folder("vit"), context);
  const autograd::Variable pixels(full(cpu_backend(), {1, 48, 48, 3}, DType::f32, 0.25));
  CHECK(to_host<float>(larger->logits(pixels).value()) == to_host<float>(original->logits(pixels).value()));
}

TEST_CASE("models: sharded checkpoints, and indexes that lie") {
  const TempFolder folder;
  nn::Context context(cpu_backend());
  fs::copy_file(golden_folder("vit") / "config.json", folder / "config.json");
  const auto sources =
      renamed(golden_folder("vit") / "model.safetensors", [](const std::string& name) { return name; });
  std::vector<st::Source> parts[2];
  nlohmann::json map;
  std::size_t total = 0;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    parts[i % 2].push_back(sources[i]);
    map[sources[i].name] = fmt::format("model-0000{}-of-00002.safetensors", i % 2 + 1);
    total += sources[i].bytes().size();
  }
  for (int i = 0; i < 2; ++i)
    st::write(folder / fmt::format("model-0000{}-of-00002.safetensors", i + 1), parts[i],
              st::pytorch_metadata());
  const auto write_index = [&](const nlohmann::json& weight_map, std::size_t size) {
    const nlohmann::json index = {{"metadata", {{"total_size", size}}}, {"weight_map", weight_map}};
    testing::write_bytes(folder / "model.safetensors.index.json", index.dump(2));
  };
  write_index(map, total);
  const auto expected = import_model(golden_folder("vit"), context);
  CHECK(same_values(*import_model(folder.path(), context), *expected));
  CHECK(same_values(*import_model(folder / "model.safetensors.index.json", context), *expected));

  write_index(map, total + 1);
  CHECK(contains(import_error(folder.path()), "total_size"));
  for (const char* name : {"../model.safetensors", "/etc/passwd", "", ".", "..", "sub/x.safetensors"}) {
    nlohmann::json bad = map;
    bad["classifier.bias"] = name;
    write_index(bad, total);
    CAPTURE(name);
    CHECK(contains(import_error(folder.path()), "in the same directory"));
  }
  nlohmann::json bad = map;
  bad["classifier.bias"] = "gone.safetensors";
  write_index(bad, total);
  CHECK(contains(import_error(folder.path()), "gone.safetensors"));
  bad = map;
  bad["classifier.scale"] = bad["classifier.bias"];
  write_index(bad, total);
  CHECK(contains(import_error(folder.path()), "has no tensor \"classifier.scale\""));
  bad["classifier.scale"] = 3;
  write_index(bad, total);
  CHECK(contains(import_error(folder.path()), "weight_map"));
  testing::write_bytes(folder / "model.safetensors.index.json", R"({"weight_map":{"a":"x","a":"y"}})");
  CHECK(contains(import_error(folder.path()), "appears twice"));
}

TEST_CASE("models: what import refuses") {
  const TempFolder folder;
  CHECK(contains(import_error(folder / "nowhere"), "nowhere"));
  CHECK(contains(import_error(folder.path()), "config.json: no such file"));
  fs::copy_file(golden_folder("vit") / "config.json", folder / "config.json");
  CHECK(contains(import_error(folder.path()), "neither model.safetensors nor"));
  testing::write_bytes(folder / "pytorch_model.bin", "x");
  CHECK(contains(import_error(folder.path()), "convert pytorch_model.bin"));
  st::write(folder / "model.safetensors", {}, {{"format", "tf"}});
  CHECK(contains(import_error(folder.path()), "format \"tf\""));
  // A config that promises far more than the weights hold is refused before anything is allocated.
  copy_model("vit", folder, [](const std::string& name) { return name; });
  testing::write_bytes(
      folder / "config.json",
      R"({"model_type":"vit","hidden_size":65536,"num_hidden_layers":1000,"num_attention_heads":1})");
  CHECK(contains(import_error(folder.path()), "the weights hold only"));
  testing::write_bytes(folder / "config.json",
                       R"({"model_type":"vit","hidden_size":8,"num_attention_heads":1,)"
                       R"("intermediate_size":8,"num_hidden_layers":1,"num_labels":1000000})");
  CHECK(contains(import_error(folder.path()), "the weights hold only"));
}

TEST_CASE("models: export and import are inverse, and exporting replaces atomically") {
  const TempFolder folder;
  nn::Context context(cpu_backend());
  for (const std::string& name : testing::kGoldenNames) {
    CAPTURE(name);
    const auto model = import_model(golden_folder(name), context);
    export_model(*model, default_preprocessor(model->config()), folder / "out");
    CHECK(same_values(*import_model(folder / "out", context), *model));
    CHECK(same_values(*import_model(folder / "out/model.safetensors", context), *model));
    CHECK(read_preprocessor(folder / "out/preprocessor_config.json") ==
          default_preprocessor(model->config()));
    // The bytes of the weights are those transformers wrote.
    CHECK(testing::read_bytes(folder / "out/model.safetensors") ==
          testing::read_bytes(golden_folder(name) / "model.safetensors"));
  }
  CHECK(std::ranges::distance(fs::directory_iterator(folder / "out")) == 3);

  // An export that dies before the weights are written: the same kind of model stays loadable, another leaves
  // nothing that loads.
  const auto last = import_model(folder / "out", context),
             other = import_model(golden_folder("vit"), context);
  fs::create_directory(folder / "out/model.safetensors.partial");
  CHECK_THROWS_AS(export_model(*last, default_preprocessor(last->config()), folder / "out"), Error);
  CHECK(same_values(*import_model(folder / "out", context), *last));
  CHECK_THROWS_AS(export_model(*other, default_preprocessor(other->config()), folder / "out"), Error);
  CHECK(contains(import_error(folder / "out"), "config.json: no such file"));
}

TEST_CASE("models: an imported model lies in its file, changes apart from it, and may outlive it") {
  const TempFolder folder;
  nn::Context context(cpu_backend());
  const auto expected = import_model(golden_folder("vit"), context);
  fs::copy(golden_folder("vit"), folder / "vit");
  const auto before = testing::read_bytes(folder / "vit/model.safetensors");
  const std::size_t in_use = cpu_backend().memory_use().in_use;
  auto model = import_model(folder / "vit", context);
  std::size_t values = 0;
  for (const auto& named : model->named_parameters()) values += named.parameter->value().bytes();
  CHECK(cpu_backend().memory_use().in_use - in_use < values * 2 / 3);  // the fused and the permuted ones
  const auto other = import_model(folder / "vit", context);
  for (const auto& named : model->named_parameters()) {
    Tensor value = named.parameter->value();
    cpu_backend().fill(value, 3);
  }
  CHECK(testing::read_bytes(folder / "vit/model.safetensors") == before);
  CHECK(same_values(*other, *expected));
  fs::remove_all(folder / "vit");
  CHECK(same_values(*other, *expected));
  // Into an arena, whose memory a resumed run loads into, nothing is adopted.
  nn::ParameterArena arena(*model, 0, nn::DecayPolicy::all);
  load_weights(*model, golden_folder("vit"));
  CHECK(same_values(*model, *expected));
  CHECK(arena.values().bytes() >= values);
  for (const auto& named : model->named_parameters())
    CHECK(named.parameter->value().raw() >= arena.values().raw());
}

TEST_CASE("models: pixels of the wrong shape are refused") {
  testing::GoldenCase resnet("resnet_basic"), vit("vit");
  const autograd::Variable grey(full(cpu_backend(), {1, 32, 32, 1}, DType::f32, 0));
  const autograd::Variable tiny(full(cpu_backend(), {1, 4, 4, 3}, DType::f32, 0));
  CHECK_THROWS_WITH(resnet.model->logits(grey), doctest::Contains("expected [N, H, W, 3]"));
  CHECK_THROWS_WITH(vit.model->logits(grey), doctest::Contains("expected [N, H, W, 3]"));
  CHECK_THROWS_AS(vit.model->logits(tiny), Error);
}
