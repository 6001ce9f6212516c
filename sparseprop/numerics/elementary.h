/* exp, log, sin and their like with the same bits on every machine with IEEE doubles.

   A C library may take another algorithm on another processor, and its last bit then differs now and then; in a chaotic
   network one bit is another raster. Here a result is a fixed sequence of + - * / of doubles and of operations on
   their bits: no call of the C library and no fused multiply-add (build with -ffp-contract=off). Errors are below
   0.85 ulp, for most functions below 0.7: docs/numerics.md has what was measured, and tests/verification what measures
   it and makes the constants.

   How each is built: the *main* path has no branch, so that a loop over it becomes wide instructions. It holds for
   arguments for which the function's *test* has the first bit clear; the others (infinities, NaN, results that overflow
   or are subnormal, large angles, and where it matters tiny arguments) take the *rare* path. sp_f(x) is one value,
   sp_f_many(y, x, n) an array with the same bits. NaN is always the same one, whatever the argument's.

   What keeps errors near the half ulp that any result has: where terms are added to a larger one, the larger part of
   the sum is taken with its rounding error, s = a + b, (a - s) + b, which is exact if a is 0 or |a| >= |b|; so only the
   roundings of the small terms are left. "Exact" in a comment means that no rounding occurs, because the bits fit. */
#ifndef SPARSEPROP_ELEMENTARY_H
#define SPARSEPROP_ELEMENTARY_H

#include <float.h>
#include <stdint.h>
#include <string.h>

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "double arithmetic must round to double after each operation (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif
#ifdef __FAST_MATH__
#error "-ffast-math would change results"
#endif
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* gcc does not know it: -ffp-contract=off */
#endif

#if defined(__GNUC__)
#define SP_MAIN static inline __attribute__((always_inline, unused))
#define SP_RARE static __attribute__((noinline, cold, unused))
#define SP_SELDOM(condition) __builtin_expect(!!(condition), 0)
#define SP_INLINE static inline __attribute__((unused))
#define SP_UNUSED __attribute__((unused))
#else
#define SP_MAIN static inline
#define SP_RARE static
#define SP_SELDOM(condition) (condition)
#define SP_INLINE static inline
#define SP_UNUSED
#endif

#include "dispatch.h"

/* ---- constants: tests/verification/elementary_coefficients.py ---- */

/* exp(r) = 1 + r + r^2 (1/2 + r CUBE), |r| <= ln(2) / 128; 2^(i / 64) = high (1 + low) */
/* relative error 2^-57.9 */
#define SP_EXP_0 0x1.55555555546fcp-3
#define SP_EXP_1 0x1.555568e27971fp-5
#define SP_EXP_2 0x1.111125074da3ep-7
#define SP_EXP_STEP_1 0x1.62e42fefa0000p-7
#define SP_EXP_STEP_2 0x1.cf79abc9e3b3ap-46
#define SP_EXP_STEPS 0x1.71547652b82fep+6
static const double sp_exp_high[64] = {
    0x1.0000000000000p+0, 0x1.02c9a3e778061p+0, 0x1.059b0d3158574p+0, 0x1.0874518759bc8p+0,
    0x1.0b5586cf9890fp+0, 0x1.0e3ec32d3d1a2p+0, 0x1.11301d0125b51p+0, 0x1.1429aaea92de0p+0,
    0x1.172b83c7d517bp+0, 0x1.1a35beb6fcb75p+0, 0x1.1d4873168b9aap+0, 0x1.2063b88628cd6p+0,
    0x1.2387a6e756238p+0, 0x1.26b4565e27cddp+0, 0x1.29e9df51fdee1p+0, 0x1.2d285a6e4030bp+0,
    0x1.306fe0a31b715p+0, 0x1.33c08b26416ffp+0, 0x1.371a7373aa9cbp+0, 0x1.3a7db34e59ff7p+0,
    0x1.3dea64c123422p+0, 0x1.4160a21f72e2ap+0, 0x1.44e086061892dp+0, 0x1.486a2b5c13cd0p+0,
    0x1.4bfdad5362a27p+0, 0x1.4f9b2769d2ca7p+0, 0x1.5342b569d4f82p+0, 0x1.56f4736b527dap+0,
    0x1.5ab07dd485429p+0, 0x1.5e76f15ad2148p+0, 0x1.6247eb03a5585p+0, 0x1.6623882552225p+0,
    0x1.6a09e667f3bcdp+0, 0x1.6dfb23c651a2fp+0, 0x1.71f75e8ec5f74p+0, 0x1.75feb564267c9p+0,
    0x1.7a11473eb0187p+0, 0x1.7e2f336cf4e62p+0, 0x1.82589994cce13p+0, 0x1.868d99b4492edp+0,
    0x1.8ace5422aa0dbp+0, 0x1.8f1ae99157736p+0, 0x1.93737b0cdc5e5p+0, 0x1.97d829fde4e50p+0,
    0x1.9c49182a3f090p+0, 0x1.a0c667b5de565p+0, 0x1.a5503b23e255dp+0, 0x1.a9e6b5579fdbfp+0,
    0x1.ae89f995ad3adp+0, 0x1.b33a2b84f15fbp+0, 0x1.b7f76f2fb5e47p+0, 0x1.bcc1e904bc1d2p+0,
    0x1.c199bdd85529cp+0, 0x1.c67f12e57d14bp+0, 0x1.cb720dcef9069p+0, 0x1.d072d4a07897cp+0,
    0x1.d5818dcfba487p+0, 0x1.da9e603db3285p+0, 0x1.dfc97337b9b5fp+0, 0x1.e502ee78b3ff6p+0,
    0x1.ea4afa2a490dap+0, 0x1.efa1bee615a27p+0, 0x1.f50765b6e4540p+0, 0x1.fa7c1819e90d8p+0,
};
static const double sp_exp_low[64] = {
    0x0.0p+0, -0x1.160139cd8dc5dp-56, 0x1.cd2523567f613p-55, 0x1.0f74e61e6c861p-57,
    0x1.79aa65d837b6dp-54, 0x1.ebe3d702f9cd1p-60, -0x1.556522a2fbd0ep-54, -0x1.1c923b9d5f416p-54,
    -0x1.01b15eaa59348p-55, 0x1.b898c3f1353bfp-55, 0x1.aecf73e3a2f60p-54, 0x1.a6f4144a6c38dp-55,
    0x1.68efde3a8a894p-54, 0x1.0472b981fe7f2p-55, 0x1.2f7e16d09ab31p-55, 0x1.b3782720c0ab4p-55,
    0x1.34d754db0abb6p-55, 0x1.fdd395dd3f84ap-55, -0x1.24aedcc4b5068p-54, -0x1.1d1e83e9436d2p-56,
    0x1.59f48a72a4c6dp-55, -0x1.8a78f4817895bp-58, 0x1.363ed60c2ac11p-59, 0x1.ecce1daa10379p-57,
    0x1.690cebb7aafb0p-56, -0x1.f94340071a38ep-55, -0x1.8dec6bd0f385fp-56, 0x1.3350518fdd78ep-54,
    0x1.063e1e21c5409p-54, 0x1.432e62b64c035p-54, -0x1.c33c53bef4da8p-55, -0x1.3cedd78565858p-54,
    -0x1.3b3efbf5e2228p-54, -0x1.367efb86da9eep-57, -0x1.81f647e5a3ecfp-56, -0x1.619321e55e68ap-55,
    -0x1.b32dcb94da51dp-56, 0x1.5ebe1abd66c55p-57, -0x1.369b6f13b3734p-54, -0x1.4d450d872576ep-54,
    0x1.db72fc1f0eab4p-55, 0x1.bf68359f35f44p-56, -0x1.da9b88b6c1e29p-58, -0x1.2434322f4f9aap-54,
    0x1.1affc2b91ce27p-56, -0x1.7c50422622263p-55, -0x1.1bbd1d3bcbb15p-54, 0x1.469846e735ab3p-55,
    0x1.c1a7792cb3387p-55, -0x1.5c3d956dcaebap-58, -0x1.8d6f438ad9334p-57, 0x1.4ffd70a5fddcdp-56,
    0x1.36eae30af0cb3p-56, 0x1.4e08fd10959acp-55, 0x1.76b2c6c921968p-57, -0x1.fad5d3ffffa6fp-55,
    0x1.4a385a63d07a7p-56, 0x1.e5a50d5c192acp-55, -0x1.2d52107b43e1fp-55, 0x1.4b604603a88d3p-56,
    -0x1.ff7128fd391f0p-55, 0x1.ec3bc41aa2008p-55, 0x1.a64a931d185eep-55, 0x1.7893b4d91cd9dp-56,
};
/* exp(r) = 1 + r + r^2 / 2 + r^3 ODD + r^4 EVEN, the latter polynomials of r^2, |r| <= ln(2) / 2 */
/* relative error 2^-63.7 */
#define SP_ODD_0 0x1.555555555555cp-3
#define SP_ODD_1 0x1.111111110e9bdp-7
#define SP_ODD_2 0x1.a01a01b467077p-13
#define SP_ODD_3 0x1.71ddee1164099p-19
#define SP_ODD_4 0x1.af6f326975d74p-26
/* relative error 2^-69.6 */
#define SP_EVEN_0 0x1.5555555555558p-5
#define SP_EVEN_1 0x1.6c16c16c14feap-10
#define SP_EVEN_2 0x1.a01a01ad885d7p-16
#define SP_EVEN_3 0x1.27e4cbf8030bbp-22
#define SP_EVEN_4 0x1.1f8c07f31b18ap-29
#define SP_LN2_1 0x1.62e42fefa3800p-1
#define SP_LN2_2 0x1.ef35793c76730p-45
#define SP_LOG2_E 0x1.71547652b82fep+0
/* log: 64 intervals of the mantissa, equal in its bits, from SP_LOG_START on; 1 is in the middle of one of them.
   Each has 1 / c, c near its middle, with 10 bits, and log(c), the first part a multiple of 2^-42. */
