/* Numbers of 106 bits: the unevaluated sum of two doubles, of which the second is at most half an ulp of the first.

   For what is made once, tables and their like, with the same bits on every machine (long double has 53, 64, 106 or 113
   bits, by machine). The operations are those of Dekker (1971), doi:10.1007/BF01397083, and Hida, Li and Bailey (2001),
   doi:10.1109/ARITH.2001.930115: relative errors are a few 2^-104, and of functions some 2^-100. No fused multiply-add. */
#ifndef SPARSEPROP_DOUBLE_DOUBLE_H
#define SPARSEPROP_DOUBLE_DOUBLE_H

#include <math.h>
#include <stdint.h>

#include "elementary.h"

typedef struct {
    double h, l;
} sp_dd;

/* ln 2 and pi / 2 in three doubles; of the first two of each the last bits are 0, so that few multiples are exact. */
#define SP_DD_LN2_1 0x1.62e42fefa39efp-1
#define SP_DD_LN2_2 0x1.abc9e3b39803fp-56
#define SP_DD_LN2_3 0x1.7b57a079a1934p-111
#define SP_DD_HALF_PI_1 0x1.921fb54442d18p+0
#define SP_DD_HALF_PI_2 0x1.1a62633145c07p-54
#define SP_DD_HALF_PI_3 -0x1.f1976b7ed8fbcp-110

SP_INLINE sp_dd sp_dd_of(double h, double l) {
    sp_dd y = {h, l};
    return y;
}

/* h + l, |h| >= |l|; of what is not finite the first says it all. */
SP_INLINE sp_dd sp_dd_normal(double h, double l) {
    double s = h + l;
    return sp_dd_of(s, s - s == 0.0 ? l - (s - h) : 0.0);
}

SP_INLINE sp_dd sp_dd_sum(double a, double b) {
    double s = a + b, t = s - a;
    return sp_dd_of(s, s - s == 0.0 ? (a - (s - t)) + (b - t) : 0.0);
}

SP_INLINE sp_dd sp_dd_product(double a, double b) {
    double p = a * b, scale = 1.0, s, ah, al, bh, bl;
    if (!(p - p == 0.0))
        return sp_dd_of(p, 0.0);
    if (SP_SELDOM(sp_abs(a) > 0x1p960)) {
        a *= 0x1p-60;
        scale = 0x1p60;
    } else if (SP_SELDOM(sp_abs(b) > 0x1p960)) {
        b *= 0x1p-60;
        scale = 0x1p60;
    }
    s = 134217729.0 * a;
    ah = s - (s - a);
    al = a - ah;
    s = 134217729.0 * b;
    bh = s - (s - b);
    bl = b - bh;
    return sp_dd_of(p, (((ah * bh - p / scale) + ah * bl + al * bh) + al * bl) * scale);
}

SP_INLINE sp_dd sp_dd_add(sp_dd a, sp_dd b) {
    sp_dd s = sp_dd_sum(a.h, b.h), t = sp_dd_sum(a.l, b.l);
    s = sp_dd_normal(s.h, s.l + t.h);
    return sp_dd_normal(s.h, s.l + t.l);
}

SP_INLINE sp_dd sp_dd_negative(sp_dd a) {
    return sp_dd_of(-a.h, -a.l);
}

SP_INLINE sp_dd sp_dd_subtract(sp_dd a, sp_dd b) {
    return sp_dd_add(a, sp_dd_negative(b));
}

SP_INLINE sp_dd sp_dd_multiply(sp_dd a, sp_dd b) {
    sp_dd p = sp_dd_product(a.h, b.h);
    if (!(p.h - p.h == 0.0))
        return p;
    return sp_dd_normal(p.h, p.l + (a.h * b.l + a.l * b.h));
}

SP_INLINE sp_dd sp_dd_scaled(sp_dd a, double power_of_two) {
    return sp_dd_of(a.h * power_of_two, a.l * power_of_two);
}

SP_INLINE sp_dd sp_dd_divide(sp_dd a, sp_dd b) {
    double first = a.h / b.h, second, third;
    sp_dd rest, y;
    if (!(first - first == 0.0) || !(b.h - b.h == 0.0))
        return sp_dd_of(first, 0.0);
    rest = sp_dd_subtract(a, sp_dd_multiply(sp_dd_of(first, 0.0), b));
    second = rest.h / b.h;
    rest = sp_dd_subtract(rest, sp_dd_multiply(sp_dd_of(second, 0.0), b));
    third = rest.h / b.h;
    if (!(second - second == 0.0 && third - third == 0.0))
        return sp_dd_of(first, 0.0);
    y = sp_dd_normal(first, second);
    return sp_dd_normal(y.h, y.l + third);
}

