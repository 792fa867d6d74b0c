// The part of wasmtime's C interface that Mast uses, declared by hand for version 50 and bound at run time with dlopen,
// so that a program that never runs an application needs no library. Every function in the table below becomes a
// pointer filled by cwasmtime_bind() and a static inline function of the same name.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

typedef struct wasm_config_t wasm_config_t;
typedef struct wasm_engine_t wasm_engine_t;
typedef struct wasm_trap_t wasm_trap_t;
typedef struct wasm_importtype_t wasm_importtype_t;
typedef struct wasm_exporttype_t wasm_exporttype_t;
typedef struct wasm_externtype_t wasm_externtype_t;
typedef struct wasm_functype_t wasm_functype_t;
typedef struct wasm_memorytype_t wasm_memorytype_t;
typedef struct wasm_valtype_t wasm_valtype_t;
typedef struct wasmtime_error wasmtime_error_t;
typedef struct wasmtime_module wasmtime_module_t;
typedef struct wasmtime_linker wasmtime_linker_t;
typedef struct wasmtime_instance_pre wasmtime_instance_pre_t;
typedef struct wasmtime_store wasmtime_store_t;
typedef struct wasmtime_context wasmtime_context_t;
typedef struct wasmtime_call_future wasmtime_call_future_t;
typedef struct wasmtime_pooling_allocation_config_t wasmtime_pooling_allocation_config_t;

/// Bytes owned by whoever holds them: free with wasm_byte_vec_delete.
typedef struct { size_t size; uint8_t *_Nullable data; } wasm_byte_vec_t;
typedef struct { size_t size; wasm_importtype_t *_Nullable *_Nullable data; } wasm_importtype_vec_t;
typedef struct { size_t size; wasm_exporttype_t *_Nullable *_Nullable data; } wasm_exporttype_vec_t;
typedef struct { size_t size; wasm_valtype_t *_Nullable *_Nullable data; } wasm_valtype_vec_t;
typedef struct { uint32_t minimum, maximum; } wasm_limits_t;

typedef struct { uint64_t store_id; void *_Nullable implementation; } wasmtime_func_t;
typedef struct { uint64_t store_id; size_t implementation; } wasmtime_instance_t;
typedef struct { uint64_t store_id; uint32_t implementation1; uint32_t implementation2; uint64_t tail; } wasmtime_memory_t;

typedef struct {
    uint8_t kind;
    union { wasmtime_func_t func; wasmtime_memory_t memory; uint64_t room[3]; } of;
} wasmtime_extern_t;

/// An argument or result of a call.
typedef struct {
    uint8_t kind;
    union { int32_t i32; int64_t i64; uint64_t room[3]; } of;
} wasmtime_val_t;

/// All that a call under way points at: it stays where it is until the call's future is deleted.
typedef struct {
    wasmtime_func_t function;
    wasmtime_val_t arguments[2];
    wasmtime_val_t result;
    wasmtime_instance_t instance;
    wasm_trap_t *_Nullable trap;
    wasmtime_error_t *_Nullable error;
} cwasmtime_call_t;

enum { CWASMTIME_EXTERN_FUNC = 0, CWASMTIME_EXTERN_MEMORY = 3 };
enum { CWASMTIME_KIND_I32 = 0, CWASMTIME_KIND_I64 = 1 };

_Static_assert(sizeof(void *) == 8, "64-bit hosts only");
_Static_assert(sizeof(wasm_byte_vec_t) == 16, "layout");
_Static_assert(sizeof(wasm_importtype_vec_t) == 16, "layout");
_Static_assert(sizeof(wasm_limits_t) == 8, "layout");
_Static_assert(sizeof(wasmtime_func_t) == 16, "layout");
_Static_assert(sizeof(wasmtime_instance_t) == 16, "layout");
_Static_assert(sizeof(wasmtime_memory_t) == 24, "layout");
_Static_assert(sizeof(wasmtime_extern_t) == 32, "layout");
_Static_assert(offsetof(wasmtime_extern_t, of) == 8, "layout");
_Static_assert(sizeof(wasmtime_val_t) == 32, "layout");
_Static_assert(offsetof(wasmtime_val_t, of) == 8, "layout");

