#include <cstring>

#include "cpu/attention.h"

namespace qw {
namespace {

// A part of a run, for one head.
struct SparsePiece {
  int64_t run;
  int64_t head;
  int64_t block_begin;
  int64_t block_end;
};

int64_t up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// Places of the `count` largest of `size` values, ascending; of equal ones the first. The first `sure` are among them.
void largest(float* values, int64_t size, int64_t sure, int64_t count, int32_t* order, int32_t* out) {
  for (int64_t i = 0; i < size; i++) order[i] = static_cast<int32_t>(i);
  for (int64_t i = 0; i < std::min(sure, size); i++) values[i] = __builtin_inff();
  const auto heavier = [&](int32_t a, int32_t b) { return values[a] != values[b] ? values[a] > values[b] : a < b; };
  std::nth_element(order, order + count - 1, order + size, heavier);
  std::sort(order, order + count);
  std::copy(order, order + count, out);
}

// Scratch of a worker that chooses keys for runs of at most n keys.
struct ChoosingScratch {
  int64_t query_floats;
  int64_t head_size;
  int64_t length;
  int64_t skewed_floats = kAttendRows * (kAttendRows + kKeysPerPanel);
  int64_t column_floats = length + kKeysPerPanel;
  int64_t diagonal_floats = length + kAttendRows + kKeysPerPanel;

  int64_t floats() const {
    return up(query_floats + part_floats(head_size) + skewed_floats + column_floats + diagonal_floats + length, 16);
  }
};

// The columns of a run and head, gathered into panels; and what a block needs to attend to them. Sizes are those of the largest run.
struct GatheredScratch {
  int64_t query_floats;
  int64_t head_size;
  int64_t cache_panels;
  int64_t panels;  // of gathered keys

  int64_t floats() const {
    return up(query_floats + part_floats(head_size) + 2 * cache_panels + panels * (2 * kKeysPerPanel * head_size + 2 * kKeysPerPanel + 2), 16);
  }
};

struct BlockKeys {
  int32_t* touched;  // [cache panels]: 1 where a diagonal touches
  int32_t* panels;   // [cache panels]
  float* keys;
  float* values;
  float* hidden;
  int32_t* positions;
  int32_t* counts;
  int32_t* gathered;
  int64_t gathered_panels = 0;

