#include "engine.h"
#ifdef SPLAT_X86_DISPATCH
#include <immintrin.h>
#include <cstring>
#pragma GCC target("avx2,fma,bmi2")
#define SPLAT_LANES 8
#define SPLAT_KERNELS kAvx2Kernels
#define SPLAT_NAME "avx2"
#include "kernels.h"
#endif
