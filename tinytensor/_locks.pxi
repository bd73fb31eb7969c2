# Part of _tape.pyx: who may add to gradients of leaves.
# Gradients of leaves are added to under one lock: kernels release the GIL, and two threads may share a leaf. It is its
# owner's again at once, since a finalizer that runs meanwhile may walk back, too.
cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030D0000
    #define at_exit Py_IsFinalizing
    #else
    #define at_exit _Py_IsFinalizing
    #endif
    """
    int at_exit()

cdef PyThread_type_lock grads_lock = PyThread_allocate_lock()
cdef unsigned long grads_owner = 0
cdef int grads_depth = 0


cdef void lock_grads() noexcept:
    global grads_owner, grads_depth
    cdef unsigned long me = PyThread_get_thread_ident()
    if grads_depth == 0 or grads_owner != me:
        if not PyThread_acquire_lock(grads_lock, 0):
            if at_exit():
                grads_depth = 0  # its holder was a daemon thread, which Python has ended: it will not give it back
            else:
                with nogil:
                    PyThread_acquire_lock(grads_lock, 1)
        grads_owner = me
    grads_depth += 1


cdef void unlock_grads() noexcept:
    global grads_depth
    grads_depth -= 1
    if grads_depth == 0:
        PyThread_release_lock(grads_lock)


def _renew_lock():
    """In a forked child: a thread that held it is not there, unless it was the one that forked."""
    global grads_lock, grads_depth
    grads_lock = PyThread_allocate_lock()
    if grads_depth and grads_owner == PyThread_get_thread_ident():
        PyThread_acquire_lock(grads_lock, 1)
    else:
        grads_depth = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
