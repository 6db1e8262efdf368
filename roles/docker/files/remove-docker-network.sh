#!/bin/sh
# Takes away what dockerd made in the kernel: rules that lead to its chains, the chains, the policy it set, its bridge.
set -eu
for tool in iptables ip6tables; do
  command -v "$tool" >/dev/null || continue
  for table in filter nat; do
    "$tool" -t "$table" -S 2>/dev/null | grep -q DOCKER || continue
    # Rules of other chains that jump to Docker's or concern its bridge, one by one, as iptables itself prints them.
    "$tool" -t "$table" -S | grep -E '^-A ' | grep -Ev '^-A DOCKER' | grep -E -- '-j DOCKER|docker0' | sed 's/^-A/-D/' |
      while read -r rule; do eval "$tool -t $table $rule"; done
    "$tool" -t "$table" -S | sed -n 's/^-N \(DOCKER.*\)/\1/p' | while read -r chain; do "$tool" -t "$table" -F "$chain"; done
    "$tool" -t "$table" -S | sed -n 's/^-N \(DOCKER.*\)/\1/p' | while read -r chain; do "$tool" -t "$table" -X "$chain"; done
  done
  ! "$tool" -S FORWARD 2>/dev/null | grep -qx -- '-P FORWARD DROP' || "$tool" -P FORWARD ACCEPT
done
ip link delete docker0
