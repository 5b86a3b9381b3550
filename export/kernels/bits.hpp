// Bits packed into 64-bit words, and products of 1-bit numbers by counting differing bits.
//
// With X the number of bits in which an activation row and a weight row differ (bit 1: +1), over
// `depth` of them:
//   activations {-1,+1}:  a . w = depth - 2 X
//   activations {0,1}:    a . w = popcount(w) - X
// Bits beyond the depth are 0 in both, so that they never differ.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>
#if defined(__AVX512F__) && defined(__AVX512VPOPCNTDQ__)
#include <immintrin.h>
#define HAVE_AVX512
#elif defined(__AVX2__)
#include <immintrin.h>
#define HAVE_AVX2
#endif

namespace bits {
using Word = uint64_t;
constexpr int64_t WORD = 64;   // bits
constexpr int64_t LANES = 64;  // columns are padded to so many, a word of their results
constexpr int64_t ROWS = 4;    // of the left operand that share a read of the right one

inline int64_t words(int64_t count) { return (count + WORD - 1) / WORD; }

// (rows, words) of bits
struct Rows {
    int64_t rows = 0, words = 0;
    std::vector<Word> data;

    void resize(int64_t new_rows, int64_t new_words) {
        rows = new_rows, words = new_words;
        data.resize(static_cast<size_t>(rows * words));
    }
    Word* row(int64_t r) { return data.data() + r * words; }
    const Word* row(int64_t r) const { return data.data() + r * words; }
};

// Bits by word of depth, then by column: (words, columns); columns padded to LANES
struct Columns {
    int64_t columns = 0, padded = 0, words = 0;
    std::vector<Word> data;

    void resize(int64_t new_columns, int64_t new_words) {
        columns = new_columns, words = new_words;
        padded = bits::words(columns) * LANES;
        data.assign(static_cast<size_t>(padded * words), Word{0});
    }
};

// The bits x[i] >= threshold[i] of up to a word.
inline Word reached(const int32_t* x, const int32_t* threshold, int64_t count) {
    count = std::min(count, WORD);
    Word word = 0;
    int64_t i = 0;
#if defined(HAVE_AVX512)
    for (; i < count; i += 16) {
        const auto present = static_cast<__mmask16>((1u << std::min<int64_t>(count - i, 16)) - 1);
        const __mmask16 mask = _mm512_mask_cmpge_epi32_mask(
            present, _mm512_maskz_loadu_epi32(present, x + i),
            _mm512_maskz_loadu_epi32(present, threshold + i));
        word |= static_cast<Word>(mask) << i;
    }
#elif defined(HAVE_AVX2)
    for (; i + 8 <= count; i += 8) {
        const __m256i less = _mm256_cmpgt_epi32(
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(threshold + i)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)));
        word |= static_cast<Word>(~_mm256_movemask_ps(_mm256_castsi256_ps(less)) & 255) << i;
    }
#endif
    for (; i < count; i++) word |= static_cast<Word>(x[i] >= threshold[i]) << i;
    return word;
}

// The same with one threshold.
inline Word reached(const int32_t* x, int32_t threshold, int64_t count) {
    int32_t same[WORD];
    std::fill_n(same, std::min(count, WORD), threshold);
    return reached(x, same, count);
}

// The bits of up to a word of columns: whether twice the number of `row`'s bits that column i has
// too reaches limit[i] + start. Column i has its words at columns[i], columns[i + stride], ...
inline Word doubled_reached(const Word* row, const Word* columns, int64_t stride, int64_t words,
                            const int32_t* limit, int32_t start, int64_t count) {
    Word result = 0;
    int64_t i = 0;
#if defined(HAVE_AVX512)
    const __m512i first = _mm512_set1_epi64(start);
    for (; i + 8 <= count; i += 8) {
        __m512i sum = _mm512_setzero_si512();
        for (int64_t w = 0; w < words; w++) {
            const __m512i column = _mm512_loadu_si512(columns + w * stride + i);
            const __m512i word = _mm512_set1_epi64(static_cast<int64_t>(row[w]));
            sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_and_si512(word, column)));
        }
        const __m256i given = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(limit + i));
        const __m512i least = _mm512_add_epi64(_mm512_cvtepi32_epi64(given), first);
        const __mmask8 mask = _mm512_cmpge_epi64_mask(_mm512_slli_epi64(sum, 1), least);
        result |= static_cast<Word>(mask) << i;
    }
