#!/bin/sh
set -eu
cd "$(dirname "$0")"
docker build -t registry.example/acme/shop:1.0 --no-cache --add-host db:10.0.0.1 .
docker push registry.example/acme/shop:1.0
