#!/bin/sh
# Make the secrets of docker-compose.yml, each once: what is there stays. Then say where the page is.
#
#   deploy/compose/secrets.sh [FOLDER]     default: secrets, beside docker-compose.yml
#
# The files are readable, as the users inside the containers have to read them; their folder is
# yours alone, so that no other user of this machine gets at them.
set -eu

cd "$(dirname "$0")/../.."
folder=${1:-secrets}
umask 022
mkdir -p -m 700 "$folder"
chmod 700 "$folder"

random() { # BYTES: so many, in hexadecimal
    od -An -N "$1" -t x1 /dev/urandom | tr -d ' \n'
}

make() { # NAME TEXT: written under another name first, so that no half secret is ever kept
    if [ ! -s "$folder/$1" ]; then
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

echo "The secrets are in $folder. Keep a copy of it with your backups."
echo "The page, once it runs: http://localhost:8080/#token=$(cat "$folder/admin-token")"
