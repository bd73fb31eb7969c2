# Part of _tape.pyx: the steps of optimizers, over all parameters that have a gradient, in one call of a kernel.
cdef struct Entry:
    tt_param param
    int dtype  # -1: done
    Py_ssize_t step  # how many this one makes it
    Py_ssize_t key  # parameters of one key share a call; SGD: 1 where the buffer is new
    double mu  # NAdam: the product of all momenta so far


@cython.final
cdef class Batch:
    """What a step works on, found and checked; calling it makes the step, and nothing was changed before. Arrays stay
    alive in `keep`, copies go back in the end."""

    cdef str name
    cdef int kind
    cdef tt_hyper h
    cdef double decay  # NAdam: momentum_decay, Adagrad: lr_decay
    cdef Entry *entries
    cdef tt_param *chosen
    cdef Py_ssize_t count, at  # at: the place in its group of the parameter looked at
    cdef list arrays, keep  # arrays: of the parameters, one an entry
    # None where there is nothing of it:
    cdef list back  # (array, its copy that was worked on)
    cdef list states  # of each entry, if steps are counted
    cdef list counts, products, before, products_before  # what goes there, made by `begin`, and what was there
    cdef tuple mark  # who changes the parameters
    cdef list made  # new states: (dict, key, value)
    cdef list params  # for the check of anomalies: (name, parameter, gradient)
    cdef cnp.ndarray last  # the parameter added last, or its copy

    def __dealloc__(self):
        free(self.entries)
        free(self.chosen)

    def __call__(self):
        """Make the step: a kernel call for each dtype and key, as a rule one."""
        self.begin()
        self.finish()
        self.check()

    cdef int begin(self) except -1:
        """All that can fail, which is what asks for memory: new states and counts get to their places. After an error none has."""
        cdef Py_ssize_t i
        cdef Block b
        self.mark = here(f"{self.name}'s step")
        for array in self.arrays:
            b = block_of(array)
            if b is not None and b.rare is None:
                b.changed = self.mark  # bump has its room then
        if self.states is not None:
            self.before = [(<dict>state).get("step") for state in self.states]
            self.counts = [self.entries[i].step for i in range(self.count)]
            if self.kind == TT_NADAM:
                self.products_before = [(<dict>state).get("mu_product") for state in self.states]
                self.products = [self.entries[i].mu for i in range(self.count)]
        try:
            if self.made is not None:
                for target, key, value in self.made:
                    target[key] = value
            if self.states is not None:
                put(self.states, "step", self.counts)
                if self.products is not None:
                    put(self.states, "mu_product", self.products)
        except BaseException:
            self.undo()
            raise
        return 0

    cdef int undo(self) except -1:
        """Take back what `begin` did."""
        if self.states is not None:
            put_back(self.states, "step", self.before)
            if self.products is not None:
                put_back(self.states, "mu_product", self.products_before)
        if self.made is not None:
            for target, key, _ in self.made:
                if key in target:
                    del target[key]
        return 0

    cdef int finish(self) except -1:
        """What cannot fail: the parameters change."""
        cdef Py_ssize_t i, j, n
        cdef int dtype
        cdef Entry *e
        for i in range(self.count):
            bump(self.arrays[i], self.mark)  # whoever kept the parameter's version learns of the change
        for i in range(self.count):
            e = &self.entries[i]
            dtype = e.dtype
            if dtype < 0:
                continue
            n = 0
            for j in range(i, self.count):
                if self.entries[j].dtype == dtype and self.entries[j].key == e.key and self.entries[j].mu == e.mu:
                    self.chosen[n] = self.entries[j].param
                    self.entries[j].dtype = -1
                    n += 1
            set_scalars(&self.h, self.kind, e, self.decay)
            with nogil:
                run_optim(self.kind, dtype, self.chosen, n, &self.h)
        if self.back is not None:
            for to, copy in self.back:
                cnp.PyArray_CopyInto(<cnp.ndarray>to, <cnp.ndarray>copy)
        return 0

    cdef int check(self) except -1:
        """Raise where anomaly mode is on and the step made an anomaly."""
        if self.params is not None:
            check_step(self, self.mark)
        return 0


cdef int put(list states, str key, list values) except -1:
    cdef Py_ssize_t i
    for i in range(len(states)):
        (<dict>states[i])[key] = values[i]
    return 0


cdef int put_back(list states, str key, list values) except -1:
    """Values as they were, None where there was none."""
    cdef Py_ssize_t i
    for i in range(len(states)):
        if values[i] is not None:
            (<dict>states[i])[key] = values[i]
        elif key in <dict>states[i]:
            del (<dict>states[i])[key]
    return 0


