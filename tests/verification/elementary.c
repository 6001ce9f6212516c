/* The functions of sparseprop/numerics/elementary.h and double_double.h: how accurate, how fast, and the same everywhere?

       elementary accuracy N [function]   largest errors over N points, against long double, and where
       elementary checksum N              of N results of each function, one by one and by arrays (what it does unasked);
                                          of N / 100 of those of double_double.h
       elementary values N                N arguments and results of each function as doubles: x, second argument, f(x)
       elementary names                   of the functions, in that order
       elementary speed                   ns per value, against the C library

   elementary.py beside this file builds and runs it. */
#include "../../sparseprop/numerics/double_double.h"
#include "../../sparseprop/numerics/philox.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CHUNK 4096

static uint64_t state;

static uint64_t word(void) { /* splitmix64 */
    uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Ranges of |x|, between low and high: 'u' uniform; 'b' uniform in the bits, so each octave alike; 'n' 1 - u or 1 + u,
   u as with 'b'; 'o' 1 - u; 'm' and '-' as 'u' and 'b', but negative; 'q' whole multiples of pi / 2, 'h' those of
   ln(2) / 2, and 4 doubles about each. Signs are random where `signs` is 2. */
typedef struct {
    char kind;
    double low, high;
} range;

typedef struct {
    const char *name;
    double (*one)(double);
    void (*many)(double *, const double *, int64_t);
    long double (*exact)(long double);
    double (*libm)(double);
    int signs;
    double fast_low, fast_high;
    range ranges[10];
} function;

#define NAMES(f) #f, sp_##f, sp_##f##_many, f##l, f

static const function functions[] = {
    {NAMES(exp), 2, -20.0, 20.0,
     {{'b', 0x1p-60, 708.0}, {'u', 0.0, 1.0}, {'u', 0.0, 708.0}, {'u', 700.0, 709.78}, {'h', 1.0, 2040.0},
      {'u', 708.0, 745.2}}},
    {NAMES(expm1), 2, -20.0, 20.0,
     {{'b', 0x1p-1060, 708.0}, {'b', 0x1p-30, 1.0}, {'u', 0.0, 1.0}, {'u', 0.0, 3.0}, {'u', 0.0, 40.0},
      {'u', 700.0, 709.78}, {'h', 1.0, 2040.0}}},
    {NAMES(sinh), 2, -20.0, 20.0,
     {{'b', 0x1p-1060, 708.0}, {'u', 0.0, 1.0}, {'u', 0.0, 3.0}, {'u', 0.0, 40.0}, {'u', 700.0, 710.47},
      {'h', 1.0, 2040.0}}},
    {NAMES(cosh), 2, -20.0, 20.0,
     {{'b', 0x1p-60, 708.0}, {'u', 0.0, 1.0}, {'u', 0.0, 3.0}, {'u', 0.0, 40.0}, {'u', 700.0, 710.47},
      {'h', 1.0, 2040.0}}},
    {NAMES(tanh), 2, -5.0, 5.0,
     {{'b', 0x1p-1060, 22.0}, {'u', 0.0, 0.5}, {'u', 0.0, 3.0}, {'u', 0.0, 22.0}, {'h', 1.0, 64.0}}},
    {NAMES(log), 1, 0.001, 100.0,
     {{'b', 0x1p-1074, 0x1p1023}, {'u', 0.0, 1.0}, {'u', 0.5, 2.0}, {'n', 0x1p-52, 0.5}, {'u', 0.6, 0.8},
      {'u', 1.3, 1.5}}},
    {NAMES(log1p), 1, 0.001, 100.0,
     {{'b', 0x1p-1060, 0x1p1023}, {'b', 0x1p-60, 1.0}, {'u', 0.0, 1.0}, {'u', 0.0, 3.0}, {'-', 0x1p-60, 1.0},
      {'m', 0.0, 1.0}, {'m', 0.0, 0.006}}},
    {NAMES(atanh), 2, -0.99, 0.99,
     {{'b', 0x1p-1060, 1.0}, {'b', 0x1p-30, 1.0}, {'u', 0.0, 1.0}, {'u', 0.0, 0.02}, {'u', 0.2, 0.6},
      {'o', 0x1p-53, 0.5}}},
    {NAMES(sin), 2, -10.0, 10.0,
     {{'b', 0x1p-1060, 0x1p1023}, {'u', 0.0, 1.0}, {'u', 0.0, 7.0}, {'u', 0.0, 3217.0}, {'q', 1.0, 2048.0},
      {'b', 3217.0, 0x1p40}, {'q', 2048.0, 0x1p40}}},
    {NAMES(cos), 2, -10.0, 10.0,
     {{'b', 0x1p-60, 0x1p1023}, {'u', 0.0, 1.0}, {'u', 0.0, 7.0}, {'u', 0.0, 3217.0}, {'q', 1.0, 2048.0},
      {'b', 3217.0, 0x1p40}, {'q', 2048.0, 0x1p40}}},
    {NAMES(tan), 2, -10.0, 10.0,
     {{'b', 0x1p-1060, 0x1p1023}, {'u', 0.0, 1.0}, {'u', 0.0, 7.0}, {'u', 0.0, 3217.0}, {'q', 1.0, 2048.0},
      {'b', 3217.0, 0x1p40}, {'q', 2048.0, 0x1p40}}},
    {NAMES(atan), 2, -10.0, 10.0,
     {{'b', 0x1p-1060, 0x1p1023}, {'b', 0x1p-20, 0x1p20}, {'u', 0.0, 1.0}, {'u', 0.35, 0.5}, {'u', 2.2, 2.6},
      {'u', 0.0, 10.0}}},
};
#define N_FUNCTIONS ((int)(sizeof functions / sizeof *functions))

/* Of two arguments. The exponents of pow are such that results stay finite, but for those of ranges[0]. */
typedef struct {
    const char *name;
    double (*one)(double, double);
    void (*many)(double *, const double *, const double *, int64_t);
    long double (*exact)(long double, long double);
    double (*libm)(double, double);
    int signs;
    range ranges[6], seconds[6];
} pair;

static const pair pairs[] = {
    {NAMES(atan2), 2,
     {{'b', 0x1p-1060, 0x1p1023}, {'u', 0.0, 1.0}, {'b', 0x1p-10, 0x1p10}, {'b', 0x1p-60, 0x1p60}},
     {{'b', 0x1p-1060, 0x1p1023}, {'u', 0.0, 1.0}, {'b', 0x1p-10, 0x1p10}, {'b', 0x1p-60, 0x1p60}}},
    {NAMES(pow), 1,
     {{'b', 0x1p-1074, 0x1p1023}, {'u', 0.0, 2.0}, {'n', 0x1p-10, 0.2}, {'n', 0x1p-8, 0x1p-7},
      {'u', 0.0, 100.0}},
     {{'b', 0x1p-100, 0x1p100}, {'u', 0.0, 10.0}, {'u', 0.0, 3000.0}, {'u', 60000.0, 90000.0},
      {'u', 0.0, 150.0}}},
};
#define N_PAIRS 2

static int64_t number(const range *r) {
    int64_t n = 0;
    while (r[n].kind)
        n++;
    return n;
}

static double fraction(void) {
    return (double)(word() >> 11) * 0x1p-53;
}

static double draw(const range *r, int signs) {
    double x = 0.0;
    uint64_t low = sp_bits(r->low), sign = word();
    switch (r->kind) {
    case 'u':
    case 'm':
        x = r->low + fraction() * (r->high - r->low);
        break;
    case 'b':
    case '-':
    case 'n':
    case 'o':
        x = sp_from_bits(low + (uint64_t)(fraction() * (double)(sp_bits(r->high) - low)));
        break;
    case 'q':
    case 'h':
        x = sp_from_bits(low + (uint64_t)(fraction() * (double)(sp_bits(r->high) - low)));
        x = (double)(int64_t)x * (r->kind == 'q' ? SP_HALF_PI_HIGH : 0x1.62e42fefa39efp-2);
        x = sp_from_bits(sp_bits(x) + (sign >> 8 & 7) - 4);
    }
    if (r->kind == 'n')
        return sign & 1 ? 1.0 + x : 1.0 - x;
    if (r->kind == 'o')
        x = 1.0 - x;
    if (r->kind == 'm' || r->kind == '-')
        return -x;
    return signs == 2 && sign & 1 ? -x : x;
}

/* |y - exact| in units of the spacing of doubles in the octave of `exact`. */
static double ulps(double y, long double exact) {
    int exponent;
    if (!isfinite((double)exact) || !isfinite(y))
        return isnan((double)exact) ? (isnan(y) ? 0.0 : INFINITY) : (double)exact == y ? 0.0 : INFINITY;
    if (exact == 0.0L)
        return y == 0.0 ? 0.0 : INFINITY;
    exponent = ilogbl(exact);
    return (double)fabsl(ldexpl((long double)y - exact, 52 - (exponent < -1022 ? -1022 : exponent)));
}

static void show(const char *name, const range *r, double worst, double x, double second, double y) {
    printf("%-6s %c %-10.5g %-10.5g %.4f  %a %a %a\n", name, r->kind, r->low, r->high, worst, x, second, y);
    fflush(stdout);
}

static void accuracy(int64_t n, const char *only) {
    static double x[CHUNK], z[CHUNK], y[CHUNK];
    int f, j;
    const range *r;
    for (f = 0; f < N_FUNCTIONS; f++) {
        const function *g = functions + f;
        if (only && strcmp(only, g->name))
            continue;
        for (r = g->ranges; r->kind; r++) {
            double worst = -1.0, at = 0.0, value = 0.0;
            int64_t i;
            state = (uint64_t)(r - g->ranges);
            for (i = 0; i < n / number(g->ranges); i += CHUNK) {
                for (j = 0; j < CHUNK; j++)
                    x[j] = draw(r, g->signs);
                g->many(y, x, CHUNK);
                for (j = 0; j < CHUNK; j++) {
                    double error = ulps(y[j], g->exact((long double)x[j]));
                    if (error > worst)
                        worst = error, at = x[j], value = y[j];
                }
            }
            show(g->name, r, worst, at, 0.0, value);
        }
    }
    for (f = 0; f < N_PAIRS; f++) {
        const pair *g = pairs + f;
        if (only && strcmp(only, g->name))
            continue;
        for (r = g->ranges; r->kind; r++) {
            double worst = -1.0, at = 0.0, second = 0.0, value = 0.0;
            int64_t i;
            state = (uint64_t)(r - g->ranges);
            for (i = 0; i < n / number(g->ranges); i += CHUNK) {
                for (j = 0; j < CHUNK; j++)
                    x[j] = draw(r, g->signs), z[j] = draw(g->seconds + (r - g->ranges), 2);
                g->many(y, x, z, CHUNK);
                for (j = 0; j < CHUNK; j++) {
                    double error = ulps(y[j], g->exact((long double)x[j], (long double)z[j]));
                    if (error > worst)
                        worst = error, at = x[j], second = z[j], value = y[j];
                }
            }
            show(g->name, r, worst, at, second, value);
        }
    }
}

static const double special[] = {0.0,     -0.0,     1.0,       -1.0,       INFINITY, -INFINITY, NAN,  DBL_MAX, -DBL_MAX,
                                 DBL_MIN, -DBL_MIN, 0x1p-1074, -0x1p-1074, 709.79,   -745.2,    1e22, 0.5,     2.0};
#define N_SPECIAL ((int)(sizeof special / sizeof *special))

static const char *name_of(int f) {
    return f < N_FUNCTIONS ? functions[f].name : pairs[f - N_FUNCTIONS].name;
}

/* The i-th chunk of arguments of a function, from one range after the other. */
static void arguments(int f, int64_t i, double *x, double *z) {
    const function *g = functions + f;
    const pair *p = pairs + (f - N_FUNCTIONS);
    int two = f >= N_FUNCTIONS, j;
    const range *ranges = two ? p->ranges : g->ranges;
    int64_t n_ranges = number(ranges);
    for (j = 0; j < CHUNK; j++) {
        x[j] = draw(ranges + i % n_ranges, two ? p->signs : g->signs);
        z[j] = two ? draw(p->seconds + i % n_ranges, 2) : 0.0;
    }
    for (j = 0; i == 0 && j < N_SPECIAL * N_SPECIAL; j++)
        x[j] = special[j % N_SPECIAL], z[j] = special[j / N_SPECIAL];
}

static void results(int f, const double *x, const double *z, double *one, double *many) {
    int j;
    for (j = 0; j < CHUNK; j++)
        one[j] = f < N_FUNCTIONS ? functions[f].one(x[j]) : pairs[f - N_FUNCTIONS].one(x[j], z[j]);
    if (f < N_FUNCTIONS)
        functions[f].many(many, x, CHUNK);
    else
        pairs[f - N_FUNCTIONS].many(many, x, z, CHUNK);
}

static void checksum(int64_t n) {
    static double x[CHUNK], z[CHUNK], one[CHUNK], many[CHUNK];
    int f, j;
    int64_t i, differ = 0;
    for (f = 0; f < N_FUNCTIONS + N_PAIRS; f++) {
        uint64_t sum = 0;
        state = 1;
        for (i = 0; i < n; i += CHUNK) {
            arguments(f, i / CHUNK, x, z);
            results(f, x, z, one, many);
            for (j = 0; j < CHUNK; j++) {
                differ += memcmp(one + j, many + j, sizeof *one) != 0;
                sum = (sum ^ sp_bits(one[j])) * UINT64_C(0x9e3779b97f4a7c15);
                sum ^= sum >> 29;
            }
        }
        printf("%-6s %016llx\n", name_of(f), (unsigned long long)sum);
    }
    printf("arrays differ from single values in %lld results\n", (long long)differ);
    if (differ)
        exit(1);
}

typedef struct {
    const char *name;
    sp_dd (*one)(sp_dd);
    sp_dd (*two)(sp_dd, sp_dd);
} wide_function;

static const wide_function wide_functions[] = {
    {"sum", 0, sp_dd_add}, {"product", 0, sp_dd_multiply}, {"quotient", 0, sp_dd_divide}, {"power", 0, sp_dd_power},
    {"sqrt", sp_dd_sqrt, 0}, {"exp", sp_dd_exp, 0}, {"expm1", sp_dd_expm1, 0}, {"curvature", sp_dd_curvature, 0},
    {"log", sp_dd_log, 0}, {"log1p", sp_dd_log1p, 0}, {"sin", sp_dd_sin, 0}, {"cos", sp_dd_cos, 0},
    {"tan", sp_dd_tan, 0}, {"atan", sp_dd_atan, 0}, {"asinh", sp_dd_asinh, 0}, {"sinh", sp_dd_sinh, 0},
    {"cosh", sp_dd_cosh, 0}, {"tanh", sp_dd_tanh, 0},
};

static uint64_t bits_of(double x) { /* of NaN, whose sign and bits IEEE leaves open, always the same */
    return sp_bits(x == x ? x : sp_nan());
}

static sp_dd wide_argument(void) { /* of any size up to 2^10 */
    double h = (double)(word() >> 11) * 0x1p-52 - 1.0;
    h = ldexp(h, (int)(word() % 40) - 29);
    return sp_dd_normal(h, h * ((double)(word() >> 11) * 0x1p-107));
}

static void wide_checksum(int64_t n) {
    for (size_t f = 0; f < sizeof wide_functions / sizeof *wide_functions; f++) {
        const wide_function *w = wide_functions + f;
        uint64_t sum = 0;
        state = 1;
        for (int64_t i = 0; i < n; i++) {
            sp_dd x = wide_argument(), z = wide_argument(), y = w->one ? w->one(x) : w->two(x, z);
            sum = (sum ^ bits_of(y.h)) * UINT64_C(0x9e3779b97f4a7c15);
            sum = ((sum ^ sum >> 29) ^ bits_of(y.l)) * UINT64_C(0x9e3779b97f4a7c15);
            sum ^= sum >> 29;
        }
        printf("wide_%s %016llx\n", w->name, (unsigned long long)sum);
    }
}

static void philox_checksum(int64_t n) {
    uint32_t neurons[12], blocks[12];
    uint64_t rows[48], sum = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int j = 0; j < 12; j++) {
            neurons[j] = (uint32_t)(i * 2654435761u + j);
            blocks[j] = (uint32_t)(i * j);
        }
        sp_philox_rows(rows, neurons, blocks, 9, i * UINT64_C(0x123456789), (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
        for (int j = 0; j < 36; j++) {
            sum = (sum ^ rows[j]) * UINT64_C(0x9e3779b97f4a7c15);
            sum ^= sum >> 29;
        }
    }
    printf("philox4x32 %016llx\n", (unsigned long long)sum);
}

static void values(int64_t n) {
    static double x[CHUNK], z[CHUNK], one[CHUNK], many[CHUNK];
    int f, j;
    int64_t i;
    for (f = 0; f < N_FUNCTIONS + N_PAIRS; f++) {
        state = 1;
        for (i = 0; i < n; i += CHUNK) {
            arguments(f, i / CHUNK, x, z);
            results(f, x, z, one, many);
            for (j = 0; j < CHUNK; j++) {
                double row[3] = {x[j], z[j], one[j]};
                fwrite(row, sizeof *row, 3, stdout);
            }
        }
    }
}

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__GNUC__) && !defined(__clang__)
#define ONE_BY_ONE __attribute__((noinline, optimize("no-tree-vectorize")))
#else
#define ONE_BY_ONE
#endif

