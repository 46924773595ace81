// bench_reading: reading studies, checkpoints and slices beside the Python tools that do the same, and how
// long each program takes to start. Makes its own phantom data; every figure is the median of rounds in which
// all take turns.
#include <cstdlib>

#include "apps/engine/main_guard.h"
#include "bench/machine.h"
#include "bench/reading_worker.h"
#include "bench/rounds.h"
#include "tensor/atomic_file.h"

namespace {

using namespace sagitta;
using bench::Contender;
using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct Options {
  std::string python = "python3", decoder = "gdcm", json, label;
  fs::path folder;
  std::vector<std::string> parts{"reslice", "import", "import-cold", "loader", "start"};
  int studies = 3, rounds = 3, core = 0;
  bool monai = false;
  // One of these makes the process a worker.
  fs::path import, batches;
  bench::LoaderRun loader;
};

class Benchmark {
 public:
  Benchmark(const Options& options, fs::path self)
      : options_(options), bin_(self.parent_path()), self_(self.string()) {}

  Json run() {
    Json result{{"machine", bench::machine_name()},
                {"date", bench::today()},
                {"studies", options_.studies},
                {"rounds", options_.rounds}};
    for (const std::string& part : options_.parts) {
      if (part == "reslice") result[part] = reslice();
      if (part == "import") result[part] = import(false);
      if (part == "import-cold") result[part] = import(true);
      if (part == "loader") result[part] = loader();
      if (part == "start") result[part] = start();
    }
    return result;
  }

 private:
  // One core, and libraries that know it.
  std::string one_core(const std::string& command) const {
    return fmt::format(
        "OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 taskset -c {} {} "
        "2>/dev/null",
        options_.core, command);
  }
  std::string program(const std::string& name, const std::string& arguments) const {
    return fmt::format("'{}' {}", (bin_ / name).string(), arguments);
  }
  std::string peer(const std::string& script, const std::string& arguments) const {
    return fmt::format("'{}' '{}/bench/peers/{}' {}", options_.python, SAGITTA_SOURCE_DIR, script, arguments);
  }
  std::string worker(const std::string& arguments) const { return fmt::format("'{}' {}", self_, arguments); }
  std::string at(const std::string& name) const {
    return fmt::format("'{}'", (options_.folder / name).string());
  }

  std::string phantom(const std::string& syntax) const {
    const std::string name = "ct-" + syntax;
    if (!fs::exists(options_.folder / name))
      bench::run_command(program(
          "make_phantom", fmt::format("--out {} --studies {} --size 512 --seed 7 --syntax {} 2>/dev/null",
                                      at(name), options_.studies, syntax)));
    return name;
  }

  std::string slices() const {
    const std::string data = phantom("explicit_little");
    if (!fs::exists(options_.folder / "slices"))
      bench::run_command(
          program("reslice", fmt::format("--data {} --out {} 2>/dev/null", at(data), at("slices"))));
    return at("slices");
  }

  Json reslice() const {
    Json result = Json::array();
    for (const std::string syntax : {"jpeg_lossless_sv1", "explicit_little"}) {
      const std::string data = at(phantom(syntax));
      std::vector<Contender> contenders{
          {"reslice (whole process)",
           one_core(program("reslice", fmt::format("--data {} --out {} --jobs 1", data, at("ours")))),
           "rm -rf " + at("ours"), true},
          {"pydicom + numpy",
           one_core(peer("read_numpy.py",
                         fmt::format("--data {} --png {}{}", data, at("theirs"),
                                     syntax == "explicit_little" ? "" : " --decoder " + options_.decoder)))},
          {"SimpleITK", one_core(peer("read_itk.py",
                                      fmt::format("--tool simpleitk --data {} --png {}", data, at("itk"))))}};
      if (options_.monai)
        contenders.push_back(
            {"MONAI",
             one_core(peer("read_itk.py", fmt::format("--tool monai --data {} --png {}", data, at("itk"))))});
      Json entry = bench::run({.title = "Sagittal slices out of " + syntax + ", one core",
                               .unit = "studies",
                               .work = static_cast<double>(options_.studies),
                               .contenders = contenders},
                              options_.rounds);
      entry["difference"] =
          bench::run_command(peer("compare_pictures.py", at("ours/slices") + " " + at("theirs"))).json;
      fmt::print("reslice and pydicom + numpy, grey levels: {}\n", entry["difference"].dump());
      result.push_back(entry);
    }
    return result;
  }

