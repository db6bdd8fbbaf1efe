#include "engine.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#include <cstring>
#define SPLAT_LANES 4
#define SPLAT_KERNELS kBaselineKernels
#define SPLAT_NAME "baseline"
#include "kernels.h"
