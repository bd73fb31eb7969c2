/* Point functions of two and three arguments. NaN in any used argument gives NaN out. */

TT_INLINE real F(add_f)(real x, real y) { return x + y; }
TT_INLINE real F(sub_f)(real x, real y) { return x - y; }
TT_INLINE real F(mul_f)(real x, real y) { return x * y; }
TT_INLINE real F(div_f)(real x, real y) { return x / y; }
/* upstream times (over) local gradient, as `stopped` in unary.h */
TT_INLINE real F(grad_mul_f)(real g, real d) { return F(stopped)(g, g * d); }
TT_INLINE real F(grad_div_f)(real g, real d) { return F(stopped)(g, g / d); }
TT_INLINE real F(pow_f)(real x, real y) { return VM(pow)(x, y); }
TT_INLINE real F(maximum_f)(real x, real y) { real m = x < y ? y : x; return y != y ? y : m; }
TT_INLINE real F(minimum_f)(real x, real y) { real m = x > y ? y : x; return y != y ? y : m; }

/* gradient to the first argument; equal arguments share it; a NaN argument takes all of it */
TT_INLINE real F(maximum_grad_f)(real g, real x, real y) {
    real tie = x == y ? (real)0.5 * g : 0;
    real some = x > y ? g : tie;
    return x != x ? g : some;
}
TT_INLINE real F(minimum_grad_f)(real g, real x, real y) {
    real tie = x == y ? (real)0.5 * g : 0;
    real some = x < y ? g : tie;
    return x != x ? g : some;
}

/* d x^y / dx = y x^(y-1), and 0 for y = 0 even at x = 0; d x^y / dy = x^y log x, and 0 for x = 0, y >= 0 */
TT_INLINE real F(pow_grad_base_f)(real g, real x, real y) {
    real d = g * (y * VM(pow)(x, y - 1));
    return F(stopped)(g, y == 0 ? 0 : d);
}
TT_INLINE real F(pow_grad_exponent_f)(real g, real x, real y) {
    real d = g * (VM(pow)(x, y) * VM(log)(x));
    real at_zero = y >= 0 ? 0 : d;
    return F(stopped)(g, x == 0 ? at_zero : d);
}
