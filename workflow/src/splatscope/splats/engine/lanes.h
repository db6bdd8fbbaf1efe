// A vector of floats as wide as the instruction set allows, by GCC vector extensions; intrinsics where those are slow.
// Included after SPLAT_LANES is defined (16: AVX-512, 8: AVX2, 4: anything).
#pragma once
#include <cstdint>
#include <cstring>
#if SPLAT_LANES > 4 || defined(__SSE2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

constexpr int kLanes = SPLAT_LANES;
typedef float Lanes __attribute__((vector_size(4 * SPLAT_LANES)));
typedef int32_t IntLanes __attribute__((vector_size(4 * SPLAT_LANES)));

INLINE Lanes all(float value) { return Lanes{} + value; }
INLINE IntLanes all(int32_t value) { return IntLanes{} + value; }

#if SPLAT_LANES == 16
typedef __mmask16 Mask;
INLINE Mask at_least(Lanes a, Lanes b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ); }
INLINE Mask less(IntLanes a, IntLanes b) { return _mm512_cmp_epi32_mask((__m512i)a, (__m512i)b, _MM_CMPINT_LT); }
INLINE Mask both(Mask a, Mask b) { return a & b; }
INLINE Mask without(Mask a, Mask b) { return a & ~b; }
INLINE bool any(Mask m) { return m != 0; }
INLINE Lanes kept(Mask m, Lanes a) { return (Lanes)_mm512_maskz_mov_ps(m, (__m512)a); }
INLINE IntLanes select(Mask m, IntLanes a, IntLanes b) {
  return (IntLanes)_mm512_mask_blend_epi32(m, (__m512i)b, (__m512i)a);
}
INLINE Lanes smaller(Lanes a, Lanes b) { return (Lanes)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE Lanes reciprocal(Lanes x) {  // 14 bits and one Newton step
  __m512 a = (__m512)x, r = _mm512_rcp14_ps(a);
  return (Lanes)_mm512_mul_ps(r, _mm512_fnmadd_ps(a, r, _mm512_set1_ps(2)));
}
#else
typedef IntLanes Mask;
INLINE Mask at_least(Lanes a, Lanes b) { return a >= b; }
INLINE Mask less(IntLanes a, IntLanes b) { return a < b; }
INLINE Mask both(Mask a, Mask b) { return a & b; }
INLINE Mask without(Mask a, Mask b) { return a & ~b; }
INLINE Lanes kept(Mask m, Lanes a) { return (Lanes)((IntLanes)a & m); }
INLINE IntLanes select(Mask m, IntLanes a, IntLanes b) { return (a & m) | (b & ~m); }
INLINE Lanes reciprocal(Lanes x) { return 1.0f / x; }
#if SPLAT_LANES == 8
INLINE bool any(Mask m) { return _mm256_movemask_ps((__m256)m) != 0; }
INLINE Lanes smaller(Lanes a, Lanes b) { return (Lanes)_mm256_min_ps((__m256)a, (__m256)b); }
#elif defined(__SSE2__)
INLINE bool any(Mask m) { return _mm_movemask_ps((__m128)m) != 0; }
INLINE Lanes smaller(Lanes a, Lanes b) { return (Lanes)_mm_min_ps((__m128)a, (__m128)b); }
#else
INLINE bool any(Mask m) { return (m[0] | m[1] | m[2] | m[3]) != 0; }
INLINE Lanes smaller(Lanes a, Lanes b) { return a < b ? a : b; }
#endif
#endif

// 2^x for x in [-126, 0], relative error below 2e-7: round to an integer by the magic constant, polynomial for the rest
INLINE Lanes exp2(Lanes x) {
  const float magic = 12582912.0f;  // 1.5 * 2^23: the sum's low mantissa bits hold the integer
  Lanes shifted = x + magic, r = x - (shifted - magic);
  Lanes p = all(1.5403530e-4f);
  p = p * r + 1.3333558e-3f;
  p = p * r + 9.6181291e-3f;
  p = p * r + 5.5504109e-2f;
  p = p * r + 2.4022651e-1f;
  p = p * r + 6.9314718e-1f;
  p = p * r + 1.0f;
  return (Lanes)((IntLanes)p + ((IntLanes)shifted << 23));
}

#if SPLAT_LANES >= 8
INLINE __m256 folded(Lanes a) {
#if SPLAT_LANES == 16
  return _mm256_add_ps(_mm512_castps512_ps256((__m512)a), _mm512_extractf32x8_ps((__m512)a, 1));
#else
  return (__m256)a;
#endif
}
#endif

// out[i] = sum over the lanes of values[i], always in the same order
template <int COUNT>
INLINE void sum_lanes(const Lanes *values, float *out) {
  int done = 0;
#if SPLAT_LANES >= 8
  for (; done + 8 <= COUNT; done += 8) {  // a tree of horizontal additions turns 8 vectors into their 8 sums
    const Lanes *v = values + done;
    __m256 a = _mm256_hadd_ps(folded(v[0]), folded(v[1])), b = _mm256_hadd_ps(folded(v[2]), folded(v[3]));
    __m256 c = _mm256_hadd_ps(folded(v[4]), folded(v[5])), d = _mm256_hadd_ps(folded(v[6]), folded(v[7]));
    __m256 e = _mm256_hadd_ps(a, b), f = _mm256_hadd_ps(c, d);
    _mm_storeu_ps(out + done, _mm_add_ps(_mm256_castps256_ps128(e), _mm256_extractf128_ps(e, 1)));
    _mm_storeu_ps(out + done + 4, _mm_add_ps(_mm256_castps256_ps128(f), _mm256_extractf128_ps(f, 1)));
  }
#endif
  for (; done < COUNT; done++) {
#if SPLAT_LANES >= 8
    __m256 v = folded(values[done]);
    __m128 h = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    h = _mm_add_ps(h, _mm_movehl_ps(h, h));
    out[done] = _mm_cvtss_f32(_mm_add_ss(h, _mm_shuffle_ps(h, h, 1)));
#else
    Lanes v = values[done];
    out[done] = (v[0] + v[1]) + (v[2] + v[3]);
#endif
  }
}
