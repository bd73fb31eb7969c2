# Part of _tape.pyx: what an op is, and its call.
@cython.final
cdef class Op:
    """A differentiable function: `forward` on arrays, and `function`, its rule, which gets the upstream gradient and what its
    parameters name: inputs, `out` (the value), `NAME_shape`, auxiliaries, other arguments, `needs` (one flag per input), `node`
    (of the op), and `into` (one array per input, or None: where the rule may add the gradient itself, and then returns it).
    """

    cdef void *vectorcall
    cdef object __weakref__
    cdef dict __dict__  # __name__, __doc__ and so on, as a function's
    cdef readonly object forward
    cdef public object function
    cdef readonly tuple inputs, parameters
    cdef readonly object many
    cdef tuple keywords, aux, defaults
    cdef bint view
    cdef public int kernel  # -1: none. Else it computes the value where it takes the inputs, and forward elsewhere
    cdef int arity  # of the kernel
    cdef int count, positional, named_only  # parameters; those that can be given by position, and by position alone
    cdef int at[MOST]  # which parameter each input is
    cdef int kept  # how many of a rule's parameters are kept
    cdef int asked  # parameters of the rule behind the gradient
    cdef int kinds[MOST]
    cdef int which[MOST]  # the parameter, auxiliary or input that each is
    cdef int when[MOST]  # the parameter whose gradient needs it, or -1
    cdef bint wants_into

    def __init__(self, forward, tuple aux, bint view, kernel):
        code = forward.__code__  # read off it: inspect.signature would be a fifth of the import time
        self.vectorcall = <void *>call_op
        self.__name__ = self.__qualname__ = forward.__name__.lstrip("_")  # `_sum` is what the public `sum` calls
        forward.__qualname__ = self.__name__  # for Python's errors about arguments
        self.__doc__, self.__module__ = forward.__doc__, forward.__module__
        self.__wrapped__ = self.forward = forward
        self.__annotations__ = kinds = forward.__annotations__
        self.function = None
        self.aux, self.view = aux, view
        self.positional, self.named_only = code.co_argcount, code.co_posonlyargcount
        self.count = self.positional + code.co_kwonlyargcount
        if self.count > MOST:
            raise TypeError(f"op {self.__name__}: at most {MOST} parameters, got {self.count}")
        self.parameters = code.co_varnames[: self.count]
        self.keywords = self.parameters[self.positional :] or None
        given = dict(zip(reversed(self.parameters[: self.positional]), reversed(forward.__defaults__ or ())))
        given.update(forward.__kwdefaults__ or {})
        self.defaults = tuple([(given[n],) if n in given else None for n in self.parameters])
        self.inputs = tuple([n for n in self.parameters if kinds.get(n) in ("Array", "Array | None")])
        for i, n in enumerate(self.inputs):
            self.at[i] = self.parameters.index(n)
        self.many = self.parameters[0] if self.count and kinds.get(self.parameters[0]) == "Sequence[Array]" else None
        self.kernel = -1
        if kernel is not None:
            self.kernel = _kernels.OPS[kernel]
            self.arity = _kernels.INPUTS[self.kernel]
            if self.inputs != self.parameters or not self.arity - 1 <= self.count <= self.arity:
                raise TypeError(f"op {self.__name__}: kernel {kernel} takes {self.arity} arrays, the op has {self.parameters}")

    def rule(self, function=None, /, **when):
        """Decorator for the backward rule. `x="y"`: x is kept only where y needs a gradient (the rule gets None else)."""
        if function is None:
            return lambda f: self.rule(f, **when)
        cdef list kinds = [], which = []
        names = function.__code__.co_varnames[1 : function.__code__.co_argcount]
        places = {n: i for i, n in enumerate(self.parameters)}
        shaped = (self.many,) if self.many else self.inputs
        for n in names:
            whose = n.removesuffix("_shape")
            if whose != n and whose in shaped:
                kinds.append(SHAPE)
                which.append(places[whose])
            elif n in self.inputs:
                kinds.append(INPUT)
                which.append(self.inputs.index(n))
            elif n in places:
                kinds.append(ARGUMENT)
                which.append(places[n])
            elif n in self.aux:
                kinds.append(AUXILIARY)
                which.append(self.aux.index(n) + 1)
            elif n in ("out", "needs", "into", "node"):
                kinds.append(OUT if n == "out" else NEEDS if n == "needs" else INTO if n == "into" else NODE)
                which.append(0)
            else:
                raise TypeError(f"the rule of {self.__name__} names {n!r}: not an argument, auxiliary, shape or 'out'")
        kept = [i for i, k in enumerate(kinds) if k < NEEDS]
        if len(names) >= MOST or any([kinds[i] <= OUT for i in kept[COUNTED:]]):
            raise TypeError(f"the rule of {self.__name__} names too much: at most {MOST - 1}, arrays among the first {COUNTED}")
        self.asked, self.kept, self.wants_into = len(names), len(kept), INTO in kinds
        for i, n in enumerate(names):
            self.kinds[i] = kinds[i]
            self.which[i] = which[i]
            self.when[i] = places[when[n]] if n in when else -1
        self.function = function
        return function

    def __get__(self, instance, owner):
        return self if instance is None else PyMethod_New(self, instance)

    def __repr__(self):
        return f"<op {self.__name__}>"

    def __reduce__(self):
        return self.__name__  # pickled and copied as a function is: by name


