// Products of 1-bit weights with activations of 1 or 2 bits, exactly, by counting differing bits.
//
// With X = popcount(a ^ w) over the bits of an activation row and a weight row (bit 1: weight +1):
//   activations {-1,+1}:  a . w = columns - 2 X
//   activations {0,1}:    a . w = popcount(w) - X
// and a level is a weighted sum of such planes. Counting goes by table: four bits of an activation
// row choose a table of 16 counts, which a shuffle looks up for four bits of 32 weight rows. A
// processor with a tile unit multiplies int8 instead (tiles.hpp), which is just as exact.
#include "common.hpp"
#include "tiles.hpp"
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {
constexpr int64_t TILE = 128, ROWS = 16;
constexpr int64_t CHUNK = 31;  // bytes of columns whose bits an 8-bit counter can count

struct Counts {
    alignas(32) uint8_t of[16][16];
    Counts() {
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 16; j++) of[i][j] = static_cast<uint8_t>(__builtin_popcount(i ^ j));
    }
};
const Counts TABLE;

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

// Weights as tiles of TILE rows: tile, byte of columns, low or high four bits, row. start: of each
// row, the result where no bit differs, base + of_counts popcount(w).
struct Weights {
    std::vector<uint8_t> bits;
    std::vector<float> start;
    int64_t rows, bytes;

    Weights(const float* signs, int64_t rows, int64_t columns, float base, float of_counts,
            [[maybe_unused]] int threads)
        : rows(rows), bytes((columns + 7) / 8) {
        const int64_t tiles = (rows + TILE - 1) / TILE;
        bits.resize(tiles * bytes * 2 * TILE);
        start.resize(tiles * TILE);
        PARALLEL_FOR
        for (int64_t row = 0; row < rows; row++) {
            uint8_t* tile = bits.data() + row / TILE * bytes * 2 * TILE + row % TILE;
            int count = 0;
            for (int64_t b = 0; b < bytes; b++) {
                uint8_t byte = pack_byte(signs + row * columns + 8 * b, columns - 8 * b, 0);
                tile[2 * b * TILE] = byte & 15;
                tile[(2 * b + 1) * TILE] = byte >> 4;
                count += __builtin_popcount(byte);
            }
            start[row] = base + of_counts * static_cast<float>(count);
        }
    }
};

