// The part of ONNX Runtime's C interface that a library of operators needs.
//
// The wheel of onnxruntime holds no header. Its interface is a table of functions, which only ever
// grows at its end: a function keeps its place in all versions since the one that brought it.
#pragma once
#include <cstddef>
#include <cstdint>

namespace ort {
constexpr uint32_t VERSION = 17;  // of the interface: ONNX Runtime 1.17 and later

struct Status;
struct SessionOptions;
struct Domain;
struct KernelInfo;
struct KernelContext;
struct Value;
struct Shape;

enum Type : int { FLOAT = 1, UINT8 = 2, INT8 = 3, INT32 = 6, INT64 = 7, DOUBLE = 11 };
enum Presence : int { REQUIRED = 0, OPTIONAL = 1, VARIADIC = 2 };
constexpr int ANY_TYPE = 0, MEMORY = 0, FAILED = 1;

using Table = const void* const*;

// The functions by their place in the table.
struct Api {
    Table table;

    template <typename Result, typename... Arguments>
    Result call(int place, Arguments... arguments) const {
        return reinterpret_cast<Result (*)(Arguments...)>(const_cast<void*>(table[place]))(
            arguments...);
    }
    Status* status(const char* message) const { return call<Status*>(0, int{FAILED}, message); }
    Status* create_domain(const char* name, Domain** out) const {
        return call<Status*>(26, name, out);
    }
    Status* add_op(Domain* domain, const struct Op* op) const {
        return call<Status*>(27, domain, op);
    }
    Status* add_domain(SessionOptions* options, Domain* domain) const {
        return call<Status*>(28, options, domain);
    }
    Status* data(Value* value, void** out) const { return call<Status*>(51, value, out); }
    Status* dimension_count(const Shape* shape, size_t* out) const {
        return call<Status*>(61, shape, out);
    }
    Status* dimensions(const Shape* shape, int64_t* out, size_t count) const {
        return call<Status*>(62, shape, out, count);
    }
    Status* shape(const Value* value, Shape** out) const { return call<Status*>(65, value, out); }
    Status* input(const KernelContext* context, size_t index, const Value** out) const {
        return call<Status*>(90, context, index, out);
    }
    Status* output(KernelContext* context, size_t index, const int64_t* dimensions, size_t count,
                   Value** out) const {
        return call<Status*>(91, context, index, dimensions, count, out);
    }
    void release(Shape* shape) const { call<void>(99, shape); }
};

struct ApiBase {
    Table (*get)(uint32_t version);
    const char* (*version)();
};

// What ONNX Runtime asks an operator for; its own layout.
struct Op {
    uint32_t version;
    void* (*unused_create)(const Op*, Table, const KernelInfo*);
    const char* (*name)(const Op*);
    const char* (*provider)(const Op*);
    int (*input_type)(const Op*, size_t);
    size_t (*input_count)(const Op*);
    int (*output_type)(const Op*, size_t);
    size_t (*output_count)(const Op*);
    void (*unused_compute)(void*, KernelContext*);
    void (*destroy)(void* kernel);
    int (*input_presence)(const Op*, size_t);
    int (*output_presence)(const Op*, size_t);
    int (*input_memory)(const Op*, size_t);
    int (*least_variadic_inputs)(const Op*);
    int (*same_variadic_inputs)(const Op*);
    int (*least_variadic_outputs)(const Op*);
    int (*same_variadic_outputs)(const Op*);
    Status* (*create)(const Op*, Table, const KernelInfo*, void** kernel);
    Status* (*compute)(void* kernel, KernelContext*);
    Status* (*infer_shape)(const Op*, void*);
    int (*first_opset)(const Op*);
    int (*last_opset)(const Op*);
    void* unused_aliases[4];
};
}  // namespace ort