@cython.final
cdef class Composed:
    """A public function made of ops, called as it is; keywords that it does not know may be PyTorch's, as an Op's may."""

    cdef void *vectorcall
    cdef object __weakref__
    cdef dict __dict__  # __name__, __doc__ and so on, as the function's
    cdef readonly object function
    cdef readonly tuple parameters
    cdef readonly object rest  # the name of *rest
    cdef frozenset known
    cdef readonly Py_ssize_t positional  # how many of the parameters may be given so

    def __init__(self, function, str module):
        code = function.__code__
        self.vectorcall = <void *>call_composed
        self.function = self.__wrapped__ = function
        self.__name__ = self.__qualname__ = function.__name__
        self.__doc__, self.__module__, self.__annotations__ = function.__doc__, module, function.__annotations__
        count = code.co_argcount + code.co_kwonlyargcount
        self.parameters = code.co_varnames[:count]
        self.known = frozenset(self.parameters)
        self.rest = code.co_varnames[count] if code.co_flags & 4 else None
        self.positional = code.co_argcount

    def __get__(self, instance, owner):
        return self if instance is None else PyMethod_New(self, instance)

    def __repr__(self):
        return f"<function {self.__name__}>"

    def __reduce__(self):
        from .spelling import public

        return public, (self.function, self.__module__)


def set_respell(function):
    """Tell what puts right the spelling of calls that do not fit."""
    global respell
    respell = function


def _set_call():
    cdef Op o = Op.__new__(Op)
    cdef Composed c = Composed.__new__(Composed)
    call_by_vector(<PyTypeObject *>Op, <char *>&o.vectorcall - <char *><PyObject *>o)
    call_by_vector(<PyTypeObject *>Composed, <char *>&c.vectorcall - <char *><PyObject *>c)


_set_call()


cdef object call_composed(object callable, PyObject **args, size_t nargsf, PyObject *names):
    cdef Composed f = <Composed>callable
    cdef PyObject *result
    if PyVectorcall_NARGS(nargsf) > f.positional and f.rest is None:
        return call_otherwise(f, f.function, args, PyVectorcall_NARGS(nargsf), names)
    if names != NULL:
        for name in <tuple><object>names:
            if name not in f.known:
                return call_otherwise(f, f.function, args, PyVectorcall_NARGS(nargsf), names)
    result = call_plainly(f.function, args, nargsf, names)
    if result == NULL:
        name_culprit(f, args, PyVectorcall_NARGS(nargsf), names)
    return owned_result(result)


