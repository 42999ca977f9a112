#define QW_TARGET baseline
#include "cpu/target.inl"