// X(result, name, (parameters), (arguments))
#define CWASMTIME_FUNCTIONS(X) \
    X(wasm_config_t *_Nullable, wasm_config_new, (void), ()) \
    X(wasm_engine_t *_Nullable, wasm_engine_new_with_config, (wasm_config_t *c), (c)) \
    X(void, wasm_engine_delete, (wasm_engine_t *e), (e)) \
    X(void, wasm_byte_vec_delete, (wasm_byte_vec_t *v), (v)) \
    X(void, wasmtime_config_consume_fuel_set, (wasm_config_t *c, bool on), (c, on)) \
    X(void, wasmtime_config_cranelift_nan_canonicalization_set, (wasm_config_t *c, bool on), (c, on)) \
    X(void, wasmtime_config_parallel_compilation_set, (wasm_config_t *c, bool on), (c, on)) \
    X(void, wasmtime_config_max_wasm_stack_set, (wasm_config_t *c, size_t bytes), (c, bytes)) \
    X(void, wasmtime_config_wasm_relaxed_simd_set, (wasm_config_t *c, bool on), (c, on)) \
    X(void, wasmtime_config_wasm_threads_set, (wasm_config_t *c, bool on), (c, on)) \
    X(void, wasmtime_config_wasm_memory64_set, (wasm_config_t *c, bool on), (c, on)) \
    X(void, wasmtime_config_wasm_multi_memory_set, (wasm_config_t *c, bool on), (c, on)) \
    X(void, wasmtime_config_wasm_gc_set, (wasm_config_t *c, bool on), (c, on)) \
    X(void, wasmtime_config_wasm_function_references_set, (wasm_config_t *c, bool on), (c, on)) \
    X(void, wasmtime_config_wasm_exceptions_set, (wasm_config_t *c, bool on), (c, on)) \
    X(void, wasmtime_pooling_allocation_strategy_set, \
      (wasm_config_t *c, const wasmtime_pooling_allocation_config_t *p), (c, p)) \
    X(wasmtime_pooling_allocation_config_t *_Nullable, wasmtime_pooling_allocation_config_new, (void), ()) \
    X(void, wasmtime_pooling_allocation_config_delete, (wasmtime_pooling_allocation_config_t *p), (p)) \
    X(void, wasmtime_pooling_allocation_config_linear_memory_keep_resident_set, \
      (wasmtime_pooling_allocation_config_t *p, size_t bytes), (p, bytes)) \
    X(void, wasmtime_pooling_allocation_config_table_keep_resident_set, \
      (wasmtime_pooling_allocation_config_t *p, size_t bytes), (p, bytes)) \
    X(void, wasmtime_pooling_allocation_config_max_memory_size_set, \
      (wasmtime_pooling_allocation_config_t *p, size_t bytes), (p, bytes)) \
    X(void, wasmtime_pooling_allocation_config_total_core_instances_set, \
      (wasmtime_pooling_allocation_config_t *p, uint32_t count), (p, count)) \
    X(void, wasmtime_pooling_allocation_config_total_memories_set, \
      (wasmtime_pooling_allocation_config_t *p, uint32_t count), (p, count)) \
    X(void, wasmtime_pooling_allocation_config_total_tables_set, \
      (wasmtime_pooling_allocation_config_t *p, uint32_t count), (p, count)) \
    X(void, wasmtime_pooling_allocation_config_total_stacks_set, \
      (wasmtime_pooling_allocation_config_t *p, uint32_t count), (p, count)) \
    X(void, wasmtime_pooling_allocation_config_async_stack_keep_resident_set, \
      (wasmtime_pooling_allocation_config_t *p, size_t bytes), (p, bytes)) \
    X(wasmtime_error_t *_Nullable, wasmtime_module_new, \
      (wasm_engine_t *e, const uint8_t *bytes, size_t count, wasmtime_module_t *_Nullable *_Nonnull out), \
      (e, bytes, count, out)) \
    X(wasmtime_error_t *_Nullable, wasmtime_module_serialize, (wasmtime_module_t *m, wasm_byte_vec_t *out), (m, out)) \
    X(wasmtime_error_t *_Nullable, wasmtime_module_deserialize, \
      (wasm_engine_t *e, const uint8_t *bytes, size_t count, wasmtime_module_t *_Nullable *_Nonnull out), \
      (e, bytes, count, out)) \
    X(void, wasmtime_module_delete, (wasmtime_module_t *m), (m)) \
    X(void, wasmtime_module_imports, (const wasmtime_module_t *m, wasm_importtype_vec_t *out), (m, out)) \
    X(void, wasmtime_module_exports, (const wasmtime_module_t *m, wasm_exporttype_vec_t *out), (m, out)) \
    X(void, wasm_importtype_vec_delete, (wasm_importtype_vec_t *v), (v)) \
    X(void, wasm_exporttype_vec_delete, (wasm_exporttype_vec_t *v), (v)) \
    X(const wasm_byte_vec_t *_Nullable, wasm_importtype_module, (const wasm_importtype_t *t), (t)) \
    X(const wasm_byte_vec_t *_Nullable, wasm_importtype_name, (const wasm_importtype_t *t), (t)) \
    X(const wasm_byte_vec_t *_Nullable, wasm_exporttype_name, (const wasm_exporttype_t *t), (t)) \
    X(const wasm_externtype_t *_Nullable, wasm_exporttype_type, (const wasm_exporttype_t *t), (t)) \
    X(const wasm_functype_t *_Nullable, wasm_externtype_as_functype_const, (const wasm_externtype_t *t), (t)) \
    X(const wasm_memorytype_t *_Nullable, wasm_externtype_as_memorytype_const, (const wasm_externtype_t *t), (t)) \
    X(const wasm_valtype_vec_t *_Nullable, wasm_functype_params, (const wasm_functype_t *t), (t)) \
    X(const wasm_valtype_vec_t *_Nullable, wasm_functype_results, (const wasm_functype_t *t), (t)) \
    X(uint8_t, wasm_valtype_kind, (const wasm_valtype_t *t), (t)) \
    X(const wasm_limits_t *_Nullable, wasm_memorytype_limits, (const wasm_memorytype_t *t), (t)) \
    X(wasmtime_linker_t *_Nullable, wasmtime_linker_new, (wasm_engine_t *e), (e)) \
    X(void, wasmtime_linker_delete, (wasmtime_linker_t *l), (l)) \
    X(wasmtime_error_t *_Nullable, wasmtime_linker_instantiate_pre, \
      (const wasmtime_linker_t *l, const wasmtime_module_t *m, wasmtime_instance_pre_t *_Nullable *_Nonnull out), \
      (l, m, out)) \
    X(void, wasmtime_instance_pre_delete, (wasmtime_instance_pre_t *p), (p)) \
    X(wasmtime_call_future_t *_Nullable, wasmtime_instance_pre_instantiate_async, \
      (const wasmtime_instance_pre_t *p, wasmtime_context_t *c, wasmtime_instance_t *out, \
       wasm_trap_t *_Nullable *_Nonnull trap, wasmtime_error_t *_Nullable *_Nonnull error), (p, c, out, trap, error)) \
    X(wasmtime_store_t *_Nullable, wasmtime_store_new, \
      (wasm_engine_t *e, void *_Nullable data, void (*_Nullable finalizer)(void *_Nullable)), (e, data, finalizer)) \
    X(void, wasmtime_store_delete, (wasmtime_store_t *s), (s)) \
    X(wasmtime_context_t *_Nullable, wasmtime_store_context, (wasmtime_store_t *s), (s)) \
    X(void, wasmtime_store_limiter, \
      (wasmtime_store_t *s, int64_t memory, int64_t elements, int64_t instances, int64_t tables, int64_t memories), \
      (s, memory, elements, instances, tables, memories)) \
    X(wasmtime_error_t *_Nullable, wasmtime_context_set_fuel, (wasmtime_context_t *c, uint64_t fuel), (c, fuel)) \
    X(wasmtime_error_t *_Nullable, wasmtime_context_fuel_async_yield_interval, \
      (wasmtime_context_t *c, uint64_t fuel), (c, fuel)) \
    X(wasmtime_error_t *_Nullable, wasmtime_context_get_fuel, (wasmtime_context_t *c, uint64_t *out), (c, out)) \
    X(bool, wasmtime_instance_export_get, \
      (wasmtime_context_t *c, const wasmtime_instance_t *i, const char *name, size_t count, wasmtime_extern_t *out), \
      (c, i, name, count, out)) \
    X(wasmtime_call_future_t *_Nullable, wasmtime_func_call_async, \
      (wasmtime_context_t *c, const wasmtime_func_t *f, const wasmtime_val_t *arguments, size_t count, \
       wasmtime_val_t *results, size_t result_count, wasm_trap_t *_Nullable *_Nonnull trap, \
       wasmtime_error_t *_Nullable *_Nonnull error), (c, f, arguments, count, results, result_count, trap, error)) \
    X(bool, wasmtime_call_future_poll, (wasmtime_call_future_t *f), (f)) \
    X(void, wasmtime_call_future_delete, (wasmtime_call_future_t *f), (f)) \
    X(uint8_t *_Nullable, wasmtime_memory_data, (wasmtime_context_t *c, const wasmtime_memory_t *m), (c, m)) \
    X(size_t, wasmtime_memory_data_size, (wasmtime_context_t *c, const wasmtime_memory_t *m), (c, m)) \
    X(void, wasmtime_error_message, (const wasmtime_error_t *e, wasm_byte_vec_t *out), (e, out)) \
    X(void, wasmtime_error_delete, (wasmtime_error_t *e), (e)) \
    X(void, wasm_trap_message, (const wasm_trap_t *t, wasm_byte_vec_t *out), (t, out)) \
    X(bool, wasmtime_trap_code, (const wasm_trap_t *t, uint8_t *out), (t, out)) \
    X(void, wasm_trap_delete, (wasm_trap_t *t), (t)) \
    X(wasmtime_error_t *_Nullable, wasmtime_wat2wasm, (const char *text, size_t count, wasm_byte_vec_t *out), \
      (text, count, out))

