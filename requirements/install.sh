#!/bin/sh
# Install a hash-pinned requirement file into an environment, with the torch that is asked for.
#
#   install.sh PYTHON REQUIREMENTS [TORCH_BACKEND]     (UV: the uv to use)
#
# The default is the registry's torch, every package checked against its hash. Another backend
# (cpu, cu130, ...: uv's --torch-backend) comes from PyTorch's own index, whose wheels have other
# hashes than the pinned ones. So that torch comes first, alone, by the pinned version; everything
# else keeps its hashes, less the CUDA libraries that only the registry's torch needs.
#
# Byte code is compiled now: with PYTHONDONTWRITEBYTECODE set, each of many processes would compile
# torch anew, which takes 15 seconds.
set -eu

python=$1
requirements=$2
backend=${3:-default}
uv=${UV:-uv}

# An environment that has the other torch already would count as complete: same version.
marker=$("$python" -c 'import sys; print(sys.prefix)')/torch-backend
reinstall=
if [ -f "$marker" ] && [ "$(cat "$marker")" != "$backend" ]; then
    reinstall="--reinstall-package torch"
fi

if [ "$backend" = default ]; then
    # shellcheck disable=SC2086  # empty means no argument
    "$uv" pip install --compile-bytecode --python "$python" --require-hashes --no-deps $reinstall -r "$requirements"
else
    torch=$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' "$requirements")
    # shellcheck disable=SC2086
    "$uv" pip install --compile-bytecode --python "$python" --torch-backend "$backend" --no-deps $reinstall "$torch"
    rest=$(mktemp)
    trap 'rm -f "$rest"' EXIT
    awk '/^[a-z0-9]/ { keep = !/^(torch|triton|cuda-[a-z0-9-]*|nvidia-[a-z0-9-]*)==/ } keep' \
        "$requirements" >"$rest"
    "$uv" pip install --compile-bytecode --python "$python" --require-hashes --no-deps -r "$rest"
fi
echo "$backend" >"$marker"
