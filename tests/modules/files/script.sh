#!/bin/sh
echo "arg: $1"; echo err >&2; exit ${2:-0}
