// out = gate / (1 + e^-gate) * up

namespace qw::QW_TARGET::fp {

QW_LANES Lanes gated(Lanes gate, Lanes up) { return mul(div(gate, add(all(1.f), exp(sub(zero(), gate)))), up); }

static void swiglu(const float* gate, const float* up, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) store(out + i, gated(load(gate + i), load(up + i)));
  if (i == count) return;
  float a[16] = {}, b[16] = {};
  const int64_t rest = count - i;
  for (int64_t j = 0; j < rest; j++) {
    a[j] = gate[i + j];
    b[j] = up[i + j];
  }
  store(a, gated(load(a), load(b)));
  for (int64_t j = 0; j < rest; j++) out[i + j] = a[j];
}

}  // namespace qw::QW_TARGET::fp