/* a / n, n a whole number */
SP_INLINE sp_dd sp_dd_over(sp_dd a, double n) {
    double first = a.h / n;
    sp_dd back = sp_dd_product(first, n);
    return sp_dd_normal(first, (((a.h - back.h) - back.l) + a.l) / n);
}

SP_INLINE sp_dd sp_dd_absolute(sp_dd a) {
    return a.h < 0.0 ? sp_dd_negative(a) : a;
}

SP_INLINE int sp_dd_less(sp_dd a, sp_dd b) {
    return a.h < b.h || (a.h == b.h && a.l < b.l);
}

/* NaN if either is. */
SP_INLINE sp_dd sp_dd_maximum(sp_dd a, sp_dd b) {
    return a.h != a.h || sp_dd_less(b, a) ? a : b;
}

SP_INLINE sp_dd sp_dd_minimum(sp_dd a, sp_dd b) {
    return a.h != a.h || sp_dd_less(a, b) ? a : b;
}

SP_INLINE sp_dd sp_dd_sqrt(sp_dd a) {
    double root = sqrt(a.h);
    sp_dd rest;
    if (!(root > 0.0) || !(root - root == 0.0))
        return sp_dd_of(root, 0.0);
    rest = sp_dd_subtract(a, sp_dd_product(root, root));
    return sp_dd_normal(root, rest.h / (2.0 * root));
}

/* a - n (p1 + p2 + p3), n a whole number below 2^31 */
SP_INLINE sp_dd sp_dd_without(sp_dd a, double n, double p1, double p2, double p3) {
    sp_dd y = sp_dd_subtract(a, sp_dd_product(n, p1));
    y = sp_dd_subtract(y, sp_dd_product(n, p2));
    return sp_dd_subtract(y, sp_dd_of(n * p3, 0.0));
}

/* exp(r) - 1, |r| <= 0.35: by its series for r / 512, and nine times (1 + e)^2 - 1 = 2 e + e^2. */
SP_INLINE sp_dd sp_dd_small_expm1(sp_dd r) {
    sp_dd x = sp_dd_scaled(r, 0x1p-9), e;
    double tail = x.h * (1.0 / 120.0 + x.h * (1.0 / 720.0 + x.h * (1.0 / 5040.0 + x.h * (1.0 / 40320.0))));
    int i;
    e = sp_dd_add(sp_dd_of(0x1.5555555555555p-5, 0x1.5555555555555p-59), sp_dd_of(tail, 0.0));
    e = sp_dd_add(sp_dd_of(0x1.5555555555555p-3, 0x1.5555555555555p-57), sp_dd_multiply(e, x));
    e = sp_dd_add(sp_dd_of(0.5, 0.0), sp_dd_multiply(e, x));
    e = sp_dd_add(x, sp_dd_multiply(e, sp_dd_multiply(x, x)));
    for (i = 0; i < 9; i++)
        e = sp_dd_add(sp_dd_scaled(e, 2.0), sp_dd_multiply(e, e));
    return e;
}

SP_INLINE sp_dd sp_dd_exp(sp_dd a) {
    double k;
    sp_dd e;
    if (!(a.h < 709.8))
        return sp_dd_of(a.h != a.h ? a.h : sp_infinity(), 0.0);
    if (a.h < -745.2)
        return sp_dd_of(0.0, 0.0);
    k = floor(a.h * 1.4426950408889634 + 0.5);
    e = sp_dd_add(sp_dd_of(1.0, 0.0), sp_dd_small_expm1(sp_dd_without(a, k, SP_DD_LN2_1, SP_DD_LN2_2, SP_DD_LN2_3)));
    e = sp_dd_of(ldexp(e.h, (int)k), ldexp(e.l, (int)k));
    return e.h - e.h == 0.0 ? e : sp_dd_of(e.h, 0.0);
}

SP_INLINE sp_dd sp_dd_expm1(sp_dd a) {
    if (sp_abs(a.h) < 0.34)
        return sp_dd_small_expm1(a);
    return sp_dd_subtract(sp_dd_exp(a), sp_dd_of(1.0, 0.0));
}

