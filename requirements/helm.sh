#!/bin/sh
# Make Helm, which the tests of the chart need, from its Go module; it lands where Go puts programs.
# Without Go it says so and ends with 0, and those tests are skipped, each with its reason.
set -eu

PATH=$PATH:$HOME/go/bin
if [ -n "${HELM:-}" ] || command -v helm >/dev/null 2>&1; then
    exit 0
fi
if ! command -v go >/dev/null 2>&1; then
    echo "No helm and no go: the tests of the chart are skipped (or set HELM)." >&2
    exit 0
fi
# Without C and symbols, which take a part of the time.
export CGO_ENABLED=0
timeout 480 go install -ldflags '-s -w' helm.sh/helm/v3/cmd/helm@v3.18.4 ||
    echo "Helm could not be made: the tests of the chart are skipped." >&2
