// Counting of differing bits by the processor's vector instruction, 64 columns of eight weight rows at
// once. The interface is that of count_table.hpp.
#pragma once
#include <immintrin.h>

#include "common.hpp"

namespace count {
using Unit = uint64_t;
constexpr int64_t TILE = 128;  // weight rows that are counted at once
constexpr int64_t WORD = 64, VECTOR = 8, FLOATS = 16;

// Units of a packed row, of activations or of weights.
inline int64_t units(int64_t columns) { return (columns + WORD - 1) / WORD; }

inline Unit pack_word(const float* x, int64_t count, float above) {
    Unit word = 0;
    for (int64_t i = 0; i < std::min(count, WORD); i += FLOATS) {
        const int64_t present = std::min(count - i, FLOATS);
        const auto mask = static_cast<__mmask16>((1u << present) - 1);
        const __m512 values = _mm512_maskz_loadu_ps(mask, x + i);
        const __mmask16 bits =
            _mm512_mask_cmp_ps_mask(mask, values, _mm512_set1_ps(above), _CMP_GT_OQ);
        word |= static_cast<Unit>(bits) << i;
    }
    return word;
}

// A row of activations, bit x > above.
inline void pack_row(const float* x, int64_t columns, float above, Unit* row) {
    for (int64_t w = 0; w < units(columns); w++)
        row[w] = pack_word(x + w * WORD, columns - w * WORD, above);
}

// A row of a tile of weights, bit x > 0; the bits set. A tile: word of columns, row.
inline int pack_weight(const float* x, int64_t columns, Unit* tile, int64_t row) {
    int set = 0;
    for (int64_t w = 0; w < units(columns); w++) {
        const Unit word = pack_word(x + w * WORD, columns - w * WORD, 0);
        tile[w * TILE + row] = word;
        set += __builtin_popcountll(word);
    }
    return set;
}

// x[i] += 2^shift times the differing bits of an activation row and the i-th row of a tile.
inline void add_counts(const Unit* row, const Unit* tile, int64_t columns, int shift, int32_t* x) {
    constexpr int64_t VECTORS = TILE / VECTOR;
    __m512i sums[VECTORS] = {};
    for (int64_t w = 0; w < units(columns); w++) {
        const __m512i word = _mm512_set1_epi64(static_cast<int64_t>(row[w]));
        const Unit* column = tile + w * TILE;
#pragma GCC unroll 16
        for (int64_t v = 0; v < VECTORS; v++) {
            const __m512i weights = _mm512_loadu_si512(column + v * VECTOR);
            const __m512i different = _mm512_popcnt_epi64(_mm512_xor_si512(word, weights));
            sums[v] = _mm512_add_epi64(sums[v], different);
        }
    }
    const __m128i by = _mm_cvtsi32_si128(shift);
#pragma GCC unroll 16
    for (int64_t v = 0; v < VECTORS; v++) {
        auto* to = reinterpret_cast<__m256i*>(x + v * VECTOR);
        const __m256i counted = _mm256_sll_epi32(_mm512_cvtepi64_epi32(sums[v]), by);
        _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), counted));
    }
}
}  // namespace count
