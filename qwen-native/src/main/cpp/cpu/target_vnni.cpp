#define QW_TARGET vnni
#include "cpu/target.inl"
