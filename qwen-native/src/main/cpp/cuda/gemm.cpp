// What goes before the products of gemm.h: activations in 16 bits, quantized weights in BF16, and the choice of a kernel.
#include "cuda/gemm.h"

#include <algorithm>

#include "cuda/formats.h"
#include "cuda/integers.h"
#include "cuda/ops.h"
#include "cuda/tensor.h"

namespace qw::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kLanes;
constexpr int kPiece = 8;  // columns of 16 bytes

struct RoundArgs {
  const float* x;
  const int32_t* order;  // columns of x are taken in it, unless it is null
  int64_t tokens;
  int64_t columns;
  uint16_t* values;
  float* scale;
  int32_t passes;
  int32_t tiles;
};

// Columns 8 piece .. 8 piece + 7 of a row, zeros behind its end.
QW_DEVICE void load_piece(const RoundArgs& args, const float* row, int64_t piece, float (&values)[kPiece]) {
  const int64_t begin = piece * kPiece;
  if (args.order == nullptr && args.columns % 4 == 0 && begin + kPiece <= args.columns) {
    const Words4 a = load4(row + begin), b = load4(row + begin + 4);
    const uint32_t words[kPiece] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
    QW_UNROLL
    for (int i = 0; i < kPiece; i++) values[i] = float_of(words[i]);
    return;
  }
  QW_UNROLL
  for (int i = 0; i < kPiece; i++) {
    const int64_t column = begin + i;
    values[i] = column >= args.columns ? 0.f : row[args.order == nullptr ? column : args.order[column]];
  }
}

// What is rounded, and in the second section what that leaves over; beside an infinity or a NaN nothing.
template <bool kHalf>
QW_DEVICE void store_piece(const RoundArgs& args, int64_t token, int64_t piece, float (&values)[kPiece]) {
  const int64_t section = int64_t{args.tiles} * kGemmColumns;
  uint16_t* to = args.values + token * args.passes * section + piece * kPiece;
  for (int pass = 0; pass < args.passes; pass++) {
    uint32_t words[kPiece / 2];
    QW_UNROLL
    for (int i = 0; i < kPiece / 2; i++) {
      words[i] = kHalf ? pack_half(values[2 * i], values[2 * i + 1]) : pack_bf16(values[2 * i], values[2 * i + 1]);
      QW_UNROLL
      for (int k = 0; k < 2; k++) {
        const uint16_t bits = static_cast<uint16_t>(words[i] >> 16 * k);
        const float rounded = kHalf ? from_half(bits) : from_bf16(bits);
        float& value = values[2 * i + k];
        value = rounded - rounded == 0.f ? value - rounded : 0.f;
      }
    }
    store4(to + pass * section, {words[0], words[1], words[2], words[3]});
  }
}

// A thread rounds 8 columns to BF16.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) round_to_bf16(RoundArgs args) {
  const int64_t pieces = int64_t{args.tiles} * (kGemmColumns / kPiece), at = block_x() * kThreads + thread_index();
  if (at >= args.tokens * pieces) return;
  float values[kPiece];
  load_piece(args, args.x + at / pieces * args.columns, at % pieces, values);
  store_piece<false>(args, at / pieces, at % pieces, values);
}

