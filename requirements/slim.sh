#!/bin/sh
# Take out of an environment what no process of Vigie reads: headers and static libraries to build
# against, the packages' own tests, Ray's Java workers and reinforcement learning, and triton, which
# compiles models for GPUs (torch.compile; Vigie does not).
#
#   slim.sh ENVIRONMENT
set -eu

packages=$(echo "$1"/lib/python3.*/site-packages)
rm -rf "$packages"/triton "$packages"/triton-*.dist-info \
    "$packages"/torch/include "$packages"/torch/bin/protoc* \
    "$packages"/pyarrow/include "$packages"/pyarrow/tests "$packages"/numba/tests \
    "$packages"/nvidia/*/include "$packages"/ray/jars "$packages"/ray/rllib
find "$packages" -name '*.a' -delete
