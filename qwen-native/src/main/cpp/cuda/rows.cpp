// Operations that go row by row.
#include <algorithm>

#include "cuda/formats.h"
#include "cuda/ops.h"
#include "cuda/steps.h"

namespace qw::cuda {
namespace {

constexpr int kThreads = 256;
// Columns that a block takes of a row in operations element by element.
constexpr int kBlockColumns = 1024;
constexpr int64_t kMostRows = 65535;  // of a grid's second dimension

// A block decodes the row of a token, if it is among the rows of this run.
template <int kType>
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) embed_rows(Segment run, int64_t columns, const int32_t* ids, float* x) {
  const int64_t row = ids[block_x()] - run.first_row;
  if (row < 0 || row >= run.rows) return;
  const uint8_t* from = run.data + row * run.row_bytes;
  float* to = x + block_x() * columns;
  if constexpr (kIsFloat<kType>) {
    for (int64_t i = thread_index(); i < columns; i += kThreads) {
      if constexpr (kType == kF32) to[i] = reinterpret_cast<const float*>(from)[i];
      if constexpr (kType == kF16) to[i] = from_half(reinterpret_cast<const uint16_t*>(from)[i]);
      if constexpr (kType == kBF16) to[i] = from_bf16(reinterpret_cast<const uint16_t*>(from)[i]);
    }
  } else {
    using F = Format<kType>;
    const RowPlaces<kType> places(columns / kGroup);
    for (int64_t group = thread_index(); group < columns / kGroup; group += kThreads) {
      Decoded d;
      decode<kType>(from, places, group, d);
      for (int e = 0; e < kGroup; e++) {
        const int half = F::kHalves ? e / 16 : 0;
        float value = d.scale[half] * static_cast<float>(static_cast<int8_t>(d.words[e / 4] >> 8 * (e % 4)));
        if constexpr (F::kOffset) value += d.offset[half];
        to[group * kGroup + e] = value;
      }
    }
  }
}

QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) norm_rows(const float* x, int64_t columns, const float* gain, float epsilon, float* y) {
  QW_SHARED float sums[kThreads / kLanes];
  const float* from = x + block_x() * columns;
  float* to = y + block_x() * columns;
  float sum = 0;
  for (int64_t i = thread_index(); i < columns; i += kThreads) sum = fma(from[i], from[i], sum);
  sum = sum_of_lanes(sum);
  if (lane_index() == 0) sums[thread_index() / kLanes] = sum;
  barrier();
  float total = 0;
  for (int i = 0; i < kThreads / kLanes; i++) total += sums[i];
  const float scale = inverse_root(total / static_cast<float>(columns) + epsilon);
  for (int64_t i = thread_index(); i < columns; i += kThreads) to[i] = from[i] * scale * gain[i];
}

QW_DEVICE float sigmoid(float x) { return 1.f / (1.f + exponential(-x)); }

struct Elementwise {
  const float* a;
  int64_t a_stride;
  const float* b;
  float* to;
  int64_t rows;
  int64_t columns;
};

struct SwiGlu {
  static QW_DEVICE float value(const Elementwise& args, int64_t row, int64_t column) {
    const float gate = args.a[row * args.a_stride + column];
    return gate / (1.f + exponential(-gate)) * args.a[row * args.a_stride + args.columns + column];
  }
};
struct SigmoidGate {
  static QW_DEVICE float value(const Elementwise& args, int64_t row, int64_t column) {
    return args.a[row * args.a_stride + column] * sigmoid(args.b[row]);
  }
};
struct Relu {
  static QW_DEVICE float value(const Elementwise& args, int64_t row, int64_t column) {
    const float a = args.a[row * args.a_stride + column];
    return a < 0 ? 0 : a;
  }
};

template <class Operation>
QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) element_by_element(Elementwise args) {
  for (int64_t row = block_y(); row < args.rows; row += kMostRows) {
    for (int64_t i = block_x() * kBlockColumns + thread_index(); i < args.columns && i < (block_x() + 1) * kBlockColumns; i += kThreads) {
      args.to[row * args.columns + i] = Operation::value(args, row, i);
    }
  }
}

template <class Operation>
void launch_elements(Backend& backend, const char* name, const Elementwise& args) {
  if (args.rows == 0) return;
  launch(backend.context->stream, name, element_by_element<Operation>, divide_up(args.columns, kBlockColumns), std::min(args.rows, kMostRows), 1,
         kThreads, args);
}

