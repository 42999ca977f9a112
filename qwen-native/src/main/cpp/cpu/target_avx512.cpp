#define QW_TARGET avx512
#include "cpu/target.inl"