/* exp(a) - 1 - a, also of small a. */
SP_INLINE sp_dd sp_dd_curvature(sp_dd a) {
    sp_dd term, total;
    int k;
    if (!(sp_abs(a.h) < 0.5))
        return sp_dd_subtract(sp_dd_expm1(a), a);
    term = total = sp_dd_scaled(sp_dd_multiply(a, a), 0.5);
    for (k = 3; k < 28 && sp_abs(term.h) > total.h * 0x1p-110; k++) {
        term = sp_dd_over(sp_dd_multiply(term, a), (double)k);
        total = sp_dd_add(total, term);
    }
    return total;
}

/* A step of Newton's method from a double doubles its digits. */
SP_INLINE sp_dd sp_dd_log1p(sp_dd a) {
    double guess = sp_log1p(a.h);
    sp_dd e;
    if (!(guess - guess == 0.0) || guess == 0.0)
        return sp_dd_of(guess, guess == 0.0 ? a.l : 0.0);
    e = sp_dd_expm1(sp_dd_of(guess, 0.0));
    e = sp_dd_divide(sp_dd_subtract(a, e), sp_dd_add(sp_dd_of(1.0, 0.0), e));
    return sp_dd_normal(guess, e.h);
}

SP_INLINE sp_dd sp_dd_log(sp_dd a) {
    double guess = sp_log(a.h);
    sp_dd e;
    int power;
    if (!(guess - guess == 0.0))
        return sp_dd_of(guess, 0.0);
    if (sp_abs(guess) < 0.3)
        return sp_dd_log1p(sp_dd_subtract(a, sp_dd_of(1.0, 0.0)));
    (void)frexp(a.h, &power);
    a = sp_dd_of(ldexp(a.h, -power), ldexp(a.l, -power)); /* in [1/2, 1) */
    e = sp_dd_log1p(sp_dd_subtract(a, sp_dd_of(1.0, 0.0)));
    return sp_dd_add(sp_dd_add(sp_dd_product((double)power, SP_DD_LN2_1), sp_dd_product((double)power, SP_DD_LN2_2)), e);
}

/* sin and cos, |a| up to some 10^9 (then with fewer digits, as the angle has). */
SP_INLINE void sp_dd_sincos(sp_dd a, sp_dd *sine, sp_dd *cosine) {
    double k = floor(a.h * 0.6366197723675814 + 0.5);
    sp_dd x, square, term, s, c, swap;
    int i, quarter;
    if (!(sp_abs(k) < 0x1p31)) {
        *sine = *cosine = sp_dd_of(sp_nan(), 0.0);
        if (sp_abs(a.h) - sp_abs(a.h) == 0.0) {
            *sine = sp_dd_of(sp_sin(a.h), 0.0);
            *cosine = sp_dd_of(sp_cos(a.h), 0.0);
        }
        return;
    }
    x = sp_dd_without(a, k, SP_DD_HALF_PI_1, SP_DD_HALF_PI_2, SP_DD_HALF_PI_3);
    square = sp_dd_negative(sp_dd_multiply(x, x));
    term = s = x;
    for (i = 2; i < 28; i += 2) {
        term = sp_dd_over(sp_dd_multiply(term, square), (double)(i * (i + 1)));
        s = sp_dd_add(s, term);
    }
    term = c = sp_dd_of(1.0, 0.0);
    for (i = 1; i < 28; i += 2) {
        term = sp_dd_over(sp_dd_multiply(term, square), (double)(i * (i + 1)));
        c = sp_dd_add(c, term);
    }
    quarter = (int)((int64_t)k & 3);
    if (quarter & 1) {
        swap = s;
        s = c;
        c = sp_dd_negative(swap);
    }
    *sine = quarter & 2 ? sp_dd_negative(s) : s;
    *cosine = quarter & 2 ? sp_dd_negative(c) : c;
}

SP_INLINE sp_dd sp_dd_sin(sp_dd a) {
    sp_dd s, c;
    sp_dd_sincos(a, &s, &c);
    return s;
}

SP_INLINE sp_dd sp_dd_cos(sp_dd a) {
    sp_dd s, c;
    sp_dd_sincos(a, &s, &c);
    return c;
}

SP_INLINE sp_dd sp_dd_tan(sp_dd a) {
    sp_dd s, c;
    sp_dd_sincos(a, &s, &c);
    return sp_dd_divide(s, c);
}

