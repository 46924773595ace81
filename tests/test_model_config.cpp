// config.json and preprocessor_config.json: what is read, written and refused.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "tensor/error.h"
#include "tests/golden_case.h"
#include "tests/temp_folder.h"

using namespace sagitta;
using namespace sagitta::models;
using testing::golden_folder;
using testing::TempFolder;

TEST_CASE("models: config.json survives reading and writing") {
  const TempFolder folder;
  for (const std::string& name : testing::kGoldenNames) {
    CAPTURE(name);
    const ModelConfig config = read_config(golden_folder(name) / "config.json");
    write_config(folder / "config.json", config);
    CHECK(config_text(read_config(folder / "config.json")) == config_text(config));
  }
  const ModelConfig silu = read_config(golden_folder("resnet_first_stage_silu") / "config.json");
  CHECK(silu.resnet()->hidden_act == UnaryOp::silu);
  CHECK(silu.resnet()->downsample_in_first_stage);
  CHECK_FALSE(silu.resnet()->bottleneck);
  CHECK(silu.problem_type == ProblemType::single_label_classification);
  CHECK(read_config(golden_folder("vit_no_qkv_bias") / "config.json").vit()->hidden_act ==
        UnaryOp::gelu_tanh);
  CHECK_FALSE(read_config(golden_folder("vit_no_qkv_bias") / "config.json").vit()->qkv_bias);

  testing::write_bytes(folder / "config.json", R"({"model_type":"resnet"})");
  const ModelConfig defaults = read_config(folder / "config.json");
  CHECK(defaults.labels == std::vector<std::string>{"LABEL_0", "LABEL_1"});
  CHECK(defaults.resnet()->depths == std::vector<std::int64_t>{3, 4, 6, 3});
}

TEST_CASE("models: bad config.json names the field") {
  const TempFolder folder;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{", "not valid JSON"},
      {"[1]", "expected a JSON object"},
      {R"({"model_type":"resnet","model_type":"vit"})", "appears twice"},
      {R"({})", "model_type"},
      {R"({"model_type":"bert"})", "expected resnet or vit"},
      {R"({"model_type":"resnet","layer_type":"wide"})", "layer_type"},
      {R"({"model_type":"resnet","depths":[3,4]})", "4 hidden_sizes and 2 depths"},
      {R"({"model_type":"resnet","depths":[3,4,6,0]})", "depths"},
      {R"({"model_type":"resnet","hidden_sizes":[256,512,1024,1e30]})", "hidden_sizes"},
      {R"({"model_type":"resnet","hidden_sizes":"big"})", "hidden_sizes"},
      {R"({"model_type":"resnet","hidden_act":"mish"})", "quick_gelu"},
      {R"({"model_type":"resnet","downsample_in_bottleneck":1})", "true or false"},
      {R"({"model_type":"vit","hidden_size":-768})", "hidden_size"},
      {R"({"model_type":"vit","num_attention_heads":11})", "not a multiple"},
      {R"({"model_type":"vit","image_size":[224,256]})", "image_size"},
      {R"({"model_type":"vit","image_size":8})", "smaller than patch_size"},
      {R"({"model_type":"vit","layer_norm_eps":"small"})", "layer_norm_eps"},
      {R"({"model_type":"vit","hidden_dropout_prob":1})", "hidden_dropout_prob"},
      {R"({"model_type":"vit","problem_type":"ranking"})", "multi_label_classification"},
      {R"({"model_type":"vit","id2label":{"0":"a","2":"b"}})", "outputs 0 to 1"},
      {R"({"model_type":"vit","id2label":{}})", "id2label"},
      {R"({"model_type":"vit","id2label":["a"]})", "id2label"},
  };
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    testing::write_bytes(folder / "config.json", text);
    CHECK_THROWS_WITH_AS(read_config(folder / "config.json"), doctest::Contains(expected.c_str()), Error);
    CHECK_THROWS_WITH(read_config(folder / "config.json"), doctest::Contains("config.json"));
  }
}

TEST_CASE("models: preprocessor_config.json in current and legacy spelling") {
  const TempFolder folder;
  const auto read = [&](const std::string& text) {
    testing::write_bytes(folder / "p.json", text);
    return read_preprocessor(folder / "p.json");
  };
  const Preprocessor legacy =
      read(R"({"feature_extractor_type":"ConvNextFeatureExtractor","crop_pct":0.875,"size":224,
      "resample":3,"image_mean":[0.485,0.456,0.406],"image_std":[0.229,0.224,0.225]})");
  CHECK(legacy == default_preprocessor(config_for("resnet-50")));
  CHECK(read(R"({"image_processor_type":"ViTFeatureExtractor","size":384})").size == 384);
  CHECK(read(R"({"image_processor_type":"ViTImageProcessor","size":{"height":384,"width":384}})") ==
        default_preprocessor(config_for("vit-base-patch16-384")));
  CHECK(read(R"({"image_processor_type":"ConvNextImageProcessor"})").size == 384);
  for (const char* bad : {R"({})", R"({"image_processor_type":"CLIPImageProcessor"})",
                          R"({"image_processor_type":"ViTImageProcessor","size":{"height":3,"width":4}})",
                          R"({"image_processor_type":"ViTImageProcessor","size":{"height":-3}})",
                          R"({"image_processor_type":"ViTImageProcessor","image_mean":[1,2]})",
                          R"({"image_processor_type":"ViTImageProcessor","image_std":[0,1,1]})"}) {
    CAPTURE(bad);
    CHECK_THROWS_WITH_AS(read(bad), doctest::Contains("p.json"), Error);
  }
}