  BlockKeys(const GatheredScratch& size, float* at) {
    touched = reinterpret_cast<int32_t*>(at);
    panels = touched + size.cache_panels;
    keys = reinterpret_cast<float*>(panels + size.cache_panels);
    values = keys + size.panels * kKeysPerPanel * size.head_size;
    hidden = values + size.panels * kKeysPerPanel * size.head_size;
    positions = reinterpret_cast<int32_t*>(hidden + size.panels * kKeysPerPanel);
    counts = positions + size.panels * kKeysPerPanel;
    gathered = counts + size.panels;
  }
};

// Panels do not cross the borders of the ranges, so that one rotation of the queries holds for each.
void gather(const AttentionCall& call, const AttendArgs& args, const int32_t* columns, int64_t count, BlockKeys& keys) {
  const int64_t chunk = call.shape.chunk_length;
  const auto range = [&](int64_t position) { return chunk == 0 ? 0 : std::min<int64_t>(2, args.chunk_begin / chunk - position / chunk); };
  for (int64_t i = 0; i < count;) {
    int64_t end = i + 1;
    while (end < count && end - i < kKeysPerPanel && range(columns[end]) == range(columns[i])) end++;
    const int64_t panel = keys.gathered_panels++;
    const int64_t at = panel * kKeysPerPanel;
    std::copy(columns + i, columns + end, keys.positions + at);
    keys.counts[panel] = static_cast<int32_t>(end - i);
    call.backend.table.gather_keys(args, columns + i, end - i, keys.keys + at * call.shape.head_size, keys.values + at * call.shape.head_size);
    i = end;
  }
}

// The keys of the block of tokens at the positions begin .. end - 1.
ChosenKeys keys_of_block(const int32_t* diagonals, int64_t diagonal_count, bool all, int64_t begin, int64_t end, BlockKeys& keys) {
  const int64_t panels = (end + kKeysPerPanel - 1) / kKeysPerPanel;
  std::fill_n(keys.touched, panels, all ? 1 : 0);
  for (int64_t i = 0; i < diagonal_count && diagonals[i] < end; i++) {
    const int64_t first = std::max<int64_t>(0, begin - diagonals[i]) / kKeysPerPanel;
    const int64_t last = (end - 1 - diagonals[i]) / kKeysPerPanel;
    for (int64_t p = first; p <= last; p++) keys.touched[p] = 1;
  }
  ChosenKeys chosen{};
  for (int64_t p = 0; p < panels; p++) {
    keys.panels[chosen.panel_count] = static_cast<int32_t>(p);
    chosen.panel_count += keys.touched[p];
  }
  for (int64_t p = 0; p < keys.gathered_panels; p++) {
    bool seen = false;
    for (int64_t i = 0; i < keys.counts[p]; i++) {
      const int64_t at = p * kKeysPerPanel + i;
      const bool hide = keys.positions[at] >= begin || keys.touched[keys.positions[at] / kKeysPerPanel] != 0;
      keys.hidden[at] = hide ? -__builtin_inff() : 0.f;
      seen |= !hide;
    }
    if (seen) keys.gathered[chosen.gathered_count++] = static_cast<int32_t>(p);
  }
  chosen.panels = keys.panels;
  chosen.gathered = keys.gathered;
  chosen.keys = keys.keys;
  chosen.values = keys.values;
  chosen.hidden = keys.hidden;
  chosen.positions = keys.positions;
  chosen.counts = keys.counts;
  return chosen;
}

int64_t run_length(const AttentionCall& call, const Run& run) { return int64_t{call.batch.cached[run.sequence]} + run.end; }

int64_t longest_run(const AttentionCall& call, const ChoiceView& choice) {
  int64_t longest = 0;
  for (int64_t r = 0; r < choice.runs; r++) longest = std::max(longest, run_length(call, choice.run[r]));
  return longest;
}

void check_pages(const AttentionCall& call) {
  require(call.kv.page_tokens % kKeysPerPanel == 0, "sparse attention needs pages of whole panels of 16 tokens");
}

}  // namespace

void choose_keys(const AttentionCall& call, const ChoiceView& choice) {
  check_pages(call);
  for (int64_t h = 0; h < choice.heads; h++) {
    const int32_t* budget = choice.budgets + 2 * h;
    require(budget[0] >= kSureColumns && budget[0] <= choice.most_columns && budget[1] >= kSureDiagonals && budget[1] <= choice.most_diagonals,
            "a budget of the choice is out of its range");
  }
  const ChoosingScratch size{call.query_floats(), call.shape.head_size, longest_run(call, choice)};
  call.backend.attend_scratch.grow(times(call.backend.pool.threads(), times(size.floats(), 4)));
  call.backend.pool.each(choice.runs * choice.heads, [&](int64_t i, int worker) {
    const int64_t head = i % choice.heads;
    const Run& run = choice.run[i / choice.heads];
    const int64_t length = run_length(call, run);
    const int64_t queries = std::min<int64_t>(kChoosingQueries, run.end - run.begin);
    const int64_t distances = length - queries + 1;
    const int64_t columns = choice.budgets[2 * head];
    const int64_t diagonals = choice.budgets[2 * head + 1];
    int32_t* found = choice.choice(i / choice.heads, head);
    if (length < kShortestSparse || columns >= length || diagonals >= distances) {
      found[0] = -1;
      found[1] = 0;
      return;
    }
    float* scratch = reinterpret_cast<float*>(call.backend.attend_scratch.data()) + worker * size.floats();
    float* part = scratch + size.query_floats;
    KeyWeights weights;
    weights.skewed = part + part_floats(size.head_size);
    weights.columns = weights.skewed + size.skewed_floats;
    weights.diagonals = weights.columns + size.column_floats;
    int32_t* order = reinterpret_cast<int32_t*>(weights.diagonals + size.diagonal_floats);
    const AttendArgs args = call.args(run.sequence, run.end - queries, run.end, head, head + 1, scratch);
    call.backend.table.weigh_keys(args, weights, part_at(part, size.head_size));
    found[0] = static_cast<int32_t>(columns);
    found[1] = static_cast<int32_t>(diagonals);
    largest(weights.columns, length, kSureColumns, columns, order, found + 2);
    // By ascending distance; those beyond `distances` did not have all queries.
    std::reverse(weights.diagonals, weights.diagonals + length);
    largest(weights.diagonals, distances, kSureDiagonals, diagonals, order, found + 2 + choice.most_columns);
  });
}

void attend_sparse(const AttentionCall& call, const ChoiceView& choice) {
  if (choice.runs == 0) return;
  check_pages(call);
  int64_t most_columns = 0;
  int64_t blocks = 0;
  for (int64_t r = 0; r < choice.runs; r++) {
    blocks += (choice.run[r].end - choice.run[r].begin + kBlockTokens - 1) / kBlockTokens;
    for (int64_t h = 0; h < choice.heads; h++) {
      choice.check_choice(r, h, run_length(call, choice.run[r]));
      most_columns = std::max<int64_t>(most_columns, choice.choice(r, h)[0]);
    }
  }
  // Gathering costs as much as a tenth of a block, so a piece has several blocks if there are enough pieces without.
  const int64_t wanted = 4 * call.backend.pool.threads();
  const int64_t blocks_each = std::max<int64_t>(1, blocks * choice.heads / wanted);
  std::vector<SparsePiece> pieces;
  for (int64_t r = 0; r < choice.runs; r++) {
    const int64_t count = (choice.run[r].end - choice.run[r].begin + kBlockTokens - 1) / kBlockTokens;
    for (int64_t h = 0; h < choice.heads; h++) {
      for (int64_t b = 0; b < count; b += blocks_each) pieces.push_back({r, h, b, std::min(count, b + blocks_each)});
    }
  }
  const int64_t cache_panels = (longest_run(call, choice) + kKeysPerPanel - 1) / kKeysPerPanel;
  // Two panels more than full ones: the ranges of dual chunk attention end with panels that are not full.
  const GatheredScratch size{call.query_floats(), call.shape.head_size, cache_panels, most_columns / kKeysPerPanel + kQueryRanges};
  call.backend.attend_scratch.grow(times(call.backend.pool.threads(), times(size.floats(), 4)));
  call.backend.pool.each(static_cast<int64_t>(pieces.size()), [&](int64_t i, int worker) {
    const SparsePiece& piece = pieces[static_cast<size_t>(i)];
    const Run& run = choice.run[piece.run];
    const int32_t* found = choice.choice(piece.run, piece.head);
    float* scratch = reinterpret_cast<float*>(call.backend.attend_scratch.data()) + worker * size.floats();
    const AttendPart part = part_at(scratch + size.query_floats, size.head_size);
    BlockKeys keys(size, scratch + size.query_floats + part_floats(size.head_size));
    for (int64_t block = piece.block_begin; block < piece.block_end; block++) {
      const int64_t begin = run.begin + block * kBlockTokens;
      const int64_t end = std::min<int64_t>(run.end, begin + kBlockTokens);
      const AttendArgs args = call.args(run.sequence, begin, end, piece.head, piece.head + 1, scratch);
      if (block == piece.block_begin && found[0] > 0) gather(call, args, found + 2, found[0], keys);
      const int64_t cached = call.batch.cached[run.sequence];
      const ChosenKeys chosen =
          keys_of_block(found + 2 + choice.most_columns, found[1], found[0] < 0, cached + begin, cached + end, keys);
      call.backend.table.attend_chosen(args, chosen, part);
      call.finish(run.sequence, begin, piece.head, args, part);
    }
  });
}

}  // namespace qw
