#include "engine.h"
#ifdef SPLAT_X86_DISPATCH
#include <immintrin.h>
#include <cstring>
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")
#define SPLAT_LANES 16
#define SPLAT_KERNELS kAvx512Kernels
#define SPLAT_NAME "avx512"
#include "kernels.h"
#endif
