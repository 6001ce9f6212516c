/* SP_WIDEST: a loop in the widest instructions that the machine has, chosen when the module is loaded. That needs the
   indirect functions of glibc. None of the variants contracts, so all have the same bits. (-DSP_WIDEST= builds for the
   compiler's target alone.) */

#ifndef SP_WIDEST

#include <stdint.h> /* __GLIBC__ */

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) \
    && !defined(__SANITIZE_ADDRESS__)
#define SP_WIDEST __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define SP_WIDEST
#endif

#endif

/* SP_AVX2: a function with intrinsics of AVX2, to be called where sp_has_avx2() says so. */
#ifndef SP_AVX2
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define SP_AVX2 __attribute__((target("avx2")))
#define sp_has_avx2() __builtin_cpu_supports("avx2")
#endif
#endif