#define SP_LOG_START UINT64_C(0x3fe6955555555555)
static const double sp_log_inverse[64] = {
    0x1.68c0000000000p+0, 0x1.64c0000000000p+0, 0x1.6100000000000p+0, 0x1.5d40000000000p+0,
    0x1.5980000000000p+0, 0x1.5600000000000p+0, 0x1.5280000000000p+0, 0x1.4f00000000000p+0,
    0x1.4b80000000000p+0, 0x1.4840000000000p+0, 0x1.4500000000000p+0, 0x1.41c0000000000p+0,
    0x1.3ec0000000000p+0, 0x1.3b80000000000p+0, 0x1.3880000000000p+0, 0x1.3580000000000p+0,
    0x1.32c0000000000p+0, 0x1.3000000000000p+0, 0x1.2d00000000000p+0, 0x1.2a40000000000p+0,
    0x1.27c0000000000p+0, 0x1.2500000000000p+0, 0x1.2280000000000p+0, 0x1.1fc0000000000p+0,
    0x1.1d40000000000p+0, 0x1.1b00000000000p+0, 0x1.1880000000000p+0, 0x1.1600000000000p+0,
    0x1.13c0000000000p+0, 0x1.1180000000000p+0, 0x1.0f40000000000p+0, 0x1.0d00000000000p+0,
    0x1.0ac0000000000p+0, 0x1.0880000000000p+0, 0x1.0680000000000p+0, 0x1.0480000000000p+0,
    0x1.0240000000000p+0, 0x1.0000000000000p+0, 0x1.f980000000000p-1, 0x1.f180000000000p-1,
    0x1.ea80000000000p-1, 0x1.e300000000000p-1, 0x1.dc00000000000p-1, 0x1.d500000000000p-1,
    0x1.ce80000000000p-1, 0x1.c800000000000p-1, 0x1.c200000000000p-1, 0x1.bc00000000000p-1,
    0x1.b600000000000p-1, 0x1.b000000000000p-1, 0x1.aa80000000000p-1, 0x1.a500000000000p-1,
    0x1.9f80000000000p-1, 0x1.9a80000000000p-1, 0x1.9580000000000p-1, 0x1.9080000000000p-1,
    0x1.8b80000000000p-1, 0x1.8700000000000p-1, 0x1.8280000000000p-1, 0x1.7e00000000000p-1,
    0x1.7980000000000p-1, 0x1.7500000000000p-1, 0x1.7100000000000p-1, 0x1.6d00000000000p-1,
};
static const double sp_log_high[64] = {
    -0x1.5f3d6ca8a2000p-2, -0x1.53d288c3be000p-2, -0x1.4900680401000p-2, -0x1.3e10b16701000p-2,
    -0x1.3302c16586000p-2, -0x1.2895a13de8000p-2, -0x1.1e0d0c3371000p-2, -0x1.136870293b000p-2,
    -0x1.08a73667c5000p-2, -0x1.fd20fbf770000p-3, -0x1.e8c0252aa6000p-3, -0x1.d42adfec36000p-3,
    -0x1.c0fb79ccfe000p-3, -0x1.abfe5ae462000p-3, -0x1.986d322818000p-3, -0x1.84abb75866000p-3,
    -0x1.726470fa40000p-3, -0x1.5ff3070a7a000p-3, -0x1.4ba36f39a6000p-3, -0x1.38d7699164000p-3,
    -0x1.279a300ab4000p-3, -0x1.1478584674000p-3, -0x1.02ebb42bf4000p-3, -0x1.dee1d8cd60000p-4,
    -0x1.bb23e93690000p-4, -0x1.9ab4246204000p-4, -0x1.765bf23a6c000p-4, -0x1.51b073f060000p-4,
    -0x1.30673f22c8000p-4, -0x1.0ed839b554000p-4, -0x1.da0478be38000p-5, -0x1.95c830ec90000p-5,
    -0x1.50f92f60f8000p-5, -0x1.0b94f7c198000p-5, -0x1.9ace7551d0000p-6, -0x1.1d7f7eb9f0000p-6,
    -0x1.1ebde2d1a0000p-7, 0x0.0p+0, 0x1.a2a9c6c180000p-7, 0x1.d6b2725980000p-6,
    0x1.5f6e730790000p-5, 0x1.dda8adc680000p-5, 0x1.2aa04a4470000p-4, 0x1.674f089364000p-4,
    0x1.a0792e9278000p-4, 0x1.da72763844000p-4, 0x1.08598b59e4000p-3, 0x1.23d712a49c000p-3,
    0x1.3fb45a5992000p-3, 0x1.5bf406b544000p-3, 0x1.7631d82936000p-3, 0x1.90c6db9fcc000p-3,
    0x1.abb55c316a000p-3, 0x1.c480c0005c000p-3, 0x1.dd99edaf6e000p-3, 0x1.f702d36778000p-3,
    0x1.085eb8f8ae000p-2, 0x1.14167ef367000p-2, 0x1.1ff0fe7cf4000p-2, 0x1.2bef07cdc9000p-2,
    0x1.3811728565000p-2, 0x1.44591e053a000p-2, 0x1.4f637ebbaa000p-2, 0x1.5a8cadbbee000p-2,
};
static const double sp_log_low[64] = {
    -0x1.7af848e19cc75p-44, 0x1.11397eb6dfac5p-46, 0x1.8bccffe1a0f8cp-44, -0x1.f3bcf145429c7p-44,
    -0x1.6217dc2a3e08bp-44, -0x1.a8d7ad24c13f0p-44, -0x1.af8f2a9b0d4a0p-44, 0x1.d3e8499d67123p-44,
    -0x1.ebc1d40c5a329p-44, 0x1.1c55b72c6fe70p-46, 0x1.6805b80e8e6ffp-45, 0x1.75c00fd804272p-46,
    0x1.46fff99e8a558p-44, 0x1.b68f5395f139dp-44, -0x1.93b564dd44000p-48, 0x1.d8daadf4e2bd2p-44,
    0x1.774df0e743a45p-44, 0x1.8586f183bebf2p-44, 0x1.4354bb3f219e5p-44, -0x1.844a59e39bb70p-46,
    -0x1.ef432b3235108p-44, -0x1.563451027c750p-46, 0x1.5a8fa5ce00e5dp-46, 0x1.28da0729eff89p-44,
    0x1.68b183559db8bp-44, 0x1.8a64826787061p-45, 0x1.ecbc035c4256ap-48, -0x1.83f69278e686ap-44,
    -0x1.4c9e29dcf0ba5p-45, 0x1.901f46d48abb4p-44, -0x1.252c7b1f6fe05p-45, 0x1.c148297c5feb8p-45,
    -0x1.96cfb0a91ffe3p-45, 0x1.e89896f022783p-45, 0x1.d75d97ec7c410p-45, 0x1.4193a83fcc7a6p-46,
    0x1.a0683ff48dc36p-45, 0x0.0p+0, -0x1.f73bc4d6d3472p-44, -0x1.9ff7b50d1b838p-44,
    -0x1.0485a8012494cp-45, -0x1.1b1ac64d9e42fp-45, 0x1.7a48ba8b1cb41p-44, 0x1.a79994c9d3302p-44,
    -0x1.a9ce6c9ad51bfp-47, 0x1.a89401fa71733p-46, -0x1.7e5dd7009902cp-45, 0x1.00d238fd3df5cp-46,
    0x1.19713c0cae559p-44, -0x1.27023eb68981cp-46, -0x1.5e77dc7c5f3e1p-45, -0x1.935f57718d7cap-46,
    -0x1.8a65acaf14cd8p-44, 0x1.9a294d5e44e76p-44, -0x1.02ec669c756ebp-44, -0x1.0819516673e23p-46,
    0x1.e5d513f45fe7bp-44, 0x1.e0c07824daaf5p-44, 0x1.e9d5b513ff0c1p-44, 0x1.a9cfa4a5004f4p-45,
    -0x1.a71e493a0702bp-45, -0x1.6e95892923d88p-47, -0x1.fc158cb3124b9p-44, -0x1.7c79b0af7ecf8p-48,
};
/* log(1 + r) = r + r^2 (-1/2 + r LOG), |r| <= 0.00808 */
/* relative error 2^-65.6 */
#define SP_LOG_0 0x1.55555555555bbp-2
#define SP_LOG_1 -0x1.00000000000cbp-2
#define SP_LOG_2 0x1.99999987880dcp-3
#define SP_LOG_3 -0x1.5555553c037fdp-3
#define SP_LOG_4 0x1.24999517f3e1ep-3
#define SP_LOG_5 -0x1.0007f4443d299p-3
/* sin(r) = r + r z SIN(z), cos(r) = 1 - z / 2 + z^2 COS(z), z = r^2, |r| <= pi / 4 */
/* relative error 2^-58.0 */
#define SP_SIN_0 -0x1.5555555555549p-3
#define SP_SIN_1 0x1.111111110f8a6p-7
#define SP_SIN_2 -0x1.a01a019c16198p-13
#define SP_SIN_3 0x1.71de357b1b36cp-19
#define SP_SIN_4 -0x1.ae5e689e1954cp-26
#define SP_SIN_5 0x1.5d93a416d09a6p-33
/* relative error 2^-63.9 */
#define SP_COS_0 0x1.555555555554bp-5
#define SP_COS_1 -0x1.6c16c16c15015p-10
#define SP_COS_2 0x1.a01a019c8f24fp-16
#define SP_COS_3 -0x1.27e4f7f190c69p-22
#define SP_COS_4 0x1.1ee9dbce6f7d1p-29
#define SP_COS_5 -0x1.8fa68423a1578p-37
#define SP_HALF_PI_1 0x1.921fb54442800p+0
#define SP_HALF_PI_2 0x1.4611a62633000p-42
#define SP_HALF_PI_3 0x1.45c06e0e68948p-86
#define SP_TWO_OVER_PI 0x1.45f306dc9c883p-1
#define SP_HALF_PI_HIGH 0x1.921fb54442d18p+0
#define SP_HALF_PI_LOW 0x1.1a62633145c07p-54
/* atan(t) = t + t z ATAN(z), z = t^2, |t| <= tan(pi / 8) */
/* relative error 2^-59.5 */
#define SP_ATAN_0 -0x1.555555555553dp-2
#define SP_ATAN_1 0x1.999999999589ap-3
#define SP_ATAN_2 -0x1.24924922af02cp-3
#define SP_ATAN_3 0x1.c71c70e6c477cp-4
#define SP_ATAN_4 -0x1.745cf8f12ed80p-4
#define SP_ATAN_5 0x1.3b111a8766fc8p-4
#define SP_ATAN_6 -0x1.10ebc7c863ddbp-4
#define SP_ATAN_7 0x1.df1021038b0ebp-5
#define SP_ATAN_8 -0x1.9cd6434045fb0p-5
#define SP_ATAN_9 0x1.37ddf2f86a802p-5
#define SP_ATAN_10 -0x1.257b12467a23ep-6
#define SP_QUARTER_PI_1 0x1.921fb54442d18p-1
#define SP_QUARTER_PI_2 0x1.1a62633145c07p-55
/* the binary places of 2 / pi */
static const uint32_t sp_two_over_pi[38] = {
    0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu, 0xdebbc561u,
    0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu, 0xfe1deb1cu, 0xb129a73eu, 0xe88235f5u, 0x2ebb4484u,
    0xe99c7026u, 0xb45f7e41u, 0x3991d639u, 0x835339f4u, 0x9c845f8bu, 0xbdf9283bu, 0x1ff897ffu, 0xde05980fu,
    0xef2f118bu, 0x5a0a6d1fu, 0x6d367ecfu, 0x27cb09b7u, 0x4f463f66u, 0x9e5fea2du, 0x7527bac7u, 0xebe5f17bu,
    0x3d0739f7u, 0x8a5292eau, 0x6bfb5fb1u, 0x1f8d5d08u, 0x56033046u, 0xfc7b6babu,
};

