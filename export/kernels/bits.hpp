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
#if defined(__AVX512F__) && defined(__AVX512BW__)
#include <immintrin.h>
#define HAVE_AVX512
#if defined(__AVX512VPOPCNTDQ__)
#define HAVE_VECTOR_POPCOUNT
#endif
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
        data.assign(static_cast<size_t>(padded * words), 0);
    }
};

// The bits x[i] >= threshold[i] of up to a word.
inline Word reached(const int32_t* x, const int32_t* threshold, int64_t count) {
    Word word = 0;
#ifdef HAVE_AVX512
    if (count >= WORD) {
        for (int i = 0; i < 4; i++) {
            __mmask16 mask = _mm512_cmpge_epi32_mask(_mm512_loadu_si512(x + 16 * i),
                                                     _mm512_loadu_si512(threshold + 16 * i));
            word |= static_cast<Word>(mask) << (16 * i);
        }
        return word;
    }
#endif
    for (int64_t i = 0; i < std::min(count, WORD); i++)
        word |= static_cast<Word>(x[i] >= threshold[i]) << i;
    return word;
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

// Calls take(r, begin, counts): the differing bits of row r and LANES columns from `begin` on.
template <typename Take>
inline void differing(const Rows& left, const Columns& right, Take take) {
    alignas(64) Word counts[ROWS][LANES];
    for (int64_t begin = 0; begin < right.padded; begin += LANES)
        for (int64_t r = 0; r < left.rows; r += ROWS) {
            const int64_t present = std::min(ROWS, left.rows - r);
            const Word* row[ROWS];
            for (int64_t i = 0; i < ROWS; i++) row[i] = left.row(r + std::min(i, present - 1));
#ifdef HAVE_VECTOR_POPCOUNT
            constexpr int64_t HALF = LANES / 2, VECTORS = HALF / 8;
            for (int64_t half = 0; half < LANES; half += HALF) {
                __m512i sums[ROWS][VECTORS] = {};
                const Word* from = right.data.data() + begin + half;
                for (int64_t w = 0; w < right.words; w++, from += right.padded) {
                    __m512i lanes[VECTORS];
#pragma GCC unroll 4
                    for (int64_t v = 0; v < VECTORS; v++)
                        lanes[v] = _mm512_loadu_si512(from + 8 * v);
#pragma GCC unroll 4
                    for (int64_t i = 0; i < ROWS; i++) {
                        const __m512i word = _mm512_set1_epi64(static_cast<int64_t>(row[i][w]));
#pragma GCC unroll 4
                        for (int64_t v = 0; v < VECTORS; v++)
                            sums[i][v] = _mm512_add_epi64(
                                sums[i][v],
                                _mm512_popcnt_epi64(_mm512_xor_si512(word, lanes[v])));
                    }
                }
                for (int64_t i = 0; i < ROWS; i++)
                    for (int64_t v = 0; v < VECTORS; v++)
                        _mm512_store_si512(counts[i] + half + 8 * v, sums[i][v]);
            }
#else
            for (int64_t i = 0; i < present; i++) {
                std::fill_n(counts[i], LANES, Word{0});
                const Word* from = right.data.data() + begin;
                for (int64_t w = 0; w < right.words; w++, from += right.padded)
                    for (int64_t c = 0; c < LANES; c++)
                        counts[i][c] += __builtin_popcountll(row[i][w] ^ from[c]);
            }
#endif
            for (int64_t i = 0; i < present; i++) take(r + i, begin, counts[i]);
        }
}

// The bits counts[i] < limit[i] of a word
inline Word below(const Word* counts, const Word* limit) {
    Word word = 0;
#ifdef HAVE_AVX512
    for (int i = 0; i < 8; i++) {
        __mmask8 mask = _mm512_cmplt_epu64_mask(_mm512_loadu_si512(counts + 8 * i),
                                                _mm512_loadu_si512(limit + 8 * i));
        word |= static_cast<Word>(mask) << (8 * i);
    }
#else
    for (int64_t i = 0; i < LANES; i++) word |= static_cast<Word>(counts[i] < limit[i]) << i;
#endif
    return word;
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
        Word same[LANES];
        std::fill_n(same, LANES, limits[r]);
        result.row(r)[begin / LANES] = below(counts, same);
    });
}
}  // namespace bits