SP_INLINE sp_dd sp_dd_atan(sp_dd a) {
    double guess = sp_atan(a.h);
    sp_dd s, c, across;
    if (!(sp_abs(a.h) < 0x1p500))
        return guess < 0.0 ? sp_dd_of(-SP_DD_HALF_PI_1, -SP_DD_HALF_PI_2)
                           : guess > 0.0 ? sp_dd_of(SP_DD_HALF_PI_1, SP_DD_HALF_PI_2) : sp_dd_of(guess, 0.0);
    /* tan(x - guess) = (a - tan guess) / (1 + a tan guess) is its own arctangent */
    sp_dd_sincos(sp_dd_of(guess, 0.0), &s, &c);
    across = sp_dd_subtract(sp_dd_multiply(a, c), s);
    across = sp_dd_divide(across, sp_dd_add(c, sp_dd_multiply(a, s)));
    return sp_dd_normal(guess, across.h);
}

SP_INLINE sp_dd sp_dd_asinh(sp_dd a) {
    sp_dd x = sp_dd_absolute(a), square, one = sp_dd_of(1.0, 0.0), y;
    if (!(x.h < 0x1p500))
        y = sp_dd_add(sp_dd_log(x), sp_dd_of(SP_DD_LN2_1, SP_DD_LN2_2));
    else {
        square = sp_dd_multiply(x, x);
        y = sp_dd_add(one, sp_dd_sqrt(sp_dd_add(one, square)));
        y = sp_dd_log1p(sp_dd_add(x, sp_dd_divide(square, y)));
    }
    return a.h < 0.0 ? sp_dd_negative(y) : y;
}

SP_INLINE sp_dd sp_dd_sinh(sp_dd a) {
    sp_dd x = sp_dd_absolute(a), e, y;
    if (x.h > 100.0) { /* exp(-x) is nothing; in two factors, as it may not overflow where exp(x) does */
        e = sp_dd_exp(sp_dd_scaled(x, 0.5));
        y = sp_dd_multiply(sp_dd_scaled(e, 0.5), e);
    } else {
        e = sp_dd_expm1(x);
        y = sp_dd_scaled(sp_dd_add(e, sp_dd_divide(e, sp_dd_add(sp_dd_of(1.0, 0.0), e))), 0.5);
    }
    return a.h < 0.0 ? sp_dd_negative(y) : y;
}

SP_INLINE sp_dd sp_dd_cosh(sp_dd a) {
    sp_dd x = sp_dd_absolute(a), e;
    if (x.h > 100.0)
        return sp_dd_sinh(x);
    e = sp_dd_exp(x);
    return sp_dd_scaled(sp_dd_add(e, sp_dd_divide(sp_dd_of(1.0, 0.0), e)), 0.5);
}

SP_INLINE sp_dd sp_dd_tanh(sp_dd a) {
    sp_dd x = sp_dd_absolute(a), e, y;
    if (x.h > 50.0)
        y = sp_dd_of(1.0, 0.0);
    else {
        e = sp_dd_expm1(sp_dd_scaled(x, 2.0));
        y = sp_dd_divide(e, sp_dd_add(e, sp_dd_of(2.0, 0.0)));
    }
    return a.h < 0.0 ? sp_dd_negative(y) : y;
}

/* Whole exponents by squaring. */
SP_INLINE sp_dd sp_dd_power(sp_dd a, sp_dd b) {
    sp_dd y = sp_dd_of(1.0, 0.0);
    if (b.l == 0.0 && sp_abs(b.h) < 0x1p31 && floor(b.h) == b.h) {
        int64_t n = (int64_t)sp_abs(b.h);
        for (; n; n >>= 1) {
            if (n & 1)
                y = sp_dd_multiply(y, a);
            if (n > 1)
                a = sp_dd_multiply(a, a);
        }
        return b.h < 0.0 ? sp_dd_divide(sp_dd_of(1.0, 0.0), y) : y;
    }
    if (b.l == 0.0 && b.h == 0.5)
        return sp_dd_sqrt(a);
    if (!(a.h > 0.0) || !(a.h - a.h == 0.0))
        return sp_dd_of(sp_pow(a.h, b.h), 0.0);
    return sp_dd_exp(sp_dd_multiply(b, sp_dd_log(a)));
}

#endif