#endif
    if (i == count) return result;
    int32_t sums[WORD] = {}, limits[WORD];
    for (int64_t w = 0; w < words; w++)
        for (int64_t j = i; j < count; j++)
            sums[j] += 2 * static_cast<int32_t>(
                               __builtin_popcountll(row[w] & columns[w * stride + j]));
    for (int64_t j = i; j < count; j++) limits[j] = limit[j] + start;
    return result | reached(sums + i, limits + i, count - i) << i;
}

// `count` <= 64 bits from bit `begin` on
inline Word extract(const Word* from, int64_t begin, int64_t count) {
    const int64_t word = begin / WORD, shift = begin % WORD;
    Word result = from[word] >> shift;
    if (shift + count > WORD) result |= from[word + 1] << (WORD - shift);
    return count < WORD ? result & ((Word{1} << count) - 1) : result;
}

// (depth, columns) {-1,+1} int8 to bits by column
inline Columns pack_weight(const int8_t* weight, int64_t depth, int64_t columns) {
    Columns result;
    result.resize(columns, words(depth));
    for (int64_t i = 0; i < depth; i++)
        for (int64_t c = 0; c < columns; c++)
            result.data[i / WORD * result.padded + c] |=
                static_cast<Word>(weight[i * columns + c] > 0) << (i % WORD);
    return result;
}

inline Rows transposed(const Columns& from) {
    Rows result;
    result.resize(from.columns, from.words);
    for (int64_t c = 0; c < from.columns; c++)
        for (int64_t w = 0; w < from.words; w++)
            result.row(c)[w] = from.data[w * from.padded + c];
    return result;
}

// counts[i][c]: the bits in which row i and column c differ, over so many words; `from` holds the
// first word of `lanes` columns, up to LANES, and `stride` words later their next. Counts of columns
// beyond are anything.
using Counts = Word[ROWS][LANES];

#if defined(HAVE_AVX512)
inline void count(const Word* const (&row)[ROWS], const Word* from, int64_t stride, int64_t words,
                  int64_t lanes, Counts& counts) {
    constexpr int64_t HALF = LANES / 2, VECTORS = HALF / 8;
    for (int64_t half = 0; half < lanes; half += HALF, from += HALF) {
        __m512i sums[ROWS][VECTORS] = {};
        for (int64_t w = 0; w < words; w++) {
            __m512i columns[VECTORS];
#pragma GCC unroll 4
            for (int64_t v = 0; v < VECTORS; v++)
                columns[v] = _mm512_loadu_si512(from + w * stride + 8 * v);
#pragma GCC unroll 4
            for (int64_t i = 0; i < ROWS; i++) {
                const __m512i word = _mm512_set1_epi64(static_cast<int64_t>(row[i][w]));
#pragma GCC unroll 4
                for (int64_t v = 0; v < VECTORS; v++)
                    sums[i][v] = _mm512_add_epi64(
                        sums[i][v], _mm512_popcnt_epi64(_mm512_xor_si512(word, columns[v])));
            }
        }
        for (int64_t i = 0; i < ROWS; i++)
            for (int64_t v = 0; v < VECTORS; v++)
                _mm512_store_si512(counts[i] + half + 8 * v, sums[i][v]);
    }
}
#elif defined(HAVE_AVX2)
// A shuffle looks up the counts of four bits; bytes hold the sums of CHUNK words.
inline void count(const Word* const (&row)[ROWS], const Word* from, int64_t stride, int64_t words,
                  int64_t lanes, Counts& counts) {
    constexpr int64_t CHUNK = 31, VECTORS = 2, PART = 4 * VECTORS;
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i low = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
    for (int64_t part = 0; part < lanes; part += PART, from += PART) {
        for (int64_t i = 0; i < ROWS; i++) std::fill_n(counts[i] + part, PART, Word{0});
        for (int64_t begin = 0; begin < words; begin += CHUNK) {
            const int64_t end = std::min(words, begin + CHUNK);
            __m256i sums[ROWS][VECTORS] = {};
            for (int64_t w = begin; w < end; w++)
#pragma GCC unroll 2
                for (int64_t v = 0; v < VECTORS; v++) {
                    const __m256i columns = _mm256_loadu_si256(
                        reinterpret_cast<const __m256i*>(from + w * stride + 4 * v));
#pragma GCC unroll 4
                    for (int64_t i = 0; i < ROWS; i++) {
                        const __m256i x = _mm256_xor_si256(
                            columns, _mm256_set1_epi64x(static_cast<int64_t>(row[i][w])));
                        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
                        const __m256i bytes = _mm256_add_epi8(
                            _mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
                            _mm256_shuffle_epi8(table, high));
                        sums[i][v] = _mm256_add_epi8(sums[i][v], bytes);
                    }
                }
            for (int64_t i = 0; i < ROWS; i++)
                for (int64_t v = 0; v < VECTORS; v++) {
                    auto* to = reinterpret_cast<__m256i*>(counts[i] + part + 4 * v);
                    _mm256_store_si256(to, _mm256_add_epi64(_mm256_load_si256(to),
                                                            _mm256_sad_epu8(sums[i][v], zero)));
                }
        }
    }
}
#else
inline void count(const Word* const (&row)[ROWS], const Word* from, int64_t stride, int64_t words,
                  int64_t lanes, Counts& counts) {
    for (int64_t i = 0; i < ROWS; i++) {
        std::fill_n(counts[i], LANES, Word{0});
        for (int64_t w = 0; w < words; w++)
            for (int64_t c = 0; c < lanes; c++)
                counts[i][c] += __builtin_popcountll(row[i][w] ^ from[w * stride + c]);
    }
}
#endif