#define BEST(target, statement)                         \
    do {                                                \
        int turn, repeat;                               \
        target = 1e9;                                   \
        for (turn = 0; turn < 30; turn++) {             \
            double begin = now();                       \
            for (repeat = 0; repeat < 20; repeat++)     \
                statement;                              \
            begin = (now() - begin) / 20 / CHUNK * 1e9; \
            target = begin < target ? begin : target;   \
        }                                               \
    } while (0)

#define LOOPS(f)                                                       \
    ONE_BY_ONE static void f##_own(double *y, const double *x) {       \
        for (int i = 0; i < CHUNK; i++)                                \
            y[i] = sp_##f(x[i]);                                       \
    }                                                                  \
    ONE_BY_ONE static void f##_libm(double *y, const double *x) {      \
        for (int i = 0; i < CHUNK; i++)                                \
            y[i] = f(x[i]);                                            \
    }                                                                  \
    ONE_BY_ONE static void f##_own_wait(double *y, const double *x) {  \
        double v = 0.0;                                                \
        for (int i = 0; i < CHUNK; i++)                                \
            v = sp_##f(x[i] + v * 0x1p-1000);                          \
        *y = v;                                                        \
    }                                                                  \
    ONE_BY_ONE static void f##_libm_wait(double *y, const double *x) { \
        double v = 0.0;                                                \
        for (int i = 0; i < CHUNK; i++)                                \
            v = f(x[i] + v * 0x1p-1000);                               \
        *y = v;                                                        \
    }
