"""The elementary functions of `elementary.h`: the same bits on every machine. See there, and docs/numerics.md.

To be cimported instead of those of ``libc.math``, which are the platform's. ``f_many(y, x, n)`` are arrays, y may be x;
their bits are those of f.
"""

from libc.stdint cimport int64_t

cdef extern from "sparseprop/numerics/elementary.h" nogil:
    double exp "sp_exp"(double x) noexcept
    double expm1 "sp_expm1"(double x) noexcept
    double log "sp_log"(double x) noexcept
    double log1p "sp_log1p"(double x) noexcept
    double sin "sp_sin"(double x) noexcept
    double cos "sp_cos"(double x) noexcept
    void sincos "sp_sincos"(double *sine, double *cosine, double x) noexcept
    double tan "sp_tan"(double x) noexcept
    double atan "sp_atan"(double x) noexcept
    double atan2 "sp_atan2"(double y, double x) noexcept
    double sinh "sp_sinh"(double x) noexcept
    double cosh "sp_cosh"(double x) noexcept
    double tanh "sp_tanh"(double x) noexcept
    double atanh "sp_atanh"(double x) noexcept
    double pow "sp_pow"(double x, double y) noexcept

    void exp_many "sp_exp_many"(double *y, const double *x, int64_t n) noexcept
    void expm1_many "sp_expm1_many"(double *y, const double *x, int64_t n) noexcept
    void log_many "sp_log_many"(double *y, const double *x, int64_t n) noexcept
    void log1p_many "sp_log1p_many"(double *y, const double *x, int64_t n) noexcept
    void sin_many "sp_sin_many"(double *y, const double *x, int64_t n) noexcept
    void cos_many "sp_cos_many"(double *y, const double *x, int64_t n) noexcept
    void sincos_many "sp_sincos_many"(double *sine, double *cosine, const double *x, int64_t n) noexcept
    void tan_many "sp_tan_many"(double *y, const double *x, int64_t n) noexcept
    void atan_many "sp_atan_many"(double *y, const double *x, int64_t n) noexcept
    void atan2_many "sp_atan2_many"(double *angle, const double *y, const double *x, int64_t n) noexcept
    void sinh_many "sp_sinh_many"(double *y, const double *x, int64_t n) noexcept
    void cosh_many "sp_cosh_many"(double *y, const double *x, int64_t n) noexcept
    void tanh_many "sp_tanh_many"(double *y, const double *x, int64_t n) noexcept
    void atanh_many "sp_atanh_many"(double *y, const double *x, int64_t n) noexcept
    void pow_many "sp_pow_many"(double *power, const double *x, const double *y, int64_t n) noexcept
