// What bench_cuda measured, beside the time in which a device can do the same at best.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace qw::test {

// What the device gives: bytes and operations a second. Products of integers have twice the rate of 16-bit floating point.
struct Ceilings {
  double bytes = 0;
  double flops = 0;
};

struct Work {
  double bytes = 0;
  double flops = 0;
  bool integers = false;
};

struct Measured {
  double median = 0, least = 0, most = 0;  // microseconds
  int calls = 0;                           // in one sample
  bool graph = false;
};

struct Cell {
  std::string model, operation, type;
  int64_t tokens, context;
  bool operator<(const Cell& other) const {
    return std::tie(model, operation, type, tokens, context) <
           std::tie(other.model, other.operation, other.type, other.tokens, other.context);
  }
};

class BenchReport {
 public:
  BenchReport(const char* file, const Ceilings& ceilings) : ceilings_(ceilings), csv_(file == nullptr ? nullptr : fopen(file, "w")) {
    if (csv_ == nullptr) return;
    fputs("model,operation,type,tokens,context,us,us_min,us_max,bytes,flops,floor_us,percent,bound,calls,mode\n", csv_);
  }
  ~BenchReport() {
    if (csv_ != nullptr) fclose(csv_);
  }
  BenchReport(const BenchReport&) = delete;
  BenchReport& operator=(const BenchReport&) = delete;

  bool writes() const { return csv_ != nullptr; }

  // Microseconds.
  double floor(const Work& work) const { return 1e6 * std::max(work.bytes / ceilings_.bytes, flop_seconds(work)); }

  void add(const Cell& cell, const Work& work, const Measured& m) {
    const double least = floor(work);
    cells_[cell] = {m.median, least};
    const bool memory = work.bytes / ceilings_.bytes >= flop_seconds(work);
    if (csv_ == nullptr) return;
    fprintf(csv_, "%s,%s,%s,%ld,%ld,", cell.model.c_str(), cell.operation.c_str(), cell.type.c_str(), static_cast<long>(cell.tokens),
            static_cast<long>(cell.context));
    fprintf(csv_, "%.2f,%.2f,%.2f,%.0f,%.0f,%.3f,%.1f,%s,%d,%s\n", m.median, m.least, m.most, work.bytes, work.flops, least,
            100 * least / m.median, memory ? "memory" : "arithmetic", m.calls, m.graph ? "graph" : "stream");
    fflush(csv_);
  }

  struct Sum {
    double time = 0, floor = 0;
    std::string missing;  // an operation that was not measured
  };
  void sum(Sum& sum, const Cell& cell, double times) const {
    const auto found = cells_.find(cell);
    if (found == cells_.end()) {
      sum.missing = cell.operation + " " + cell.type;
      return;
    }
    sum.time += times * found->second.time;
    sum.floor += times * found->second.floor;
  }

  // Those that would gain most, by the times that a step of their model runs them.
  void print_worst(size_t count, const std::map<std::string, int64_t>& layers) const {
    std::vector<std::pair<double, const Cell*>> lost;
    for (const auto& [cell, time] : cells_) lost.emplace_back((time.time - time.floor) * static_cast<double>(layers.at(cell.model)), &cell);
    std::sort(lost.begin(), lost.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    for (size_t i = 0; i < std::min(count, lost.size()); i++) {
      const Cell& c = *lost[i].second;
      const Pair& time = cells_.at(c);
      printf("%-6s %-12s %-10s %6ld tokens behind %6ld: ", c.model.c_str(), c.operation.c_str(), c.type.c_str(),
             static_cast<long>(c.tokens), static_cast<long>(c.context));
      printf("%10.1f us, floor %9.1f us, %5.1f %%\n", time.time, time.floor, 100 * time.floor / time.time);
    }
  }

 private:
  struct Pair {
    double time, floor;
  };
  double flop_seconds(const Work& work) const { return work.flops / (work.integers ? 2 * ceilings_.flops : ceilings_.flops); }

  Ceilings ceilings_;
  FILE* csv_;
  std::map<Cell, Pair> cells_;
};

}  // namespace qw::test
