// How the rows of a piece of attention are taken.

namespace qw::QW_TARGET::fp {

// Largest tiles of rows (and of 16 elements side by side): sums, what they are fed with and one broadcast fill the registers.
#if defined(__AVX512F__)
constexpr int kScoreRows = 8, kSumRows = 4, kSumColumns = 4;
#elif defined(__AVX2__)
constexpr int kScoreRows = 6, kSumRows = 6, kSumColumns = 1;
#else
constexpr int kScoreRows = 2, kSumRows = 1, kSumColumns = 2;
#endif

// Tiles of at most kMost rows and even size: 7 rows as 4 and 3, since small tiles wait for the latency of their sums.
template <int64_t kMost, class Fn>
QW_LANES void for_tiles(int64_t rows, Fn fn) {
  const int64_t tiles = (rows + kMost - 1) / kMost;
  int64_t row = 0;
  for (int64_t i = 1; i <= tiles; i++) {
    const int64_t end = rows * i / tiles;
    fn(row, end - row);
    row = end;
  }
}

}  // namespace qw::QW_TARGET::fp
