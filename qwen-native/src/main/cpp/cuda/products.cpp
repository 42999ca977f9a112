// Linear layers: which kernels compute them, and on what.
#include <algorithm>

#include "cuda/gemm.h"
#include "cuda/gemm_int8.h"
#include "cuda/gemv.h"
#include "cuda/multiply.h"
#include "cuda/ops.h"
#include "cuda/quantize.h"

namespace qw::cuda {
namespace {

// The products of one run with any number of tokens.
void multiply_run(Backend& backend, const Segment& run, const float* x, const Integers& integers, int64_t columns, int64_t rows,
                  const Results& results) {
  const int tokens = tile_tokens(rows);
  // A grid has at most kMostTiles tiles of tokens.
  for (int64_t t = 0; t < rows; t += kMostTiles * tokens) {
    const int64_t of_part = std::min(rows - t, kMostTiles * tokens);
    MultiplyArgs args{run.data, run.row_bytes, run.rows, columns, of_part, x + t * columns, integers, results, nullptr, nullptr};
    args.results.y += t * results.y_stride;
    if (integers.q != nullptr) {
      args.integers.q += t * columns;
      args.integers.scale += t * (columns / kGroup);
      args.integers.sum16 += t * (columns / kGroup) * 2;
    }
    multiply(backend, run.type, args, run.rows, divide_up(args.tokens, tokens), tokens);
  }
}

// The products of all runs. Normed rows have room in a block, for all runs; gated ones are for quantized runs alone.
void multiply_runs(Backend& backend, RowSource source, int64_t rows, const Weight& w, const Results& results) {
  Integers integers{};
  int32_t order = -1;
  Gemm gemm(backend, source.x, rows, w.columns);
  IntegerGemm integer_gemm(backend, w, source.x, rows);
  for (const Segment& run : w.runs) {
    const bool fits = gemv_fits(backend, run.type, w.columns, rows);
    Results of_run = results;
    of_run.y += run.first_row;
    if (of_run.bias != nullptr) of_run.bias += run.first_row;
    if (source.kind == kPlainRow) {
      const int32_t* columns = order_on_device(backend, w, run.order);
      if (gemm.multiply(run, columns, of_run.bias, results.add, of_run.y, results.y_stride)) continue;
      if (integer_gemm.multiply(run, of_run.bias, results.add, of_run.y, results.y_stride)) continue;
    }
    if (is_float(run.type)) {
      source.order = nullptr;
    } else if (fits && source.kind != kGatedRow && gemv_rounds(backend, w.columns, rows)) {
      source.order = order_on_device(backend, w, run.order);
    } else if (run.order != order) {
      order = run.order;
      integers = quantize(backend, source, w, order, rows);
    }
    if (fits) {
      gemv(backend, run, source, integers, rows, of_run);
    } else {
      multiply_run(backend, run, source.x, integers, w.columns, rows, of_run);
    }
  }
}

void check_linear(const Buffer& x, int64_t rows, const Weight& w, const Buffer* bias, const Buffer& y) {
  check_rows(x, rows, w.columns, "x does not fit the rows of a linear layer");
  check_rows(y, rows, w.rows, "y does not fit the rows of a linear layer");
  require(&x != &y, "a linear layer cannot write over its input");
  if (bias != nullptr) check_rows(*bias, 1, w.rows, "the bias does not fit the linear layer");
}

}  // namespace

void linear(Backend& backend, Buffer& x, int64_t rows, const Weight& w, Buffer* bias, bool add, Buffer& y) {
  check_linear(x, rows, w, bias, y);
  require(!add || bias == nullptr, "a linear layer adds either a bias or what is there");
  if (rows == 0) return;
  const float* from = x.read(rows);
  const float* added = bias == nullptr ? nullptr : bias->read(1);
  multiply_runs(backend, plain_rows(from, w.columns), rows, w, {added, add ? y.change(rows) : y.write(rows), w.rows, add});
}

void norm_linear(Backend& backend, Buffer& x, int64_t rows, Buffer& gain, float epsilon, Buffer& normed, const Weight& w, Buffer* bias,
                 Buffer& y) {
  check_norm(x, rows, gain, normed);
  check_linear(normed, rows, w, bias, y);
  require(&x != &normed && &x != &y, "a norm before a linear layer does not write over its input");
  const auto has_room = [&](const Segment& run) { return gemv_fits(backend, run.type, w.columns, rows); };
  const bool fits = std::all_of(w.runs.begin(), w.runs.end(), has_room);
  if (!fits) {
    rms_norm(backend, x, rows, gain, epsilon, normed);
    return linear(backend, normed, rows, w, bias, false, y);
  }
  if (rows == 0) return;
  RowSource source = plain_rows(x.read(rows), w.columns);
  source.kind = kNormedRow;
  source.gain = gain.read(1);
  source.epsilon = epsilon;
  const float* added = bias == nullptr ? nullptr : bias->read(1);
  multiply_runs(backend, source, rows, w, {added, y.write(rows), w.rows, false});
}

// Each block of the product would compute all gated values: for 18944 of them in 264 blocks that is 38,000 exponentials a processor, about
// 7 us, where a kernel of its own takes 2. So they are rounded as they are computed, and the product finds integers.
void swiglu_linear_add(Backend& backend, Buffer& x, int64_t rows, Buffer& gated, const Weight& w, Buffer& y) {
  check_swiglu(x, rows, gated);
  check_linear(gated, rows, w, nullptr, y);
  require(&x != &y, "a linear layer cannot write over its input");
  const bool integers = std::none_of(w.runs.begin(), w.runs.end(), [](const Segment& run) { return is_float(run.type); });
  if (rows > kFewTokens || !integers) {
    swiglu(backend, x, rows, gated);
    return linear(backend, gated, rows, w, nullptr, true, y);
  }
  if (rows == 0) return;
  RowSource source = plain_rows(x.read(rows), w.columns);
  source.kind = kGatedRow;
  multiply_runs(backend, source, rows, w, {nullptr, y.change(rows), w.rows, true});
}

}  // namespace qw::cuda