#define SP_ONE UINT64_C(0x3ff0000000000000)       /* the bits of 1 */
#define SP_SIGN UINT64_C(0x8000000000000000)
#define SP_MAGNITUDE UINT64_C(0x7fffffffffffffff)
#define SP_INFINITE UINT64_C(0x7ff0000000000000)
#define SP_MANTISSA UINT64_C(0x000fffffffffffff)
#define SP_ROUND 0x1.8p52 /* added, it rounds to a whole number, which then is in the last bits of the sum */

/* ---- bits ---- */

SP_MAIN uint64_t sp_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

SP_MAIN double sp_from_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* `yes` where mask is all ones, `no` where it is 0. */
SP_MAIN double sp_select(uint64_t mask, double yes, double no) {
    return sp_from_bits((sp_bits(yes) & mask) | (sp_bits(no) & ~mask));
}

/* x with its sign changed if the first bit of `sign` is set. */
SP_MAIN double sp_signed(double x, uint64_t sign) {
    return sp_from_bits(sp_bits(x) ^ (sign & SP_SIGN));
}

SP_MAIN double sp_abs(double x) {
    return sp_from_bits(sp_bits(x) & SP_MAGNITUDE);
}

SP_MAIN double sp_nan(void) {
    return sp_from_bits(UINT64_C(0x7ff8000000000000));
}

