// Matrix products by the tile unit of a processor (AMX), where there is one.
//
// A tile is 16 rows of 64 bytes. One instruction adds to a 16 x 16 tile of 32-bit results the
// product of a left tile, 16 rows of 64 bytes of depth, and a right one, whose row i holds for each
// of 16 columns the four bytes of depth 4 i to 4 i + 3.
#pragma once
#include "common.hpp"

#if defined(__AMX_INT8__) && defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#define HAVE_TILES
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "transpose.hpp"

namespace tiles {
constexpr int64_t SIDE = 16, BYTES = 64, TILE = SIDE * BYTES;
constexpr int64_t BLOCK = 2 * SIDE;  // rows and columns of the result that grow side by side

// Whether the system lets this process use the tile unit.
inline bool allowed() {
    constexpr int REQUEST = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    static const bool result = syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
    return result;
}

inline int64_t padded(int64_t count, int64_t size) { return (count + size - 1) / size * size; }

// Memory of one thread for one purpose, whose content the next call with that number overwrites:
// fresh memory costs more than what it is for. Aligned, since a tile row is a cache line.
template <int NUMBER, typename T>
inline T* scratch(int64_t count) {
    static thread_local std::vector<uint8_t> memory;
    const size_t bytes = static_cast<size_t>(count) * sizeof(T) + BYTES;
    if (memory.size() < bytes) memory.resize(bytes);
    return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(memory.data()) + BYTES - 1) &
                                ~static_cast<uintptr_t>(BYTES - 1));
}

// Tiles 0-3 hold results, 4 and 5 left, 6 and 7 right operands. One thread's, while it lives.
struct Unit {
    Unit() {
        struct alignas(64) {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {};
            uint8_t rows[16] = {};
        } shape;
        std::fill_n(shape.bytes, 8, static_cast<uint16_t>(BYTES));
        std::fill_n(shape.rows, 8, static_cast<uint8_t>(SIDE));
        _tile_loadconfig(&shape);
    }
    ~Unit() { _tile_release(); }
};

inline __mmask16 first(int64_t count) {
    return count >= SIDE ? 0xFFFF : static_cast<__mmask16>((1u << std::max<int64_t>(count, 0)) - 1);
}

// Floats that are small integers, as int8; `to` up to `size`, the rest of it 0.
inline void to_int8(const float* from, int64_t count, int64_t size, int8_t* to) {
    for (int64_t i = 0; i < size; i += SIDE) {
        __m512 x = _mm512_maskz_loadu_ps(first(count - i), from + i);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                         _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
    }
}

// Floats as sums of two bfloat16, which leave out less than 2^-16 of each.
inline void to_halves(const float* from, int64_t count, int64_t size, uint16_t* high,
                      uint16_t* low) {
    for (int64_t i = 0; i < size; i += SIDE) {
        __m512 x = _mm512_maskz_loadu_ps(first(count - i), from + i);
        __m256i h = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
        __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
        __m512 rest = _mm512_sub_ps(x, _mm512_castsi512_ps(wide));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(high + i), h);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(low + i),
                            reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(rest)));
    }
}

// Right operands: [block of 16 columns][tile of depth]. Columns beyond the last hold anything.
struct Right {
    int64_t depth_tiles;
    uint8_t* data;

    Right(int64_t depth_tiles, int64_t columns)
        : depth_tiles(depth_tiles),
          data(scratch<0, uint8_t>(padded(columns, BLOCK) / SIDE * depth_tiles * TILE)) {}
    uint8_t* tile(int64_t column_block, int64_t depth) const {
        return data + (column_block * depth_tiles + depth) * TILE;
    }
};

// (columns, depth) {-1,+1} as int8
inline Right signs_right(const float* signs, int64_t depth, int64_t columns, int threads) {
    const int64_t size = padded(depth, BYTES);
    const Right right(size / BYTES, columns);
    PARALLEL_FOR
    for (int64_t c = 0; c < columns; c++) {
        alignas(64) int8_t row[BYTES];
        for (int64_t t = 0; t < right.depth_tiles; t++) {
            const int64_t begin = t * BYTES;
            to_int8(signs + c * depth + begin, depth - begin, BYTES, row);
            auto* to = reinterpret_cast<int32_t*>(right.tile(c / SIDE, t)) + c % SIDE;
            for (int64_t i = 0; i < SIDE; i++) to[i * SIDE] = reinterpret_cast<int32_t*>(row)[i];
        }
    }
    return right;
}

