// Products of float32 matrices with matrices of bits, by tables of sums ("four Russians").
//
// GROUP rows of the float matrix have 2^GROUP sums, one for each choice of bits; a column of bits
// picks one of them. With the tables in the first-level cache, an addition does the work of GROUP
// multiplications and additions. A processor with a tile unit multiplies instead (tiles.hpp).
#include <cstring>

#include "tiles.hpp"
#include "transpose.hpp"

namespace {
constexpr int64_t GROUP = 5, SUMS = 1 << GROUP;
constexpr int64_t GROUPS = 6;   // tables in use at once: 12 KiB
constexpr int64_t COLUMNS = 4;  // of bits, whose results grow side by side
constexpr int64_t LANES = 16;   // columns of the float matrix that are summed at once

// LANES floats. Two halves and not one vector, which GCC splits badly on processors without it.
struct alignas(4 * LANES) Lanes {
    typedef float Half __attribute__((vector_size(2 * LANES)));
    Half low = {}, high = {};
    Lanes operator+(const Lanes& other) const { return {low + other.low, high + other.high}; }
    Lanes operator*(float factor) const { return {low * factor, high * factor}; }
    float* data() { return reinterpret_cast<float*>(this); }
};

inline int64_t parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

// The sum that each column of bits picks from each table: its offset in bytes,
// [chunk of GROUPS tables][block of COLUMNS columns][table][column].
struct Choices {
    int64_t chunks, blocks;
    std::vector<uint16_t> offsets;

    Choices(const float* bits, int64_t rows, int64_t columns, int threads)
        : chunks(parts(rows, GROUP * GROUPS)),
          blocks(parts(columns, COLUMNS)),
          offsets(chunks * blocks * GROUPS * COLUMNS) {
        PARALLEL_FOR
        for (int64_t table = 0; table < chunks * GROUPS; table++) {
            const int64_t first = table * GROUP, in_chunk = table % GROUPS;
            const auto start = static_cast<uint16_t>(in_chunk * SUMS * sizeof(Lanes));
            std::vector<uint16_t> chosen(blocks * COLUMNS, start);
            uint16_t* to = chosen.data();
            for (int64_t j = 0; j < std::min(GROUP, rows - first); j++) {
                const float* row = bits + (first + j) * columns;
                const auto step = static_cast<uint16_t>(sizeof(Lanes) << j);
#pragma omp simd
                for (int64_t c = 0; c < columns; c++)
                    to[c] = static_cast<uint16_t>(to[c] + (row[c] > 0 ? step : 0));
            }
            uint16_t* block = at(table / GROUPS) + in_chunk * COLUMNS;
            for (int64_t b = 0; b < blocks; b++)
                std::memcpy(block + b * GROUPS * COLUMNS, to + b * COLUMNS, 2 * COLUMNS);
        }
    }
    uint16_t* at(int64_t chunk) { return offsets.data() + chunk * blocks * GROUPS * COLUMNS; }
};

// Every sum of GROUP rows, each times 1 where its bit is set and times `other` where it isn't.
inline void fill_table(const Lanes* rows, float other, Lanes* table) {
    Lanes sum;
    for (int64_t j = 0; j < GROUP; j++) sum = sum + rows[j] * other;
    table[0] = sum;
    for (int64_t j = 0; j < GROUP; j++) {
        const Lanes step = rows[j] * (1 - other);
        for (int64_t i = 0; i < 1 << j; i++) table[i + (1 << j)] = table[i] + step;
    }
}

inline void add_chosen(const uint16_t* offsets, const Lanes* tables, Lanes* results) {
    Lanes sums[COLUMNS];
#pragma GCC unroll 4
    for (int64_t c = 0; c < COLUMNS; c++) sums[c] = results[c];
#pragma GCC unroll 6
    for (int64_t g = 0; g < GROUPS; g++)
#pragma GCC unroll 4
        for (int64_t c = 0; c < COLUMNS; c++) {
            const char* chosen = reinterpret_cast<const char*>(tables) + offsets[g * COLUMNS + c];
            asm("" : "+r"(chosen));  // one address for both halves: faster than two sums
            sums[c] = sums[c] + *reinterpret_cast<const Lanes*>(chosen);
        }
#pragma GCC unroll 4
    for (int64_t c = 0; c < COLUMNS; c++) results[c] = sums[c];
}

// A float matrix of `width` columns, or its transpose.
struct Values {
    const float* data;
    int64_t rows, width;
    bool transposed;

    // Columns from `first`, at most LANES; block holds zeros.
    void read(int64_t first, int64_t present, Lanes* block) const {
        if (transposed) {
            transpose(data + first * rows, rows, block->data(), LANES, present, rows);
            return;
        }
        for (int64_t r = 0; r < rows; r++)
            std::copy_n(data + r * width + first, present, block[r].data());
    }
};

// result (width, columns) = values.T @ bits
void multiply(Values values, const float* bits, float* result, int64_t columns, int threads) {
    const float other = is_bipolar(bits, values.rows * columns) ? -1.0f : 0.0f;
    Choices choices(bits, values.rows, columns, threads);
    PARALLEL_FOR
    for (int64_t tile = 0; tile < parts(values.width, LANES); tile++) {
        const int64_t first = tile * LANES, present = std::min(LANES, values.width - first);
        std::vector<Lanes> block(choices.chunks * GROUPS * GROUP), sums(choices.blocks * COLUMNS);
        values.read(first, present, block.data());
        Lanes tables[GROUPS * SUMS];
        for (int64_t chunk = 0; chunk < choices.chunks; chunk++) {
            for (int64_t g = 0; g < GROUPS; g++)
                fill_table(&block[(chunk * GROUPS + g) * GROUP], other, tables + g * SUMS);
            for (int64_t b = 0; b < choices.blocks; b++)
                add_chosen(choices.at(chunk) + b * GROUPS * COLUMNS, tables, &sums[b * COLUMNS]);
        }
        transpose(sums[0].data(), LANES, result + first * columns, columns, columns, present);
    }
}
}  // namespace

// values (rows, width), bits (rows, columns), all {-1,+1} or all {0,1}: values.T @ bits
KERNEL void transposed_bit_product(const float* values, const float* bits, float* result,
                                   int64_t rows, int64_t width, int64_t columns, int threads) {
#ifdef HAVE_TILES
    if (tiles::allowed())
        return tiles::float_product(values, true, bits, result, width, rows, columns, threads);
#endif
    multiply({values, rows, width, false}, bits, result, columns, threads);
}

// values (width, rows), otherwise as above: values @ bits
KERNEL void bit_product(const float* values, const float* bits, float* result, int64_t rows,
                        int64_t width, int64_t columns, int threads) {
#ifdef HAVE_TILES
    if (tiles::allowed())
        return tiles::float_product(values, false, bits, result, width, rows, columns, threads);
#endif
    multiply({values, rows, width, true}, bits, result, columns, threads);
}
