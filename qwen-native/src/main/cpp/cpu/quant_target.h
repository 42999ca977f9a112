// The vectors and dot products that the instructions of this translation unit allow.
#pragma once

#if defined(__AVX512VNNI__)
#include "cpu/quant_dot_vnni.h"
#elif defined(__AVX512BW__)
#include "cpu/quant_dot_avx512.h"
#elif defined(__AVX2__)
#include "cpu/quant_dot_avx2.h"
#else
#include "cpu/quant_dot_sse2.h"
#endif
