# Part of _tape.pyx: which line of the user's made a node, or changed an array.
cdef object place(int *offset):
    """The code object and the offset of the line that called us: of the first frame outside this package."""
    global THEIRS
    cdef PyObject *frame = frame_now()
    cdef PyObject *back
    cdef object code = None
    offset[0] = -1
    if frame == NULL:
        return None
    try:
        while True:
            code = frame_code(frame)
            if code is THEIRS:
                break
            if (<dict>frame_globals(frame)).get("__package__") not in OWN:
                THEIRS = code
                break
            back = frame_back(frame)
            if back == NULL:
                break
            Py_DECREF(<object>frame)
            frame = back
        offset[0] = frame_offset(frame)
    finally:
        Py_DECREF(<object>frame)
    return code


def here(what):
    """The line that called us, as code object and offset, and what it is about to do: the mark of a change in place."""
    cdef int offset
    code = place(&offset)
    return code, offset, what


def cause(mark):
    """Who changed an array in place, and at which line: of a mark that `here` made."""
    code, offset, *what = mark
    return (f" by {what[0]}" if what else "") + (f" at {where(code, offset)}" if code is not None else "")


def where(code, offset):
    """`file:line` of an instruction."""
    if code is None:
        return "unknown line"
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= offset < end and number is not None:
            line = number
    return f"{code.co_filename}:{line}"


include "_anomaly.pxi"
