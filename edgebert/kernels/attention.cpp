// Attention probabilities: edgebert.integer_ops._SoftmaxThreshold and the scores' _Threshold.
// scores, bits, p: (batch, heads, tokens, tokens); keys: bool (batch, tokens).
#include "common.hpp"

// bits = e >= floor(share[head] * sum(e) * scale) + 1 of real keys; p = e / sum(e)
KERNEL void softmax_forward(const float* scores, const float* table, int64_t depths,
                            const double* share, double scale, const uint8_t* keys, float* bits,
                            float* p, int64_t batch, int64_t heads, int64_t tokens, int threads) {
    const int deepest = static_cast<int>(depths) - 1;
    PARALLEL_FOR
    for (int64_t plane = 0; plane < batch * heads; plane++) {
        const uint8_t* real = keys + plane / heads * tokens;
        double fraction = share[plane % heads];
        for (int64_t row = plane * tokens; row < (plane + 1) * tokens; row++) {
            const float* s = scores + row * tokens;
            float *e = p + row * tokens, *out = bits + row * tokens;
            float largest = std::numeric_limits<float>::lowest();
            for (int64_t j = 0; j < tokens; j++)
                largest = real[j] && s[j] > largest ? s[j] : largest;
            float total = 0;  // of integers below 2^24: exact in any order
#pragma omp simd reduction(+ : total)
            for (int64_t j = 0; j < tokens; j++) {
                int depth = static_cast<int>((largest - s[j]) * 0.5f);
                depth = std::min(std::max(depth, 0), deepest);  // padded and biased ones may lie outside
                e[j] = real[j] ? table[depth] : 0.0f;
                total += e[j];
            }
            float bound = static_cast<float>(
                std::floor(fraction * static_cast<double>(total) * scale) + 1);
            for (int64_t j = 0; j < tokens; j++) {
                out[j] = (e[j] >= bound) & (real[j] != 0) ? 1.0f : 0.0f;
                e[j] /= total;
            }
        }
    }
}

// Gradients of softmax(scale * scores) and the elastic {0,1} quantizer. alpha, beta: (heads,);
// sums: (3, batch * heads), each plane's gradients of scale, beta and alpha.
KERNEL void softmax_backward(const float* grads, const float* scores, const float* p,
                             const float* unit, const float* alpha, const float* beta,
                             const uint8_t* keys, float* grad_scores, float* sums, int64_t batch,
                             int64_t heads, int64_t tokens, int threads) {
    const float scale = *unit;
    PARALLEL_FOR
    for (int64_t plane = 0; plane < batch * heads; plane++) {
        const uint8_t* real = keys + plane / heads * tokens;
        const float a = alpha[plane % heads], b = beta[plane % heads];
        float sum_scale = 0, sum_beta = 0, sum_alpha = 0;
        for (int64_t row = plane * tokens; row < (plane + 1) * tokens; row++) {
            const float *g = grads + row * tokens, *s = scores + row * tokens;
            const float* q = p + row * tokens;
            float* out = grad_scores + row * tokens;
            float mean = 0;
#pragma omp simd reduction(+ : mean, sum_beta, sum_alpha)
            for (int64_t j = 0; j < tokens; j++) {
                float ratio = (q[j] + b) / a;
                float scaled = g[j] / a;
                bool inside = (ratio >= 0) & (ratio <= 1) & (real[j] != 0);
                out[j] = inside ? scaled : 0.0f;
                mean += out[j] * q[j];
                sum_beta += out[j];
                sum_alpha -= out[j] * ratio;
            }
#pragma omp simd reduction(+ : sum_scale)
            for (int64_t j = 0; j < tokens; j++) {
                float logit = q[j] * (out[j] - mean);
                sum_scale += logit * s[j];
                out[j] = logit * scale;
            }
        }
        sums[plane] = sum_scale;
        sums[batch * heads + plane] = sum_beta;
        sums[2 * batch * heads + plane] = sum_alpha;
    }
}

// bits = score >= threshold[head] of real keys
KERNEL void scores_forward(const float* scores, const float* threshold, const uint8_t* keys,
                           float* bits, int64_t batch, int64_t heads, int64_t tokens,
                           int threads) {
    PARALLEL_FOR
    for (int64_t plane = 0; plane < batch * heads; plane++) {
        const uint8_t* real = keys + plane / heads * tokens;
        const float t = threshold[plane % heads];
        for (int64_t row = plane * tokens; row < (plane + 1) * tokens; row++)
            for (int64_t j = 0; j < tokens; j++)
                bits[row * tokens + j] =
                    (scores[row * tokens + j] >= t) & (real[j] != 0) ? 1.0f : 0.0f;
    }
}

// Gradients of the elastic {0,1} quantizer of scale * scores; as softmax_backward.
KERNEL void scores_backward(const float* grads, const float* scores, const float* unit,
                            const float* alpha, const float* beta, const uint8_t* keys,
                            float* grad_scores, float* sums, int64_t batch, int64_t heads,
                            int64_t tokens, int threads) {
    const float scale = *unit;
    PARALLEL_FOR
    for (int64_t plane = 0; plane < batch * heads; plane++) {
        const uint8_t* real = keys + plane / heads * tokens;
        const float a = alpha[plane % heads], b = beta[plane % heads];
        float sum_scale = 0, sum_beta = 0, sum_alpha = 0;
        for (int64_t row = plane * tokens; row < (plane + 1) * tokens; row++) {
            const float *g = grads + row * tokens, *s = scores + row * tokens;
            float* out = grad_scores + row * tokens;
#pragma omp simd reduction(+ : sum_scale, sum_beta, sum_alpha)
            for (int64_t j = 0; j < tokens; j++) {
                float ratio = (s[j] * scale + b) / a;
                float scaled = g[j] / a;
                float grad = (ratio >= 0) & (ratio <= 1) & (real[j] != 0) ? scaled : 0.0f;
                sum_scale += grad * s[j];
                sum_beta += grad;
                sum_alpha -= grad * ratio;
                out[j] = grad * scale;
            }
        }
        sums[plane] = sum_scale;
        sums[batch * heads + plane] = sum_beta;
        sums[2 * batch * heads + plane] = sum_alpha;
    }
}
