# Part of _tape.pyx: the steps of optimizers, over all parameters that have a gradient, in one call of a kernel.
cdef struct Entry:
    tt_param param
    int dtype  # -1: done
    Py_ssize_t step  # of Adam; SGD: 1 where the buffer is new


@cython.final
cdef class Batch:
    """What a step works on; arrays stay alive in `keep`, copies go back in the end."""

    cdef str name
    cdef Entry *entries
    cdef tt_param *run
    cdef Py_ssize_t count
    cdef list keep, back
    cdef cnp.ndarray last  # the parameter added last, or its copy
    cdef object mark  # of the change in place: the line that steps
    cdef list params  # for the check of anomalies

    def __cinit__(self, str name, Py_ssize_t most):
        self.name, self.keep, self.back, self.params = name, [], [], []
        self.mark = here(f"{name}'s step")
        self.entries = <Entry *>malloc((most + 1) * sizeof(Entry))
        self.run = <tt_param *>malloc((most + 1) * sizeof(tt_param))
        if self.entries == NULL or self.run == NULL:
            raise MemoryError(f"{name}: no memory for a list of {most} parameters")

    def __dealloc__(self):
        free(self.entries)
        free(self.run)


cdef inline bint laid_out_as(cnp.ndarray a, cnp.ndarray p) noexcept:
    """Whether a has the type, shape and memory order of p, and lies in native, aligned memory."""
    cdef int i, nd = cnp.PyArray_NDIM(p)
    if cnp.PyArray_NDIM(a) != nd or cnp.PyArray_TYPE(a) != cnp.PyArray_TYPE(p) or not cnp.PyArray_ISBEHAVED_RO(a):
        return False
    for i in range(nd):
        if cnp.PyArray_DIM(a, i) != cnp.PyArray_DIM(p, i):
            return False
        if cnp.PyArray_DIM(a, i) > 1 and cnp.PyArray_STRIDE(a, i) != cnp.PyArray_STRIDE(p, i):
            return False
    return True


cdef cnp.ndarray like(cnp.ndarray a, cnp.ndarray p, str name, str what):
    """`a` in the memory order of p: itself, or a copy."""
    if laid_out_as(a, p):
        return a
    if np.shape(a) != np.shape(p) or a.dtype != p.dtype:
        raise ValueError(f"{name}: expected a {what} of {p.dtype} {np.shape(p)}, got {a.dtype} {np.shape(a)}")
    copy = np.empty_like(p, order="K")
    np.copyto(copy, a)
    return copy


cdef Entry *add_entry(Batch b, TensorCore t) except NULL:
    """A parameter and its gradient."""
    cdef cnp.ndarray p = t._data, g
    cdef int kind = cnp.PyArray_TYPE(p)
    cdef Entry *e = &b.entries[b.count]
    if (kind != cnp.NPY_FLOAT and kind != cnp.NPY_DOUBLE) or not cnp.PyArray_ISBEHAVED(p):
        raise TypeError(f"{b.name}: expected writable float32 or float64 parameters, got {p.dtype}")
    if not (cnp.PyArray_IS_C_CONTIGUOUS(p) or cnp.PyArray_IS_F_CONTIGUOUS(p)):
        p = np.array(p, order="C")
        b.back.append((t._data, p))
    b.last = p
    g = like(t._grad._data, p, b.name, "gradient")
    b.keep.append(p)
    b.keep.append(g)
    e.param.p = cnp.PyArray_DATA(p)
    e.param.g = cnp.PyArray_DATA(g)
    e.param.n = cnp.PyArray_SIZE(p)
    e.param.s0 = e.param.s1 = e.param.s2 = NULL
    e.dtype = 0 if kind == cnp.NPY_FLOAT else 1
    e.step = 0
    b.count += 1
    bump(t._data, b.mark)  # whoever kept the parameter's version learns of the change
    if anomaly:
        b.params.append((f"parameter {b.count - 1}", p, g))
    return e


cdef dict state_of(object states, TensorCore t):
    cdef PyObject *held = PyDict_GetItem(states, t)
    if held != NULL:
        return <dict?><object>held
    states[t] = state = {}
    return state


