// Products of 1-bit weights with activations of 1 or 2 bits, exactly, by counting differing bits.
//
// With X = popcount(a ^ w) over the bits of an activation row and a weight row (bit 1: weight +1):
//   activations {-1,+1}:  a . w = columns - 2 X
//   activations {0,1}:    a . w = popcount(w) - X
// and a level is a weighted sum of such planes. A processor with a tile unit multiplies int8 instead
// (tiles.hpp), which is just as exact.
#include "common.hpp"
#include "tiles.hpp"
#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512VPOPCNTDQ__)
#include "count_words.hpp"
#else
#include "count_table.hpp"
#endif

namespace {
using count::TILE, count::Unit;
constexpr int64_t ROWS = 16;

// Weights as tiles of TILE rows. start: of each row, the result where no bit differs, base +
// of_counts popcount(w).
struct Weights {
    std::vector<Unit> bits;
    std::vector<float> start;
    int64_t rows, columns, units;

    Weights(const float* signs, int64_t rows, int64_t columns, float base, float of_counts,
            [[maybe_unused]] int threads)
        : rows(rows), columns(columns), units(count::units(columns)) {
        const int64_t tiles = (rows + TILE - 1) / TILE;
        bits.resize(tiles * units * TILE);
        start.resize(tiles * TILE);
        PARALLEL_FOR
        for (int64_t row = 0; row < rows; row++) {
            Unit* tile = bits.data() + row / TILE * units * TILE;
            const int set = count::pack_weight(signs + row * columns, columns, tile, row % TILE);
            start[row] = base + of_counts * static_cast<float>(set);
        }
    }
    const Unit* tile(int64_t index) const { return bits.data() + index * units * TILE; }
};

// A plane of activation bits: packed rows, and the binary logarithm of its factor.
struct Plane {
    const Unit* rows;
    int shift;
};

// What makes a product a layer's output, product * scale + bias; none without bias.
struct Affine {
    const float *scale, *bias;
};

// Up to ROWS rows of the result: start - sum over planes of 2^shift X.
void multiply_block(const Plane* planes, int64_t count, int64_t present, const Weights& weights,
                    Affine affine, float* result) {
    for (int64_t tile = 0; tile * TILE < weights.rows; tile++) {
        alignas(64) int32_t x[ROWS][TILE] = {};
        for (int64_t p = 0; p < count; p++)
            for (int64_t r = 0; r < present; r++)
                count::add_counts(planes[p].rows + r * weights.units, weights.tile(tile),
                                  weights.columns, planes[p].shift, x[r]);
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
        std::vector<Unit> packed(present * weights.units);
        for (int64_t r = 0; r < present; r++)
            count::pack_row(bits + (first + r) * columns, columns, 0,
                            packed.data() + r * weights.units);
        const Plane plane{packed.data(), bipolar ? 1 : 0};
        multiply_block(&plane, 1, present, weights, {scale, bias}, result + first * outputs);
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
        const int64_t size = present * weights.units;
        std::vector<Unit> packed(2 * size);
        std::vector<float> odd(columns);
        for (int64_t r = 0; r < present; r++) {
            const float* row = levels + (first + r) * columns;
            const float middle = static_cast<float>(low) + 1.5f;
            for (int64_t c = 0; c < columns; c++) {
                float rest = row[c] - (row[c] > middle ? middle + 0.5f : middle - 1.5f);
                odd[c] = rest;
            }
            Unit* upper = packed.data() + r * weights.units;
            count::pack_row(row, columns, middle, upper);
            count::pack_row(odd.data(), columns, 0.5f, upper + size);
        }
        const Plane planes[] = {{packed.data(), 1}, {packed.data() + size, 0}};
        multiply_block(planes, 2, present, weights, {scale, bias}, result + first * outputs);
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
