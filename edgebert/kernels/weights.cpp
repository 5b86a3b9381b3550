// edgebert.quantizers.weight_signs, and the optimizer's step.
#include "common.hpp"

namespace {
constexpr double GRID = 0x1p24;

// Sums of w and |w|: of multiples of 1 / GRID, which are exact in any order, and of the rest.
struct WeightSums {
    double high = 0, high_abs = 0, low = 0, low_abs = 0;
};

inline WeightSums sum_weights(const float* w, int64_t begin, int64_t end) {
    double high = 0, high_abs = 0, low = 0, low_abs = 0;
#pragma omp simd reduction(+ : high, high_abs, low, low_abs)
    for (int64_t i = begin; i < end; i++) {
        double wide = w[i] * GRID, grid = std::nearbyint(wide), rest = wide - grid;
        high += grid;
        low += rest;
        high_abs += std::fabs(grid);
        low_abs += wide < 0 ? -rest : rest;
    }
    return {high, high_abs, low, low_abs};
}

inline float mean_of(double high, double low, int64_t count) {
    return static_cast<float>((high + low) / GRID / static_cast<double>(count));
}

inline void signs_of(const float* w, float mean, float* signs, int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; i++) signs[i] = w[i] - mean >= 0 ? 1.0f : -1.0f;
}
}  // namespace

// Signs of a whole tensor about its mean, and scale = mean|w|.
KERNEL void tensor_signs(const float* weight, float* signs, float* scale, int64_t count,
                         int threads) {
    WeightSums parts[BLOCKS], all;
    PARALLEL_FOR
    for (int64_t b = 0; b < BLOCKS; b++) {
        Block range = block_of(count, b);
        parts[b] = sum_weights(weight, range.begin, range.end);
    }
    for (const WeightSums& part : parts) {
        all.high += part.high;
        all.low += part.low;
        all.high_abs += part.high_abs;
        all.low_abs += part.low_abs;
    }
    const float mean = mean_of(all.high, all.low, count);
    *scale = mean_of(all.high_abs, all.low_abs, count);
    PARALLEL_FOR
    for (int64_t b = 0; b < BLOCKS; b++) {
        Block range = block_of(count, b);
        signs_of(weight, mean, signs, range.begin, range.end);
    }
}

// The same of each row; scales (rows,).
KERNEL void row_signs(const float* weight, float* signs, float* scales, int64_t rows,
                      int64_t columns, int threads) {
    PARALLEL_FOR
    for (int64_t r = 0; r < rows; r++) {
        const float* w = weight + r * columns;
        WeightSums s = sum_weights(w, 0, columns);
        scales[r] = mean_of(s.high_abs, s.low_abs, columns);
        signs_of(w, mean_of(s.high, s.low, columns), signs + r * columns, 0, columns);
    }
}