// x[i] += 2^shift times the differing bits of an activation row and the i-th weight row of a tile,
// of up to CHUNK bytes. The activations: each byte as two table offsets, 16 times its low and its
// high four bits.
#ifdef __AVX2__
inline void count_chunk(const uint8_t* offsets, const uint8_t* tile, int64_t bytes, int shift,
                        int32_t* x) {
    constexpr int64_t VECTORS = TILE / 32;
    const uint8_t* table = TABLE.of[0];
    const __m256i* w = reinterpret_cast<const __m256i*>(tile);
    __m256i sums[VECTORS] = {};
    auto entry = [&](int64_t i) {
        return _mm256_broadcastsi128_si256(
            _mm_load_si128(reinterpret_cast<const __m128i*>(table + offsets[i])));
    };
    for (int64_t b = 0; b < bytes; b++, w += 2 * VECTORS) {
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
inline void count_chunk(const uint8_t* offsets, const uint8_t* tile, int64_t bytes, int shift,
                        int32_t* x) {
    for (int64_t b = 0; b < 2 * bytes; b++)
        for (int64_t i = 0; i < TILE; i++)
            x[i] += TABLE.of[0][offsets[b] + tile[b * TILE + i]] << shift;
}
#endif

inline void pack_row(const float* x, int64_t columns, float above, uint8_t* offsets) {
    for (int64_t b = 0; 8 * b < columns; b++) {
        uint8_t byte = pack_byte(x + 8 * b, columns - 8 * b, above);
        offsets[2 * b] = static_cast<uint8_t>(byte << 4);
        offsets[2 * b + 1] = byte & 0xF0;
    }
}

// A plane of activation bits: packed rows, and the binary logarithm of its factor.
struct Plane {
    const uint8_t* offsets;
    int shift;
};

// What makes a product a layer's output, product * scale + bias; none without bias.
struct Affine {
    const float *scale, *bias;
};

// Up to ROWS rows of the result: start - sum over planes of 2^shift X.
void multiply_block(const Plane* planes, int64_t count, int64_t present, const Weights& weights,
                    Affine affine, float* result) {
    const int64_t chunks = (weights.bytes + CHUNK - 1) / CHUNK;
    for (int64_t tile = 0; tile * TILE < weights.rows; tile++) {
        alignas(32) int32_t x[ROWS][TILE] = {};
        for (int64_t p = 0; p < count; p++)
            for (int64_t chunk = 0; chunk < chunks; chunk++) {
                const int64_t begin = weights.bytes * chunk / chunks;
                const int64_t bytes = weights.bytes * (chunk + 1) / chunks - begin;
                const uint8_t* w =
                    weights.bits.data() + (tile * weights.bytes + begin) * 2 * TILE;
                for (int64_t r = 0; r < present; r++)
                    count_chunk(planes[p].offsets + (r * weights.bytes + begin) * 2, w, bytes,
                                planes[p].shift, x[r]);
            }
        const int64_t width = std::min(TILE, weights.rows - tile * TILE);
        const float* start = weights.start.data() + tile * TILE;
        for (int64_t r = 0; r < present; r++) {
            float* out = result + r * weights.rows + tile * TILE;
#pragma omp simd
            for (int64_t i = 0; i < width; i++) out[i] = start[i] - static_cast<float>(x[r][i]);
            if (!affine.bias) continue;
            const float scale = *affine.scale, *bias = affine.bias + tile * TILE;
#pragma omp simd
            for (int64_t i = 0; i < width; i++) out[i] = out[i] * scale + bias[i];
        }
    }
}
}  // namespace

// bits (rows, columns), all {-1,+1} or all {0,1}; signs (outputs, columns): bits @ signs.T, and
// with a bias (outputs,) that times *scale plus the bias
KERNEL void bit_matmul(const float* bits, const float* signs, const float* scale,
                       const float* bias, float* result, int64_t rows, int64_t columns,
                       int64_t outputs, int threads) {
#ifdef HAVE_TILES
    if (tiles::allowed())
        return tiles::integer_product(bits, signs, scale, bias, result, rows, columns, outputs,
                                      threads);
#endif
    const bool bipolar = is_bipolar(bits, rows * columns);
    const float base = bipolar ? static_cast<float>(columns) : 0.0f;
    const Weights weights(signs, outputs, columns, base, bipolar ? 0.0f : 1.0f, threads);
    PARALLEL_FOR
    for (int64_t block = 0; block < (rows + ROWS - 1) / ROWS; block++) {
        const int64_t first = block * ROWS, present = std::min(ROWS, rows - first);
        std::vector<uint8_t> offsets(present * weights.bytes * 2);
        for (int64_t r = 0; r < present; r++)
            pack_row(bits + (first + r) * columns, columns, 0,
                     offsets.data() + r * weights.bytes * 2);
        const Plane plane{offsets.data(), bipolar ? 1 : 0};
        multiply_block(&plane, 1, present, weights, {scale, bias},
                       result + first * outputs);
    }
}

// levels (rows, columns): integers from low, 0 or -2, to low + 3; otherwise as bit_matmul.
// level - low has two bits, the planes; low times the sum of a weight row is
// low (2 popcount(w) - columns).
KERNEL void level_matmul(const float* levels, const float* signs, const float* scale,
                         const float* bias, float* result, int64_t low, int64_t rows,
                         int64_t columns, int64_t outputs, int threads) {
#ifdef HAVE_TILES
    if (tiles::allowed())
        return tiles::integer_product(levels, signs, scale, bias, result, rows, columns, outputs,
                                      threads);
#endif
    const Weights weights(signs, outputs, columns, static_cast<float>(-low * columns),
                          static_cast<float>(3 + 2 * low), threads);
    PARALLEL_FOR
    for (int64_t block = 0; block < (rows + ROWS - 1) / ROWS; block++) {
        const int64_t first = block * ROWS, present = std::min(ROWS, rows - first);
        const int64_t size = present * weights.bytes * 2;
        std::vector<uint8_t> offsets(2 * size);
        std::vector<float> odd(columns);
        for (int64_t r = 0; r < present; r++) {
            const float* row = levels + (first + r) * columns;
            const float middle = static_cast<float>(low) + 1.5f;
            for (int64_t c = 0; c < columns; c++) {
                float rest = row[c] - (row[c] > middle ? middle + 0.5f : middle - 1.5f);
                odd[c] = rest;
            }
            pack_row(row, columns, middle, offsets.data() + r * weights.bytes * 2);
            pack_row(odd.data(), columns, 0.5f, offsets.data() + size + r * weights.bytes * 2);
        }
        const Plane planes[] = {{offsets.data(), 1}, {offsets.data() + size, 0}};
        multiply_block(planes, 2, present, weights, {scale, bias},
                       result + first * outputs);
    }
}

// Whether products go by the tile unit.
KERNEL int has_tile_unit() {
#ifdef HAVE_TILES
    return tiles::allowed();
#else
    return 0;
#endif
}
