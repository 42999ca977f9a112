// Candidates of rows of logits. Blocks take the first ones of a part of a row each, and one block those of all parts: of keys that all
// differ, so that what is found does not depend on the order in which threads come.
#include "common/selection.h"

#include <algorithm>
#include <cstring>

#include "cuda/keys.h"
#include "cuda/ops.h"

namespace qw::cuda {
namespace {

constexpr int kMost = SelectionView::kMostCandidates;
constexpr int kHead = SelectionView::kHead;
// 75 blocks for a row of 152,000 logits, with 8 loads of each thread in flight.
constexpr int kThreads = 256;
constexpr int kEach = 8;
constexpr int kPart = kThreads * kEach;
// Candidates of parts are up to 19,200.
constexpr int kMergeThreads = 512;
constexpr int kMostWarps = kMergeThreads / kLanes;
constexpr int kBins = 256;
constexpr int kDigitBits = 8;
constexpr int64_t kMostRequests = 65535;  // of a grid's second dimension

struct Request {
  int32_t row;
  int32_t count;
  float temperature;
  int32_t cell;
  int32_t starts;  // place of the first id apart of each part and the end among `apart`, in `ints`; or -1 if there is none
};
constexpr int kRequestInts = sizeof(Request) / 4;

struct Part {
  uint32_t refused;  // id, or kNone
  float greatest;    // negative infinity if there is no candidate
  double sum;
};

struct Arguments {
  const float* logits;
  int64_t columns;
  int64_t sampleable;
  const int32_t* ints;
  const Request* requests;
  const int32_t* apart;
  float* found;
  float* found_apart;
  int64_t parts;
  int64_t stride;  // keys of a part
  Part* part;
  uint64_t* keys;
};

// Of the bits of doubles, each time in the same order.
struct Sum {
  static QW_DEVICE uint64_t of(uint64_t a, uint64_t b) { return bits_of(double_of(a) + double_of(b)); }
};

// Of all threads, for all threads. Each call has `warps` of its own: some threads may still read those of the last one.
template <class Operation, int kCount>
QW_DEVICE uint64_t of_block(uint64_t value, uint64_t* warps) {
  value = of_lanes<Operation>(value);
  if (lane_index() == 0) warps[thread_index() / kLanes] = value;
  barrier();
  value = warps[0];
  for (int i = 1; i < kCount / kLanes; i++) value = Operation::of(value, warps[i]);
  return value;
}

struct Digits {
  int bins[kBins];
  int digit;
  int left;
  int inside;
};

// The least of the k greatest keys, or 1 if there are no more than k. Digit by digit, the first one above: keys that begin as those wanted
// begin are counted by their next digit. It ends where all keys of a bin are wanted, after two or three digits unless logits are equal.
template <int kCount, class ForEach>
QW_DEVICE uint64_t least_of_greatest(int k, Digits& digits, ForEach for_each) {
  uint64_t begin = 0;
  int left = k;
  for (int shift = 64 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    for (int i = thread_index(); i < kBins; i += kCount) digits.bins[i] = 0;
    barrier();
    for_each([&](uint64_t key) {
      if (key != 0 && (shift == 64 - kDigitBits || key >> (shift + kDigitBits) == begin)) {
        add_atomically(&digits.bins[key >> shift & (kBins - 1)], 1);
      }
    });
    barrier();
    if (thread_index() < kLanes) {
      // A lane has eight bins, the first lane the uppermost.
      constexpr int kOwn = kBins / kLanes;
      const int top = kBins - 1 - kOwn * lane_index();
      int own = 0;
      for (int i = 0; i < kOwn; i++) own += digits.bins[top - i];
      const LaneSums sums = lane_sums(own);
      int before = sums.before;
      if (sums.all < left) {
        if (lane_index() == 0) digits.digit = -1;
      } else if (before < left && left <= before + own) {
        int i = 0;
        while (left > before + digits.bins[top - i]) before += digits.bins[top - i++];
        digits.digit = top - i;
        digits.left = left - before;
        digits.inside = digits.bins[top - i];
      }
    }
    barrier();
    if (digits.digit < 0) return 1;
    begin = begin << kDigitBits | static_cast<uint64_t>(digits.digit);
    left = digits.left;
    if (left == digits.inside) return begin << shift;
  }
  return begin;
}

// A block takes the candidates of a part of a row, and gives what it is asked of ids that stand apart.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) select_parts(Arguments args) {
  QW_SHARED float values[kPart];
  QW_SHARED Digits digits;
  QW_SHARED uint64_t warps[3][kThreads / kLanes];
  QW_SHARED int taken;
  const Request request = args.requests[block_y()];
  const float* row = args.logits + request.row * args.columns;
  const int64_t begin = block_x() * kPart;
  QW_UNROLL
  for (int e = 0; e < kEach; e++) {
    const int64_t id = begin + e * kThreads + thread_index();
    values[e * kThreads + thread_index()] = id < args.columns ? row[id] : -infinity();
  }
  if (thread_index() == 0) taken = 0;
  barrier();
  if (request.starts >= 0) {
    const int32_t* starts = args.ints + request.starts + block_x();
    for (int i = starts[0] + thread_index(); i < starts[1]; i += kThreads) {
      float& value = values[args.apart[i] - begin];
      args.found_apart[i] = value;
      // One that is refused stays to be found.
      if (value < infinity()) value = -infinity();
    }
    barrier();
  }
  uint64_t keys[kEach], greatest = 0, refused = kNone;
  QW_UNROLL
  for (int e = kEach - 1; e >= 0; e--) {
    const int64_t id = begin + e * kThreads + thread_index();
    const float value = values[e * kThreads + thread_index()];
    if (!(value < infinity())) refused = static_cast<uint64_t>(id);
    keys[e] = id < args.sampleable && value > -infinity() ? key_of(value, id) : 0;
    greatest = Greatest::of(greatest, keys[e]);
  }
  greatest = of_block<Greatest, kThreads>(greatest, warps[0]);
  refused = of_block<Least, kThreads>(refused, warps[1]);
  double sum = 0;
  if (request.temperature > 0 && greatest != 0) {
    QW_UNROLL
    for (int e = 0; e < kEach; e++) {
      const double logit = value_of(keys[e]);
      if (keys[e] != 0) sum += exponential((logit - static_cast<double>(value_of(greatest))) / static_cast<double>(request.temperature));
    }
    sum = double_of(of_block<Sum, kThreads>(bits_of(sum), warps[2]));
  }
  const int64_t part = block_y() * args.parts + block_x();
  if (thread_index() == 0) {
    args.part[part] = {static_cast<uint32_t>(refused), greatest == 0 ? -infinity() : value_of(greatest), sum};
  }
  uint64_t* to = args.keys + part * args.stride;
  if (request.count == 1) {
    if (thread_index() == 0) to[0] = greatest;
    return;
  }
  const uint64_t least = least_of_greatest<kThreads>(request.count, digits, [&](auto use) {
    QW_UNROLL
    for (int e = 0; e < kEach; e++) use(keys[e]);
  });
  QW_UNROLL
  for (int e = 0; e < kEach; e++) {
    if (keys[e] >= least) to[add_atomically(&taken, 1)] = keys[e];
  }
  barrier();
  for (int i = taken + thread_index(); i < request.count; i += kThreads) to[i] = 0;
}

// A block takes the candidates of a row from those of its parts, and puts them in order.
QW_KERNEL QW_LAUNCH_BOUNDS(kMergeThreads) merge_parts(Arguments args) {
  QW_SHARED uint64_t first[kMost];
  QW_SHARED Digits digits;
  QW_SHARED uint64_t warps[4][kMostWarps];
  QW_SHARED int taken;
  const Request request = args.requests[block_x()];
  const float* row = args.logits + request.row * args.columns;
  const Part* parts = args.part + block_x() * args.parts;
  const uint64_t* keys = args.keys + block_x() * args.parts * args.stride;
  if (thread_index() == 0) taken = 0;
  uint64_t refused = kNone, greatest = 0;
  for (int64_t p = thread_index(); p < args.parts; p += kMergeThreads) {
    refused = Least::of(refused, parts[p].refused);
    if (parts[p].greatest > -infinity()) greatest = Greatest::of(greatest, key_of(parts[p].greatest, 0));
  }
  refused = of_block<Least, kMergeThreads>(refused, warps[0]);
  greatest = of_block<Greatest, kMergeThreads>(greatest, warps[1]);
  double sum = 0;
  if (request.temperature > 0) {
    for (int64_t p = thread_index(); p < args.parts; p += kMergeThreads) {
      const double below = static_cast<double>(parts[p].greatest) - static_cast<double>(value_of(greatest));
      if (parts[p].sum > 0) sum += parts[p].sum * exponential(below / static_cast<double>(request.temperature));
    }
    sum = double_of(of_block<Sum, kMergeThreads>(bits_of(sum), warps[2]));
  }
  const auto for_each = [&](auto use) {
    // In 32 bits: divisions of 64 are slow on a device.
    const uint32_t count = static_cast<uint32_t>(request.count), end = static_cast<uint32_t>(args.parts) * count;
    for (uint32_t i = static_cast<uint32_t>(thread_index()); i < end; i += kMergeThreads) {
      use(keys[i / count * args.stride + i % count]);
    }
  };
  if (request.count == 1) {
    uint64_t best = 0;
    for_each([&](uint64_t key) { best = Greatest::of(best, key); });
    best = of_block<Greatest, kMergeThreads>(best, warps[3]);
    if (thread_index() == 0 && best != 0) first[taken++] = best;
  } else {
    const uint64_t least = least_of_greatest<kMergeThreads>(request.count, digits, for_each);
    for_each([&](uint64_t key) {
      if (key >= least) first[add_atomically(&taken, 1)] = key;
    });
  }
  barrier();
  float* to = args.found + request.cell;
  for (int i = thread_index(); i < taken; i += kMergeThreads) {
    int place = 0;
    for (int k = 0; k < taken; k++) place += first[k] > first[i];
    to[kHead + place] = static_cast<float>(place_of(first[i]));
    to[kHead + request.count + place] = row[place_of(first[i])];
  }
  if (thread_index() == 0) {
    to[0] = refused == kNone ? -1.f : static_cast<float>(refused);
    to[1] = refused == kNone ? 0.f : row[refused];
    to[2] = static_cast<float>(taken);
    to[3] = static_cast<float>(sum);
    to[4] = static_cast<float>(sum - static_cast<double>(to[3]));
  }
}

}  // namespace

