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

#if SPLAT_LANES == 16
INLINE Lanes all(float value) { return (Lanes)_mm512_set1_ps(value); }
INLINE IntLanes all(int32_t value) { return (IntLanes)_mm512_set1_epi32(value); }
#elif SPLAT_LANES == 8
INLINE Lanes all(float value) { return (Lanes)_mm256_set1_ps(value); }
INLINE IntLanes all(int32_t value) { return (IntLanes)_mm256_set1_epi32(value); }
#else
INLINE Lanes all(float value) { return Lanes{value, value, value, value}; }
INLINE IntLanes all(int32_t value) { return IntLanes{value, value, value, value}; }
#endif

#if SPLAT_LANES == 16
typedef __mmask16 Mask;
INLINE Mask at_least(Lanes a, Lanes b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ); }
INLINE Mask above(Lanes a, Lanes b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ); }
INLINE Mask less(IntLanes a, IntLanes b) { return _mm512_cmp_epi32_mask((__m512i)a, (__m512i)b, _MM_CMPINT_LT); }
INLINE Mask has_bit(IntLanes a, int bit) { return _mm512_test_epi32_mask((__m512i)a, _mm512_set1_epi32(1 << bit)); }
INLINE Mask both(Mask a, Mask b) { return a & b; }
INLINE Mask without(Mask a, Mask b) { return a & ~b; }
INLINE bool any(Mask m) { return m != 0; }
INLINE uint32_t bits(Mask m) { return m; }
INLINE Lanes choose(Mask m, Lanes a, Lanes b) { return (Lanes)_mm512_mask_blend_ps(m, (__m512)b, (__m512)a); }
INLINE Lanes larger(Lanes a, Lanes b) { return (Lanes)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE Lanes root(Lanes a) { return (Lanes)_mm512_sqrt_ps((__m512)a); }
INLINE Lanes gather(const float *base, IntLanes index) { return (Lanes)_mm512_i32gather_ps((__m512i)index, base, 4); }
INLINE void scatter(float *base, IntLanes index, Lanes value, Mask m) {
  _mm512_mask_i32scatter_ps(base, m, (__m512i)index, (__m512)value, 4);
}
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
INLINE Mask above(Lanes a, Lanes b) { return a > b; }
INLINE Mask less(IntLanes a, IntLanes b) { return a < b; }
INLINE Mask has_bit(IntLanes a, int bit) { return (a & (1 << bit)) != 0; }
INLINE Mask both(Mask a, Mask b) { return a & b; }
INLINE Mask without(Mask a, Mask b) { return a & ~b; }
INLINE Lanes kept(Mask m, Lanes a) { return (Lanes)((IntLanes)a & m); }
INLINE Lanes choose(Mask m, Lanes a, Lanes b) { return (Lanes)(((IntLanes)a & m) | ((IntLanes)b & ~m)); }
INLINE IntLanes select(Mask m, IntLanes a, IntLanes b) { return (a & m) | (b & ~m); }
INLINE Lanes reciprocal(Lanes x) { return 1.0f / x; }
INLINE void scatter(float *base, IntLanes index, Lanes value, Mask m) {
  for (int lane = 0; lane < kLanes; lane++)
    if (m[lane]) base[index[lane]] = value[lane];
}
#if SPLAT_LANES == 8
INLINE uint32_t bits(Mask m) { return _mm256_movemask_ps((__m256)m); }
INLINE bool any(Mask m) { return bits(m) != 0; }
INLINE Lanes larger(Lanes a, Lanes b) { return (Lanes)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE Lanes root(Lanes a) { return (Lanes)_mm256_sqrt_ps((__m256)a); }
INLINE Lanes gather(const float *base, IntLanes index) { return (Lanes)_mm256_i32gather_ps(base, (__m256i)index, 4); }
INLINE Lanes smaller(Lanes a, Lanes b) { return (Lanes)_mm256_min_ps((__m256)a, (__m256)b); }
#else
INLINE Lanes gather(const float *base, IntLanes index) {
  return Lanes{base[index[0]], base[index[1]], base[index[2]], base[index[3]]};
}
#if defined(__SSE2__)
INLINE uint32_t bits(Mask m) { return _mm_movemask_ps((__m128)m); }
INLINE Lanes smaller(Lanes a, Lanes b) { return (Lanes)_mm_min_ps((__m128)a, (__m128)b); }
INLINE Lanes larger(Lanes a, Lanes b) { return (Lanes)_mm_max_ps((__m128)a, (__m128)b); }
INLINE Lanes root(Lanes a) { return (Lanes)_mm_sqrt_ps((__m128)a); }
#else
INLINE uint32_t bits(Mask m) { return (m[0] & 1) | (m[1] & 2) | (m[2] & 4) | (m[3] & 8); }
INLINE Lanes smaller(Lanes a, Lanes b) { return a < b ? a : b; }
INLINE Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }
INLINE Lanes root(Lanes a) {
  return Lanes{__builtin_sqrtf(a[0]), __builtin_sqrtf(a[1]), __builtin_sqrtf(a[2]), __builtin_sqrtf(a[3])};
}
#endif
INLINE bool any(Mask m) { return bits(m) != 0; }
#endif
#endif

INLINE Lanes magnitude(Lanes a) { return (Lanes)((IntLanes)a & 0x7fffffff); }
INLINE IntLanes numbered() {
  IntLanes lanes;
  for (int lane = 0; lane < kLanes; lane++) lanes[lane] = lane;
  return lanes;
}

INLINE Lanes as_float(IntLanes a) { return __builtin_convertvector(a, Lanes); }
INLINE IntLanes truncated(Lanes a) { return __builtin_convertvector(a, IntLanes); }
// of numbers from 0 up
INLINE IntLanes rounded_up(Lanes a) {
  const IntLanes whole = truncated(a);
  return select(at_least(as_float(whole), a), whole, whole + 1);
}

// 2^x for x in [-126, 126], relative error below 2e-7
INLINE Lanes exp2(Lanes x) {
#if SPLAT_LANES == 16
  const Lanes r = (Lanes)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF);  // x - floor(x)
  Lanes p = all(1.87757649e-3f);
  p = p * r + 8.98934054e-3f;
  p = p * r + 5.58263177e-2f;
  p = p * r + 2.40153617e-1f;
  p = p * r + 6.93153073e-1f;
  p = p * r + 9.99999925e-1f;
  return (Lanes)_mm512_scalef_ps((__m512)p, (__m512)x);
#else
  const float magic = 12582912.0f;  // 1.5 * 2^23: the sum's low mantissa bits hold the nearest integer
  const Lanes shifted = x + magic, r = x - (shifted - magic);
  Lanes p = all(1.32764707e-3f);
  p = p * r + 9.67554132e-3f;
  p = p * r + 5.55071328e-2f;
  p = p * r + 2.40221197e-1f;
  p = p * r + 6.93146967e-1f;
  p = p * r + 1.00000007f;
  return (Lanes)((IntLanes)p + ((IntLanes)shifted << 23));
#endif
}
// 2^x for x in [-126, 0], relative error below 3e-6: a hundredth of the last bit of an 8-bit colour
INLINE Lanes quick_exp2(Lanes x) {
#if SPLAT_LANES == 16
  const Lanes r = (Lanes)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF);
  Lanes p = all(1.353417e-2f);
  p = p * r + 5.201146e-2f;
  p = p * r + 2.4144276e-1f;
  p = p * r + 6.9300383e-1f;
  p = p * r + 1.0000026f;
  return (Lanes)_mm512_scalef_ps((__m512)p, (__m512)x);