SP_MAIN double sp_infinity(void) {
    return sp_from_bits(SP_INFINITE);
}

/* 2^n, n a whole number (as an integer modulo 2^12, such as the bits of SP_ROUND + n) in [-1022, 1023]. */
SP_MAIN double sp_power_of_two(uint64_t n) {
    return sp_from_bits(SP_ONE + (n << 52));
}

/* The first 26 bits of x; the rest has 27. Products of two such parts are exact but for the last bit of 27 by 27. */
SP_MAIN double sp_upper(double x) {
    return sp_from_bits(sp_bits(x) & UINT64_C(0xfffffffff8000000));
}

/* Sign bit set unless low <= |x| <= high, which are given by their bits. */
SP_MAIN uint64_t sp_outside(double x, uint64_t low, uint64_t high) {
    uint64_t size = sp_bits(x) & SP_MAGNITUDE;
    return (size - low) | (high - size);
}

/* (nh + nl) / (dh + dl) as q, which is returned in *q, and a small rest: together right to some 2^-100 of it. */
SP_MAIN double sp_quotient_parts(double nh, double nl, double dh, double dl, double *q) {
    double inverse = 1.0 / dh, y = nh * inverse, p = y * dh;
    double yh = sp_upper(y), yl = y - yh, uh = sp_upper(dh), ul = dh - uh;
    double rest = (((yh * uh - p) + yh * ul) + yl * uh) + yl * ul; /* y dh - p, exactly */
    *q = y;
    return (((nh - p) - rest) + (nl - y * dl)) * inverse;
}

SP_MAIN double sp_quotient(double nh, double nl, double dh, double dl) {
    double q, rest = sp_quotient_parts(nh, nl, dh, dl, &q);
    return q + rest;
}

/* ---- exp ---- */

/* x = n ln(2) / 64 + r; n is in the last bits of what is returned. n SP_EXP_STEP_1 is exact for |n| < 2^17, and so is
   the first difference. */
SP_MAIN uint64_t sp_exp_reduce(double x, double *r) {
    double shifted = x * SP_EXP_STEPS + SP_ROUND, k = shifted - SP_ROUND;
    *r = (x - k * SP_EXP_STEP_1) - k * SP_EXP_STEP_2;
    return sp_bits(shifted);
}

/* exp(r) (1 + low) - 1, with the table's low part of 2^(n / 64). */
SP_MAIN double sp_exp_growth(uint64_t n, double r) {
    double z = r * r, w = z * z;
    return (r + sp_exp_low[n & 63]) + (z * (0.5 + r * SP_EXP_0) + w * (SP_EXP_1 + r * SP_EXP_2));
}

SP_MAIN uint64_t sp_exp_test(double x) {
    return sp_outside(x, 0, UINT64_C(0x4085900000000000)); /* 690: beyond, the product below may be subnormal */
}

SP_MAIN double sp_exp_main(double x) {
    double r, power;
    uint64_t n = sp_exp_reduce(x, &r);
    power = sp_from_bits(sp_bits(sp_exp_high[n & 63]) + (n >> 6 << 52));
    return power + power * sp_exp_growth(n, r);
}

/* exp(x + low) for -800 < x < 800, infinite or subnormal too. */
SP_MAIN double sp_exp_wide(double x, double low) {
    double r, y;
    uint64_t n = sp_exp_reduce(x, &r);
    y = sp_exp_high[n & 63] + sp_exp_high[n & 63] * sp_exp_growth(n, r + low);
    if (x > 0.0)
        return y * sp_power_of_two((n >> 6) - 200) * 0x1p200;
    return y * sp_power_of_two((n >> 6) + 200) * 0x1p-200;
}

SP_RARE double sp_exp_rare(double x) {
    if (x != x)
        return sp_nan();
    return x > 710.0 ? sp_infinity() : x < -746.0 ? 0.0 : sp_exp_wide(x, 0.0);
}

/* ---- expm1, sinh, cosh, tanh ---- */

/* x = n ln 2 + r + low, |r| <= ln(2) / 2; n is in the last bits of `shifted`; n SP_LN2_1 is exact for |n| < 2^11, and
   so is the first difference. cosh(r) = 1 + square + even, sinh(r) = r + odd; `square` is r^2 / 2 with half of r's
   places, and exact. */
typedef struct {
    uint64_t n;
    double r, low, square, even, odd;
} sp_powers;

SP_MAIN sp_powers sp_reduce_exponent(double x) {
    double shifted = x * SP_LOG2_E + SP_ROUND, k = shifted - SP_ROUND;
    double high = x - k * SP_LN2_1, c = k * SP_LN2_2, r = high - c, z = r * r, w = z * z, upper = sp_upper(r);
    sp_powers e;
    e.n = sp_bits(shifted);
    e.r = r;
    e.low = (high - r) - c;
    e.square = 0.5 * (upper * upper);
    e.even = 0.5 * ((r - upper) * (r + upper))
             + w * ((SP_EVEN_0 + z * SP_EVEN_1) + w * ((SP_EVEN_2 + z * SP_EVEN_3) + w * SP_EVEN_4));
    e.odd = z * r * ((SP_ODD_0 + z * SP_ODD_1) + w * ((SP_ODD_2 + z * SP_ODD_3) + w * SP_ODD_4));
    return e;
}

/* exp(x) - 1 = 2^n ((1 - 2^-n) + r + square + the rest), the first three summed with their rounding errors; as a large
   term, which is returned, and a small one. */
SP_MAIN double sp_expm1_sum(double x, double *small, double *power) {
    sp_powers e = sp_reduce_exponent(x);
    double inverse = sp_power_of_two(-e.n), offset = 1.0 - inverse, b = offset - 1.0;
    double first = offset + e.r, second = first + e.square;
    double rest = ((1.0 - (offset - b)) - (inverse + b)) + ((offset - first) + e.r) + ((first - second) + e.square);
    *power = sp_power_of_two(e.n);
    *small = rest + ((e.odd + e.even) + (e.low + e.low * e.r));
    return second;
}

SP_MAIN uint64_t sp_expm1_test(double x) {
    return sp_outside(x, 0, UINT64_C(0x4086200000000000)); /* 708 */
}

SP_MAIN double sp_expm1_main(double x) {
    double small, power, large = sp_expm1_sum(x, &small, &power);
    return sp_from_bits(sp_bits((large + small) * power) | (sp_bits(x) & SP_SIGN)); /* the sign of 0 */
}

