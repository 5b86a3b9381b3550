// Shared by the kernels. All tensors are contiguous, row-major, float32 unless said otherwise.
//
// Reductions run over a fixed number of blocks of rows, whose partial sums are added in order: a
// result depends neither on the number of threads nor on their timing.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#define KERNEL extern "C" __attribute__((visibility("default")))
#define PARALLEL_FOR _Pragma("omp parallel for num_threads(threads) schedule(static)")

constexpr int64_t BLOCKS = 8;

struct Block {
    int64_t begin, end;
};

inline Block block_of(int64_t rows, int64_t block) {
    return {rows * block / BLOCKS, rows * (block + 1) / BLOCKS};
}

// sums[i] = the sum over blocks of partial[block * count + i]
inline void add_blocks(const std::vector<float>& partial, float* sums, int64_t count) {
    std::vector<double> totals(count, 0.0);
    for (int64_t block = 0; block < BLOCKS; block++) {
        const float* part = partial.data() + block * count;
        for (int64_t i = 0; i < count; i++) totals[i] += part[i];
    }
    for (int64_t i = 0; i < count; i++) sums[i] = static_cast<float>(totals[i]);
}

// In place of the derivative of alpha * sign(z): edgebert.quantizers.sign_slope.
inline float sign_slope(float z, float alpha, bool triangle) {
    float away = std::fabs(z);
    if (triangle) return std::max(0.0f, 0.5f - away / (4 * alpha));
    return away <= alpha ? 1.0f : 0.0f;
}

// Whether bits are of {-1,+1} rather than {0,1}; the first that is not +1 tells.
inline bool is_bipolar(const float* bits, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (bits[i] != 1.0f) return bits[i] < 0;
    return false;  // all +1 is the same in either set
}