// A block rounds a row to F16. Its values are multiplied with the power of two that brings the largest to 2^13 .. 2^14, so none overflows
// and all down to 2^-27 of it keep 11 bits; sums are multiplied with the inverse, exactly. Infinities and NaN do not count.
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) round_to_half(RoundArgs args) {
  QW_SHARED float largest_of_warps[kWarps];
  const int64_t pieces = int64_t{args.tiles} * (kGemmColumns / kPiece), token = block_x();
  const float* row = args.x + token * args.columns;
  float values[kPiece], largest = 0;
  for (int64_t piece = thread_index(); piece < pieces; piece += kThreads) {
    load_piece(args, row, piece, values);
    QW_UNROLL
    for (int i = 0; i < kPiece; i++) largest = larger(largest, values[i] - values[i] == 0.f ? magnitude(values[i]) : 0.f);
  }
  largest = largest_of_lanes(largest);
  if (lane_index() == 0) largest_of_warps[thread_index() / kLanes] = largest;
  barrier();
  for (int i = 0; i < kWarps; i++) largest = larger(largest, largest_of_warps[i]);
  // The exponent of 2^shift; the inverse is no subnormal number.
  const int exponent = static_cast<int>(bits_of(largest) >> 23) - 127, shift = largest == 0.f ? 0 : 13 - exponent < 126 ? 13 - exponent : 126;
  const float scale = float_of(static_cast<uint32_t>(127 + shift) << 23);
  for (int64_t piece = thread_index(); piece < pieces; piece += kThreads) {
    load_piece(args, row, piece, values);
    QW_UNROLL
    for (int i = 0; i < kPiece; i++) values[i] *= scale;
    store_piece<true>(args, token, piece, values);
  }
  if (thread_index() == 0) args.scale[token] = float_of(static_cast<uint32_t>(127 - shift) << 23);
}

struct DecodeArgs {
  const uint8_t* data;
  int64_t row_bytes;
  int64_t rows;
  int64_t groups;
  uint16_t* to;
};

// A thread decodes 32 columns to BF16.
template <int kType>
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) decode_rows(DecodeArgs args) {
  using F = Format<kType>;
  const int64_t at = block_x() * kThreads + thread_index();
  if (at >= args.rows * args.groups) return;
  Decoded d;
  decode<kType>(args.data + at / args.groups * args.row_bytes, RowPlaces<kType>(args.groups), at % args.groups, d);
  uint32_t words[kGroup / 2];
  QW_UNROLL
  for (int i = 0; i < kGroup / 2; i++) {
    const int half = F::kHalves ? i / 8 : 0;
    const auto value = [&](int byte) {
      const float code = static_cast<float>(static_cast<int8_t>(d.words[i / 2] >> 8 * byte));
      return F::kOffset ? fma(d.scale[half], code, d.offset[half]) : d.scale[half] * code;
    };
    words[i] = pack_bf16(value(i % 2 * 2), value(i % 2 * 2 + 1));
  }
  QW_UNROLL
  for (int i = 0; i < kGroup / 8; i++) {
    store4(args.to + at * kGroup + 8 * i, {words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]});
  }
}

// Decoding a weight costs its reading and four bytes of memory traffic, 5.8 ms for 7 billion at 3 TB/s: as much as the products of integers are
// slower (400 Tops against 650 TFLOPS) with 512 tokens.
constexpr int64_t kFewestDecodedTokens = 512;
constexpr int64_t kDecodedBytes = int64_t{128} << 20;

// The large products of compute capability 9.0 are twice as fast as those of warps: also where half of the processors have a tile of them.
bool serves_hopper(Backend& backend, int64_t tokens, int64_t rows) {
  const int64_t tiles = divide_up(tokens, 128) * divide_up(rows, 128);
  return tokens >= 128 && 2 * tiles >= backend.context->info.processors && hopper_usable(backend);
}

}  // namespace

Gemm::Gemm(Backend& backend, const float* x, int64_t tokens, int64_t columns) : backend_(backend), x_(x), tokens_(tokens), columns_(columns) {}