QW_KERNEL QW_LAUNCH_BOUNDS(kThreads) gather_rows(const float* x, int64_t columns, const int32_t* rows, float* out) {
  const float* from = x + rows[block_x()] * columns;
  for (int64_t i = thread_index(); i < columns; i += kThreads) out[block_x() * columns + i] = from[i];
}

}  // namespace

SentBatch send_batch(Backend& backend, const BatchView& batch) {
  if (const SentBatch* prepared = backend.steps->batch(batch)) return *prepared;
  std::vector<int32_t>& ints = backend.ints;
  ints.assign(batch.ids, batch.ids + batch.tokens);
  ints.insert(ints.end(), batch.slots, batch.slots + batch.tokens);
  ints.insert(ints.end(), batch.output_rows, batch.output_rows + batch.outputs);
  const int64_t pages_at = static_cast<int64_t>(ints.size());
  ints.insert(ints.end(), batch.page_tables, batch.page_tables + batch.sequences * batch.page_stride);
  const int32_t* sent = backend.batch.send(backend.context, ints);
  return {sent, sent + batch.tokens, sent + 2 * batch.tokens, sent + pages_at, batch.page_stride};
}

void embed(Backend& backend, const Weight& table, const BatchView& batch, Buffer& x) {
  check_rows(x, batch.tokens, table.columns, "x does not fit the embedding");
  for (int64_t t = 0; t < batch.tokens; t++) {
    require(batch.ids[t] >= 0 && batch.ids[t] < table.rows, "a token id lies outside the embedding");
  }
  for (const ColumnOrder& order : table.orders) require(order.empty(), "the columns of an embedding have another order");
  if (batch.tokens == 0) return;
  backend.steps->limit_ids(table.rows);
  const SentBatch sent = send_batch(backend, batch);
  float* to = x.write(batch.tokens);
  for (const Segment& run : table.runs) {
    with_type(run.type, [&](auto t) {
      launch(backend.context->stream, "embed", embed_rows<decltype(t)::value>, batch.tokens, 1, 1, kThreads, run, table.columns, sent.ids, to);
    });
  }
}

void rms_norm(Backend& backend, Buffer& x, int64_t rows, Buffer& gain, float epsilon, Buffer& y) {
  check_rows(x, rows, gain.columns, "x does not fit the norm");
  check_rows(y, rows, gain.columns, "y does not fit the norm");
  require(!gain.discarded && gain.rows == 1, "the gain of a norm is one row");
  if (rows == 0) return;
  const float* from = x.read(rows);
  const float* factors = gain.read(1);
  launch(backend.context->stream, "rms_norm", norm_rows, rows, 1, 1, kThreads, from, gain.columns, factors, epsilon, y.write(rows));
}

void swiglu(Backend& backend, Buffer& x, int64_t rows, Buffer& out) {
  check_rows(x, rows, 2 * out.columns, "x does not fit the gated unit");
  check_rows(out, rows, out.columns, "out does not fit the gated unit");
  const float* from = x.read(rows);
  launch_elements<SwiGlu>(backend, "swiglu", {from, x.columns, nullptr, out.write(rows), rows, out.columns});
}

void sigmoid_gate(Backend& backend, Buffer& x, int64_t rows, Buffer& gate) {
  check_rows(x, rows, x.columns, "x has no such rows");
  check_rows(gate, rows, 1, "the gate does not fit x");
  const float* gates = gate.read(rows);
  float* values = x.change(rows);
  launch_elements<SigmoidGate>(backend, "sigmoid_gate", {values, x.columns, gates, values, rows, x.columns});
}

void relu(Backend& backend, Buffer& x, int64_t rows) {
  check_rows(x, rows, x.columns, "x has no such rows");
  float* values = x.change(rows);
  launch_elements<Relu>(backend, "relu", {values, x.columns, nullptr, values, rows, x.columns});
}

void gather_outputs(Backend& backend, Buffer& x, const BatchView& batch, Buffer& out) {
  check_rows(x, batch.tokens, out.columns, "x does not fit the outputs");
  check_rows(out, batch.outputs, x.columns, "out does not fit the outputs");
  for (int64_t r = 0; r < batch.outputs; r++) {
    require(batch.output_rows[r] >= 0 && batch.output_rows[r] < batch.tokens, "an output row lies outside the batch");
  }
  if (batch.outputs == 0) return;
  const SentBatch sent = send_batch(backend, batch);
  const float* from = x.read(batch.tokens);
  launch(backend.context->stream, "gather_outputs", gather_rows, batch.outputs, 1, 1, kThreads, from, x.columns, sent.output_rows,
         out.write(batch.outputs));
}

}  // namespace qw::cuda
