# Part of _tape.pyx: the modes of a thread, and what sets them.
@cython.final
cdef class Mode:
    """Whether ops record: one switch for each thread."""

    @property
    def enabled(self):
        return not grad_off

    @enabled.setter
    def enabled(self, bint value):
        global grad_off
        grad_off = not value

    @property
    def inspecting(self):
        return inspecting

    @inspecting.setter
    def inspecting(self, bint value):
        global inspecting, inspectors
        inspectors += value - <bint>inspecting
        inspecting = value

    @property
    def anomaly(self):
        """What ops are checked for: 0 nothing, 1 NaN, 2 infinities, 3 both."""
        return anomaly

    @anomaly.setter
    def anomaly(self, int value):
        global anomaly
        anomaly = value


mode = Mode()


cdef class Switch:
    """A context manager that sets a mode of this thread, an attribute of `mode`, and puts the old one back. It is C, where no
    signal is handled: Ctrl-C finds a mode set inside the block and put back behind it."""

    cdef str which
    cdef readonly int to
    cdef list before
    cdef bint entered  # already, by at_once

    def __init__(self, str which not None, int to):
        self.which, self.to, self.before = which, to, []

    def at_once(self):
        """Set the mode now; `with` comes later, or not at all."""
        self.__enter__()
        self.entered = True

    def not_at_once(self):
        """Take `at_once` back, if it was."""
        if self.entered:
            self.entered = False
            self.__exit__()

    def __enter__(self):
        if self.entered:
            self.entered = False
        else:
            self.before.append(getattr(mode, self.which))
            setattr(mode, self.which, self.to)

    def __exit__(self, kind=None, error=None, trace=None):  # *error would ask for memory before anything is put back
        cdef Py_ssize_t last = len(self.before) - 1
        if last < 0:
            raise RuntimeError(f"{type(self).__name__}: left more often than entered")
        setattr(mode, self.which, self.before[last])  # first, and asks for no memory, as pop may
        self.before.pop()

    def __reduce__(self):
        return switch_again, (type(self), self.which, self.to)


def switch_again(kind, str which, int to):
    """A copy of a Switch, or one that was pickled."""
    s = kind.__new__(kind)
    Switch.__init__(s, which, to)
    return s
