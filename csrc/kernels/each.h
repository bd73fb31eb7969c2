/* Every kernel of one float type; kernels.c includes this once for float and once for double. */
#define CAT2(a, b) a##_##b
#define CAT(a, b) CAT2(a, b)
#define F(name) CAT(name, SUFFIX)
#define V(name) CAT(v_##name, SUFFIX)
#define VM(name) CAT(vm_##name, SUFFIX)
#define VT CAT(V, SUFFIX)
#define TT_LANES CAT(TT_LANES, SUFFIX)
#include "unary.h"
#include "binary.h"
#include "map.h"
#include "reduce.h"
#include "softmax.h"
#include "matmul.h"
#include "optim.h"
#include "gather.h"
#include "sparse.h"
#include "random.h"
#include "warp.h"
#undef CAT2
#undef CAT
#undef F
#undef V
#undef VM
#undef VT
#undef TT_LANES