void select_logits(Backend& backend, Buffer& logits, const SelectionView& selection, Buffer& found) {
  require(!logits.discarded && !found.discarded && &logits != &found, "what is selected has no place");
  selection.check(logits.rows, logits.columns, times(found.rows, found.columns));
  require(selection.requests <= kMostRequests, "too many rows are selected from");
  if (selection.requests == 0) return;
  const int64_t parts = divide_up(logits.columns, kPart);
  std::vector<int32_t>& ints = backend.ints;
  ints.assign(static_cast<size_t>(selection.requests) * kRequestInts, 0);
  int64_t rows = 0, most = 1;
  for (int64_t r = 0; r < selection.requests; r++) {
    const SelectionView::Request& asked = selection.request[r];
    Request request{asked.row, asked.count, asked.temperature, asked.cell, -1};
    int64_t at = asked.first_apart;
    if (at < selection.apart_end(r)) {
      request.starts = static_cast<int32_t>(ints.size());
      for (int64_t p = 0; p <= parts; p++) {
        while (at < selection.apart_end(r) && selection.apart[at] < p * kPart) at++;
        ints.push_back(static_cast<int32_t>(at));
      }
    }
    memcpy(ints.data() + r * kRequestInts, &request, sizeof request);
    rows = std::max<int64_t>(rows, asked.row + 1);
    most = std::max<int64_t>(most, asked.count);
  }
  const int64_t apart_at = static_cast<int64_t>(ints.size());
  ints.insert(ints.end(), selection.apart, selection.apart + (selection.cells() - selection.apart_cell));
  // At once for all that may come, so that no later step takes memory.
  const int64_t most_ints = plus(times(selection.most_requests, kRequestInts + parts + 1), selection.most_apart);
  backend.selection.reserve(backend.context, most_ints);
  const int32_t* sent = backend.selection.send(backend.context, ints);
  backend.selected.grow(backend.context, times(times(logits.rows, parts), sizeof(Part) + kMost * sizeof(uint64_t)));
  Arguments args{};
  args.logits = logits.read(rows);
  args.columns = logits.columns;
  args.sampleable = selection.sampleable;
  args.ints = sent;
  args.requests = reinterpret_cast<const Request*>(sent);
  args.apart = sent + apart_at;
  args.found = found.write(divide_up(selection.cells(), found.columns));
  args.found_apart = args.found + selection.apart_cell;
  args.parts = parts;
  args.stride = most;
  args.part = reinterpret_cast<Part*>(backend.selected.data());
  args.keys = reinterpret_cast<uint64_t*>(args.part + selection.requests * parts);
  const Stream& stream = backend.context->stream;
  launch(stream, "select_parts", select_parts, parts, selection.requests, 1, kThreads, args);
  launch(stream, "merge_parts", merge_parts, selection.requests, 1, 1, kMergeThreads, args);
}

}  // namespace qw::cuda