SP_RARE double sp_expm1_rare(double x) {
    return x < 0.0 ? -1.0 : sp_exp_rare(x); /* also NaN; from 708 on the 1 is nothing */
}

/* sinh(x) = D cosh(r) + C sinh(r) and cosh(x) = C cosh(r) + D sinh(r) with C, D = 2^(n - 1) +- 2^(-n - 1); the terms
   that are not small, C or D and its product with r, with their rounding errors. x >= 0; sign is 1 for cosh, -1 for
   sinh. */
SP_MAIN double sp_hyperbolic(double x, double sign) {
    sp_powers e = sp_reduce_exponent(x);
    double p = sp_power_of_two(e.n - 1), m = sp_power_of_two(-e.n - 1) * sign;
    double constant = p + m, other = p - m; /* of cosh(r), and of sinh(r) */
    double first = constant + p * e.r, second = first - m * e.r;
    double rest = ((p - constant) + m) + ((constant - first) + p * e.r) + ((first - second) - m * e.r);
    double tail = constant * (e.square + e.even) + other * e.odd;
    return second + (rest + (tail + e.low * (other + constant * e.r)));
}

SP_MAIN uint64_t sp_sinh_test(double x) {
    return sp_outside(x, UINT64_C(0x39b0000000000000), UINT64_C(0x4086200000000000)); /* 2^-100, 708 */
}

SP_MAIN double sp_sinh_main(double x) {
    return sp_signed(sp_hyperbolic(sp_abs(x), -1.0), sp_bits(x));
}

SP_MAIN uint64_t sp_cosh_test(double x) {
    return sp_expm1_test(x);
}

SP_MAIN double sp_cosh_main(double x) {
    return sp_hyperbolic(sp_abs(x), 1.0);
}

SP_RARE double sp_cosh_rare(double x) { /* exp(|x|) / 2 */
    double r, y;
    uint64_t n;
    x = sp_abs(x);
    if (x != x)
        return sp_nan();
    if (x > 711.0)
        return sp_infinity();
    n = sp_exp_reduce(x, &r);
    y = sp_exp_high[n & 63] + sp_exp_high[n & 63] * sp_exp_growth(n, r);
    return y * sp_power_of_two((n >> 6) - 201) * 0x1p200;
}

SP_RARE double sp_sinh_rare(double x) {
    return x != x ? sp_nan() : sp_abs(x) < 1.0 ? x : sp_signed(sp_cosh_rare(x), sp_bits(x));
}

/* -M / (2 + M) with M = exp(-2 |x|) - 1, in two doubles each. */
SP_MAIN uint64_t sp_tanh_test(double x) {
    return sp_outside(x, UINT64_C(0x39b0000000000000), UINT64_C(0x4034000000000000)); /* 2^-100, 20 */
}

SP_MAIN double sp_tanh_main(double x) {
    double small, power, large = sp_expm1_sum(-2.0 * sp_abs(x), &small, &power);
    double high = large + small, low = ((large - high) + small) * power, d;
    high *= power;
    d = 2.0 + high;
    return sp_signed(sp_quotient(-high, -low, d, ((2.0 - d) + high) + low), sp_bits(x));
}

SP_RARE double sp_tanh_rare(double x) {
    return x != x ? sp_nan() : x > 1.0 ? 1.0 : x < -1.0 ? -1.0 : x;
}

/* ---- log, log1p, atanh ---- */

/* u = 2^k m, m in the interval of the table that has 1 / c of 10 bits near it: m / c - 1 = a + b, exactly. In the
   interval about 1, c is 1. */
typedef struct {
    double k, a, b;
    uint64_t i;        /* the interval */
    uint64_t exponent; /* k + 1023, where it stands in a double */
} sp_log_parts;

SP_MAIN sp_log_parts sp_log_split(double u) {
    uint64_t moved = sp_bits(u) + (SP_ONE - SP_LOG_START);
    double m = sp_from_bits((moved & SP_MANTISSA) + SP_LOG_START), upper = sp_upper(m);
    sp_log_parts p;
    p.exponent = moved & SP_INFINITE;
    p.k = sp_from_bits((moved >> 52) | UINT64_C(0x4330000000000000)) - (0x1p52 + 1023.0);
    p.i = moved >> 46 & 63;
    p.a = upper * sp_log_inverse[p.i] - 1.0;
    p.b = (m - upper) * sp_log_inverse[p.i];
    return p;
}

/* log(1 + r) - r. */
SP_MAIN double sp_log_tail(double r) {
    double z = r * r, w = z * z;
    return (z * (r * SP_LOG_0 - 0.5) + w * (SP_LOG_1 + r * SP_LOG_2))
           + (z * w) * ((SP_LOG_3 + r * SP_LOG_4) + z * SP_LOG_5);
}

/* k ln 2 + log(c) + log(1 + a + b) + small, without the low parts of the first two, which are in `small`. These two and
   a are multiples of 2^-42 below 2^10, so that their sum is exact; it is 0 or greater than b. */
SP_MAIN double sp_log_sum(double k, uint64_t i, double a, double b, double small) {
    double large = (k * SP_LN2_1 + sp_log_high[i]) + a, sum = large + b;
    return sum + ((((large - sum) + b) + small) + sp_log_tail(a + b));
}

SP_MAIN uint64_t sp_log_test(double x) { /* normal and positive */
    return (sp_bits(x) - UINT64_C(0x0010000000000000)) | (UINT64_C(0x7fefffffffffffff) - sp_bits(x));
}

SP_MAIN double sp_log_main(double x) {
    sp_log_parts p = sp_log_split(x);
    return sp_log_sum(p.k, p.i, p.a, p.b, p.k * SP_LN2_2 + sp_log_low[p.i]);
}

SP_RARE double sp_log_rare(double x) {
    sp_log_parts p;
    if (x == 0.0)
        return -sp_infinity();
    if (!(x > 0.0))
        return sp_nan();
    if (x > DBL_MAX)
        return x;
    p = sp_log_split(x * 0x1p54); /* subnormal */
    p.k -= 54.0;
    return sp_log_sum(p.k, p.i, p.a, p.b, p.k * SP_LN2_2 + sp_log_low[p.i]);
}

/* log(1 + x + x_low), as log(u + c) with u + c = 1 + x exactly; in the interval about 1, r is x. */
SP_MAIN double sp_log1p_sum(double x, double x_low) {
    double u = 1.0 + x, before = u - 1.0, c = (1.0 - (u - before)) + (x - before), scale, b, small;
    sp_log_parts p = sp_log_split(u);
    scale = sp_from_bits(2 * SP_ONE - p.exponent) * sp_log_inverse[p.i]; /* 2^-k / (the table's c) */
    c *= scale;
    b = p.b + c;
    small = (p.k * SP_LN2_2 + sp_log_low[p.i]) + (((p.b - b) + c) + x_low * scale);
    return sp_log_sum(p.k, p.i, p.a, b, small);
}

SP_MAIN uint64_t sp_log1p_test(double x) { /* -1 < x < 2^1000 */
    uint64_t size = sp_bits(x) & SP_MAGNITUDE;
    return (UINT64_C(0x7e70000000000000) - size) | ((UINT64_C(0x3fefffffffffffff) - size) & sp_bits(x));
}

SP_MAIN double sp_log1p_main(double x) {
    return sp_from_bits(sp_bits(sp_log1p_sum(x, 0.0)) | (sp_bits(x) & SP_SIGN)); /* the sign of 0 */
}

