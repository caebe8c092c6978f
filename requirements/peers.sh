#!/bin/sh
# Install the peers that tests talk to, from Debian's packages: PostgreSQL, Alertmanager, promtool
# and Chromium. Needs root and apt; without them it says so and ends with 0, and the tests that need
# a peer are skipped, each with its reason.
set -eu

wanted="postgresql prometheus-alertmanager prometheus chromium"

if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "No apt or not root: the tests that need $wanted are skipped where these are missing." >&2
    exit 0
fi

missing=
for package in $wanted; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

# Their services are not started: the tests start their own, on ports and in folders of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # several words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
