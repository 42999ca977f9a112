#include "cuda/gemm.h"
namespace qw::cuda {
bool hopper_usable(Backend&) { return true; }
void multiply_hopper(Backend& b, const GemmActivations& x, const GemmProduct& p) { multiply_mma(b, x, p); }
}
