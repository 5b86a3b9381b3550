// Elastic quantization of activations: edgebert.quantizers.ElasticQuantizer.
// levels = round(clip((x + beta) / alpha, low, high)), half to even; with low = high signs.
#include "common.hpp"

// x, levels (rows, columns); beta (columns,)
KERNEL void elastic_forward(const float* x, const float* beta, const float* scale, int64_t lowest,
                            int64_t highest, float* levels, int64_t rows, int64_t columns,
                            int threads) {
    const float alpha = *scale, low = static_cast<float>(lowest);
    const float high = static_cast<float>(highest);
    PARALLEL_FOR
    for (int64_t r = 0; r < rows; r++) {
        const float* in = x + r * columns;
        float* out = levels + r * columns;
        if (lowest == highest) {
#pragma omp simd
            for (int64_t c = 0; c < columns; c++) out[c] = in[c] + beta[c] >= 0 ? 1.0f : -1.0f;
        } else {
#pragma omp simd
            for (int64_t c = 0; c < columns; c++) {
                float ratio = (in[c] + beta[c]) / alpha;
                ratio = ratio < low ? low : (ratio > high ? high : ratio);
                out[c] = std::nearbyint(ratio);
            }
        }
    }
}

// Gradients for alpha * levels; sums: (2, columns), of beta, and of alpha before its reduction.
KERNEL void elastic_backward(const float* grads, const float* x, const float* beta,
                             const float* scale, int64_t lowest, int64_t highest, int64_t triangle,
                             float* grad_x, float* sums, int64_t rows, int64_t columns,
                             int threads) {
    const float alpha = *scale, low = static_cast<float>(lowest);
    const float high = static_cast<float>(highest);
    std::vector<float> partial(BLOCKS * 2 * columns, 0.0f);
    PARALLEL_FOR
    for (int64_t block = 0; block < BLOCKS; block++) {
        float* sb = partial.data() + block * 2 * columns;
        float* sa = sb + columns;
        Block range = block_of(rows, block);
        for (int64_t r = range.begin; r < range.end; r++) {
            const float *g = grads + r * columns, *in = x + r * columns;
            float* out = grad_x + r * columns;
            if (lowest == highest) {
#pragma omp simd
                for (int64_t c = 0; c < columns; c++) {
                    float z = in[c] + beta[c];
                    out[c] = g[c] * sign_slope(z, alpha, triangle);
                    sb[c] += out[c];
                    sa[c] += z >= 0 ? g[c] : -g[c];
                }
            } else {
#pragma omp simd
                for (int64_t c = 0; c < columns; c++) {
                    float ratio = (in[c] + beta[c]) / alpha;
                    float clipped = ratio < low ? low : (ratio > high ? high : ratio);
                    float level = std::nearbyint(clipped);
                    bool inside = (ratio >= low) & (ratio <= high);
                    out[c] = inside ? g[c] : 0.0f;
                    sb[c] += out[c];
                    sa[c] += g[c] * (inside ? level - ratio : level);
                }
            }
        }
    }
    add_blocks(partial, sums, 2 * columns);
}
