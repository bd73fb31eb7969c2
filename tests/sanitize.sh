#!/usr/bin/env bash
# The tests under sanitizers. Needs GCC with libasan, libubsan and libtsan, and what `pip install '.[test]' 'Cython<3.3' setuptools` installs.
#   tests/sanitize.sh short              the C driver under all three, tests of kernels, memory and tape, and 2,000 hostile calls: 10 minutes
#   tests/sanitize.sh long [ISA ...]     the C driver longer, and the whole suite and 10,000 hostile calls for each instruction set: 20 minutes each
#   tests/sanitize.sh valgrind           kernels, memory, tape and hostile calls under valgrind, which sees what NumPy writes, too: an hour
set -euo pipefail
form=${1:?"short, long or valgrind"}
shift
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"
CC=${CC:-gcc}
PYTHON=${PYTHON:-python}
sets=generic
[ "$(uname -m)" = x86_64 ] && sets="generic avx2 avx512"
[ "$(uname -m)" = x86_64 ] && [ "$form" = short ] && sets="generic avx2"
flags="-std=c11 -g -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-thread-jumps -fopenmp-simd -pthread -I csrc"
declare -A march=([generic]= [avx2]=-march=x86-64-v3 [avx512]=-march=x86-64-v4)
memory="-fsanitize=address,undefined -fno-sanitize-recover=undefined"

driver() { # NAME, sanitizer flags, arguments of the driver
    local objects="" have="" set
    for set in $sets; do
        # shellcheck disable=SC2086
        $CC -O1 $flags $2 ${march[$set]} "-DTT_ISA=$set" -c csrc/kernels.c -o "$work/$1-$set.o" &
        objects="$objects $work/$1-$set.o"
        have="$have -DTT_HAVE_${set^^}"
    done
    wait
    # shellcheck disable=SC2086
    $CC -O1 $flags $2 $have tests/c/kernels_check.c csrc/drivers.c csrc/parallel.c csrc/dispatch.c csrc/random.c $objects -o "$work/$1" -lm
    # shellcheck disable=SC2086
    "$work/$1" $3 > "$work/$1.txt"
    echo "$1: $(wc -l < "$work/$1.txt") results, no finding"
}

build() { # FLAGS: the package in a copy, by a compiler that adds them behind all others
    git ls-files -z | xargs -0 cp --parents -t "$work"
    cat > "$work/cc" << WRAPPER
#!/bin/sh
case "\$*" in *x86-64-v4*) [ "$form" = short ] && exit 1 ;; esac
exec $CC "\$@" -O1 -g1 -fno-omit-frame-pointer $1
WRAPPER
    chmod +x "$work/cc"
    cd "$work"
    CC=$work/cc LDSHARED="$work/cc -shared" $PYTHON setup.py -q build_ext --inplace > build.txt 2>&1 || { tail build.txt; exit 1; }
    export PYTHONPATH=$work PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
}

attacked="tests/test_kernels.py tests/test_memory.py tests/test_tape.py tests/test_warp.py tests/viz/test_trace.py"
if [ "$form" = valgrind ]; then
    build -DTT_NO_POOL
    # of libpython's own allocator nothing is seen with PYTHONMALLOC=malloc; reads of uninitialised memory are not looked for
    grind() { valgrind -q --error-exitcode=66 --undef-value-errors=no --leak-check=no --show-mismatched-frees=no "--suppressions=$root/tests/c/valgrind.txt" "$@"; }
    grind $PYTHON -m pytest -o addopts= -p no:benchmark -p no:cacheprovider -q -x $attacked
    grind $PYTHON tests/fuzz_calls.py 0 5000
    echo "== no finding"
    exit
fi

if [ "$form" = short ]; then sizes="2 1 1"; else sizes="4 10 4"; fi
echo "== the C driver: threads"
TSAN_OPTIONS="halt_on_error=1 exitcode=66" driver thread -fsanitize=thread "$sizes"
echo "== the C driver: memory and undefined behaviour"
UBSAN_OPTIONS=print_stacktrace=1 driver address "$memory" "$sizes"

echo "== the package: memory and undefined behaviour"
build "$memory"
LD_PRELOAD="$($CC -print-file-name=libasan.so) $($CC -print-file-name=libubsan.so)"
# Python leaves objects behind on purpose: tests/ops/test_leaks.py looks for leaks
export LD_PRELOAD ASAN_OPTIONS=handle_sigbus=0:detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=8000 UBSAN_OPTIONS=print_stacktrace=1
if [ "$form" = short ]; then
    # shellcheck disable=SC2086
    $PYTHON -m pytest -p no:cacheprovider $attacked
    $PYTHON tests/fuzz_calls.py 1 2000
else
    for set in ${*:-$sets}; do
        echo "-- $set"
        TINYTENSOR_ISA=$set $PYTHON -m pytest -p no:cacheprovider --ignore tests/test_site.py --ignore tests/viz/test_page.py # a browser does not start under it
        TINYTENSOR_ISA=$set $PYTHON tests/fuzz_calls.py 2 10000
    done
fi
echo "== no finding"