cdef void *memory_of(Batch b, TensorCore t, dict state, str key, bint *fresh) except NULL:
    """A state of the parameter added last, in its memory order; zeros where there was none."""
    cdef cnp.ndarray s, q
    held = state.get(key)
    fresh[0] = held is None
    if held is None:
        held = state[key] = TENSOR(np.zeros_like(t._data))
    s = (<TensorCore?>held)._data
    if not cnp.PyArray_ISBEHAVED(s):
        raise TypeError(f"{b.name}: expected a writable {key}")
    q = like(s, b.last, b.name, key)
    if q is not s:
        b.back.append((s, q))
    b.keep.append(q)
    return cnp.PyArray_DATA(q)


cdef int run_batch(Batch b, bint adam, tt_hyper *h) except -1:
    """A kernel call for each dtype and step count, as a rule one."""
    cdef Py_ssize_t i, j, n, step
    cdef int dtype
    for i in range(b.count):
        dtype, step = b.entries[i].dtype, b.entries[i].step
        if dtype < 0:
            continue
        n = 0
        for j in range(i, b.count):
            if b.entries[j].dtype == dtype and b.entries[j].step == step:
                b.run[n] = b.entries[j].param
                b.entries[j].dtype = -1
                n += 1
        h.first = step == 1
        if adam:
            h.correction1 = 1 - pow(h.beta1, <double>step)
            h.correction2 = 1 - pow(h.beta2, <double>step)
        with nogil:
            run_optim(adam, dtype, b.run, n, h)
    for to, copy in b.back:
        np.copyto(to, copy)
    if anomaly:
        check_step(b)
    return 0


cdef int check_step(Batch b) except -1:
    """Raise when a step made NaN or inf of gradients that have none: of a parameter that had it forward would not have come
    here."""
    from tinytensor import anomaly as report

    for name, p, g in b.params:
        if not all_finite(p):
            report.examine(anomaly, b.name + "'s step", [("gradient", g)], [(name, p)], where(b.mark[0], b.mark[1]), ())
    return 0


def sgd_step(list params, states, double lr, double momentum, double dampening, double weight_decay, bint nesterov,
             bint maximize):
    """One step of SGD, in place, over those of `params` that have a gradient. states: of each parameter a dict, whose
    momentum_buffer is made where momentum asks for it."""
    cdef Batch b = Batch("SGD", len(params))
    cdef tt_hyper h
    cdef TensorCore t
    cdef Entry *e
    cdef bint fresh
    memset(&h, 0, sizeof(h))
    h.lr, h.momentum, h.dampening, h.weight_decay = lr, momentum, dampening, weight_decay
    h.nesterov, h.maximize = nesterov, maximize
    for t in params:
        if t._grad is None:
            continue
        e = add_entry(b, t)
        if momentum != 0:
            e.param.s0 = memory_of(b, t, state_of(states, t), "momentum_buffer", &fresh)
            e.step = fresh
    run_batch(b, False, &h)


def adam_step(list params, states, double lr, double beta1, double beta2, double eps, double weight_decay,
              bint amsgrad, bint decoupled, bint maximize):
    """One step of Adam (decoupled: AdamW), in place, over those of `params` that have a gradient; one that missed a step
    counts fewer. states: of each parameter a dict of step, exp_avg, exp_avg_sq and, with amsgrad, max_exp_avg_sq."""
    cdef Batch b = Batch("Adam", len(params))
    cdef tt_hyper h
    cdef TensorCore t
    cdef Entry *e
    cdef dict state
    cdef bint fresh
    memset(&h, 0, sizeof(h))
    h.lr, h.beta1, h.beta2, h.eps, h.weight_decay = lr, beta1, beta2, eps, weight_decay
    h.decoupled, h.maximize = decoupled, maximize
    for t in params:
        if t._grad is None:
            continue
        e = add_entry(b, t)
        state = state_of(states, t)
        e.step = <Py_ssize_t>state.get("step", 0) + 1
        state["step"] = e.step
        e.param.s0 = memory_of(b, t, state, "exp_avg", &fresh)
        e.param.s1 = memory_of(b, t, state, "exp_avg_sq", &fresh)
        if amsgrad:
            e.param.s2 = memory_of(b, t, state, "max_exp_avg_sq", &fresh)
    run_batch(b, True, &h)
