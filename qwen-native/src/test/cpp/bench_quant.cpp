// Speed of the quantized kernels beside the ceilings of the machine, measured in one run. Not a test.
// usage: bench_quant [-t TYPE] [-i TARGET] [-n REPEATS] [-j THREADS] [-c COLUMNS] [-r ROWS]
//
// decode: 1 token, weights of at least 1 GiB read once: GB/s of packed bytes and its share of the read bandwidth.
// prefill: 512 tokens: GMAC/s and its share of the integer peak of the target's own instruction set.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "ceilings.h"
#include "quant_reference.h"
#include "quant_targets.h"

namespace qw::test {
namespace {

struct Options {
  std::string type, target;
  int repeats = 5, threads = 1;
  int64_t columns = 4096, rows = 1024;
};

void* aligned(size_t bytes) {
  void* p = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (p == nullptr) {
    fprintf(stderr, "no memory for %zu bytes\n", bytes);
    exit(1);
  }
  return p;
}

struct Inputs {
  int64_t tokens, columns;
  float* x;
  Q8Rows q8;
  Inputs(int64_t t, int64_t c) : tokens(t), columns(c) {
    const size_t n = static_cast<size_t>(t * c);
    x = static_cast<float*>(aligned(4 * n));
    q8 = {static_cast<int8_t*>(aligned(n)), static_cast<float*>(aligned(n / 8)), static_cast<int16_t*>(aligned(n / 8))};
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < n; i++) x[i] = normal(random);
  }
};

// Multiplies all panels, dealt to the threads in equal parts.
double time_multiply(const WeightFormat& format, MultiplyArgs args, int64_t panels, int threads, int repeats) {
  return best_seconds(threads, repeats, [&](int t) {
    MultiplyArgs a = args;
    a.panel_begin = panels * t / threads;
    a.panel_end = panels * (t + 1) / threads;
    format.multiply(a);
  });
}

void run(const Options& o) {
  constexpr size_t kBytes = size_t{1} << 30;
  uint8_t* memory = static_cast<uint8_t*>(aligned(kBytes));
  memset(memory, 1, kBytes);
  std::map<std::string, Ceilings> ceilings;
  for (const MachineClass& machine : machine_classes()) {
    if (!machine.supported || (!o.target.empty() && o.target != machine.name)) continue;
    const Ceilings& c = ceilings[machine.name] = measure_ceilings(machine, memory, kBytes, o.threads, o.repeats);
    printf("%-9s %d thread(s): read %.1f GB/s, %s %.0f GMAC/s, %s %.0f GMAC/s\n", machine.name, o.threads, c.read_gb,
           machine.dot_name, c.dot_gmac, machine.multiply_add_name, c.fma_gmac);
  }
  printf("%ld columns, prefill of %ld rows\n", static_cast<long>(o.columns), static_cast<long>(o.rows));
  printf("%-9s %-7s %8s %6s | 2, 4, 8, 16 tokens: GB/s    | %9s %6s | pack GB/s\n", "target", "type", "1: GB/s", "share", "512: GMAC",
         "share");
  const int64_t most_rows = static_cast<int64_t>(kBytes / static_cast<size_t>(o.columns) * 4);
  float* y = static_cast<float*>(aligned(4 * static_cast<size_t>(std::max(16 * most_rows, 512 * o.rows))));
  for (const Target& target : quant_targets()) {
    if (!target.supported || (!o.target.empty() && o.target != target.name)) continue;
    const Ceilings& ceiling = ceilings.at(target.name);
    const Inputs in(512, o.columns);
    target.quantize(in.x, 512, o.columns, in.q8);
    for (const BlockType& block : block_types()) {
      if (!o.type.empty() && o.type != block.name) continue;
      const WeightFormat& format = *target.format(block.type);
      const int64_t row_bytes = o.columns / block.columns * block.bytes, panel = format.panel_bytes(o.columns);
      std::mt19937 random(1);
      std::vector<uint8_t> file(static_cast<size_t>(16 * row_bytes));
      for (int64_t b = 0; b < 16 * row_bytes; b += block.bytes) fill_block(block, Fill::kRandom, random, file.data() + b);
      const int64_t panels = static_cast<int64_t>(kBytes) / panel, prefill_panels = o.rows / 16;
      const double pack = best_seconds(1, 1, [&](int) {
        for (int64_t p = 0; p < panels; p++) format.pack(file.data(), 16, o.columns, memory + p * panel);
      });
      MultiplyArgs args{memory, 16 * panels, o.columns, 0, panels, 1, in.x, in.q8, nullptr, y, 16 * panels, false};
      double gb[5];
      int i = 0;
      for (int64_t tokens : {1, 2, 4, 8, 16}) {
        args.tokens = tokens;
        gb[i++] = 1e-9 * static_cast<double>(panels * panel) / time_multiply(format, args, panels, o.threads, o.repeats);
      }
      args.tokens = 512;
      args.rows = o.rows;
      args.y_stride = o.rows;
      const double gmac = 512e-9 * static_cast<double>(o.rows * o.columns) /
                          time_multiply(format, args, prefill_panels, o.threads, o.repeats);
      printf("%-9s %-7s %8.2f %5.0f%% | %6.2f %6.2f %6.2f %6.2f | %9.1f %5.0f%% | %.2f\n", target.name, block.name,
             gb[0], 100 * gb[0] / ceiling.read_gb, gb[1], gb[2], gb[3], gb[4], gmac, 100 * gmac / ceiling.dot_gmac,
             1e-9 * static_cast<double>(panels * 16 * row_bytes) / pack);
      fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace qw::test

int main(int argc, char** argv) {
  qw::test::Options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i], value = argv[i + 1];
    if (key == "-t") o.type = value;
    if (key == "-i") o.target = value;
    if (key == "-n") o.repeats = atoi(value.c_str());
    if (key == "-j") o.threads = atoi(value.c_str());
    if (key == "-c") o.columns = atoll(value.c_str());
    if (key == "-r") o.rows = atoll(value.c_str());
  }
  qw::test::run(o);
}