cdef int name_culprit(Composed f, PyObject **args, Py_ssize_t n, PyObject *names) except -1:
    """The error under way, or a TypeError where it is that an argument is no tensor at all."""
    cdef Py_ssize_t i
    cdef tuple named = () if names == NULL else <tuple><object>names
    try:
        reraise()
    except AttributeError as error:
        if isinstance(error.obj, (TensorCore, ndarray)):
            raise
        for i in range(n + len(named)):
            which = named[i - n] if i >= n else f.parameters[i] if i < len(f.parameters) else f.rest
            letters = isinstance(error.obj, str) and isinstance(<object>args[i], str)  # a text is a sequence, too
            if error.obj is <object>args[i] or (letters and error.obj in <object>args[i]):
                raise TypeError(
                    f"{f.__name__}: expected {which} as a Tensor or an ndarray, got {type(<object>args[i]).__name__}; use tt.tensor"
                ) from None
            if isinstance(<object>args[i], (list, tuple)) and any([error.obj is one for one in <object>args[i]]):
                raise TypeError(f"{f.__name__}: expected Tensors or ndarrays, got {type(error.obj).__name__} among them; use tt.tensor") from None
        raise


cdef object call_op(object callable, PyObject **args, size_t nargsf, PyObject *names):
    cdef Op op = <Op>callable
    cdef Py_ssize_t n = PyVectorcall_NARGS(nargsf)
    cdef PyObject *given[MOST]
    if names == NULL and n == op.count == op.positional:
        return apply(op, args)
    if not bind(op, args, n, names, given):
        return call_otherwise(op, op.forward, args, n, names)
    return apply(op, given)


cdef object call_otherwise(object callable, object function, PyObject **args, Py_ssize_t n, PyObject *names):
    """A call that does not fit as it is written: with PyTorch's and NumPy's other spellings put right, or Python's own error."""
    cdef Py_ssize_t i
    cdef tuple given = tuple([<object>args[i] for i in range(n)])
    cdef dict named = {} if names == NULL else {name: <object>args[n + i] for i, name in enumerate(<tuple><object>names)}
    cdef object put_right = None if respell is None else respell(callable, given, named)
    if put_right is not None:
        return put_right[0](*put_right[1], **put_right[2])
    return function(*given, **named)  # raises


cdef object call_pair(Op op, object x, object y):
    cdef PyObject *given[2]
    given[0] = <PyObject *>x
    given[1] = <PyObject *>y
    return apply(op, given)


cdef bint bind(Op op, PyObject **args, Py_ssize_t n, PyObject *names, PyObject **given):
    """Arguments, by position and by name, and defaults, each to its parameter; whether they fit."""
    cdef Py_ssize_t i, j, k
    cdef bint right = n <= op.positional
    for i in range(op.count):
        given[i] = args[i] if right and i < n else NULL
    if names != NULL:
        for j in range(PyTuple_GET_SIZE(<object>names)):
            name = <object>PyTuple_GET_ITEM(<object>names, j)
            for k in range(op.named_only, op.count):
                if given[k] == NULL and name == <object>PyTuple_GET_ITEM(op.parameters, k):
                    given[k] = args[n + j]
                    break
            else:
                right = False
    for i in range(op.count):
        if given[i] == NULL:
            default = <object>PyTuple_GET_ITEM(op.defaults, i)
            if default is None:
                right = False
            else:
                given[i] = PyTuple_GET_ITEM(<tuple>default, 0)
    return right


cdef object apply(Op op, PyObject **given):
    """The op on its arguments: arrays give an array, Tensors a Tensor, recorded where a gradient is needed."""
    cdef PyObject *values[MOST]
    cdef int i, k, held = 0
    cdef bint tensors = False, needed = False
    cdef TensorCore t
    if op.many is not None:
        return apply_many(op, given)
    for i in range(op.count):
        values[i] = given[i]
    for k in range(<int>PyTuple_GET_SIZE(op.inputs)):
        i = op.at[k]
        if isinstance(<object>given[i], TensorCore):
            t = <TensorCore>given[i]
            tensors = True
            needed = needed or t._requires
            values[i] = <PyObject *>t._data
    if not tensors:
        return value_of(op, values, NULL)
    for i in range(op.count):  # a Tensor may get another array meanwhile
        Py_INCREF(<object>values[i])
    try:
        return recorded(op, given, values, needed)
    finally:
        for i in range(op.count):
            Py_DECREF(<object>values[i])