// Calls take(r, begin, counts): the differing bits of row r and LANES columns from `begin` on.
template <typename Take>
inline void differing(const Rows& left, const Columns& right, Take take) {
    alignas(64) Counts counts{};
    for (int64_t begin = 0; begin < right.padded; begin += LANES)
        for (int64_t r = 0; r < left.rows; r += ROWS) {
            const int64_t present = std::min(ROWS, left.rows - r);
            const Word* row[ROWS];
            for (int64_t i = 0; i < ROWS; i++) row[i] = left.row(r + std::min(i, present - 1));
            count(row, right.data.data() + begin, right.padded, right.words,
                  std::min(LANES, right.columns - begin), counts);
            for (int64_t i = 0; i < present; i++) take(r + i, begin, counts[i]);
        }
}

// The bits counts[i] < limit[i] of a word; both below 2^63
inline Word below(const Word* counts, const Word* limit) {
    Word word = 0;
#if defined(HAVE_AVX512)
    for (int i = 0; i < LANES; i += 8)
        word |= static_cast<Word>(_mm512_cmplt_epu64_mask(_mm512_loadu_si512(counts + i),
                                                          _mm512_loadu_si512(limit + i)))
                << i;
#elif defined(HAVE_AVX2)
    for (int i = 0; i < LANES; i += 4) {
        const __m256i less = _mm256_cmpgt_epi64(
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(limit + i)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(counts + i)));
        word |= static_cast<Word>(_mm256_movemask_pd(_mm256_castsi256_pd(less))) << i;
    }
#else
    for (int64_t i = 0; i < LANES; i++) word |= static_cast<Word>(counts[i] < limit[i]) << i;
#endif
    return word;
}

// The same with one limit for all.
inline Word below(const Word* counts, Word limit) {
#if defined(HAVE_AVX512)
    const __m512i same = _mm512_set1_epi64(static_cast<int64_t>(limit));
    Word word = 0;
    for (int i = 0; i < LANES; i += 8)
        word |= static_cast<Word>(_mm512_cmplt_epu64_mask(_mm512_loadu_si512(counts + i), same))
                << i;
    return word;
#else
    Word same[LANES];
    std::fill_n(same, LANES, limit);
    return below(counts, same);
#endif
}

// acc >= threshold is X < limit, where acc = depth - 2 X
inline Word limit_of(int64_t threshold, int64_t depth) {
    const int64_t span = std::clamp<int64_t>(threshold, -depth - 1, depth + 2);
    const int64_t twice = depth - span;  // X <= floor(twice / 2)
    return static_cast<Word>((twice >> 1) + 1);
}

// (rows, outputs) bits: whether each accumulator reaches its column's threshold
inline void threshold_columns(const Rows& left, const Columns& right,
                              const std::vector<Word>& limits, Rows& result) {
    result.resize(left.rows, right.padded / LANES);
    differing(left, right, [&](int64_t r, int64_t begin, const Word* counts) {
        result.row(r)[begin / LANES] = below(counts, limits.data() + begin);
    });
}

// The same of rows that are weights, and columns that are activations: a threshold per row
inline void threshold_rows(const Rows& left, const Columns& right, const std::vector<Word>& limits,
                           Rows& result) {
    result.resize(left.rows, right.padded / LANES);
    differing(left, right, [&](int64_t r, int64_t begin, const Word* counts) {
        result.row(r)[begin / LANES] = below(counts, limits[r]);
    });
}
}  // namespace bits