def make_steps(list updates not None):
    """The steps of several groups: all of them, or after an error none. In C, where no signal is handled: Ctrl-C finds all or none."""
    cdef Py_ssize_t i, begun = 0
    try:
        for update in updates:
            if type(update) is Batch:
                (<Batch>update).begin()
            begun += 1
    except BaseException:
        for i in range(begun):
            if type(updates[i]) is Batch:
                (<Batch>updates[i]).undo()
        raise
    for update in updates:
        if type(update) is Batch:
            (<Batch>update).finish()
        else:
            update()
    for update in updates:  # an error finds every group's step made
        if type(update) is Batch:
            (<Batch>update).check()


cdef int check_step(Batch b, tuple mark) except -1:
    """Raise when a step made NaN or inf of gradients that have none: of a parameter that had it forward would not have come
    here."""
    from tinytensor import anomaly as report

    for name, p, g in b.params:
        if not all_finite(p):
            report.examine(anomaly, b.name + "'s step", [("gradient", g)], [(name, p)], where(mark[0], mark[1]), ())
    return 0


cdef Batch new_batch(str name, int kind, Py_ssize_t most):
    cdef Batch b = Batch.__new__(Batch)
    b.name, b.kind = name, kind
    b.arrays, b.keep = [], []
    b.entries = <Entry *>malloc((most + 1) * sizeof(Entry))
    b.chosen = <tt_param *>malloc((most + 1) * sizeof(tt_param))
    if b.entries == NULL or b.chosen == NULL:
        raise MemoryError(f"{name}: no memory for a list of {most} parameters")
    return b  # all else is 0 or None, as a new object is


cdef void set_scalars(tt_hyper *h, int kind, const Entry *e, double decay) noexcept:
    """What depends on the step count, as PyTorch has it."""
    cdef double t = <double>e.step, longest, length, mu, after
    h.first = e.key == 1
    h.rate = h.lr
    if kind == TT_ADAGRAD:
        h.rate = h.lr / (1 + (t - 1) * decay)
    elif kind == TT_ADAM or kind == TT_NADAM or kind == TT_RADAM or kind == TT_ADAMAX:
        h.correction1 = 1 - pow(h.beta1, t)
        h.correction2 = 1 - pow(h.beta2, t)
        if kind == TT_ADAMAX:
            h.rate = h.lr / h.correction1
        elif kind == TT_NADAM:
            mu = h.beta1 * (1 - 0.5 * pow(0.96, t * decay))
            after = h.beta1 * (1 - 0.5 * pow(0.96, (t + 1) * decay))
            h.rate = h.lr * (1 - mu) / (1 - e.mu)
            h.ahead = h.lr * after / (1 - e.mu * after)
        elif kind == TT_RADAM:
            longest = 2 / (1 - h.beta2) - 1
            length = longest - 2 * t * pow(h.beta2, t) / h.correction2
            h.rectified = length > 5
            h.rate = h.lr / h.correction1
            if h.rectified:
                h.rate *= sqrt(h.correction2 * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))


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


cdef cnp.ndarray like(cnp.ndarray a, cnp.ndarray p, Batch b, str what):
    """`a` in the memory order of p: itself, or a copy."""
    if laid_out_as(a, p):
        return a
    if np.shape(a) != np.shape(p) or a.dtype != p.dtype:
        raise ValueError(f"{whose(b, p)}: expected a {what} of its dtype and shape, got {a.dtype} {np.shape(a)}")
    copy = np.empty_like(p, order="K")
    np.copyto(copy, a)
    return copy


cdef str whose(Batch b, cnp.ndarray p):
    """The parameter that an error is about: the one looked at last."""
    return f"{b.name}: parameter {b.at} of its group, {p.dtype} {np.shape(p)}"


cdef int write_back(Batch b, cnp.ndarray to, cnp.ndarray copy) except -1:
    if b.back is None:
        b.back = []
    b.back.append((to, copy))
    return 0


cdef int add_new(Batch b, object target, object key, object value) except -1:
    if b.made is None:
        b.made = []
    b.made.append((target, key, value))
    return 0


