#!/usr/bin/env bash
# The kernels on arm64, under an emulator on x86-64: their results must have the bits of AVX2. Needs, beside GCC,
#     apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
#   tests/arm64.sh short     every driver on 1 to 16 threads; two callers at once; a forked child; some of vmath.h: 2 minutes of one core
#   tests/arm64.sh long      more rounds, and vmath.h with a million samples a function: about an hour
# Exits 1 when a hash differs or a check fails. Without the cross compiler or the emulator it says so and exits 0. Warnings are errors.
set -euo pipefail
form=${1:-short}
CROSS=${CROSS:-aarch64-linux-gnu-gcc} QEMU=${QEMU:-qemu-aarch64-static} CC=${CC:-gcc}
for need in "$CROSS" "$QEMU" "$CC"; do
    command -v "$need" > /dev/null || { echo "skipped: there is no $need"; exit 0; }
done
[ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo || { echo "skipped: not x86-64 with AVX2"; exit 0; }
case $form in
    short) drivers="1 1 1" vmath="65521 5000" ;;
    long) drivers="4 5 4" vmath="257 1000000" ;;
    *) echo "usage: tests/arm64.sh [short|long]" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-O3 -std=c11 -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-thread-jumps -fopenmp-simd -pthread -I csrc -Wall -Wextra -Werror"
sources="tests/c/kernels_check.c csrc/drivers.c csrc/parallel.c csrc/dispatch.c csrc/random.c"

# shellcheck disable=SC2086
build() { # NAME, set, its options, compiler
    $4 $flags $3 "-DTT_ISA=$2" -c csrc/kernels.c -o "$work/$1.o"
    $4 $flags $3 -Wno-unused-result $sources "$work/$1.o" ${5:-} -o "$work/$1" -lm
    $4 $flags $3 tests/c/vmath_check.c -o "$work/$1-vmath" -lm ${5:-}
}
build arm generic "" "$CROSS" -static
# the set of this machine under the name of arm64's, which is fused multiply-add here as there
build x86 generic -march=x86-64-v3 "$CC"
echo "== drivers on arm64 ($("$CROSS" --version | head -n 1); $("$QEMU" --version | head -n 1))"
# shellcheck disable=SC2086
"$QEMU" "$work/arm" $drivers > "$work/arm.txt"
# shellcheck disable=SC2086
"$work/x86" $drivers > "$work/x86.txt"
diff "$work/arm.txt" "$work/x86.txt" || { echo "FAILED: arm64 (<) has other bits than AVX2 (>)"; exit 1; }
echo "$(wc -l < "$work/arm.txt") hashes of drivers, each on 1, 2, 3, 7 and 16 threads: the bits of AVX2"
echo "== vmath.h on arm64: every ${vmath% *}th float and its neighbour, ${vmath#* } doubles a function"
# its bounds are checked against this libm; the worst inputs may differ where libm does, the results may not
# shellcheck disable=SC2086
"$QEMU" "$work/arm-vmath" $vmath > "$work/arm-vmath.txt" || { cat "$work/arm-vmath.txt"; exit 1; }
# shellcheck disable=SC2086
"$work/x86-vmath" $vmath > "$work/x86-vmath.txt" || { cat "$work/x86-vmath.txt"; exit 1; }
hashes() { awk 'NR > 1 { print $1, $NF }' "$work/$1-vmath.txt"; }
diff <(hashes arm) <(hashes x86) || { echo "FAILED: arm64 (<) has other bits than AVX2 (>)"; exit 1; }
echo "$(hashes arm | wc -l) functions: the bits of AVX2, and within their bounds"
