// Products of 1-bit weights with activations of 1 or 2 bits, exactly, by counting differing bits.
//
// With X = popcount(a ^ w) over the bits of an activation row and a weight row (bit 1: weight +1):
//   activations {-1,+1}:  a . w = columns - 2 X
//   activations {0,1}:    a . w = popcount(w) - X
// and a level is a weighted sum of such planes. Counting goes by table: a shuffle looks up the
// 4-bit counts of 32 weight rows at once.
#include "common.hpp"
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {
constexpr int64_t TILE = 64, ROWS = 3, CHUNK = 31;  // 31 bytes of 8 bits fit an 8-bit counter

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

// Weights as tiles of TILE rows: tile, byte of columns, row. start: of each row, the result
// where no bit differs, base + of_counts popcount(w).
struct Weights {
    std::vector<uint8_t> bits;
    std::vector<float> start;
    int64_t rows, bytes;

    Weights(const float* signs, int64_t rows, int64_t columns, float base, float of_counts,
            [[maybe_unused]] int threads)
        : rows(rows), bytes((columns + 7) / 8) {
        const int64_t tiles = (rows + TILE - 1) / TILE;
        bits.resize(tiles * bytes * TILE);
        start.resize(tiles * TILE);
        PARALLEL_FOR
        for (int64_t row = 0; row < rows; row++) {
            uint8_t* tile = bits.data() + row / TILE * bytes * TILE + row % TILE;
            int count = 0;
            for (int64_t b = 0; b < bytes; b++) {
                uint8_t byte = pack_byte(signs + row * columns + 8 * b, columns - 8 * b, 0);
                tile[b * TILE] = byte;
                count += __builtin_popcount(byte);
            }
            start[row] = base + of_counts * static_cast<float>(count);
        }
    }
};

// x[row][i] += 2^shift times the differing bits of ROWS activation rows and the i-th weight row of
// a tile, of up to CHUNK bytes. Activations: each byte as two table offsets, 16 times its low and
// its high four bits.
#ifdef __AVX2__
inline void count_chunk(const uint8_t* const* rows, const uint8_t* tile, int64_t bytes, int shift,
                        int32_t (*x)[TILE]) {
    const __m256i low = _mm256_set1_epi8(15);
    const uint8_t* table = TABLE.of[0];
    __m256i sums[ROWS][2];
    for (auto& sum : sums) sum[0] = sum[1] = _mm256_setzero_si256();
    for (int64_t b = 0; b < bytes; b++) {
        const __m256i* w = reinterpret_cast<const __m256i*>(tile + b * TILE);
        __m256i w0 = _mm256_loadu_si256(w), w1 = _mm256_loadu_si256(w + 1);
        __m256i high0 = _mm256_and_si256(_mm256_srli_epi16(w0, 4), low);
        __m256i high1 = _mm256_and_si256(_mm256_srli_epi16(w1, 4), low);
        w0 = _mm256_and_si256(w0, low);
        w1 = _mm256_and_si256(w1, low);
#pragma GCC unroll 3
        for (int64_t r = 0; r < ROWS; r++) {
            auto entry = [&](int64_t half) {
                return _mm256_broadcastsi128_si256(_mm_load_si128(
                    reinterpret_cast<const __m128i*>(table + rows[r][2 * b + half])));
            };
            __m256i t0 = entry(0), t1 = entry(1);
            sums[r][0] = _mm256_add_epi8(sums[r][0], _mm256_shuffle_epi8(t0, w0));
            sums[r][1] = _mm256_add_epi8(sums[r][1], _mm256_shuffle_epi8(t0, w1));
            sums[r][0] = _mm256_add_epi8(sums[r][0], _mm256_shuffle_epi8(t1, high0));
            sums[r][1] = _mm256_add_epi8(sums[r][1], _mm256_shuffle_epi8(t1, high1));
        }
    }
    for (int64_t r = 0; r < ROWS; r++) {
        alignas(32) uint8_t counted[TILE];
        _mm256_store_si256(reinterpret_cast<__m256i*>(counted), sums[r][0]);
        _mm256_store_si256(reinterpret_cast<__m256i*>(counted) + 1, sums[r][1]);
        for (int64_t i = 0; i < TILE; i++) x[r][i] += counted[i] << shift;
    }
}
#else
inline void count_chunk(const uint8_t* const* rows, const uint8_t* tile, int64_t bytes, int shift,
                        int32_t (*x)[TILE]) {
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t b = 0; b < bytes; b++) {
            int activation = rows[r][2 * b] >> 4 | rows[r][2 * b + 1];
            for (int64_t i = 0; i < TILE; i++)
                x[r][i] += __builtin_popcount(activation ^ tile[b * TILE + i]) << shift;
        }
}
#endif

inline void pack_row(const float* x, int64_t columns, float above, uint8_t* offsets) {
    for (int64_t b = 0; 8 * b < columns; b++) {
        uint8_t byte = pack_byte(x + 8 * b, columns - 8 * b, above);
        offsets[2 * b] = static_cast<uint8_t>(byte << 4);
        offsets[2 * b + 1] = byte & 0xF0;
    }
}

// Whether bits are of {-1,+1} rather than {0,1}; the first that is not +1 tells.
inline bool is_bipolar(const float* bits, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (bits[i] != 1.0f) return bits[i] < 0;
    return false;  // all +1 is the same in either set
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
    const uint8_t* rows[ROWS];
    for (int64_t tile = 0; tile * TILE < weights.rows; tile++) {
        alignas(32) int32_t x[ROWS][TILE] = {};
        for (int64_t p = 0; p < count; p++)
            for (int64_t b = 0; b < weights.bytes; b += CHUNK) {
                for (int64_t r = 0; r < ROWS; r++) {
                    const int64_t row = std::min(r, present - 1);  // the rest is not used
                    rows[r] = planes[p].offsets + (row * weights.bytes + b) * 2;
                }
                count_chunk(rows, weights.bits.data() + (tile * weights.bytes + b) * TILE,
                            std::min(CHUNK, weights.bytes - b), planes[p].shift, x);
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
