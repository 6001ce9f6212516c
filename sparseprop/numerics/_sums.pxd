"""Sums that are rounded once."""

cdef extern from *:
    """
    /* a + b + c, rounded once, as by Python's math.fsum, whose steps these are. */
    static double sp_sum_of_three(double a, double b, double c) {
        double terms[3] = {a, b, c}, parts[3], x, y, t, high, back, low = 0.0;
        int n = 0, i, j, k;
        for (k = 0; k < 3; k++) {
            x = terms[k];
            for (i = j = 0; j < n; j++) {
                y = parts[j];
                if (fabs(x) < fabs(y)) { t = x; x = y; y = t; }
                high = x + y;
                back = high - x;
                low = y - back;
                if (low != 0.0)
                    parts[i++] = low;
                x = high;
            }
            n = i;
            if (x != 0.0)
                parts[n++] = x;
        }
        if (n == 0)
            return 0.0;
        high = parts[--n];
        while (n > 0) {
            x = high;
            y = parts[--n];
            high = x + y;
            back = high - x;
            low = y - back;
            if (low != 0.0)
                break;
        }
        /* Half-way cases: what is left decides. */
        if (n > 0 && ((low < 0.0 && parts[n - 1] < 0.0) || (low > 0.0 && parts[n - 1] > 0.0))) {
            y = low * 2.0;
            x = high + y;
            back = x - high;
            if (y == back)
                high = x;
        }
        return high;
    }
    """
    double sum_of_three "sp_sum_of_three"(double a, double b, double c) noexcept nogil
