#!/bin/sh
# Make the secrets of docker-compose.yml, each once: what is there stays. Then say where the page is.
#
#   deploy/compose/secrets.sh [FOLDER]                   default: secrets, beside docker-compose.yml
#   deploy/compose/secrets.sh --renew NAME [FOLDER]      another text for one that is there
#
# What has to follow a renewal is in docs/guide-compose.md. It writes into the file that is there:
# a container sees the file, not its name, and would keep the old one if another took its place.
#
# The files are readable, as the users inside the containers have to read them; their folder is
# yours alone, so that no other user of this machine gets at them.
set -eu

renewed=
if [ "${1:-}" = --renew ]; then
    renewed=${2:-}
    case $renewed in
        ray-token | postgres-password | gateway-database | admin-token | metrics-token) ;;
        gateway-key)
            echo "gateway-key stays: what it has encrypted could not be read any more." >&2
            exit 2
            ;;
        *)
            echo "--renew ray-token, postgres-password, gateway-database, admin-token or" \
                "metrics-token; got '$renewed'" >&2
            exit 2
            ;;
    esac
    shift 2
fi

cd "$(dirname "$0")/../.."
folder=${1:-secrets}
umask 022
mkdir -p -m 700 "$folder"
chmod 700 "$folder"

random() { # BYTES: so many, in hexadecimal
    od -An -N "$1" -t x1 /dev/urandom | tr -d ' \n'
}

make() { # NAME TEXT: written under another name first, so that no half secret is ever kept
    if [ "$1" = "$renewed" ]; then
        printf '%s' "$2" >"$folder/$1"
    elif [ ! -s "$folder/$1" ]; then
        printf '%s' "$2" >"$folder/.$1.new"
        mv "$folder/.$1.new" "$folder/$1"
    fi
}

make ray-token "$(random 32)"
make postgres-password "$(random 24)"
make gateway-database \
    "postgresql+psycopg://vigie:$(cat "$folder/postgres-password")@postgres:5432/vigie"
make gateway-key "$(random 32)"
make admin-token "vigie_$(random 6)_$(random 24)"
make metrics-token "vigie_$(random 6)_$(random 24)"
make grafana-password "$(random 12)"

if [ -n "$renewed" ]; then
    echo "$folder/$renewed is another one. What has to follow: docs/guide-compose.md, Secrets."
fi
echo "The secrets are in $folder. Keep a copy of it with your backups."
echo "The page, once it runs: http://localhost:8080/#token=$(cat "$folder/admin-token")"
