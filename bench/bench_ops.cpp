// bench_ops: the speed of every operation that training ResNet-50 and ViT-B/16 is made of, on the CPU, beside
// other libraries'. Products are shown in GFLOP/s, what memory bounds in GB/s of the bytes that must move,
// and both as a share of the ceiling measured in the same run. Ours and every peer take turns, several times
// per operation; the median counts, for a peer that of the fastest way it knows.
#include <omp.h>

#include <cstdio>
#include <memory>

#include "apps/engine/device.h"
#include "apps/engine/main_guard.h"
#include "bench/ceilings.h"
#include "bench/machine.h"
#include "bench/operations.h"
#include "bench/ops_peer.h"
#include "bench/rival.h"
#include "bench/tile_speed.h"
#include "tensor/atomic_file.h"
#include "tensor/cpu_options.h"

namespace {

using namespace sagitta;
using bench::Operation;
using bench::OpsPeer;
using Json = nlohmann::ordered_json;

constexpr std::string_view kTileKernel = "tile kernel";  // what --only knows it by

struct Options {
  std::string only, json, python = "python3", onednn, peer_environment, conv_algo = "auto";
  std::vector<std::string> versus;
  std::int64_t batch = 8, vit_batch = 4;
  double seconds = 0.2, idle_wait = 60;
  int repetitions = 3;
  bool cold = false;
};

struct Ceilings {
  double flop = 0;  // per second
  bench::MemoryBandwidth memory;
  bench::TileSpeeds tiles;

