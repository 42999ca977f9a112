// y = x / sqrt(mean(x^2) + epsilon) * gain, row by row; x and y may be the same.

namespace qw::QW_TARGET::fp {

static void rms_norm(const float* x, int64_t rows, int64_t columns, const float* gain, float epsilon, float* y) {
  for (int64_t t = 0; t < rows; t++, x += columns, y += columns) {
    Lanes squares = zero();
    int64_t c = 0;
    for (; c + 16 <= columns; c += 16) {
      const Lanes a = load(x + c);
      squares = fma(a, a, squares);
    }
    float total = sum(squares);
    for (int64_t i = c; i < columns; i++) total += x[i] * x[i];
    const float factor = 1.f / __builtin_sqrtf(total / static_cast<float>(columns) + epsilon);
    const Lanes scale = all(factor);
    for (c = 0; c + 16 <= columns; c += 16) store(y + c, mul(mul(load(x + c), scale), load(gain + c)));
    for (; c < columns; c++) y[c] = x[c] * factor * gain[c];
  }
}

}  // namespace qw::QW_TARGET::fp