LOOPS(exp)
LOOPS(expm1) LOOPS(sinh) LOOPS(cosh) LOOPS(tanh) LOOPS(log) LOOPS(log1p) LOOPS(atanh) LOOPS(sin) LOOPS(cos) LOOPS(tan)
    LOOPS(atan)
#define LOOPS_OF_TWO(f)                                           \
    ONE_BY_ONE static void f##_own(double *y, const double *x) {  \
        for (int i = 0; i < CHUNK; i++)                           \
            y[i] = sp_##f(x[i], x[CHUNK - 1 - i]);                \
    }                                                             \
    ONE_BY_ONE static void f##_libm(double *y, const double *x) { \
        for (int i = 0; i < CHUNK; i++)                           \
            y[i] = f(x[i], x[CHUNK - 1 - i]);                     \
    }
        LOOPS_OF_TWO(atan2) LOOPS_OF_TWO(pow)

            typedef void (*loop)(double *, const double *);
#define FOUR(f) {f##_own, f##_libm, f##_own_wait, f##_libm_wait}
static const loop loops[][4] = {FOUR(exp),   FOUR(expm1), FOUR(sinh), FOUR(cosh), FOUR(tanh), FOUR(log),
                                FOUR(log1p), FOUR(atanh), FOUR(sin),  FOUR(cos),  FOUR(tan),  FOUR(atan)};

