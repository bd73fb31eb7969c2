# Part of _tape.pyx: what anomaly mode looks at; anomaly.py makes the report.
cdef bint all_finite(object v):
    """Whether an array of floats has neither NaN nor inf. A sum is finite only then; one that overflows is looked into."""
    if not cnp.PyArray_Check(v) or not is_float(<cnp.ndarray>v) or cnp.PyArray_SIZE(<cnp.ndarray>v) == 0:
        return True
    if cnp.PyArray_IS_F_CONTIGUOUS(<cnp.ndarray>v):  # a weight that is stored transposed: no copy
        v = (<object>v).T
    total = _kernels.reduce(_kernels.SUM, v)
    return isfinite(total.item()) or bool(np.isfinite(v).all())


cdef int check_forward(Op op, PyObject **values, object out) except -1:
    """Raise when the value of an op has NaN or inf that none of its arguments had."""
    if in_rule or all_finite(out):
        return 0
    from tinytensor import anomaly as report

    given = [(op.parameters[i], <object>values[i]) for i in range(op.count)]
    report.examine(anomaly, f"forward of {op.__name__}", given, [("result", out)], where(*here("")[:2]), report.running())
    return 0


cdef int check_backward(Node node, object g, object result) except -1:
    """Raise when a rule gave NaN or inf that neither the upstream gradient nor what it kept had."""
    grads = result if isinstance(result, (tuple, list)) else (result,)
    found = [a._data if isinstance(a, TensorCore) else a for a in grads]
    if all([all_finite(a) for a in found]):
        return 0
    from tinytensor import anomaly as report

    op = node.op
    names = list(op.function.__code__.co_varnames[1 : op.asked + 1])
    given = [("upstream gradient", u) for u in (g if isinstance(g, list) else [g])]
    given += list(zip([n for n, k in zip(names, [op.kinds[i] for i in range(op.asked)]) if k < NEEDS], node.kept))
    inputs = [f"gradient of {n}" for n in op.inputs] if len(op.inputs) == len(found) else ["gradient"] * len(found)
    report.examine(anomaly, f"backward of {op.__name__}", given, list(zip(inputs, found)), node.line, report.modules_of(node))
    return 0


cdef int check_root(TensorCore t, object what) except -1:
    """Raise when a walk begins at NaN or inf: no op that was watched made it."""
    if not all_finite(t._data):
        from tinytensor import anomaly as report

        report.examine_root(anomaly, what, t._data, "a leaf" if t._node is None else f"made by {t._node.op.__name__} at {t._node.line}")
    return 0


cdef int check_many(Op op, dict given, object out) except -1:
    if in_rule or all_finite(out):
        return 0
    from tinytensor import anomaly as report

    report.examine(anomaly, f"forward of {op.__name__}", list(given.items()), [("result", out)], where(*here("")[:2]), report.running())
    return 0


def check_made(name, list given, list results, node):
    """The same for what Python code recorded: names and arrays of its arguments and results, and its node."""
    if not anomaly:
        return
    if not in_rule and not all([all_finite(a) for _, a in results]):
        from tinytensor import anomaly as report

        report.examine(anomaly, f"forward of {name}", given, results, where(*here("")[:2]), report.running())
    if node is not None:
        remember_modules(<Node>node)


cdef int remember_modules(Node node) except -1:
    from tinytensor import anomaly as report

    report.remember(node)
    return 0
