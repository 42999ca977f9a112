#include "cuda/gemm_int8_kernel.h"

namespace qw::cuda {

template bool multiply_tiles<IntegerTile::kWide>(const Stream& stream, int64_t shared_bytes, int64_t processors, IntegerProduct product);

}  // namespace qw::cuda