cdef Entry *add_entry(Batch b, TensorCore t, cnp.ndarray g) except NULL:
    """A parameter and its gradient."""
    cdef cnp.ndarray p = t._data
    cdef int kind = cnp.PyArray_TYPE(p)
    cdef Entry *e = &b.entries[b.count]
    if (kind != cnp.NPY_FLOAT and kind != cnp.NPY_DOUBLE) or not cnp.PyArray_ISBEHAVED(p):
        raise TypeError(f"{whose(b, p)}: expected a writable float32 or float64 parameter")
    if not (cnp.PyArray_IS_C_CONTIGUOUS(p) or cnp.PyArray_IS_F_CONTIGUOUS(p)):
        p = np.array(p, order="C")
        write_back(b, t._data, p)
    b.last = p
    g = like(g, p, b, "gradient")
    b.arrays.append(t._data)
    b.keep.append(g)
    e.param.p = cnp.PyArray_DATA(p)
    e.param.g = cnp.PyArray_DATA(g)
    e.param.n = cnp.PyArray_SIZE(p)
    e.param.s0 = e.param.s1 = e.param.s2 = NULL
    e.dtype = 0 if kind == cnp.NPY_FLOAT else 1
    e.step = e.key = 0
    e.mu = 1
    b.count += 1
    if anomaly:
        if b.params is None:
            b.params = []
        b.params.append((f"parameter {b.at}", t._data, g))
    return e


cdef void *memory_of(Batch b, TensorCore t, dict state, str key, double first, bint *fresh) except NULL:
    """A state of the parameter added last, in its memory order; filled with `first` where there was none."""
    cdef cnp.ndarray s, q
    held = state.get(key)
    fresh[0] = held is None
    if held is None:
        held = TENSOR(np.full_like(t._data, first) if first else np.zeros_like(t._data))
        add_new(b, state, key, held)
    if not isinstance(held, TensorCore):
        raise TypeError(f"{whose(b, b.last)}: expected a Tensor as {key}, got {type(held).__name__}")
    s = (<TensorCore>held)._data
    q = like(s, b.last, b, key)
    if not cnp.PyArray_ISBEHAVED(s):
        raise TypeError(f"{whose(b, b.last)}: expected a writable {key}")
    if q is not s:
        write_back(b, s, q)
    b.keep.append(q)
    return cnp.PyArray_DATA(q)


cdef int fill(Batch b, list params, states, bint counted, str k0=None, str k1=None, str k2=None, double first=0) except -1:
    """Find those of `params` that have a gradient, and their states of these names; a new k0 holds `first`."""
    cdef TensorCore t
    cdef Entry *e
    cdef dict state
    cdef PyObject *held
    cdef bint fresh
    if counted:
        b.states = []
    b.at = -1
    for t in params:
        b.at += 1
        if t._grad is None:
            continue
        e = add_entry(b, t, t._grad._data)
        if k0 is None:
            continue
        held = PyDict_GetItem(states, t)
        if held != NULL:
            state = <dict?><object>held
        else:
            state = {}
            add_new(b, states, t, state)
        e.param.s0 = memory_of(b, t, state, k0, first, &fresh)
        if k1 is not None:
            e.param.s1 = memory_of(b, t, state, k1, 0, &fresh)
        if k2 is not None:
            e.param.s2 = memory_of(b, t, state, k2, 0, &fresh)
        if counted:
            e.step = e.key = <Py_ssize_t>state.get("step", 0) + 1
            b.states.append(state)
        if b.kind == TT_SGD:
            e.key = fresh
        elif b.kind == TT_NADAM:
            e.mu = <double>state.get("mu_product", 1.0) * b.h.beta1 * (1 - 0.5 * pow(0.96, <double>e.step * b.decay))
        elif b.kind == TT_RMSPROP or b.kind == TT_ADADELTA or (b.kind == TT_ADAGRAD and b.decay == 0):
            e.key = 0  # the count is kept, as PyTorch does, but nothing depends on it
    return 0


# Each of the following prepares one step, in place, over those of `params` that have a gradient: call what it returns.
# states: of each parameter a dict, which gets what the optimizer keeps; one that missed a step counts fewer.


def sgd_step(list params, states, double lr, double momentum, double dampening, double weight_decay, bint nesterov,
             bint maximize):
    """SGD. State, with momentum: momentum_buffer."""
    cdef Batch b = new_batch("SGD", TT_SGD, len(params))
    b.h.lr, b.h.momentum, b.h.dampening, b.h.weight_decay = lr, momentum, dampening, weight_decay
    b.h.nesterov, b.h.maximize = nesterov, maximize
    fill(b, params, states, False, "momentum_buffer" if momentum != 0 else None)
    return b


def adam_step(list params, states, double lr, double beta1, double beta2, double eps, double weight_decay,
              bint amsgrad, bint decoupled, bint maximize):
    """Adam (decoupled: AdamW). State: step, exp_avg, exp_avg_sq and, with amsgrad, max_exp_avg_sq."""
    cdef Batch b = new_batch("AdamW" if decoupled else "Adam", TT_ADAM, len(params))
    b.h.lr, b.h.beta1, b.h.beta2, b.h.eps, b.h.weight_decay = lr, beta1, beta2, eps, weight_decay
    b.h.decoupled, b.h.maximize = decoupled, maximize
    fill(b, params, states, True, "exp_avg", "exp_avg_sq", "max_exp_avg_sq" if amsgrad else None)
    return b


