"""Numbers that several compiled files share; all are powers of two, so that products with them do not round."""

cdef extern from *:
    """
    #define SP_SCALE_DOWN 5.421010862427522e-20         /* 2^-64 */
    #define SP_SMALL 7.888609052210118e-31              /* 2^-100 */
    #define SP_LARGE 1.2676506002282294e30              /* 2^100 */
    #define SP_LARGEST_KICK 6.668014432879854e240       /* 2^800 */
    #define SP_LARGEST_STATE 8.452712498170644e270      /* 2^900 */
    #define SP_ROUNDING 9.094947017729282e-13           /* 2^-40 */
    #define SP_LOOSE 9.313225746154785e-10              /* 2^-30 */
    #define SP_NEARLY 9.5367431640625e-07               /* 2^-20 */
    """
    # What states are multiplied by where their frame has grown by a step of SCALE_STEP powers of two.
    const double SCALE_DOWN "SP_SCALE_DOWN"
    # What is outside is scaled by the other one, before quotients and products leave the range.
    const double SMALL "SP_SMALL"
    const double LARGE "SP_LARGE"
    # A state of this size is a numerical error, so that no quotient or sum of states overflows; and no sum of kicks of
    # that size in a row makes such a state.
    const double LARGEST_STATE "SP_LARGEST_STATE"
    const double LARGEST_KICK "SP_LARGEST_KICK"
    # A sum of a few terms is off by less than this part of the sum of their sizes; a test with this margin may say yes
    # too often, and never no.
    const double ROUNDING "SP_ROUNDING"
    # The same where sums and angles may be long.
    const double LOOSE "SP_LOOSE"
    # What is within this part is looked at closely.
    const double NEARLY "SP_NEARLY"