const GemmActivations& Gemm::activations(bool half, const int32_t* order) {
  if (rounded_.values != nullptr && half == half_ && order == order_) return rounded_;
  rounded_.tokens = tokens_;
  rounded_.passes = backend_.fine ? 2 : 1;
  rounded_.tiles = static_cast<int32_t>(divide_up(columns_, kGemmColumns));
  const int64_t bytes = times(times(tokens_, rounded_.stride()), 2);
  backend_.rounded.grow(backend_.context, plus(bytes, half ? times(tokens_, 4) : 0));
  rounded_.values = reinterpret_cast<const uint16_t*>(backend_.rounded.data());
  rounded_.scale = half ? reinterpret_cast<const float*>(backend_.rounded.data() + bytes) : nullptr;
  const RoundArgs args{x_,
                       order,
                       tokens_,
                       columns_,
                       reinterpret_cast<uint16_t*>(backend_.rounded.data()),
                       reinterpret_cast<float*>(backend_.rounded.data() + bytes),
                       rounded_.passes,
                       rounded_.tiles};
  const Stream& stream = backend_.context->stream;
  if (half) {
    launch(stream, "round_to_half", round_to_half, tokens_, 1, 1, kThreads, args);
  } else {
    const int64_t pieces = times(tokens_, int64_t{rounded_.tiles} * (kGemmColumns / kPiece));
    launch(stream, "round_to_bf16", round_to_bf16, divide_up(pieces, kThreads), 1, 1, kThreads, args);
  }
  half_ = half;
  order_ = order;
  return rounded_;
}

bool Gemm::multiply(const Segment& run, const int32_t* order, const float* bias, bool add, float* y, int64_t y_stride) {
  const GemmKernel wanted = backend_.gemm_order.kernel;
  if (wanted == GemmKernel::kNone || run.type == kF32 || (wanted == GemmKernel::kChosen && tokens_ <= kFewTokens)) return false;
  const bool hopper = wanted == GemmKernel::kHopper || (wanted == GemmKernel::kChosen && serves_hopper(backend_, tokens_, run.rows));
  GemmProduct product{run.type, run.data, run.row_bytes, run.rows, columns_, bias, y, y_stride, add};
  if (is_float(run.type)) {
    const GemmActivations& x = activations(run.type == kF16, nullptr);
    if (hopper) {
      multiply_hopper(backend_, x, product);
    } else {
      multiply_mma(backend_, x, product);
    }
    return true;
  }
  if (!hopper || backend_.fine || (wanted == GemmKernel::kChosen && tokens_ < kFewestDecodedTokens)) return false;
  product.type = kBF16;
  product.row_bytes = columns_ * 2;
  // Rows for whole waves of tiles.
  const int64_t at_once = std::max<int64_t>(kDecodedBytes / product.row_bytes / 256, 1) * 256, ordered = backend_.gemm_order.decoded_rows;
  const int64_t rows = std::min(run.rows, ordered > 0 ? ordered : at_once);
  if (!reserve_decoded(times(rows, product.row_bytes))) return false;
  product.data = backend_.decoded.data();
  const GemmActivations& x = activations(false, order);
  for (int64_t first = 0; first < run.rows; first += rows) {
    product.rows = std::min(rows, run.rows - first);
    const DecodeArgs args{run.data + first * run.row_bytes, run.row_bytes, product.rows, columns_ / kGroup,
                          reinterpret_cast<uint16_t*>(backend_.decoded.data())};
    with_quantized(run.type, [&](auto t) {
      launch(backend_.context->stream, "decode_rows", decode_rows<decltype(t)::value>, divide_up(args.rows * args.groups, kThreads), 1, 1, kThreads,
             args);
    });
    product.bias = bias == nullptr ? nullptr : bias + first;
    product.y = y + first;
    multiply_hopper(backend_, x, product);
  }
  return true;
}

// Without the memory the products of integers do it, which need none.
bool Gemm::reserve_decoded(int64_t bytes) {
  if (backend_.no_room_to_decode || bytes <= backend_.decoded.bytes()) return !backend_.no_room_to_decode;
  try {
    backend_.decoded = DeviceMemory();
    backend_.decoded = DeviceMemory(backend_.context, bytes);
  } catch (const Failure& failure) {
    if (failure.status() != kOutOfMemory) throw;
    backend_.no_room_to_decode = true;
  }
  return !backend_.no_room_to_decode;
}

}  // namespace qw::cuda
