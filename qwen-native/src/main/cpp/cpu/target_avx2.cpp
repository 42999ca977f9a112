#define QW_TARGET avx2
#include "cpu/target.inl"