  double seconds(const Operation& operation) const {
    return std::max(operation.call.flop / flop, operation.call.bytes / memory.triad);
  }
  bool bound_by_products(const Operation& operation) const {
    return operation.call.flop / flop >= operation.call.bytes / memory.triad;
  }
};

// Times in seconds, ours first and then the peers' in order; 0 where a peer does not offer the operation.
struct Row {
  const Operation* operation;
  std::vector<double> seconds;
  std::vector<std::string> ways;  // in which each was fastest
  double others = 0;              // processors that other processes used meanwhile
};

std::vector<std::unique_ptr<OpsPeer>> start_peers(const Options& options) {
  std::vector<std::unique_ptr<OpsPeer>> peers;
  const bench::Environment environment =
      bench::parse_environment(options.peer_environment, "--peer-environment");
  for (const std::string& label : options.versus) {
    std::vector<std::string> command{options.python, SAGITTA_SOURCE_DIR "/bench/peers/ops_" + label + ".py",
                                     "--threads", std::to_string(omp_get_max_threads())};
    if (label == "onednn" && !options.onednn.empty())
      command.insert(command.end(), {"--library", options.onednn});
    peers.push_back(std::make_unique<OpsPeer>(label, command, environment));
  }
  return peers;
}

// Reads more memory than the caches hold, so that the next run finds nothing of its own in them.
void empty_caches() {
  static const std::vector<float> memory(std::size_t{32} << 20, 1.0F);
  volatile float sink = 0;
  float sum = 0;
#pragma omp parallel for reduction(+ : sum)
  for (std::size_t i = 0; i < memory.size(); i += 16) sum += memory[i];  // one element of each cache line
  sink = sum;
  static_cast<void>(sink);
}

Row measure(const Options& options, const Operation& operation, const bench::TensorMaker& maker,
            const std::vector<std::unique_ptr<OpsPeer>>& peers) {
  bench::wait_until_idle(options.idle_wait);
  const bench::CpuTime before = bench::cpu_time();
  const std::function<void()> run = operation.call.prepare(maker);
  Json request = operation.request;
  request["seconds"] = options.seconds;
  request["cold"] = options.cold;
  std::vector<std::map<std::string, std::vector<double>>> times(1 + peers.size());
  run();  // touches its memory
  for (int i = 0; i < options.repetitions; ++i) {
    run();  // wakes the threads
    times[0][""].push_back(
        bench::median_seconds(options.seconds, run, options.cold ? empty_caches : nullptr));
    for (std::size_t peer = 0; peer < peers.size(); ++peer)
      for (const auto& [way, seconds] : peers[peer]->measure(request))
        times[peer + 1][way].push_back(seconds);
  }
  Row row{&operation, std::vector<double>(times.size()), std::vector<std::string>(times.size())};
  for (std::size_t i = 0; i < times.size(); ++i)
    for (const auto& [way, seconds] : times[i])
      if (const double median = bench::median(seconds); row.seconds[i] == 0 || median < row.seconds[i]) {
        row.seconds[i] = median;
        row.ways[i] = way;
      }
  const bench::CpuTime after = bench::cpu_time();
  // The kernel counts CPU time in hundredths of a second: in a short time less than this is nothing.
  constexpr double kUncertain = 0.05;
  const double others = bench::others_between(before, after);
  row.others = others * (after.wall - before.wall) > kUncertain ? others : 0;
  return row;
}

// Again when other processes disturbed it; the least disturbed of three attempts.
Row measure_undisturbed(const Options& options, const Operation& operation, const bench::TensorMaker& maker,
                        const std::vector<std::unique_ptr<OpsPeer>>& peers) {
  constexpr double kDisturbed = 0.1;  // of a processor
  Row best = measure(options, operation, maker, peers);
  for (int attempt = 1; attempt < 3 && best.others > kDisturbed; ++attempt)
    if (Row row = measure(options, operation, maker, peers); row.others < best.others) best = std::move(row);
  return best;
}

std::string rate_of(const Operation& operation, const Ceilings& ceilings, double seconds) {
  if (seconds == 0) return "-";
  return ceilings.bound_by_products(operation)
             ? fmt::format("{:.0f} GFLOP/s", operation.call.flop / seconds * 1e-9)
             : fmt::format("{:.1f} GB/s", operation.call.bytes / seconds * 1e-9);
}

void print_tiles(const bench::TileSpeeds& tiles) {
  for (const auto& [dtype, tile] : {std::pair{"f32", tiles.f32}, std::pair{"f64", tiles.f64}})
    fmt::print("{}  {:>2} x {:<2} {} {}  L1 {:.0f} %  L2 {:.0f} % of the FMA peak\n", kTileKernel, tile.rows,
               tile.columns, dtype, cpu_instruction_set(), 100 * tile.l1_share, 100 * tile.l2_share);
}

void print_header(const std::vector<std::unique_ptr<OpsPeer>>& peers) {
  fmt::print("{:<50}{:>5}{:>10}{:>14}{:>9}", "operation", "x", "ms", "rate", "ceiling");
  for (const auto& peer : peers) fmt::print("{:>14}{:>7} {:<14}", peer->label(), "ratio", "");
  fmt::print("\n");
}

void print_row(const Row& row, const Ceilings& ceilings) {
  const Operation& operation = *row.operation;
  const double ours = row.seconds[0];
  fmt::print("{:<50}{:>5}{:>10.3f}{:>14}{:>7.0f} %", operation.name, operation.call.times, ours * 1e3,
             rate_of(operation, ceilings, ours), 100 * ceilings.seconds(operation) / ours);
  for (std::size_t i = 1; i < row.seconds.size(); ++i)
    fmt::print("{:>14}{:>7} {:<14}", rate_of(operation, ceilings, row.seconds[i]),
               row.seconds[i] == 0 ? "-" : fmt::format("{:.2f}", row.seconds[i] / ours), row.ways[i]);
  if (row.others >= 0.05) fmt::print("  others used {:.2f} processors", row.others);
  fmt::print("\n");
  std::fflush(stdout);
}

// Per group of operations: milliseconds of a training step, counting only what all of them compute.
void print_sums(const std::vector<Row>& rows, const std::vector<std::unique_ptr<OpsPeer>>& peers) {
  std::vector<std::string> groups;
  for (const Row& row : rows)
    if (std::find(groups.begin(), groups.end(), row.operation->group) == groups.end())
      groups.push_back(row.operation->group);
  fmt::print("\n{:<50}{:>15}", "per training step, in ms", "sagitta");
  for (const auto& peer : peers) fmt::print("{:>15}{:>7}", peer->label(), "ratio");
  fmt::print("\n");
  for (const std::string& group : groups) {
    fmt::print("{:<50}", group);
    double all = 0;
    for (const Row& row : rows)
      if (row.operation->group == group) all += row.operation->call.times * row.seconds[0];
    fmt::print("{:>15.2f}", all * 1e3);
    for (std::size_t i = 1; i <= peers.size(); ++i) {
      double ours = 0, theirs = 0;
      for (const Row& row : rows)
        if (row.operation->group == group && row.seconds[i] > 0) {
          ours += row.operation->call.times * row.seconds[0];
          theirs += row.operation->call.times * row.seconds[i];
        }
      if (theirs > 0)
        fmt::print("{:>15.2f}{:>7.2f}", theirs * 1e3, theirs / ours);
      else
        fmt::print("{:>15}{:>7}", "-", "-");
    }
    fmt::print("\n");
  }
}

Json json_of(const bench::TileSpeed& tile) {
  return {{"rows", tile.rows},
          {"columns", tile.columns},
          {"l1_share", tile.l1_share},
          {"l2_share", tile.l2_share}};
}

Json json_of(const Options& options, const Ceilings& ceilings, const std::vector<Row>& rows,
             const std::vector<std::unique_ptr<OpsPeer>>& peers) {
  Json result{{"machine", bench::machine_name()},
              {"date", bench::today()},
              {"threads", omp_get_max_threads()},
              {"vector_instructions", bench::vector_instructions()},
              {"fma_peak_gflops", ceilings.flop * 1e-9},
              {"triad_gb_per_s", ceilings.memory.triad * 1e-9},
              {"read_gb_per_s", ceilings.memory.read * 1e-9},
              {"tile_kernel",
               {{"instruction_set", cpu_instruction_set()},
                {"fma_peak_gflops", ceilings.tiles.fma_peak * 1e-9},
                {"f32", json_of(ceilings.tiles.f32)},
                {"f64", json_of(ceilings.tiles.f64)}}},
              {"conv_algo", options.conv_algo},
              {"cold_caches", options.cold},
              {"repetitions", options.repetitions},
              {"seconds_per_repetition", options.seconds},
              {"peer_environment", options.peer_environment},
              {"peers", Json::object()},
              {"operations", Json::array()}};
  for (const auto& peer : peers) result["peers"][peer->label()] = peer->name();
  for (const Row& row : rows) {
    const Operation& operation = *row.operation;
    Json entry{{"name", operation.name},
               {"group", operation.group},
               {"per_step", operation.call.times},
               {"gflop", operation.call.flop * 1e-9},
               {"mb", operation.call.bytes * 1e-6},
               {"share_of_ceiling", ceilings.seconds(operation) / row.seconds[0]},
               {"others_cpu", row.others},
               {"milliseconds", {{"sagitta", row.seconds[0] * 1e3}}}};
    for (std::size_t i = 0; i < peers.size(); ++i)
      if (row.seconds[i + 1] > 0) {
        entry["milliseconds"][peers[i]->label()] = row.seconds[i + 1] * 1e3;
        entry["fastest_way"][peers[i]->label()] = row.ways[i + 1];
      }
    result["operations"].push_back(entry);
  }
  return result;
}

int run(const Options& options) {
  apps::choose_conv_algorithm(options.conv_algo);
  std::vector<Operation> operations = bench::resnet50_operations(options.batch);
  for (Operation& each : bench::vit_operations(options.vit_batch)) operations.push_back(std::move(each));
  std::erase_if(operations,
                [&](const Operation& each) { return each.name.find(options.only) == std::string::npos; });
  // The tile kernel is measured in any case.
  require(!operations.empty() || kTileKernel.find(options.only) != std::string_view::npos,
          "--only: no operation is named like '{}'; without it all are listed", options.only);
  if (!options.json.empty())
    AtomicFile(options.json);  // throws now, not after the work, if it cannot be written
  const auto peers = start_peers(options);
  if (!bench::wait_until_idle(options.idle_wait))
    fmt::print(stderr, "other processes keep the machine busy: the figures will be low\n");
  const Ceilings ceilings{bench::fma_peak(1), bench::memory_bandwidth(2),
                          bench::tile_speeds(cpu_instruction_set(), 1)};
  fmt::print("{}, {} threads, {}: FMA peak {:.0f} GFLOP/s, memory {:.1f} GB/s triad, {:.1f} GB/s read\n",
             bench::machine_name(), omp_get_max_threads(), bench::vector_instructions(), ceilings.flop * 1e-9,
             ceilings.memory.triad * 1e-9, ceilings.memory.read * 1e-9);
  for (const auto& peer : peers) fmt::print("{}: {}\n", peer->label(), peer->name());
  print_tiles(ceilings.tiles);
  const auto write_json = [&](const std::vector<Row>& rows) {
    if (!options.json.empty())
      write_text_file(options.json, json_of(options, ceilings, rows, peers).dump(1) + "\n");
  };
  write_json({});
  if (operations.empty()) return 0;
  print_header(peers);
  const bench::TensorMaker maker(cpu_backend());
  std::vector<Row> rows;
  for (const Operation& operation : operations) {
    rows.push_back(measure_undisturbed(options, operation, maker, peers));
    print_row(rows.back(), ceilings);
    write_json(rows);  // each time: a run that is cut off keeps what it measured
  }
  print_sums(rows, peers);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Speed of the operations that training ResNet-50 and ViT-B/16 is made of, on the CPU",
               "bench_ops");
  Options options;
  app.add_option("--only", options.only,
                 "only operations whose name contains this, e.g. 'conv 3x3', dweight or 'tile kernel'");
  app.add_option("--batch", options.batch, "images per step of ResNet-50")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--vit-batch", options.vit_batch, "images per step of ViT-B/16")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "time spent on each operation, repetition and library")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--repetitions", options.repetitions, "turns that ours and the peers take")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  apps::add_conv_algo_option(app, options.conv_algo);
  app.add_flag("--cold", options.cold, "empty the caches before every run, as a training step nearly does");
  app.add_option("--vs", options.versus, "measure peers in turn: pytorch,onednn")
      ->delimiter(',')
      ->check(CLI::IsMember(std::vector<std::string>{"pytorch", "onednn"}));
  app.add_option("--peer-environment", options.peer_environment,
                 "environment of the peers, in one word: \"LD_PRELOAD=... MALLOC_CONF=...\"");
  app.add_option("--python", options.python, "Python with torch")->capture_default_str();
  app.add_option("--onednn", options.onednn, "a libdnnl.so 3.x instead of the one inside PyTorch");
  app.add_option("--idle-wait", options.idle_wait, "seconds to wait at most for an idle machine, before each")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--json", options.json, "also write the results to this file, after every operation");
  return apps::run_main(app, argc, argv, [&] { return run(options); });
}
