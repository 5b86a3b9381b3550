// Transposition of float matrices.
#pragma once
#include "common.hpp"
#ifdef __AVX__
#include <immintrin.h>
#endif

#ifdef __AVX__
// to[column][row] = from[row][column] of 8 x 8 elements
inline void transpose_8(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_ps(from + i * from_stride);
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            a[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0x44);
            a[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + j + 2], 0xEE);
        }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * to_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
    }
}
#endif

// to[column][row] = from[row][column]
inline void transpose(const float* from, int64_t from_stride, float* to, int64_t to_stride,
                      int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; r += 8)
        for (int64_t c = 0; c < columns; c += 8) {
            const float* f = from + r * from_stride + c;
            float* t = to + c * to_stride + r;
#ifdef __AVX__
            if (r + 8 <= rows && c + 8 <= columns) {
                transpose_8(f, from_stride, t, to_stride);
                continue;
            }
#endif
            for (int64_t j = 0; j < std::min<int64_t>(8, columns - c); j++)
                for (int64_t i = 0; i < std::min<int64_t>(8, rows - r); i++)
                    t[j * to_stride + i] = f[i * from_stride + j];
        }
}