SP_RARE double sp_log1p_rare(double x) {
    if (x == -1.0)
        return -sp_infinity();
    if (!(x > 0.0))
        return sp_nan();
    return x > DBL_MAX ? x : sp_log_main(x);
}

/* log1p(2 x / (1 - x)) / 2, the quotient in two doubles. */
SP_MAIN uint64_t sp_atanh_test(double x) { /* 2^-100 <= |x| < 1 */
    return sp_outside(x, UINT64_C(0x39b0000000000000), UINT64_C(0x3fefffffffffffff));
}

SP_MAIN double sp_atanh_main(double x) {
    double size = sp_abs(x), n = 2.0 * size, d = 1.0 - size, d_low = (1.0 - d) - size, q, q_low;
    q_low = sp_quotient_parts(n, 0.0, d, d_low, &q);
    return sp_signed(0.5 * sp_log1p_sum(q, q_low), sp_bits(x));
}

SP_RARE double sp_atanh_rare(double x) {
    if (sp_abs(x) < 1.0)
        return x;
    return sp_abs(x) == 1.0 ? sp_signed(sp_infinity(), sp_bits(x)) : sp_nan();
}

/* ---- pow ---- */

/* exp(y log(x)) with the logarithm and the product in two doubles; x > 0, x_k is added to its exponent. */
SP_MAIN double sp_pow_positive(double x, double y, double x_k) {
    sp_log_parts p = sp_log_split(x);
    double k = p.k + x_k, r = p.a + p.b, low = (p.a - r) + p.b, z = r * r, upper = sp_upper(r);
    double square = -0.5 * (upper * upper), square_low = -0.5 * ((r - upper) * (r + upper)) - r * low;
    double P = r * SP_LOG_0 + z * ((SP_LOG_1 + r * SP_LOG_2) + z * ((SP_LOG_3 + r * SP_LOG_4) + z * SP_LOG_5));
    double whole = k * SP_LN2_1 + sp_log_high[p.i], first = whole + r, second = first + square;
    double rest = ((whole - first) + r) + ((first - second) + square), high, yh, yl, hh, hl;
    rest += (k * SP_LN2_2 + sp_log_low[p.i]) + (low + (square_low + z * P));
    high = second + rest;
    rest = (second - high) + rest;
    whole = y * high;
    if (!(sp_abs(whole) < 800.0)) /* a NaN is not possible: high is finite, and if it is 0, y is finite */
        return whole > 0.0 ? sp_infinity() : 0.0;
    yh = sp_upper(y), yl = y - yh, hh = sp_upper(high), hl = high - hh;
    return sp_exp_wide(whole, ((((yh * hh - whole) + yh * hl) + yl * hh) + yl * hl) + y * rest);
}

/* As C99 and IEEE 754 have it: x^0 and 1^y are 1, also of NaN. */
SP_INLINE double sp_pow(double x, double y) {
    double size = sp_abs(x), far = sp_abs(y);
    int64_t integer = far < 0x1p53 ? (int64_t)y : 0;
    int whole = far < 0x1p53 ? (double)integer == y : far >= 0x1p53, odd = whole && (integer & 1);
    uint64_t sign = odd ? sp_bits(x) : 0;
    if (y == 0.0 || x == 1.0)
        return 1.0;
    if (x != x || y != y)
        return sp_nan();
    if (far > DBL_MAX)
        return size == 1.0 ? 1.0 : (size > 1.0) == (y > 0.0) ? sp_infinity() : 0.0;
    if (size == 0.0 || size > DBL_MAX)
        return sp_signed((size > 1.0) == (y > 0.0) ? sp_infinity() : 0.0, sign);
    if (x < 0.0 && !whole)
        return sp_nan();
    return sp_signed(size < DBL_MIN ? sp_pow_positive(size * 0x1p54, y, -54.0) : sp_pow_positive(size, y, 0.0), sign);
}

SP_UNUSED static void sp_pow_many(double *power, const double *x, const double *y, int64_t n) {
    int64_t i;
    for (i = 0; i < n; i++)
        power[i] = sp_pow(x[i], y[i]);
}

/* ---- sin, cos, tan ---- */

/* |x| = n pi / 2 + h + l, |h| <= pi / 4, in two doubles. */
typedef struct {
    uint64_t n;
    double h, l;
} sp_angle;

/* For |x| <= 3217, so that n has 11 bits, and its products with the first two parts of pi / 2 are exact; so is t. h + l
   is right to 2^-126, and no such double is nearer to a multiple of pi / 2 than 2^-61. */
SP_MAIN sp_angle sp_reduce(double size) {
    double shifted = size * SP_TWO_OVER_PI + SP_ROUND, k = shifted - SP_ROUND;
    double t = size - k * SP_HALF_PI_1, w = k * SP_HALF_PI_2, h = t - w, b = h - t;
    sp_angle a;
    a.n = sp_bits(shifted);
    a.h = h;
    a.l = ((t - (h - b)) - (w + b)) - k * SP_HALF_PI_3;
    return a;
}

/* For all finite |x| above: x = m 2^e; of 2 / pi the 192 binary places are taken of which m times them is below 4 and
   not beyond 2^-137 quarter turns; what is before them are multiples of 4 quarters. In integers. */
SP_RARE sp_angle sp_reduce_large(double size) {
    uint64_t bits = sp_bits(size), m = (bits & SP_MANTISSA) | (SP_MANTISSA + 1), carry, negative, top, high, low;
    int first = (int)(bits >> 52) - 1075 - 2, i, shift;
    uint32_t window[7], product[6], factor[2];
    double fh, fl, ph, pl, scale;
    sp_angle a;
    /* window: places first + 1 to first + 192 after the point, most significant word first; places before it are 0 */
    int word = first >= 0 ? first / 32 : -((31 - first) / 32), offset = first - 32 * word;
    for (i = 0; i < 7; i++)
        window[i] = word + i >= 0 && word + i < 38 ? sp_two_over_pi[word + i] : 0;
    for (i = 0; i < 6; i++)
        window[i] = offset ? (window[i] << offset) | (window[i + 1] >> (32 - offset)) : window[i];
    factor[0] = (uint32_t)m;
    factor[1] = (uint32_t)(m >> 32);
    carry = 0;
    for (i = 5; i >= 0; i--) { /* m window modulo 2^192 */
        uint64_t one = (uint64_t)window[i] * factor[0] + (uint32_t)carry;
        uint64_t other = i < 5 ? (uint64_t)window[i + 1] * factor[1] + (uint32_t)one : (uint32_t)one;
        product[i] = (uint32_t)other;
        carry = (carry >> 32) + (one >> 32) + (other >> 32);
    }
    /* The first two bits are quarters; the rest, as a signed number, the way from the nearest one. */
    top = (uint64_t)product[0] << 32 | product[1];
    a.n = (top + (SP_SIGN >> 2)) >> 62;
    high = top << 2 | product[2] >> 30;
    low = (uint64_t)product[2] << 34 | (uint64_t)product[3] << 2 | product[4] >> 30;
    top = (uint64_t)product[4] << 34 | (uint64_t)product[5] << 2;
    negative = high >> 63;
    if (negative) { /* complement: off by 2^-190 */
        high = ~high;
        low = ~low;
        top = ~top;
    }
    scale = 1.0;
    for (shift = 32; shift; shift >>= 1)
        if (!(high >> (64 - shift))) {
            high = high << shift | low >> (64 - shift);
            low = low << shift | top >> (64 - shift);
            top <<= shift;
            scale *= sp_power_of_two((uint64_t)-shift);
        }
    if (!(high >> 63)) {
        high = high << 1 | low >> 63;
        low <<= 1;
        scale *= 0.5;
    }
    fh = (double)(high >> 11) * 0x1p-53; /* exact conversions of 53 bits each */
    fl = (double)((high << 42 | low >> 22) & (SP_MANTISSA << 1 | 1)) * 0x1p-106;
    /* times pi / 2 */
    ph = fh * SP_HALF_PI_HIGH;
    pl = ((sp_upper(fh) * sp_upper(SP_HALF_PI_HIGH) - ph)
          + sp_upper(fh) * (SP_HALF_PI_HIGH - sp_upper(SP_HALF_PI_HIGH))
          + (fh - sp_upper(fh)) * sp_upper(SP_HALF_PI_HIGH))
         + (fh - sp_upper(fh)) * (SP_HALF_PI_HIGH - sp_upper(SP_HALF_PI_HIGH))
         + (fh * SP_HALF_PI_LOW + fl * SP_HALF_PI_HIGH);
    a.h = ph + pl;
    a.l = sp_signed(((ph - a.h) + pl) * scale, negative << 63);
    a.h = sp_signed(a.h * scale, negative << 63);
    return a;
}