// (depth, columns) of numbers that bfloat16 holds
inline Right rows_right(const float* rows, int64_t depth, int64_t columns, int threads) {
    constexpr int64_t PER_TILE = BYTES / 2;
    const Right right(padded(depth, PER_TILE) / PER_TILE, columns);
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
    PARALLEL_FOR
    for (int64_t pair = 0; pair < right.depth_tiles * SIDE; pair++) {
        const float* even = rows + 2 * pair * columns;
        for (int64_t c = 0; c < columns; c += SIDE) {
            const __mmask16 mask = first(columns - c);
            const __mmask16 with_even = 2 * pair < depth ? mask : 0;
            const __mmask16 with_odd = 2 * pair + 1 < depth ? mask : 0;
            __m512i low = _mm512_castps_si512(_mm512_maskz_loadu_ps(with_even, even + c));
            __m512i high = _mm512_castps_si512(_mm512_maskz_loadu_ps(with_odd, even + columns + c));
            __m512i both =
                _mm512_or_si512(_mm512_srli_epi32(low, 16), _mm512_and_si512(high, upper));
            _mm512_storeu_si512(right.tile(c / SIDE, pair / SIDE) + pair % SIDE * BYTES, both);
        }
    }
    return right;
}

// Tiles of the right operands' depth.
struct Depth {
    int64_t begin, end;
};

