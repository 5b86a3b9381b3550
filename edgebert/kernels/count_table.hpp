// Counting of differing bits by table: four bits of an activation row choose a table of 16 counts,
// which a shuffle looks up for four bits of 32 weight rows. For processors that cannot count the bits
// of a vector (count_words.hpp).
#pragma once
#include "common.hpp"
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace count {
using Unit = uint8_t;
constexpr int64_t TILE = 128;  // weight rows that are counted at once
constexpr int64_t CHUNK = 31;  // bytes of columns whose bits an 8-bit counter can count

struct Table {
    alignas(32) uint8_t of[16][16];
    Table() {
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 16; j++) of[i][j] = static_cast<uint8_t>(__builtin_popcount(i ^ j));
    }
};
const Table TABLE;

inline int64_t bytes(int64_t columns) { return (columns + 7) / 8; }

// Units of a packed row, of activations or of weights.
inline int64_t units(int64_t columns) { return 2 * bytes(columns); }

inline uint8_t pack_byte(const float* x, int64_t count, float above) {
    uint8_t byte = 0;
#ifdef __AVX2__
    if (count >= 8) {
        __m256 bits = _mm256_cmp_ps(_mm256_loadu_ps(x), _mm256_set1_ps(above), _CMP_GT_OQ);
        return static_cast<uint8_t>(_mm256_movemask_ps(bits));
    }
#endif
    for (int64_t i = 0; i < std::min<int64_t>(count, 8); i++)
        byte = static_cast<uint8_t>(byte | (x[i] > above) << i);
    return byte;
}

// A row of activations, bit x > above: each byte as two table offsets, 16 times its low and its high
// four bits.
inline void pack_row(const float* x, int64_t columns, float above, Unit* row) {
    for (int64_t b = 0; b < bytes(columns); b++) {
        uint8_t byte = pack_byte(x + 8 * b, columns - 8 * b, above);
        row[2 * b] = static_cast<uint8_t>(byte << 4);
        row[2 * b + 1] = byte & 0xF0;
    }
}

// A row of a tile of weights, bit x > 0; the bits set. A tile: byte of columns, low or high four bits,
// row.
inline int pack_weight(const float* x, int64_t columns, Unit* tile, int64_t row) {
    int set = 0;
    for (int64_t b = 0; b < bytes(columns); b++) {
        uint8_t byte = pack_byte(x + 8 * b, columns - 8 * b, 0);
        tile[2 * b * TILE + row] = byte & 15;
        tile[(2 * b + 1) * TILE + row] = byte >> 4;
        set += __builtin_popcount(byte);
    }
    return set;
}

// x[i] += 2^shift times the differing bits of an activation row and the i-th row of a tile.
#ifdef __AVX2__
inline void add_chunk(const Unit* row, const Unit* tile, int64_t size, int shift, int32_t* x) {
    constexpr int64_t VECTORS = TILE / 32;
    const uint8_t* table = TABLE.of[0];
    const __m256i* w = reinterpret_cast<const __m256i*>(tile);
    __m256i sums[VECTORS] = {};
    auto entry = [&](int64_t i) {
        return _mm256_broadcastsi128_si256(
            _mm_load_si128(reinterpret_cast<const __m128i*>(table + row[i])));
    };
    for (int64_t b = 0; b < size; b++, w += 2 * VECTORS) {
        const __m256i low = entry(2 * b), high = entry(2 * b + 1);
#pragma GCC unroll 4
        for (int64_t j = 0; j < VECTORS; j++) {
            __m256i first = _mm256_shuffle_epi8(low, _mm256_loadu_si256(w + j));
            __m256i second = _mm256_shuffle_epi8(high, _mm256_loadu_si256(w + VECTORS + j));
            sums[j] = _mm256_add_epi8(sums[j], _mm256_add_epi8(first, second));
        }
    }
    alignas(32) uint8_t counted[TILE];
    for (int64_t j = 0; j < VECTORS; j++)
        _mm256_store_si256(reinterpret_cast<__m256i*>(counted) + j, sums[j]);
    for (int64_t i = 0; i < TILE; i++) x[i] += counted[i] << shift;
}
#else
inline void add_chunk(const Unit* row, const Unit* tile, int64_t size, int shift, int32_t* x) {
    for (int64_t b = 0; b < 2 * size; b++)
        for (int64_t i = 0; i < TILE; i++)
            x[i] += TABLE.of[0][row[b] + tile[b * TILE + i]] << shift;
}
#endif

inline void add_counts(const Unit* row, const Unit* tile, int64_t columns, int shift, int32_t* x) {
    const int64_t size = bytes(columns), chunks = (size + CHUNK - 1) / CHUNK;
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        const int64_t begin = size * chunk / chunks, end = size * (chunk + 1) / chunks;
        add_chunk(row + 2 * begin, tile + 2 * begin * TILE, end - begin, shift, x);
    }
}
}  // namespace count