/* sin and cos of h + l, each as a large term and a small one. h^2 / 2 = whole + rest, where `whole`, with half of the
   places, is exact: it is the largest that is rounded in either. */
typedef struct {
    double sine, sine_low, cosine, cosine_low;
} sp_circle;

SP_MAIN sp_circle sp_circle_of(double h, double l) {
    double z = h * h, w = z * z, upper = sp_upper(h), whole = 0.5 * (upper * upper);
    double rest = 0.5 * ((h - upper) * (h + upper)), one = 1.0 - whole;
    double S = (SP_SIN_1 + z * SP_SIN_2) + w * ((SP_SIN_3 + z * SP_SIN_4) + w * SP_SIN_5);
    double C = (SP_COS_0 + z * SP_COS_1) + w * ((SP_COS_2 + z * SP_COS_3) + w * (SP_COS_4 + z * SP_COS_5));
    sp_circle y;
    y.sine = h;
    y.sine_low = h * (whole * (2.0 * SP_SIN_0) + (rest * (2.0 * SP_SIN_0) + w * S)) + l * one;
    y.cosine = one;
    y.cosine_low = ((1.0 - one) - whole) + (w * C - (rest + h * l));
    return y;
}

SP_MAIN double sp_sin_of(sp_angle a, uint64_t sign) {
    sp_circle y = sp_circle_of(a.h, a.l);
    double value = sp_select(-(a.n & 1), y.cosine + y.cosine_low, y.sine + y.sine_low);
    return sp_signed(value, a.n << 62 ^ sign);
}

SP_MAIN double sp_cos_of(sp_angle a) {
    sp_circle y = sp_circle_of(a.h, a.l);
    double value = sp_select(-(a.n & 1), y.sine + y.sine_low, y.cosine + y.cosine_low);
    return sp_signed(value, (a.n + 1) << 62);
}

SP_MAIN double sp_tan_of(sp_angle a, uint64_t sign) {
    sp_circle y = sp_circle_of(a.h, a.l);
    double s = y.sine + y.sine_low, s_low = (y.sine - s) + y.sine_low;
    double c = y.cosine + y.cosine_low, c_low = (y.cosine - c) + y.cosine_low;
    uint64_t odd = -(a.n & 1);
    double value = sp_quotient(sp_select(odd, c, s), sp_select(odd, c_low, s_low), sp_select(odd, s, c),
                               sp_select(odd, s_low, c_low));
    return sp_signed(value, odd ^ sign);
}

SP_MAIN uint64_t sp_sin_test(double x) {
    return sp_outside(x, 0, UINT64_C(0x40a9220000000000)); /* 3217 */
}

SP_MAIN double sp_sin_main(double x) {
    return sp_sin_of(sp_reduce(sp_abs(x)), sp_bits(x));
}

SP_RARE double sp_sin_rare(double x) {
    return sp_abs(x) <= DBL_MAX ? sp_sin_of(sp_reduce_large(sp_abs(x)), sp_bits(x)) : sp_nan();
}

SP_MAIN uint64_t sp_cos_test(double x) {
    return sp_sin_test(x);
}

SP_MAIN double sp_cos_main(double x) {
    return sp_cos_of(sp_reduce(sp_abs(x)));
}

SP_RARE double sp_cos_rare(double x) {
    return sp_abs(x) <= DBL_MAX ? sp_cos_of(sp_reduce_large(sp_abs(x))) : sp_nan();
}

SP_MAIN uint64_t sp_tan_test(double x) {
    return sp_outside(x, UINT64_C(0x39b0000000000000), UINT64_C(0x40a9220000000000)); /* 2^-100, 3217 */
}

SP_MAIN double sp_tan_main(double x) {
    return sp_tan_of(sp_reduce(sp_abs(x)), sp_bits(x));
}

SP_RARE double sp_tan_rare(double x) {
    if (sp_abs(x) < 1.0)
        return x;
    return sp_abs(x) <= DBL_MAX ? sp_tan_of(sp_reduce_large(sp_abs(x)), sp_bits(x)) : sp_nan();
}

/* ---- atan, atan2 ---- */

/* The angle of (x, y), x given without its sign; y >= 0. With a the larger and b the smaller of both, atan(b / a) is
   atan(t), t = b / a, or pi / 4 + atan(t), t = (b - a) / (b + a), whichever has |t| <= tan(pi / 8); t in two doubles.
   The angle is then a multiple of pi / 4 plus or minus atan(t); three times SP_QUARTER_PI_1 is exact. */
SP_MAIN double sp_angle_of(double y, double x, uint64_t left) {
    uint64_t steep = -(uint64_t)(y > x), between, minus, j;
    double a = y > x ? y : x, b = y > x ? x : y, difference = b - a, sum = b + a;
    double n, d, d_low, n_low, t, t_low, z, w, P, quarters, base, value;
    between = -(uint64_t)(b > a * 0x1.a827999fcef32p-2);
    n = sp_select(between, difference, b);
    n_low = sp_select(between, b - (difference + a), 0.0);
    d = sp_select(between, sum, a);
    d_low = sp_select(between, b - (sum - a), 0.0);
    t_low = sp_quotient_parts(n, n_low, d, d_low, &t);
    z = t * t, w = z * z;
    P = ((SP_ATAN_0 + z * SP_ATAN_1) + w * (SP_ATAN_2 + z * SP_ATAN_3))
        + (w * w) * (((SP_ATAN_4 + z * SP_ATAN_5) + w * (SP_ATAN_6 + z * SP_ATAN_7))
                     + (w * w) * ((SP_ATAN_8 + z * SP_ATAN_9) + w * SP_ATAN_10));
    t_low = t_low * (1.0 - z * (1.0 - z)) + t * z * P; /* the derivative of atan is 1 / (1 + z) */
    j = between & 1;
    j = (j ^ steep) + (steep & 3); /* 2 - j if steep */
    j = (j ^ left) + (left & 5);   /* 4 - j if left */
    quarters = sp_from_bits(sp_bits(0x1p52) + j) - 0x1p52;
    minus = steep ^ left;
    t = sp_signed(t, minus);
    base = quarters * SP_QUARTER_PI_1;
    value = base + t;
    return value + (((base - value) + t) + (sp_signed(t_low, minus) + quarters * SP_QUARTER_PI_2));
}