// The product of BLOCK rows, the sum of one or two planes, with a pair of column blocks over a part
// of the depth, where the planes begin: (BLOCK, BLOCK) results. `more` adds it to them.
template <bool INT8, int PLANES>
inline void multiply_pair(const uint8_t* const (&planes)[PLANES], int64_t stride,
                          const Right& right, int64_t column_block, Depth depth, bool more,
                          void* results) {
    constexpr int64_t STRIDE = 4 * BLOCK;
    uint8_t* const upper = static_cast<uint8_t*>(results);
    uint8_t* const lower = upper + SIDE * STRIDE;
    asm volatile("" ::: "memory");  // GCC's tile loads do not say that they read memory
    if (more) {
        _tile_loadd(0, upper, STRIDE);
        _tile_loadd(1, upper + BYTES, STRIDE);
        _tile_loadd(2, lower, STRIDE);
        _tile_loadd(3, lower + BYTES, STRIDE);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t t = depth.begin; t < depth.end; t++) {
        _tile_loadd(6, right.tile(column_block, t), BYTES);
        _tile_loadd(7, right.tile(column_block + 1, t), BYTES);
        for (const uint8_t* plane : planes) {
            const uint8_t* left = plane + (t - depth.begin) * BYTES;
            _tile_loadd(4, left, stride);
            _tile_loadd(5, left + SIDE * stride, stride);
            if constexpr (INT8) {
                _tile_dpbssd(0, 4, 6);
                _tile_dpbssd(1, 4, 7);
                _tile_dpbssd(2, 5, 6);
                _tile_dpbssd(3, 5, 7);
            } else {
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
    }
    _tile_stored(0, upper, STRIDE);
    _tile_stored(1, upper + BYTES, STRIDE);
    _tile_stored(2, lower, STRIDE);
    _tile_stored(3, lower + BYTES, STRIDE);
}

// result (rows, outputs) = left (rows, depth) of integers from -128 to 127 @ signs.T (outputs,
// depth), exactly; with a bias (outputs,) times *scale plus the bias
inline void integer_product(const float* left, const float* signs, const float* scale,
                            const float* bias, float* result, int64_t rows, int64_t depth,
                            int64_t outputs, int threads) {
    const Right right = signs_right(signs, depth, outputs, threads);
    const int64_t stride = right.depth_tiles * BYTES;
    PARALLEL_FOR
    for (int64_t begin = 0; begin < rows; begin += BLOCK) {
        const Unit unit;
        const int64_t present = std::min(BLOCK, rows - begin);
        int8_t* block = scratch<1, int8_t>(BLOCK * stride);
        for (int64_t r = 0; r < present; r++)
            to_int8(left + (begin + r) * depth, depth, stride, block + r * stride);
        const uint8_t* const planes[] = {reinterpret_cast<uint8_t*>(block)};
        for (int64_t c = 0; c < outputs; c += BLOCK) {
            alignas(64) int32_t sums[BLOCK][BLOCK];
            multiply_pair<true>(planes, stride, right, c / SIDE, {0, right.depth_tiles}, false,
                                sums);
            for (int64_t r = 0; r < present; r++)
                for (int64_t i = 0; i < BLOCK && c + i < outputs; i += SIDE) {
                    const __mmask16 mask = first(outputs - c - i);
                    __m512 x = _mm512_cvtepi32_ps(_mm512_load_si512(&sums[r][i]));
                    if (bias)
                        x = _mm512_add_ps(_mm512_mul_ps(x, _mm512_set1_ps(*scale)),
                                          _mm512_maskz_loadu_ps(mask, bias + c + i));
                    _mm512_mask_storeu_ps(result + (begin + r) * outputs + c + i, mask, x);
                }
        }
    }
}

// result (width, columns) = values @ bits; values (width, depth), or (depth, width) and
// transposed; bits (depth, columns) of numbers that bfloat16 holds. Each value counts with an error
// below 2^-16 of it.
inline void float_product(const float* values, bool transposed, const float* bits, float* result,
                          int64_t width, int64_t depth, int64_t columns, int threads) {
    constexpr int64_t PER_TILE = BYTES / 2, PART = 8;  // tiles: both operands in 48 KiB
    constexpr int64_t SIZE = PART * PER_TILE, PLANE = BLOCK * SIZE;
    constexpr int64_t GROUP = 4;  // blocks, for each time that the right operand is read
    const Right right = rows_right(bits, depth, columns, threads);
    const int64_t area = padded(columns, BLOCK) * BLOCK;
    PARALLEL_FOR
    for (int64_t begin = 0; begin < width; begin += GROUP * BLOCK) {
        const Unit unit;
        const int64_t present = std::min(GROUP * BLOCK, width - begin);
        float* sums = scratch<1, float>(GROUP * area);
        uint16_t* halves = scratch<2, uint16_t>(GROUP * 2 * PLANE);
        float* turned = scratch<3, float>(GROUP * BLOCK * SIZE);
        for (int64_t t = 0; t < right.depth_tiles; t += PART) {
            const int64_t first_row = t * PER_TILE, count = std::min(SIZE, depth - first_row);
            const float* from = values + begin * depth + first_row;
            if (transposed) {
                transpose(values + first_row * width + begin, width, turned, SIZE, count, present);
                from = turned;
            }
            for (int64_t r = 0; r < present; r++) {
                uint16_t* high = halves + r / BLOCK * 2 * PLANE + r % BLOCK * SIZE;
                to_halves(from + r * (transposed ? SIZE : depth), count, SIZE, high, high + PLANE);
            }
            const Depth part{t, std::min(t + PART, right.depth_tiles)};
            for (int64_t g = 0; g * BLOCK < present; g++) {
                const auto* high = reinterpret_cast<uint8_t*>(halves + g * 2 * PLANE);
                const uint8_t* const planes[] = {high, high + 2 * PLANE};
                for (int64_t c = 0; c < columns; c += BLOCK)
                    multiply_pair<false>(planes, 2 * SIZE, right, c / SIDE, part, t > 0,
                                         sums + g * area + c * BLOCK);
            }
        }
        for (int64_t r = 0; r < present; r++)
            for (int64_t c = 0; c < columns; c += SIDE) {
                const float* block = sums + r / BLOCK * area + c / BLOCK * BLOCK * BLOCK;
                _mm512_mask_storeu_ps(result + (begin + r) * columns + c, first(columns - c),
                                      _mm512_load_ps(block + r % BLOCK * BLOCK + c % BLOCK));
            }
    }
}
}  // namespace tiles
#endif