cdef object value_of(Op op, PyObject **values, PyObject **aux):
    """The op on arrays; the tuple with its auxiliaries goes to `aux`, as a new reference."""
    cdef object result
    if op.kernel >= 0:
        result = try_map(op.kernel, op.arity, <object>values[0], <object>values[1 if op.count > 1 else 0],
                         <object>values[op.count - 1], 0, 0, None)
        if result is not None:
            return result
    result = PyObject_Vectorcall(op.forward, values, op.positional, <PyObject *>op.keywords if op.keywords is not None else NULL)
    if op.aux:
        if aux != NULL:
            Py_INCREF(result)
            aux[0] = <PyObject *>result
        return result[0]
    return result


cdef object recorded(Op op, PyObject **given, PyObject **values, bint needed):
    cdef PyObject *aux = NULL
    cdef object value = value_of(op, values, &aux), result = None
    cdef cnp.ndarray out
    cdef TensorCore t
    if aux != NULL:
        result = <object>aux
        Py_DECREF(result)  # now ours
    out = <cnp.ndarray>value if cnp.PyArray_Check(value) else np.asarray(value)
    if block_of(out) is None:  # NumPy's own memory has no version yet
        out = _kernels.owned(out)
    if anomaly:
        check_forward(op, values, out)
    if not needed or grad_off or op.function is None or not is_float(out):
        t = tensor_of(out)
    else:
        t = output_of(out, record(op, given, values, out, result), 0)
        if anomaly:
            remember_modules(t._node)
    if op.view and not grad_off and is_float(out):
        bind_view(<object>given[op.at[0]], t)
    return t


cdef inline bint is_float(cnp.ndarray a) noexcept:
    return cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT or cnp.PyArray_TYPE(a) == cnp.NPY_DOUBLE


cdef Node record(Op op, PyObject **given, PyObject **values, cnp.ndarray out, object result):
    """The node of an op that ran: its parents, and what its rule names."""
    cdef Py_ssize_t inputs = PyTuple_GET_SIZE(op.inputs), k
    cdef tuple parents = PyTuple_New(inputs), slots = None, kept = () if op.kept == 0 else PyTuple_New(op.kept)
    cdef unsigned int versions[COUNTED]
    cdef int i, j = 0, kind, lacking = 0
    cdef object v
    cdef TensorCore t
    for k in range(inputs):
        v = None
        if isinstance(<object>given[op.at[k]], TensorCore):
            t = <TensorCore>given[op.at[k]]
            if t._requires:
                v = t if t._node is None else t._node
                if t._slot and slots is None:
                    slots = tuple([(<TensorCore>given[op.at[i]])._slot if isinstance(<object>given[op.at[i]], TensorCore) else 0 for i in range(inputs)])
        if v is None:
            lacking |= 1 << k
        Py_INCREF(v)
        PyTuple_SET_ITEM(parents, k, v)
    for i in range(COUNTED):
        versions[i] = UNCOUNTED
    for i in range(op.asked):
        kind = op.kinds[i]
        if kind >= NEEDS:
            continue
        v = None
        if op.when[i] < 0 or (isinstance(<object>given[op.when[i]], TensorCore) and (<TensorCore>given[op.when[i]])._requires):
            if kind == INPUT:
                v = <object>values[op.at[op.which[i]]]
                lacking &= ~(1 << op.which[i])
            elif kind == OUT:
                v = out
            elif kind == SHAPE:
                v = getattr(<object>values[op.which[i]], "shape", ())
            elif kind == ARGUMENT:
                v = <object>values[op.which[i]]
            else:
                v = result[op.which[i]]
            if kind <= OUT and cnp.PyArray_Check(v):
                versions[j] = version_of(v)
            elif kind == ARGUMENT and j < COUNTED and (cnp.PyArray_Check(v) or type(v) is tuple):
                versions[j] = version_of_kept(v)
        Py_INCREF(v)
        PyTuple_SET_ITEM(kept, j, v)
        j += 1
    cdef Node node = new_node(op, parents, slots, kept, out)
    memcpy(node.versions, versions, sizeof(versions))
    if lacking:
        note_constants(node, op, values, lacking)
    if op is ADD and node.nd == 0:
        count_spent(node)
    return node