SP_MAIN uint64_t sp_atan_test(double x) {
    return sp_outside(x, UINT64_C(0x39b0000000000000), UINT64_C(0x4630000000000000)); /* 2^-100, 2^100 */
}

SP_MAIN double sp_atan_main(double x) {
    return sp_signed(sp_angle_of(sp_abs(x), 1.0, 0), sp_bits(x));
}

SP_RARE double sp_atan_rare(double x) {
    return x != x ? sp_nan() : sp_abs(x) < 1.0 ? x : sp_signed(SP_HALF_PI_HIGH, sp_bits(x));
}

SP_MAIN uint64_t sp_atan2_test(double y, double x) { /* both in [2^-400, 2^400] */
    return sp_outside(y, UINT64_C(0x26f0000000000000), UINT64_C(0x58f0000000000000))
           | sp_outside(x, UINT64_C(0x26f0000000000000), UINT64_C(0x58f0000000000000));
}

SP_MAIN double sp_atan2_main(double y, double x) {
    return sp_signed(sp_angle_of(sp_abs(y), sp_abs(x), -(sp_bits(x) >> 63)), sp_bits(y));
}

SP_RARE double sp_atan2_rare(double y, double x) {
    double ay = sp_abs(y), ax = sp_abs(x), angle;
    uint64_t left = -(sp_bits(x) >> 63);
    if (y != y || x != x)
        return sp_nan();
    if (ay > DBL_MAX && ax > DBL_MAX)
        angle = left ? 0x1.2d97c7f3321d2p+1 : 0x1.921fb54442d18p-1; /* 3 pi / 4, pi / 4 */
    else if (ay == 0.0 || ax > DBL_MAX)
        angle = left ? 2.0 * SP_HALF_PI_HIGH : 0.0;
    else if (ax == 0.0 || ay > DBL_MAX)
        angle = SP_HALF_PI_HIGH;
    else {
        if (ay > 0x1p399 || ax > 0x1p399) { /* the other one may underflow: then it does not matter */
            ay *= 0x1p-600;
            ax *= 0x1p-600;
        } else if (ay < 0x1p-399 || ax < 0x1p-399) {
            ay *= 0x1p600;
            ax *= 0x1p600;
        }
        if (ay > ax * 0x1p120)
            angle = SP_HALF_PI_HIGH;
        else if (ay < ax * 0x1p-120)
            angle = left ? 2.0 * SP_HALF_PI_HIGH : sp_abs(y) / sp_abs(x);
        else
            angle = sp_angle_of(ay, ax, left);
    }
    return sp_signed(angle, sp_bits(y));
}

/* sin and cos of the same angle. */
SP_MAIN void sp_sincos_main(double *sine, double *cosine, double x) {
    sp_angle a = sp_reduce(sp_abs(x));
    *sine = sp_sin_of(a, sp_bits(x));
    *cosine = sp_cos_of(a);
}

SP_INLINE void sp_sincos(double *sine, double *cosine, double x) {
    if (SP_SELDOM(sp_sin_test(x) >> 63)) {
        *sine = sp_sin_rare(x);
        *cosine = sp_cos_rare(x);
    } else
        sp_sincos_main(sine, cosine, x);
}

/* ---- one value, and arrays; y may be x ---- */

#define SP_CHUNK 256

#define SP_SINGLE(f)                                                                       \
    SP_INLINE double sp_##f(double x) {                                                    \
        return SP_SELDOM(sp_##f##_test(x) >> 63) ? sp_##f##_rare(x) : sp_##f##_main(x);    \
    }

#define SP_MANY(f)                                                                         \
    SP_WIDEST SP_UNUSED static void sp_##f##_many(double *y, const double *x, int64_t n) { \
        double chunk[SP_CHUNK];                                                            \
        int64_t first, i, m;                                                               \
        for (first = 0; first < n; first += SP_CHUNK, x += SP_CHUNK) {                     \
            uint64_t rare = 0;                                                             \
            m = n - first < SP_CHUNK ? n - first : SP_CHUNK;                               \
            for (i = 0; i < m; i++) {                                                      \
                chunk[i] = sp_##f##_main(x[i]);                                            \
                rare |= sp_##f##_test(x[i]);                                               \
            }                                                                              \
            for (i = 0; rare >> 63 && i < m; i++)                                          \
                if (sp_##f##_test(x[i]) >> 63)                                             \
                    chunk[i] = sp_##f##_rare(x[i]);                                        \
            memcpy(y + first, chunk, (size_t)m * sizeof *y);                               \
        }                                                                                  \
    }

#define SP_FUNCTION(f) SP_SINGLE(f) SP_MANY(f)

SP_FUNCTION(exp)
SP_FUNCTION(expm1)
SP_FUNCTION(sinh)
SP_FUNCTION(cosh)
SP_FUNCTION(tanh)
SP_FUNCTION(log)
SP_MANY(log1p)
SP_FUNCTION(atanh)
SP_FUNCTION(sin)
SP_FUNCTION(cos)
SP_FUNCTION(tan)
SP_FUNCTION(atan)

/* The last steps of a root finder have a small x, for which this is the same without the search in the table. */
SP_INLINE double sp_log1p(double x) {
    if (sp_abs(x) < 0.005)
        return x + sp_log_tail(x);
    return SP_SELDOM(sp_log1p_test(x) >> 63) ? sp_log1p_rare(x) : sp_log1p_main(x);
}

SP_INLINE double sp_atan2(double y, double x) {
    return SP_SELDOM(sp_atan2_test(y, x) >> 63) ? sp_atan2_rare(y, x) : sp_atan2_main(y, x);
}

SP_WIDEST SP_UNUSED static void sp_atan2_many(double *angle, const double *y, const double *x, int64_t n) {
    double chunk[SP_CHUNK];
    int64_t first, i, m;
    for (first = 0; first < n; first += SP_CHUNK, x += SP_CHUNK, y += SP_CHUNK) {
        uint64_t rare = 0;
        m = n - first < SP_CHUNK ? n - first : SP_CHUNK;
        for (i = 0; i < m; i++) {
            chunk[i] = sp_atan2_main(y[i], x[i]);
            rare |= sp_atan2_test(y[i], x[i]);
        }
        for (i = 0; rare >> 63 && i < m; i++)
            if (sp_atan2_test(y[i], x[i]) >> 63)
                chunk[i] = sp_atan2_rare(y[i], x[i]);
        memcpy(angle + first, chunk, (size_t)m * sizeof *angle);
    }
}

/* `sine` may be x. */
SP_WIDEST SP_UNUSED static void sp_sincos_many(double *sine, double *cosine, const double *x, int64_t n) {
    double sines[SP_CHUNK], cosines[SP_CHUNK];
    int64_t first, i, m;
    for (first = 0; first < n; first += SP_CHUNK, x += SP_CHUNK) {
        uint64_t rare = 0;
        m = n - first < SP_CHUNK ? n - first : SP_CHUNK;
        for (i = 0; i < m; i++) {
            sp_sincos_main(&sines[i], &cosines[i], x[i]);
            rare |= sp_sin_test(x[i]);
        }
        for (i = 0; rare >> 63 && i < m; i++)
            if (sp_sin_test(x[i]) >> 63) {
                sines[i] = sp_sin_rare(x[i]);
                cosines[i] = sp_cos_rare(x[i]);
            }
        memcpy(sine + first, sines, (size_t)m * sizeof *sine);
        memcpy(cosine + first, cosines, (size_t)m * sizeof *cosine);
    }
}

#endif
