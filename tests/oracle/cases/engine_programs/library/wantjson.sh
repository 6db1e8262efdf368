#!/bin/sh
# WANT_JSON
printf '{"changed": true, "given": %s, "count": "%s"}' "$(cat "$1")" "$#"