cdef inline bint ran(object parent):
    """Whether backward ran through what a parent stands for: it, or what it was made of, is freed."""
    if type(parent) is not Node:
        return False
    if (<Node>parent).kept is freed:
        return True
    for p in (<Node>parent).parents:
        if type(p) is Node and (<Node>p).kept is freed:
            return True
    return False


cdef int count_spent(Node node) except -1:
    """Warn, once, of a running sum that keeps alive the graphs of its terms, though backward went through them."""
    global warned
    cdef int before = 0
    for p in node.parents:
        if type(p) is Node and (<Node>p).spent > before:
            before = (<Node>p).spent
    if warned or not (ran(node.parents[0]) or ran(node.parents[1])):
        node.spent = before
        return 0
    node.spent = before + 1
    if node.spent >= SPENT:
        warned = True
        file, _, line = where(node.code, node.offset).rpartition(":")
        warnings.warn_explicit(
            f"this running sum of scalars holds the graphs of {SPENT} terms whose backward already ran, and will hold all that follow: "
            "add numbers instead, total += loss.item(), or loss.detach()",
            UserWarning, file or "unknown", int(line) if line.isdigit() else 0,
        )
    return 0


cdef object apply_many(Op op, PyObject **given):
    """The call of an op whose first argument is a sequence of inputs."""
    cdef PyObject *values[MOST]
    cdef tuple tensors = tuple(<object>given[0])
    cdef tuple arrays = tuple([(<TensorCore>t)._data if isinstance(t, TensorCore) else t for t in tensors])
    cdef int i
    for i in range(op.count):
        values[i] = given[i]
    values[0] = <PyObject *>arrays
    cdef object out = value_of(op, values, NULL)
    if not any([isinstance(t, TensorCore) for t in tensors]):
        return out
    if anomaly:
        many = {f"{op.many}[{i}]": a for i, a in enumerate(arrays)}
        check_many(op, many, out)
    parents = [((<TensorCore>t)._node or t) if isinstance(t, TensorCore) and (<TensorCore>t)._requires else None for t in tensors]
    if grad_off or op.function is None or not is_float(out) or not any([p is not None for p in parents]):
        return tensor_of(out)
    kept = []
    for i in range(op.asked):
        if op.kinds[i] == SHAPE:
            kept.append(tuple([np.shape(a) for a in arrays]))
        elif op.kinds[i] == ARGUMENT:
            kept.append(<object>values[op.which[i]])
    cdef Node node = new_node(op, tuple(parents), tuple([(<TensorCore>t)._slot if isinstance(t, TensorCore) else 0 for t in tensors]), tuple(kept), out)
    if any([p is None for p in parents]):
        node.notes = [[constant_of(a) if p is None else None for p, a in zip(parents, arrays)], None]
    for i in range(COUNTED):
        node.versions[i] = UNCOUNTED
    if anomaly:
        remember_modules(node)
    return output_of(out, node, 0)


cpdef int bind_view(object base, TensorCore t) except -1:
    """Let a tensor and a view of it know of each other, so that a change in place of one reaches the other's history."""
    cdef Block block = block_of(t._data)
    cdef TensorCore b
    cdef Py_ssize_t n
    if not isinstance(base, TensorCore):
        return 0
    b = <TensorCore>base
    if b is t or block is None or block is not block_of(b._data):
        return 0
    if b._kin is None:
        b._kin = [weakref.ref(b)]
    n = len(b._kin)
    if n >= 8 and n & (n - 1) == 0:
        b._kin[:] = [r for r in b._kin if r() is not None]
    b._kin.append(weakref.ref(t))
    t._kin = b._kin
    return 0