static void speed(void) {
    static double x[CHUNK], y[CHUNK];
    double t[5];
    int f, j;
    printf("%-6s %8s %8s %8s | latency %8s %8s (ns)\n", "", "array", "own", "libm", "own", "libm");
    for (f = 0; f < N_FUNCTIONS; f++) {
        const function *g = functions + f;
        for (j = 0; j < CHUNK; j++)
            x[j] = g->fast_low + fraction() * (g->fast_high - g->fast_low);
        BEST(t[0], g->many(y, x, CHUNK));
        for (j = 0; j < 4; j++)
            BEST(t[j + 1], loops[f][j](y, x));
        printf("%-6s %8.2f %8.2f %8.2f | %16.2f %8.2f\n", g->name, t[0], t[1], t[2], t[3], t[4]);
    }
    for (f = 0; f < N_PAIRS; f++) {
        for (j = 0; j < CHUNK; j++)
            x[j] = fraction() * 20.0 - (f ? 0.0 : 10.0);
        BEST(t[0], pairs[f].many(y, x, x + 1, CHUNK - 1));
        BEST(t[1], (f ? pow_own : atan2_own)(y, x));
        BEST(t[2], (f ? pow_libm : atan2_libm)(y, x));
        printf("%-6s %8.2f %8.2f %8.2f\n", pairs[f].name, t[0], t[1], t[2]);
    }
}

int main(int argc, char **argv) {
    int f;
    int64_t n = argc > 2 ? (int64_t)atof(argv[2]) : 1000000;
    if (argc > 1 && !strcmp(argv[1], "accuracy"))
        accuracy(n, argc > 3 ? argv[3] : NULL);
    else if (argc > 1 && !strcmp(argv[1], "checksum"))
        checksum(n), wide_checksum(n / 100), philox_checksum(n / 100);
    else if (argc > 1 && !strcmp(argv[1], "values"))
        values(n);
    else if (argc > 1 && !strcmp(argv[1], "names"))
        for (f = 0; f < N_FUNCTIONS + N_PAIRS; f++)
            puts(name_of(f));
    else if (argc > 1)
        speed();
    else
        checksum(n), wide_checksum(n / 100), philox_checksum(n / 100);
    return 0;
}
