// summary against torchinfo 1.8.0's published and measured tables.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "models/summary.h"
#include "tensor/error.h"
#include "tests/command.h"

using namespace sagitta;
using namespace sagitta::models;

namespace {

struct Expected {
  const char* arch;
  std::int64_t batch;
  std::int64_t parameters;
  const char* multiply_adds;  // as printed
  const char* sizes;          // input / forward and backward / parameters / total, in MB
};

constexpr Expected kTable[] = {
    {"resnet-18", 1, 11'689'512, "(G): 1.81", "0.60/39.75/46.76/87.11"},
    {"resnet-34", 1, 21'797'672, "(G): 3.66", "0.60/59.82/87.19/147.61"},
    {"resnet-50", 1, 25'557'032, "(G): 4.09", "0.60/177.83/102.23/280.66"},
    {"resnet-50", 2, 25'557'032, "(G): 8.18", "1.20/355.66/102.23/459.10"},
    {"resnet-101", 1, 44'549'160, "(G): 7.80", "0.60/259.72/178.20/438.52"},
    {"resnet-152", 1, 60'192'808, "(G): 11.51", "0.60/360.87/240.77/602.25"},
    {"vit-tiny-patch16-224", 1, 5'717'416, "(M): 34.47", "0.60/40.55/22.72/63.87"},
    {"vit-small-patch16-224", 1, 22'050'664, "(M): 79.56", "0.60/81.10/87.90/169.60"},
    {"vit-base-patch16-224", 1, 86'567'656, "(M): 201.58", "0.60/162.19/345.66/508.46"},
    {"vit-base-patch16-384", 1, 86'859'496, "(M): 426.01", "1.77/475.04/345.66/822.48"},
    {"vit-large-patch16-224", 1, 304'326'632, "(M): 457.68", "0.60/429.28/1216.50/1646.37"},
};

double megabytes(std::int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

}  // namespace

TEST_CASE("summary: torchinfo's totals, to the digit") {
  for (const Expected& expected : kTable) {
    CAPTURE(expected.arch);
    const ModelSummary summary = summarize(config_for(expected.arch), expected.batch);
    CHECK(summary.parameters == expected.parameters);
    const std::string text = format_summary(summary);
    CHECK(text.find(fmt::format("Total mult-adds {}\n", expected.multiply_adds)) != text.npos);
    CHECK(fmt::format("{:.2f}/{:.2f}/{:.2f}/{:.2f}", megabytes(summary.input_bytes),
                      megabytes(summary.forward_backward_bytes), megabytes(summary.parameter_bytes),
                      megabytes(summary.input_bytes + summary.forward_backward_bytes +
                                summary.parameter_bytes)) == expected.sizes);
  }
}

TEST_CASE("summary: exact counts of ResNet-50 and ViT-B/16") {
  const ModelSummary resnet = summarize(config_for("resnet-50"));
  CHECK(resnet.torchinfo_multiply_adds == 4'089'238'376);
  CHECK(resnet.forward_backward_bytes == 177'831'744);
  CHECK(resnet.parameter_bytes == 102'228'128);
  // Convolutions and the last layer: torchinfo's figure less one per batch norm parameter and bias.
  CHECK(resnet.multiply_adds == 4'089'238'376 - 2 * 26'560 - 1000);
  CHECK(resnet.layers.front().output == Shape{1, 64, 112, 112});

  const ModelSummary vit = summarize(config_for("vit-base-patch16-224"));
  CHECK(vit.torchinfo_multiply_adds == 201'581'032);
  CHECK(vit.forward_backward_bytes == 162'191'168);
  CHECK(vit.parameter_bytes == 345'662'368);
  // Per block: 12 D^2 per token and 2 T^2 D for attention; patches and classifier besides.
  const std::int64_t d = 768, t = 197;
  CHECK(vit.multiply_adds == 12 * (12 * d * d * t + 2 * t * t * d) + 196 * d * 768 + d * 1000);
}

TEST_CASE("summary: options change the table as they should") {
  ModelConfig config = config_for("resnet-50");
  config.labels = default_labels(7);
  const ModelSummary summary = summarize(config, 3);
  CHECK(summary.output == Shape{3, 7});
  CHECK(summary.parameters == 25'557'032 - 993 * 2049);

  ModelConfig vit = config_for("vit-base-patch16-224");
  CHECK(summarize(vit, 1, 384).parameters == 86'567'656);  // resampled positions are no parameters
  vit.image_size = 384;
  CHECK(summarize(vit).parameters == 86'859'496);
}

TEST_CASE("summary: the table lists every layer once") {
  const ModelSummary summary = summarize(config_for("resnet-18"));
  CHECK(summary.layers.size() == 41);  // 20 convolutions, 20 batch norms, the classifier
  const std::string text = format_summary(summary);
  CHECK(text.find("Total params: 11,689,512\n") != text.npos);
  CHECK(text.find("Conv2d (convolution): 4-1") != text.npos);
  CHECK(text.find("[1, 64, 112, 112]") != text.npos);
  CHECK(text.find("9,408") != text.npos);
}

TEST_CASE("config_for: unknown names are refused with the list of known ones") {
  for (const char* name :
       {"resnet-51", "resnet", "vit-base", "vit-base-patch16", "vit-base-patch0-224", "vit-base-patch16-224x",
        "vit-base-patch99999999999-224", "vit-base-patch32-16", ""}) {
    CAPTURE(name);
    CHECK_THROWS_AS(config_for(name), Error);
  }
  CHECK_THROWS_WITH(config_for("alexnet"), doctest::Contains("resnet-152"));
}

namespace {

testing::Run run(const std::string& command) {
  return testing::run_command(std::string(SAGITTA_BIN_DIR) + "/" + command);
}

}  // namespace

TEST_CASE("summary and forward: exit codes, and one line for a failure") {
  CHECK(run("summary --arch resnet-18").exit_code == 0);
  CHECK(run("summary --help").exit_code == 0);
  CHECK(run("summary").exit_code == 2);
  CHECK(run("summary --arch resnet-18 --batch 0").exit_code == 2);
  CHECK(run("forward --model x").exit_code == 2);
  const std::string golden = SAGITTA_SOURCE_DIR "/tests/golden/vit";
  for (const std::string& command :
       {std::string("summary --arch alexnet"),
        std::string("summary --arch vit-base-patch16-224 --image-size 8"),
        std::string("forward --model /nowhere --input x --output y"),
        fmt::format("forward --model {} --input {}/config.json --output /tmp/y", golden, golden),
        fmt::format("forward --model {0} --input {0}/model.safetensors --output /tmp/y", golden),
        fmt::format("forward --model {0} --input {0}/golden.safetensors --output /nowhere/y", golden)}) {
    CAPTURE(command);
    const testing::Run failed = run(command);
    CAPTURE(failed.output);
    CHECK(failed.exit_code == 1);
    CHECK(failed.output.starts_with("error: "));
    CHECK(std::count(failed.output.begin(), failed.output.end(), '\n') == 1);
  }
  CHECK(run(fmt::format("summary --arch {}", golden)).output.find("[1, 17, 24]") != std::string::npos);
}