#else
  const float magic = 12582912.0f;
  const Lanes shifted = x + magic, r = x - (shifted - magic);
  Lanes p = all(9.5701e-3f);
  p = p * r + 5.591786e-2f;
  p = p * r + 2.4024745e-1f;
  p = p * r + 6.9312181e-1f;
  p = p * r + 9.9999926e-1f;
  return (Lanes)((IntLanes)p + ((IntLanes)shifted << 23));
#endif
}
INLINE Lanes exponential(Lanes x) { return exp2(smaller(larger(x * kLog2e, all(-126.0f)), all(126.0f))); }

// natural logarithm of normal positive numbers, error below 2e-7 of the larger of 1 and the result
INLINE Lanes logarithm(Lanes x) {
  const IntLanes shifted = (IntLanes)x - 0x3f3504f3;  // from sqrt(1/2), so that what is left of x is near 1
  const IntLanes power = shifted >> 23;
  const Lanes m = (Lanes)((shifted & 0x7fffff) + 0x3f3504f3), s = (m - 1) / (m + 1), square = s * s;
  Lanes p = all(2.0f / 9);
  p = p * square + 2.0f / 7;
  p = p * square + 2.0f / 5;
  p = p * square + 2.0f / 3;
  return as_float(power) * 0.69314718f + (p * square + 2) * s;
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

// One step of a transposition: exchanges the blocks of HALF x HALF off the diagonal.
template <int HALF, int... LANE>
INLINE void exchange(Lanes *v, std::integer_sequence<int, LANE...>) {
  const IntLanes low = {(LANE & HALF ? kLanes + LANE - HALF : LANE)...};
  const IntLanes high = {(LANE & HALF ? kLanes + LANE : LANE + HALF)...};
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; i++) {
    if (i & HALF) continue;
    const Lanes a = v[i], b = v[i + HALF];
    v[i] = __builtin_shuffle(a, b, low), v[i + HALF] = __builtin_shuffle(a, b, high);
  }
}
// Turns kLanes vectors into their transposed: v[i][k] becomes v[k][i].
template <int HALF = kLanes / 2>
INLINE void transpose(Lanes *v) {
  exchange<HALF>(v, std::make_integer_sequence<int, kLanes>());
  if constexpr (HALF > 1) transpose<HALF / 2>(v);
}
INLINE Lanes load(const float *from) {
  Lanes lanes;
  memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
INLINE void store(float *to, Lanes lanes) { memcpy(to, &lanes, sizeof lanes); }

// Rows of floats turned into lanes: out[column] lane `row` = from[row * stride + column]. Rows beyond the last repeat it;
// `out` has room for `columns` rounded up to kLanes.
INLINE void load_rows(const float *from, int64_t stride, int rows, int columns, Lanes *out) {
  for (int column = 0; column < columns; column += kLanes, out += kLanes) {
    for (int row = 0; row < kLanes; row++) {
      const float *start = from + (row < rows ? row : rows - 1) * stride + column;
      if (column + kLanes <= stride) {
        out[row] = load(start);
      } else {
        out[row] = Lanes{};
        memcpy(&out[row], start, sizeof(float) * (columns - column));
      }
    }
    transpose(out);
  }
}
// The way back; `values` is overwritten.
INLINE void store_rows(Lanes *values, int64_t stride, int rows, int columns, float *to) {
  for (int column = 0; column < columns; column += kLanes, values += kLanes) {
    transpose(values);
    const size_t size = sizeof(float) * (columns - column < kLanes ? columns - column : kLanes);
    for (int row = 0; row < rows; row++) {
      if (size == sizeof(Lanes))
        store(to + row * stride + column, values[row]);
      else
        memcpy(to + row * stride + column, &values[row], size);
    }
  }
}
