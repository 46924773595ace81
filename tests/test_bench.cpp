// What the benchmarks stand on: that the operations they measure are those of the models, that a peer is
// asked and understood rightly, and that hostile documents, options and peers end in one clear line. No peer
// is needed: shell scripts play them.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/machine.h"
#include "bench/operations.h"
#include "bench/ops_peer.h"
#include "bench/recorded_step.h"
#include "bench/rival.h"
#include "bench/tile_speed.h"
#include "models/summary.h"
#include "temp_folder.h"
#include "tensor/atomic_file.h"
#include "tensor/cpu_options.h"
#include "tensor/error.h"

using namespace sagitta;
using bench::Operation;
using bench::RecordedCall;
using testing::TempFolder;

namespace {

constexpr std::int64_t kBatch = 2;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Calls per step of one kind of op by their shapes, "2x56x56x64, 64x1x1x64", without those that `skip` names.
std::string times_of(const std::vector<RecordedCall>& calls, const std::string& op,
                     const std::string& skip = "none") {
  std::map<std::string, int> times;
  for (const RecordedCall& call : calls)
    if (call.op == op && !contains(call.detail, skip)) times[call.detail] += call.times;
  std::string text;
  for (const auto& [shapes, n] : times) text += fmt::format("{}: {}\n", shapes, n);
  return text;
}

std::vector<RecordedCall> calls_of(const std::vector<Operation>& operations) {
  std::vector<RecordedCall> calls;
  for (const Operation& operation : operations) calls.push_back(operation.call);
  return calls;
}

std::vector<RecordedCall> step_of(const std::string& arch) {
  return bench::calls_of_training(bench::config_of(arch, 0), kBatch, DType::f32, bench::UpdateRule::sgd);
}

// An executable shell script.
std::string script(const TempFolder& folder, const std::string& name, const std::string& text) {
  const std::filesystem::path path = folder / name;
  std::ofstream(path) << "#!/bin/sh\n" << text << '\n';
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE(
    "bench_ops measures the convolutions, norms and pooling of ResNet-50, as often as a step has them") {
  const auto measured = calls_of(bench::resnet50_operations(kBatch)), step = step_of("resnet-50");
  for (const char* op : {"conv2d", "conv2d_backward_weight", "batch_norm_add_relu", "max_pool"}) {
    CAPTURE(op);
    CHECK(times_of(measured, op) == times_of(step, op));
  }
  // In a step some gradients are added to what is there; the shapes are the same.
  int dx = 0;
  for (const RecordedCall& call : measured) dx += call.op == "conv2d_backward_input" ? call.times : 0;
  CHECK(dx == 52);
}

TEST_CASE("bench_ops measures the products, attention and norms of ViT-B/16, as often as a step has them") {
  const auto measured = calls_of(bench::vit_operations(kBatch)), step = step_of("vit-base-patch16-384");
  for (const char* op : {"conv2d", "attention", "attention_backward", "layer_norm", "add_layer_norm"}) {
    CAPTURE(op);
    CHECK(times_of(measured, op) == times_of(step, op));
  }
  const std::string head = ", 7x768";
  CHECK(times_of(measured, "linear") == times_of(step, "linear", head));
}

TEST_CASE("operations can be run") {
  const bench::TensorMaker maker(cpu_backend());
  int seen = 0;
  for (const auto& operations : {bench::resnet50_operations(1), bench::vit_operations(1)})
    for (const Operation& operation : operations) {
      if (operation.call.flop > 5e7 || operation.call.bytes > 1e7) continue;  // enough of each kind remain
      CAPTURE(operation.name);
      CHECK_NOTHROW(operation.call.prepare(maker)());
      CHECK(operation.request.contains("op"));
      ++seen;
    }
  CHECK(seen > 10);
}

TEST_CASE("a training step costs three forward passes without the gradient of the image") {
  const std::map<std::string, double> first_layer{{"resnet-50", 112.0 * 112 * 64 * 7 * 7 * 3},
                                                  {"vit-base-patch16-384", 24.0 * 24 * 768 * 16 * 16 * 3}};
  for (const auto& [arch, first] : first_layer) {
    CAPTURE(arch);
    const models::ModelConfig config = bench::config_of(arch, 0);
    const double forward = 2.0 * static_cast<double>(models::summarize(config, kBatch).multiply_adds);
    CHECK(bench::cost_of(bench::calls_of_inference(config, kBatch, DType::f32)).flop ==
          doctest::Approx(forward).epsilon(1e-9));
    CHECK(bench::cost_of(step_of(arch)).flop ==
          doctest::Approx(3 * forward - 2 * kBatch * first).epsilon(1e-9));
  }
}

TEST_CASE("median, words and environments") {
  CHECK(bench::median({}) == 0);
  CHECK(bench::median({3, 1, 2}) == 2);
  CHECK(bench::median({4, 1, 2, 3}) == 2.5);
  CHECK(bench::split_words("  --layout  contiguous ") == std::vector<std::string>{"--layout", "contiguous"});
  CHECK(bench::parse_environment("A=b C=d=e F=", "--x") ==
        bench::Environment{{"A", "b"}, {"C", "d=e"}, {"F", ""}});
  for (const char* wrong : {"A", "=b", "A=b C"})
    CHECK(contains(message_of([&] { bench::parse_environment(wrong, "--x"); }), "--x: "));
}

TEST_CASE("others' CPU time is counted, ours and our children's is not") {
  const bench::CpuTime before = bench::cpu_time();
  {
    bench::Process child({"sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done"});
    CHECK(child.wait() == 0);
  }
  const bench::CpuTime after = bench::cpu_time();
  CHECK(after.own > before.own);
  CHECK(after.all >= before.all);
  CHECK(bench::others_between({.wall = 1, .all = 10, .own = 2}, {.wall = 3, .all = 14, .own = 5}) == 0.5);
}

TEST_CASE("a process does not inherit the peak memory of the one that started it") {
  const std::vector<char> memory(std::size_t{800} << 20, 'x');
  CHECK(bench::process_peak_mb() > 790);
  bench::Process worker({SAGITTA_BIN_DIR "/bench_train", "--worker", "--arch", "resnet-18", "--image-size",
                         "64", "--batch", "1", "--steps", "1", "--device", "cpu"});
  const auto result = nlohmann::json::parse(worker.read_line().value_or("{}"));
  CHECK(result.at("peak_mb").get<double>() < 700);
  CHECK(result.at("peak_mb").get<double>() > 50);
}

TEST_CASE("a process is asked and answers; what went wrong names the program") {
  bench::Process cat({"cat"});
  CHECK(cat.write_line("one"));
  CHECK(cat.read_line() == "one");
  CHECK(cat.write_line("two words"));
  CHECK(cat.read_line() == "two words");
  CHECK(cat.wait() == 0);
  CHECK_FALSE(cat.write_line("three"));
  bench::Process shell({"sh", "-c", "echo $PLAYED; exit 3"}, {{"PLAYED", "a b"}});
  CHECK(shell.read_line() == "a b");
  CHECK(shell.read_line() == std::nullopt);
  CHECK(shell.wait() == 3);
  CHECK(
      contains(message_of([] { bench::Process({"/no/such/program"}); }), "/no/such/program: cannot be run"));
}

TEST_CASE("a peer's answers, and what it may answer instead") {
  const TempFolder folder;
  const auto peer = [&](const std::string& answers) {
    return bench::OpsPeer("played", {"sh", "-c", answers});
  };
  const std::string hello = R"(echo '{"name": "Played 1.0"}'; read line; )";
  auto good = std::make_unique<bench::OpsPeer>(
      "played",
      std::vector<std::string>{"sh", "-c", hello + R"(echo '{"seconds": {"a": 0.5, "b": 0.25}}'; read line
                                          echo '{"unsupported": "x"}')"});
  CHECK(good->name() == "Played 1.0");
  CHECK(good->measure({{"op", "conv2d"}}) == std::map<std::string, double>{{"a", 0.5}, {"b", 0.25}});
  CHECK(good->measure({{"op", "conv2d"}}).empty());
  CHECK(message_of([&] { good->measure({{"op", "conv2d"}}); }).starts_with("played: "));

  const std::pair<std::string, std::string> wrong[]{
      {R"(echo '{"error": "torch is missing"}')", "torch is missing"},
      {"exit 1", "ended without an answer"},
      {"echo Hello", "expected a line of JSON, got 'Hello'"},
      {"echo '{}'", "expected its name"}};
  for (const auto& [answers, expected] : wrong) {
    CAPTURE(answers);
    CHECK(contains(message_of([&] { peer(answers); }), "played: "));
    CHECK(contains(message_of([&] { peer(answers); }), expected));
  }
  for (const char* answer :
       {"{}", "{\"seconds\": 1}", "{\"seconds\": {\"a\": \"b\"}}", "{\"seconds\": {\"a\": 0}}"}) {
    CAPTURE(answer);
    bench::OpsPeer bad("played", {"sh", "-c", hello + "echo '" + answer + "'"});
    CHECK(contains(message_of([&] { bad.measure({}); }), "played: expected seconds"));
  }
}

TEST_CASE("the rival is the fastest configuration that fits; other documents are refused") {
  const TempFolder folder;
  const std::filesystem::path file = folder / "sweep.json";
  const auto configuration = [](const char* batch, std::vector<double> speed) -> nlohmann::json {
    return {{"flags", {"--batch", batch, "--compile"}},
            {"environment", {{"A", batch}}},
            {"images_per_second", speed}};
  };
  const nlohmann::json good{
      {"arch", "resnet-50"},
      {"image_size", 0},
      {"inference", false},
      {"configurations",
       {configuration("8", {5, 6, 7}), configuration("16", {9, 1, 2}), configuration("24", {})}}};
  write_text_file(file, good.dump());
  const bench::RivalQuery query{.arch = "resnet-50"};
  const bench::Rival fastest = bench::rival_from(file, query);
  CHECK(fastest.batch == 8);  // the median counts
  CHECK(fastest.flags == std::vector<std::string>{"--batch", "8", "--compile"});
  CHECK(fastest.environment == bench::Environment{{"A", "8"}});
  CHECK(bench::rival_from(file, {.arch = "resnet-50", .batch = 16}).batch == 16);

  const auto refused = [&](const bench::RivalQuery& asked) {
    const std::string message = message_of([&] { bench::rival_from(file, asked); });
    CHECK(contains(message, file.string()));
    return message;
  };
  CHECK(contains(refused({.arch = "resnet-50", .batch = 24}), "batch 24, but with 8, 16"));
  CHECK(contains(refused({.arch = "resnet-18"}), "architecture resnet-50, not resnet-18"));
  CHECK(contains(refused({.arch = "resnet-50", .image_size = 64}), "image size 0, not 64"));
  CHECK(contains(refused({.arch = "resnet-50", .inference = true}), "inference no, not yes"));
  for (const char* text : {"", "[]", "{", "{\"arch\": 3}", "{\"arch\": \"resnet-50\"}"}) {
    CAPTURE(text);
    write_text_file(file, text);
    refused(query);
  }
  std::filesystem::remove(file);
  refused(query);
}

TEST_CASE("bench_train with a played peer: ratio, document, and the peer's environment") {
  const TempFolder folder;
  const std::string document = folder / "result.json";
  const std::string python = script(folder, "python", R"(echo "some warning"
[ "$PLAYED" = yes ] && echo '{"images_per_second": 0.5, "peak_mb": 100}')");
  const std::vector<std::string> command{SAGITTA_BIN_DIR "/bench_train",
                                         "--arch",
                                         "resnet-18",
                                         "--image-size",
                                         "64",
                                         "--batch",
                                         "1",
                                         "--steps",
                                         "1",
                                         "--rounds",
                                         "2",
                                         "--idle-wait",
                                         "0",
                                         "--device",
                                         "cpu",
                                         "--vs",
                                         "pytorch",
                                         "--python",
                                         python,
                                         "--peer-environment",
                                         "PLAYED=yes",
                                         "--json",
                                         document};
  bench::Process process(command);
  std::string output;
  while (const auto line = process.read_line()) output += *line + "\n";
  CHECK(process.wait() == 0);
  CHECK(contains(output, "% of the FMA peak"));
  const auto json = nlohmann::json::parse(read_text_file(document));
  REQUIRE(json["rounds"].size() == 2);
  const double ours = json["median"]["sagitta_images_per_second"];
  CHECK(ours > 0);
  CHECK(json["median"]["ratio"].get<double>() == doctest::Approx(ours / 0.5).epsilon(0.2));
  CHECK(json["median"]["pytorch_peak_mb"] == 100);
  CHECK(json["rounds"][0]["sagitta"].contains("minor_faults_per_step"));
  CHECK(json["peer"]["environment"]["PLAYED"] == "yes");
}

TEST_CASE("the tile kernel of every instruction set is measured beside its own FMA peak") {
  for (const std::string_view isa : cpu_instruction_sets()) {
    CAPTURE(isa);
    const bench::TileSpeeds speeds = bench::tile_speeds(isa, 0.01);
    CHECK(speeds.fma_peak > 0);
    for (const bench::TileSpeed& tile : {speeds.f32, speeds.f64}) {
      CHECK(tile.rows > 0);
      CHECK(tile.l1_share > 0);
      CHECK(tile.l2_share > 0);
    }
    CHECK(speeds.f32.columns == 2 * speeds.f64.columns);
  }
  CHECK(contains(message_of([] { bench::tile_speeds("z80", 0.01); }), "none for z80"));
}

TEST_CASE("bench_ops shows the tile kernel, and keeps what it measured when it is cut off") {
  const TempFolder folder;
  const std::string document = folder / "result.json";
  // Ends before the second of two operations.
  const std::string python = script(folder, "python", R"(echo '{"name": "Played 1.0"}'
while read line; do
  case "$line" in *backward*) exit ;; esac
  echo '{"seconds": {"a": 0.5}}'
done)");
  bench::Process process({SAGITTA_BIN_DIR "/bench_ops", "--only", "max pool", "--batch", "1", "--seconds",
                          "0.001", "--repetitions", "1", "--idle-wait", "0", "--vs", "onednn", "--python",
                          python, "--json", document});
  std::string output;
  while (const auto line = process.read_line()) output += *line + "\n";
  CHECK(process.wait() == 1);
  CHECK(contains(output, fmt::format("f32 {}  L1 ", cpu_instruction_set())));
  const auto json = nlohmann::json::parse(read_text_file(document));
  CHECK(json["tile_kernel"]["instruction_set"] == cpu_instruction_set());
  CHECK(json["tile_kernel"]["f32"]["l1_share"].get<double>() > 0);
  REQUIRE(json["operations"].size() == 1);
  CHECK(json["operations"][0]["milliseconds"]["onednn"] == 500);
}

TEST_CASE("benchmarks refuse wrong options and peers with one line") {
  const TempFolder folder;
  const std::string broken = script(folder, "broken", "echo Hello");
  const std::string refusing = script(folder, "refusing", R"(echo '{"error": "torch is missing"}'; exit 1)");
  const auto refused = [&](int code, const std::string& words, const std::string& arguments) {
    CAPTURE(arguments);
    bench::Process process({"sh", "-c", SAGITTA_BIN_DIR "/" + arguments + " 2>&1 >/dev/null"});
    const std::string line = process.read_line().value_or("");
    CHECK(line.starts_with("error: "));
    CHECK(contains(line, words));
    CHECK(process.read_line() == std::nullopt);
    CHECK(process.wait() == code);
  };
  refused(2, "--vs", "bench_train --vs tensorflow");
  refused(2, "--peer-flags", "bench_train --peer-flags x");
  refused(2, "--peer-from", "bench_train --vs pytorch --peer-from x --compile");
  refused(2, "--rounds", "bench_train --rounds 0");
  refused(1, "nonsense", "bench_train --arch nonsense");
  refused(1, "NAME=VALUE", "bench_train --vs pytorch --peer-environment x");
  refused(1, "no such file", "bench_train --vs pytorch --peer-from /no/such/file");
  const std::string small =
      "bench_train --device cpu --arch resnet-18 --image-size 64 --batch 1 --steps 1 --idle-wait 0 --vs "
      "pytorch ";
  refused(1, "cannot be run", small + "--python /no/such/python");
  refused(1, "got 'Hello'", small + "--python " + broken);
  refused(1, "torch is missing", small + "--python " + refusing);
  refused(1, "/no/such/folder", "bench_train --arch resnet-18 --json /no/such/folder/x");
  refused(1, "/no/such/folder", "bench_ops --only sgd --json /no/such/folder/x");
  refused(1, "no operation is named", "bench_ops --only nonsense");
  refused(2, "--seconds", "bench_ops --seconds 0");
  refused(1, "cannot be run", "bench_ops --vs pytorch,onednn --python /no/such/python");
  refused(1, "torch is missing", "bench_ops --vs onednn --python " + refusing);
}
