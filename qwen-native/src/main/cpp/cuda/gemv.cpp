#include "cuda/gemv.h"

#include <algorithm>

#include "cuda/multiply.h"

namespace qw::cuda {
namespace {

constexpr int kThreads = kNormThreads;
constexpr int kWarps = kThreads / kLanes;
// Bytes of the first rows of each warp that are fetched while the kernels before end: no more than those leave time for, 8 MB of 2000 warps
// in 2 us.
constexpr int64_t kPrefetched = 2048;
// Shared memory of a block beside that of activations, and what the device takes for itself.
constexpr int64_t kSharedBeside = 2 << 10;

struct GemvArgs {
  const uint8_t* data;
  int64_t row_bytes;
  int64_t rows;
  int64_t blocks;
  RowSource source;
  Integers integers;  // q is null: the block rounds
  int32_t tokens;
  Results results;
};

// In shared memory lanes side by side read 16 bytes side by side: the halves of what belongs to a group, or to 8 columns of floats, lie
// apart.
struct SharedIntegers {
  const uint8_t* low;
  const uint8_t* high;
  const uint8_t* scales;  // scale, and both sums in 16 bits
  int groups;
  int tokens;

  QW_DEVICE SharedIntegers(uint8_t* shared, int sets, int t, int g) : low(shared), groups(g), tokens(t) {
    const int all = sets * t * g;
    high = low + all * 16;
    scales = high + all * 16;
  }
  QW_DEVICE GroupInput group(int set, int t, int g) const {
    const int at = (set * tokens + t) * groups + g;
    const Words2 s = read2(scales + at * 8);
    return {read4(low + at * 16), read4(high + at * 16), float_of(s.x), static_cast<int16_t>(s.y), static_cast<int16_t>(s.y >> 16)};
  }
};
constexpr int64_t kSharedOfGroup = 40;

template <int kPieceOfColumns>
struct SharedFloats {
  const uint8_t* memory;
  int pieces;
  int tokens;
  QW_DEVICE Words4 four(int t, int piece, int half) const { return read4(memory + ((half * tokens + t) * pieces + piece) * 16); }
};

// The parts of the sums of squares of all tokens, if they are normed.
template <int kTokens>
struct Norms {
  const float (*parts)[kNormWarps];
  QW_DEVICE explicit Norms(const GemvArgs& args) : parts(nullptr) {
    if (args.source.kind != kNormedRow) return;
    QW_SHARED float memory[kTokens][kNormWarps];
    const int columns = args.source.columns;
    for (int t = 0; t < args.tokens; t++) {
      const float part = part_of_squares(args.source.x + static_cast<int64_t>(t) * columns, columns);
      if (lane_index() == 0) memory[t][thread_index() / kLanes] = part;
    }
    barrier();
    parts = memory;
  }
  QW_DEVICE float factor(const GemvArgs& args, int t) const {
    return parts == nullptr ? 1.f : norm_factor(parts[t], args.source.columns, args.source.epsilon);
  }
};

QW_DEVICE void take_of_token(const GemvArgs& args, int t, int i, float factor, float (&v)[4]) {
  if (args.source.kind == kNormedRow) {
    take_values<kNormedRow>(args.source, t, i, factor, v);
  } else {
    take_values<kPlainRow>(args.source, t, i, factor, v);
  }
}

template <int kTokens>
QW_DEVICE SharedIntegers share_integers(const GemvArgs& args, uint8_t* shared) {
  const Integers& in = args.integers;
  const int groups = args.source.columns / kGroup;
  const SharedIntegers to(shared, in.sets, kTokens, groups);
  uint8_t* low = shared;
  uint8_t* high = low + (to.high - to.low);
  uint8_t* scales = low + (to.scales - to.low);
  if (in.q != nullptr) {
    for (int i = thread_index(); i < in.sets * args.tokens * groups; i += kThreads) {
      const int set = i / (args.tokens * groups), rest = i % (args.tokens * groups);
      const int at = set * kTokens * groups + rest, from = set * in.rows * groups + rest;
      store4(low + at * 16, read4(in.q + static_cast<int64_t>(from) * kGroup));
      store4(high + at * 16, read4(in.q + static_cast<int64_t>(from) * kGroup + 16));
      const int16_t* sums = in.sum16 + 2 * from;
      write2(scales + at * 8, {bits_of(in.scale[from]), (static_cast<uint32_t>(sums[0]) & 0xffff) | static_cast<uint32_t>(sums[1]) << 16});
    }
    return to;
  }
  const Norms<kTokens> norms(args);
  const int lane = lane_index();
  for (int t = 0; t < args.tokens; t++) {
    const float factor = norms.factor(args, t);
    for (int four = thread_index() / kLanes; 4 * four < groups; four += kWarps) {
      const int group = 4 * four + lane / 8;
      const bool inside = group < groups;
      float v[4] = {0, 0, 0, 0};
      if (inside) take_of_token(args, t, group * kGroup + lane % 8 * 4, factor, v);
      for (int set = 0; set < in.sets; set++) {
        const Rounded r = round_group(v);
        if (!inside) continue;
        const int at = (set * kTokens + t) * groups + group;
        reinterpret_cast<uint32_t*>((lane % 8 < 4 ? low : high) + at * 16)[lane % 4] = r.q;
        if (lane % 4 == 0) reinterpret_cast<int16_t*>(scales + at * 8 + 4)[lane % 8 / 4] = static_cast<int16_t>(r.sum);
        if (lane % 8 == 0) *reinterpret_cast<float*>(scales + at * 8) = r.scale;
      }
    }
  }
  return to;
}

template <int kTokens, int kColumns>
QW_DEVICE SharedFloats<kColumns> share_floats(const GemvArgs& args, uint8_t* shared) {
  const int columns = args.source.columns, pieces = (columns + kColumns - 1) / kColumns;
  const int fours = pieces * (kColumns / 4);
  const Norms<kTokens> norms(args);
  for (int t = 0; t < args.tokens; t++) {
    const float factor = norms.factor(args, t);
    for (int i = thread_index(); i < fours; i += kThreads) {
      float v[4];
      take_of_token(args, t, 4 * i, factor, v);
      const int half = i % (kColumns / 4), piece = i / (kColumns / 4);
      store4(shared + ((half * kTokens + t) * pieces + piece) * 16, {bits_of(v[0]), bits_of(v[1]), bits_of(v[2]), bits_of(v[3])});
    }
  }
  return {shared, pieces, kTokens};
}

// Blocks go over the rows in turn, so that each prepares the activations once.
template <int kType, int kTokens>
QW_KERNEL QW_LAUNCH_RESIDENT(kThreads, kTokens == 1 ? 3 : 2) multiply_few(GemvArgs args) {
  using Shape = WarpShape<kType, kTokens, true>;
  constexpr int kRows = Shape::kRows;
  const int64_t step = args.blocks * kWarps * kRows;
  const int64_t begin = (block_x() * kWarps + thread_index() / kLanes) * kRows;
  let_next_begin();
  if (lane_index() < kRows && begin + lane_index() < args.rows) {
    const int64_t bytes = args.row_bytes < kPrefetched ? args.row_bytes : kPrefetched;
    prefetch(args.data + (begin + lane_index()) * args.row_bytes, static_cast<uint32_t>(bytes));
  }
  wait_for_previous();
  uint8_t* shared = launch_shared();
  const auto inputs = [&] {
    if constexpr (kIsFloat<kType>) {
      return share_floats<kTokens, kPieceColumns<kType>>(args, shared);
    } else {
      return share_integers<kTokens>(args, shared);
    }
  }();
  barrier();
  for (int64_t first = begin; first < args.rows; first += step) {
    const uint8_t* rows[kRows];
    QW_UNROLL for (int r = 0; r < kRows; r++) rows[r] = args.data + (first + r < args.rows ? first + r : args.rows - 1) * args.row_bytes;
    float sums[kTokens * kRows];
    QW_UNROLL for (int i = 0; i < kTokens * kRows; i++) sums[i] = 0;
    if constexpr (kIsFloat<kType>) {
      multiply_float_rows<kType, kTokens, kRows, Shape::kPieces>(rows, args.source.columns, inputs, sums);
    } else {
      multiply_integer_rows<kType, kTokens, kRows, Shape::kPieces>(rows, args.source.columns / kGroup, args.integers.sets, inputs, sums);
    }
    write_sums<kTokens, kRows>(args.results, first, args.rows, args.tokens, sums);
  }
}

int64_t shared_bytes(const Backend& backend, int32_t type, int64_t columns, int64_t tokens) {
  if (is_float(type)) {
    const int64_t of_piece = type == kF32 ? 4 : 8;
    return times(divide_up(columns, of_piece) * of_piece * 4, tile_tokens(tokens));
  }
  return times(columns / kGroup * kSharedOfGroup, tile_tokens(tokens) * (backend.fine ? 2 : 1));
}

template <int kTokens>
void launch_few(Backend& backend, int32_t type, GemvArgs& args, int64_t shared) {
  with_type(type, [&](auto t) {
    constexpr int kType = decltype(t)::value;
    // Whole rounds over the rows: the last one is not left to a few warps.
    const Context& context = *backend.context;
    const int64_t most = context.info.processors * (2 * (shared + kSharedBeside) <= context.info.shared_bytes ? 2 : 1);
    const int64_t needed = divide_up(args.rows, kWarps * WarpShape<kType, kTokens, true>::kRows);
    args.blocks = divide_up(needed, divide_up(needed, most));
    launch_early(context.stream, context.info.early, "multiply_few", multiply_few<kType, kTokens>, args.blocks, 1, kThreads, shared, args);
  });
}

}  // namespace

bool gemv_fits(const Backend& backend, int32_t type, int64_t columns, int64_t tokens) {
  return tokens <= kFewTokens && shared_bytes(backend, type, columns, tokens) + kSharedBeside <= backend.context->info.shared_bytes;
}

// A block rounds 1024 columns in about 250 cycles. Up to 8 times that is less than what a kernel more takes on a device that begins kernels
// early (about 1.5 us).
bool gemv_rounds(const Backend& backend, int64_t columns, int64_t tokens) { return columns * tokens * (backend.fine ? 2 : 1) <= 8192; }

void gemv(Backend& backend, const Segment& run, const RowSource& source, const Integers& integers, int64_t tokens, const Results& results) {
  GemvArgs args{run.data, run.row_bytes, run.rows, 0, source, integers, static_cast<int32_t>(tokens), results};
  if (integers.q == nullptr) args.integers.sets = backend.fine ? 2 : 1;
  const int64_t shared = shared_bytes(backend, run.type, source.columns, tokens);
  switch (tile_tokens(tokens)) {
    case 1: return launch_few<1>(backend, run.type, args, shared);
    case 4: return launch_few<4>(backend, run.type, args, shared);
    default: return launch_few<kFewTokens>(backend, run.type, args, shared);
  }
}

}  // namespace qw::cuda
