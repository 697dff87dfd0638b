#!/bin/sh
# Builds the LightGBM that constraints.txt names with CUDA, which PyPI's wheel lacks, and installs it in .venv.
#
# It needs a C++ compiler, NVIDIA's toolkit (nvcc, 11.8 or newer) and NCCL (nccl.h and libnccl_static.a; NCCL_ROOT names
# the directory of include/ and lib/ where they are not the system's). With NCCL_SHARED=1 it takes libnccl.so, which must
# then be found when LightGBM is loaded. CMake and Ninja come from PyPI where the system's are too old.
#
#   deploy/build_lightgbm_cuda.sh                          for every GPU that the toolkit knows: half an hour and more
#   CUDA_ARCHITECTURES=90 deploy/build_lightgbm_cuda.sh    for one kind: 80 is an A100, 89 an L4, 90 an H100
#
# PYTHON is the interpreter that trains, .venv/bin/python by default; the wheel stays in WHEELS, build/wheels by default.
set -eu

cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
wheels=${WHEELS:-build/wheels}

refuse() {
    echo "build_lightgbm_cuda.sh: $1" >&2
    exit 2
}

command -v "$python" >/dev/null || refuse "there is no $python. Run \`make run\` once, or name another with PYTHON."
command -v "${CXX:-c++}" >/dev/null || refuse "there is no C++ compiler. Debian: apt-get install g++."
command -v nvcc >/dev/null || refuse "there is no nvcc. Install NVIDIA's CUDA toolkit and put its bin/ on PATH."
echo '#include <nccl.h>' | nvcc -E -x cu ${NCCL_ROOT:+-I"$NCCL_ROOT/include"} - >/dev/null 2>&1 ||
    refuse "there is no nccl.h. Install NCCL (NVIDIA's repository for Debian and Ubuntu: libnccl-dev), or name its directory with NCCL_ROOT."

version=$(sed -n 's/^lightgbm==//p' constraints.txt)
mkdir -p "$wheels"
"$python" -m pip wheel --no-deps --no-cache-dir --no-binary lightgbm --wheel-dir "$wheels" \
    --config-settings=cmake.define.USE_CUDA=ON \
    ${NCCL_SHARED:+--config-settings=cmake.define.BUILD_WITH_SHARED_NCCL=ON} \
    ${CUDA_ARCHITECTURES:+"--config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES=$CUDA_ARCHITECTURES"} \
    "lightgbm==$version"
"$python" -m pip install --force-reinstall --no-deps "$wheels"/lightgbm-"$version"-*.whl
echo "LightGBM $version with CUDA is installed. TEACHER_DEVICE_TYPE=cuda trains on it."