#define CWASMTIME_POINTER(result, name, parameters, arguments) result (*_Nonnull name) parameters;
struct cwasmtime_table { CWASMTIME_FUNCTIONS(CWASMTIME_POINTER) };
extern struct cwasmtime_table cwasmtime_table;
#undef CWASMTIME_POINTER

#define CWASMTIME_CALL(result, name, parameters, arguments) \
    static inline result name parameters { return cwasmtime_table.name arguments; }
CWASMTIME_FUNCTIONS(CWASMTIME_CALL)
#undef CWASMTIME_CALL

/// Begins a call of `call->function` with the first `count` arguments; nothing runs until the future is polled.
static inline wasmtime_call_future_t *_Nullable cwasmtime_begin_call(
    wasmtime_context_t *c, cwasmtime_call_t *call, size_t count, size_t result_count) {
    return wasmtime_func_call_async(
        c, &call->function, call->arguments, count, &call->result, result_count, &call->trap, &call->error);
}

/// Begins to make an instance, in `call->instance`.
static inline wasmtime_call_future_t *_Nullable cwasmtime_begin_instance(
    wasmtime_context_t *c, const wasmtime_instance_pre_t *p, cwasmtime_call_t *call) {
    return wasmtime_instance_pre_instantiate_async(p, c, &call->instance, &call->trap, &call->error);
}

/// Opens the library at `path` and fills the whole table, or changes nothing and writes a reason of at most
/// `reason_size` bytes. Call once per process, before any function above; they must not be called when this failed.
bool cwasmtime_bind(const char *path, char *reason, size_t reason_size);

#pragma clang assume_nonnull end