def nadam_step(list params, states, double lr, double beta1, double beta2, double eps, double weight_decay,
               double momentum_decay, bint decoupled, bint maximize):
    """NAdam. State: step, mu_product, exp_avg, exp_avg_sq."""
    cdef Batch b = new_batch("NAdam", TT_NADAM, len(params))
    b.h.lr, b.h.beta1, b.h.beta2, b.h.eps, b.h.weight_decay = lr, beta1, beta2, eps, weight_decay
    b.h.decoupled, b.h.maximize, b.decay = decoupled, maximize, momentum_decay
    fill(b, params, states, True, "exp_avg", "exp_avg_sq")
    return b


def radam_step(list params, states, double lr, double beta1, double beta2, double eps, double weight_decay,
               bint decoupled, bint maximize):
    """RAdam. State: step, exp_avg, exp_avg_sq."""
    cdef Batch b = new_batch("RAdam", TT_RADAM, len(params))
    b.h.lr, b.h.beta1, b.h.beta2, b.h.eps, b.h.weight_decay = lr, beta1, beta2, eps, weight_decay
    b.h.decoupled, b.h.maximize = decoupled, maximize
    fill(b, params, states, True, "exp_avg", "exp_avg_sq")
    return b


def adamax_step(list params, states, double lr, double beta1, double beta2, double eps, double weight_decay,
                bint maximize):
    """Adamax. State: step, exp_avg, exp_inf."""
    cdef Batch b = new_batch("Adamax", TT_ADAMAX, len(params))
    b.h.lr, b.h.beta1, b.h.beta2, b.h.eps, b.h.weight_decay = lr, beta1, beta2, eps, weight_decay
    b.h.maximize = maximize
    fill(b, params, states, True, "exp_avg", "exp_inf")
    return b


def rmsprop_step(list params, states, double lr, double alpha, double eps, double weight_decay, double momentum,
                 bint centered, bint maximize):
    """RMSprop. State: step, square_avg, with momentum momentum_buffer, centered grad_avg."""
    cdef Batch b = new_batch("RMSprop", TT_RMSPROP, len(params))
    b.h.lr, b.h.beta2, b.h.eps, b.h.weight_decay, b.h.momentum = lr, alpha, eps, weight_decay, momentum
    b.h.maximize = maximize
    fill(b, params, states, True, "square_avg", "momentum_buffer" if momentum > 0 else None,
         "grad_avg" if centered else None)
    return b


def adagrad_step(list params, states, double lr, double lr_decay, double eps, double weight_decay,
                 double initial_accumulator_value, bint maximize):
    """Adagrad. State: step, sum."""
    cdef Batch b = new_batch("Adagrad", TT_ADAGRAD, len(params))
    b.h.lr, b.h.eps, b.h.weight_decay, b.h.maximize, b.decay = lr, eps, weight_decay, maximize, lr_decay
    fill(b, params, states, True, "sum", None, None, initial_accumulator_value)
    return b


def adadelta_step(list params, states, double lr, double rho, double eps, double weight_decay, bint maximize):
    """Adadelta. State: step, square_avg, acc_delta."""
    cdef Batch b = new_batch("Adadelta", TT_ADADELTA, len(params))
    b.h.lr, b.h.beta2, b.h.eps, b.h.weight_decay, b.h.maximize = lr, rho, eps, weight_decay, maximize
    fill(b, params, states, True, "square_avg", "acc_delta")
    return b


def lion_step(list params, states, double lr, double beta1, double beta2, double weight_decay, bint maximize):
    """Lion. State: exp_avg."""
    cdef Batch b = new_batch("Lion", TT_LION, len(params))
    b.h.lr, b.h.beta1, b.h.beta2, b.h.weight_decay, b.h.maximize = lr, beta1, beta2, weight_decay, maximize
    fill(b, params, states, False, "exp_avg")
    return b


def lerp_step(list params, list targets, double weight):
    """Running averages: every parameter goes the share `weight` of the way to the target at its place in the list."""
    cdef Batch b = new_batch("lerp", TT_LERP, len(params))
    cdef TensorCore t, target
    b.h.lr = weight
    b.at = -1
    for t, target in zip(params, targets, strict=True):
        b.at += 1
        add_entry(b, t, target._data)
    return b
