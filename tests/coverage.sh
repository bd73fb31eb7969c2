#!/usr/bin/env bash
# Branch coverage of the Python package (coverage.py) and of csrc (gcov), with the lines and branches that no test reaches.
#
#     tests/coverage.sh [python|c]        from a checkout, in an environment with '.[test]', coverage>=7.10, gcovr, setuptools and Cython
#
# The package is built in a copy, so nothing here changes. csrc is compiled at -O1 with counters, and the tests of the kernels and
# the ops run on every instruction set that this machine has; the counts are added up. Branches of csrc are those of every copy that
# the compiler makes of an inlined function, in most of which the condition is constant: they are printed, lines are the measure.
# Two cores: 10 minutes for Python, 25 for C. Exit code 1 below 95 % of Python's lines and branches or 90 % of csrc's lines.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1 MPLBACKEND=Agg
unset TINYTENSOR_ISA TINYTENSOR_NUM_THREADS
what=${1:-both}
bad=0

copy() { # a tree of the files that git knows of
    mkdir -p "$1"
    (cd "$root" && git ls-files -z -co --exclude-standard | xargs -0 tar -cf -) | tar -xf - -C "$1"
}

if [ "$what" != c ]; then
    copy "$work/python"
    cd "$work/python"
    python setup.py -q build_ext --inplace > /dev/null
    # the test left out forks while another thread runs: under the tracer the child did not end
    PYTHONPATH=$PWD COVERAGE_FILE=$work/data coverage run --rcfile=tests/coverage.ini -m pytest -n "${WORKERS:-2}" \
        --deselect tests/test_python_threads.py::test_a_child_forked_during_a_backward_can_walk_back || bad=1
    COVERAGE_FILE=$work/data coverage combine -q --rcfile=tests/coverage.ini "$work"
    COVERAGE_FILE=$work/data coverage report --rcfile=tests/coverage.ini --fail-under=95 || bad=1
fi

if [ "$what" != python ]; then
    copy "$work/c"
    cd "$work/c"
    sed -i 's/"-O3"/"-O1"/g' setup.py
    # names, not absolute paths, of what lies in the tree; counters that threads may share
    CFLAGS="--coverage -fprofile-update=prefer-atomic -fprofile-abs-path" LDFLAGS="--coverage" python setup.py -q build_ext --inplace > /dev/null
    tests="tests/ops tests/optim tests/test_kernels.py tests/test_threads.py tests/test_warp.py tests/test_random.py tests/test_memory.py tests/test_sparse.py"
    for isa in $(PYTHONPATH=$PWD python -c "from tinytensor import _kernels; print(*_kernels.isas())"); do
        echo "== the kernels' tests on $isa"
        # the test left out needs calls that are faster than with counters
        # shellcheck disable=SC2086 # words
        PYTHONPATH=$PWD TINYTENSOR_ISA=$isa python -m pytest -q -n "${WORKERS:-2}" $tests \
            --deselect tests/test_threads.py::test_a_sleeping_thread_is_woken_for_much_work_or_for_much_in_a_row || bad=1
    done
    gcovr --root "$PWD" --filter 'csrc/' --exclude-unreachable-branches --exclude-throw-branches --merge-mode-functions=separate \
        --gcov-ignore-errors=all --gcov-suspicious-hits-threshold=1000000000000000 --json "$work/c.json" build
    gcovr --root "$PWD" --add-tracefile "$work/c.json" --txt --txt-metric branch
    gcovr --root "$PWD" --add-tracefile "$work/c.json" --txt --txt-metric line --fail-under-line 90 || bad=1
fi
exit $bad