  Json import(bool cold) const {
    const std::string model = at("vit-b");
    if (!fs::exists(options_.folder / "vit-b"))
      bench::run_command(peer("read_import.py", fmt::format("--model {} --way make 2>/dev/null", model)));
    const std::string files =
        fmt::format("{}/model.safetensors {}/state_dict/model.safetensors", model, model);
    // dd gives the pages of a file back, which needs no rights.
    const std::string before =
        cold ? fmt::format("for f in {}; do dd if=$f iflag=nocache count=0 2>/dev/null; done", files)
             : fmt::format("cat {} >/dev/null", files);
    bench::Contest contest{
        .title = fmt::format("ViT-B checkpoint, {} page cache, one core", cold ? "cold" : "warm"),
        .unit = "models",
        .contenders = {},
        .keys = {"seconds", "with_touch"}};
    // Each runs once before it is timed: a virtual machine may have to be given the memory first, which takes
    // longer than anything measured here.
    const auto add = [&](const std::string& name, const std::string& command) {
      contest.contenders.push_back({name, command, command + " >/dev/null; " + before});
    };
    add("import_model", one_core(worker("--import " + model)));
    for (const std::string way : {"from_pretrained", "load_state_dict", "meta_assign"})
      add(way, one_core(peer("read_import.py", fmt::format("--model {} --way {} --touch", model, way))));
    return bench::run(contest, options_.rounds);
  }

  Json loader() const {
    Json result = Json::array();
    const int epochs = 8;
    for (const std::string augment : {"", " --augment"}) {
      const std::string arguments = fmt::format("{} --epochs {}{}", slices(), epochs, augment);
      result.push_back(bench::run(
          {.title =
               fmt::format("Batches of 24 at 224 x 224{}, one core", augment.empty() ? "" : ", augmented"),
           .unit = "images",
           .work = 25.0 * options_.studies * epochs,
           .contenders = {{"Loader, 1 thread", one_core(worker("--batches " + arguments))},
                          {"DataLoader, in process",
                           one_core(peer("read_batches.py", "--slices " + arguments))}}},
          options_.rounds));
    }
    return result;
  }

  Json start() const {
    std::vector<Contender> contenders;
    const auto add = [&](const std::string& title, const std::string& name, const std::string& arguments,
                         const std::string& before = {}) {
      contenders.push_back({title, program(name, arguments + " >/dev/null 2>&1"), before, true});
    };
    for (const std::string name :
         {"reslice", "make_phantom", "summary", "forward", "evaluate", "train_resnet", "train_vit"})
      add(name + " --help", name, "--help");
    const std::string tiny = at("tiny"), cut = at("tiny-slices"),
                      golden = fmt::format("'{}/tests/golden/vit'", SAGITTA_SOURCE_DIR);
    add("summary, resnet-18", "summary", "--arch resnet-18");
    add("make_phantom, 1 study of 64 pixels", "make_phantom",
        "--studies 1 --size 64 --step-mm 5 --out " + tiny, "rm -rf " + tiny);
    add("reslice, that study", "reslice", fmt::format("--data {} --out {}", tiny, cut), "rm -rf " + cut);
    add("forward, a ViT of 32 pixels", "forward",
        fmt::format("--model {} --input {}/golden.safetensors --output {}", golden, golden,
                    at("logits.safetensors")));
    return bench::run({.title = "Start-up, whole processes", .unit = "starts", .contenders = contenders},
                      std::max(5, options_.rounds));
  }

  const Options& options_;
  fs::path bin_;
  std::string self_;
};

void benchmark(Options& options, const char* self) {
  const bool keep = !options.folder.empty();
  if (!keep) {
    std::string name = (fs::temp_directory_path() / "sagitta-reading-XXXXXX").string();
    require(mkdtemp(name.data()) != nullptr, "{}: cannot be created", name);
    options.folder = name;
  }
  fs::create_directories(options.folder);
  const Json result = Benchmark(options, fs::canonical(self)).run();
  if (!options.json.empty()) write_text_file(options.json, result.dump(2) + "\n");
  if (!keep) fs::remove_all(options.folder);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Times reading (studies, a checkpoint, batches, start-up) beside Python tools.",
               "bench_reading");
  app.add_option("--parts", options.parts, "reslice, import, import-cold, loader, start")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--python", options.python, "Python with pydicom, SimpleITK, torch, ...")
      ->capture_default_str();
  app.add_option("--decoder", options.decoder, "pydicom's plugin for lossless JPEG: gdcm or pylibjpeg")
      ->capture_default_str();
  app.add_flag("--monai", options.monai, "MONAI too (slow)");
  app.add_option("--studies", options.studies, "phantom studies of 512 x 512")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "rounds")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--core", options.core, "processor for what runs on one core")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--folder", options.folder,
                 "keep the data here for the next run (default: a temporary folder)");
  app.add_option("--json", options.json, "write the result to this file");
  app.add_option("--import", options.import, "worker: import this model")->group("");
  app.add_option("--batches", options.batches, "worker: load batches of these slices")->group("");
  app.add_option("--epochs", options.loader.epochs)->group("");
  app.add_option("--threads", options.loader.threads)->group("");
  app.add_flag("--augment", options.loader.augment)->group("");
  return apps::run_main(app, argc, argv, [&] {
    options.loader.slices = options.batches;
    if (!options.import.empty())
      fmt::print("{}\n", bench::time_import(options.import).dump());
    else if (!options.batches.empty())
      fmt::print("{}\n", bench::time_loader(options.loader).dump());
    else
      benchmark(options, argv[0]);
    return 0;
  });
}
