# What the tape takes from _kernels.pyx without going through Python.
cimport numpy as cnp
from cpython.ref cimport PyObject
from tt cimport tt_hyper, tt_param


cdef class Block:
    cdef void *ptr  # NULL: the memory is somebody else's
    cdef public Py_ssize_t version
    cdef int cls  # size class in the pool; 0: not from there
    cdef list rare  # None, or [whose memory is kept, where it was changed last]
    cdef double inside[2]


cdef Block block_of(object a)
cdef int bump(object a, object where) except -1
cdef bint is_alone(PyObject *a, Py_ssize_t refs)
cdef bint ours(int typenum) noexcept nogil
cdef cnp.ndarray new_array(int nd, const cnp.npy_intp *dims, int typenum)
cdef object try_map(int op, int count, object x, object y, object z, double p0, double p1, cnp.ndarray out)
cdef object run_map(int op, int count, object x, object y, object z, double p0, double p1, cnp.ndarray out)
cdef void run_optim(int kind, int dtype, const tt_param *params, ptrdiff_t count, const tt_hyper *h) noexcept nogil
